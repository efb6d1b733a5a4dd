"""The desk's PostgreSQL: embedded by default, any server by URL; one `Database` per process.

A URL (FKS_DATABASE_URL) names the database of the desk. Dagster's own storage goes into a second database of the same server,
named like it with `_dagster` appended. Both are created when they are missing and the role may create databases.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from fks_assets.errors import SettingsError, StoreError
from fks_assets.redaction import hide
from fks_assets.stores import embedded

HEAD_REVISION = "0013"
MIGRATION_LOCK = 0x666B73_0001
DAGSTER_TABLES_LOCK = 0x666B73_0002
DAEMON_LOCK = 0x666B73_0003
REPAIR_LOCK = 0x666B73_0004
CREDENTIALS_LOCK = 0x666B73_0005
CONNECT_SECONDS = 5
# A server that is cut off, rather than down, is given up after this time instead of the quarter of an hour of TCP.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
RECOVERY_ATTEMPTS = 3
SESSION_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "300s",
    "timezone": "UTC",
}
DURABILITY_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,50}")
_prepared: set[str] = set()


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """SQLAlchemy URLs of the desk's database and of Dagster's. They hold passwords, hence no repr."""

    fks: str = field(repr=False)
    dagster: str = field(repr=False)


class Database:
    """Connections to the desk's database. Nothing is opened before the first use.

    Statements are cancelled after 5 s and waits for locks after 2 s unless a transaction sets other limits for itself.
    """

    def __init__(self, url: str, *, embedded_home: Path | None = None) -> None:
        self._url = _parse(url)
        self._embedded_home = embedded_home
        self.engine = sa.create_engine(
            self._url,
            pool_size=2,
            max_overflow=8,
            pool_timeout=10,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                **KEEPALIVES,
                "application_name": "fks",
                "options": " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items()),
            },
        )
        if embedded_home is not None:
            revive_on_connect(self.engine, embedded_home)

    @property
    def url(self) -> str:
        """The URL, with the password."""
        return self._url.render_as_string(hide_password=False)

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)!r})"

    def migrate(self) -> None:
        """Bring the schema to the newest revision. Any number of processes may call this at the same time."""
        if self._revision() == HEAD_REVISION:
            return
        from alembic import command
        from alembic.config import Config

        with self.transaction() as connection:
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
            if (found := _revision_of(connection)) is not None and found > HEAD_REVISION:
                raise _too_new(found)
            command.upgrade(config, HEAD_REVISION)

    def require_current(self) -> None:
        """Raise StoreError in one line unless the schema is at our revision and the server keeps what it has confirmed."""
        revision = self._revision()
        if revision is not None and revision > HEAD_REVISION:
            raise _too_new(revision)
        if revision != HEAD_REVISION:
            found = revision or "none"
            raise StoreError(f"the database is at revision {found}, {HEAD_REVISION} is needed: run its migrations (fks up)")
        names = ", ".join(f"current_setting('{name}')" for name in DURABILITY_SETTINGS)
        with self.transaction() as connection:
            values = connection.execute(sa.text(f"SELECT {names}")).one()
        for name, value in zip(DURABILITY_SETTINGS, values, strict=True):
            if value == "off":
                raise StoreError(f"the database server has {name} = off and may lose what it confirmed: set it to on")

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Give a connection whose work is committed at the end, rolled back on any error; database errors become StoreErrors."""
        with store_errors(), self.engine.begin() as connection:
            yield connection

    def _revision(self) -> str | None:
        with self.transaction() as connection:
            return _revision_of(connection)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn database errors into StoreErrors of one line, without statements, values or passwords."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"database: {_first_line(getattr(error, 'orig', None) or error)}") from error
    except psycopg2.Error as error:
        raise StoreError(f"database: {_first_line(error)}") from error


def open_database(home: Path, url: str | None) -> Database:
    """Return the desk's database at its newest revision, starting the embedded server and creating databases when needed."""
    database = Database(database_urls(home, url).fks, embedded_home=home if url is None else None)
    database.migrate()
    database.require_current()
    return database


def database_urls(home: Path, url: str | None) -> DatabaseUrls:
    """Return both URLs; the servers and databases behind them exist then. `url` None means the embedded server of `home`."""
    if url is None:
        directory = embedded.ensure_running(home)
        urls = DatabaseUrls(embedded.url_of(directory, "fks"), embedded.url_of(directory, "dagster"))
    else:
        parsed = _parse(url)
        urls = DatabaseUrls(
            parsed.render_as_string(hide_password=False),
            parsed.set(database=f"{parsed.database}_dagster").render_as_string(hide_password=False),
        )
    for each in (urls.fks, urls.dagster):
        _create_if_missing(make_url(each))
    return urls


@contextmanager
def one_process_at_a_time(url: str, lock: int) -> Iterator[None]:
    """Hold an advisory lock of a database while the block runs; others wait for as long as it takes."""
    with store_errors():
        connection = _connect(_parse(url))
    try:
        with store_errors(), connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0")
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SELECT pg_advisory_lock(%s)", (lock,))
        yield
    finally:
        connection.close()


@contextmanager
def alone(url: str, lock: int) -> Iterator[bool]:
    """Give whether no other process holds an advisory lock of a database; if so, it is held while the block runs."""
    with store_errors():
        connection = _connect(_parse(url))
    try:
        with store_errors(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (lock,))
            found = cursor.fetchone()
        yield bool(found and found[0])
    finally:
        connection.close()


def revive_on_connect(engine: sa.Engine, home: Path) -> None:
    """Make new connections of an engine start the embedded server again when it has died."""

    @sa.event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        for attempt in range(RECOVERY_ATTEMPTS):
            try:
                return dialect.connect(*arguments, **options)
            except psycopg2.OperationalError:
                if attempt == RECOVERY_ATTEMPTS - 1:
                    raise
                embedded.ensure_running(home)
        raise AssertionError("unreachable")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsError("the database URL cannot be parsed; it should be postgresql://user:password@host:port/name") from None
    if parsed.password is not None:
        hide(parsed.password)
    if parsed.drivername not in {"postgres", "postgresql", "postgresql+psycopg2"}:
        raise SettingsError(f"the database URL begins with {parsed.drivername!r}; only postgresql:// is supported")
    if not parsed.database or not _IDENTIFIER.fullmatch(parsed.database):
        raise SettingsError(f"the database URL names the database {parsed.database!r}; use letters, digits, _ and -, at most 50")
    return parsed.set(drivername="postgresql+psycopg2")


def _create_if_missing(url: URL) -> None:
    key = url.render_as_string(hide_password=False)
    if key in _prepared:
        return
    for attempt in range(2):
        try:
            _connect(url).close()
            break
        except psycopg2.Error as error:
            if attempt == 1 or "does not exist" not in str(error) or f'"{url.database}"' not in str(error):
                raise StoreError(f"database {_where(url)} cannot be opened: {_first_line(error)}") from error
            _create(url)
    _prepared.add(key)


def _create(url: URL) -> None:
    try:
        connection = _connect(url.set(database="postgres"))
    except psycopg2.OperationalError as error:
        raise StoreError(f"database {_where(url)} is missing and cannot be created: {_first_line(error)}") from error
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{url.database}"')
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
        return  # Another process was faster.
    except psycopg2.Error as error:
        raise StoreError(f'database {_where(url)} is missing: CREATE DATABASE "{url.database}" ({_first_line(error)})') from error
    finally:
        connection.close()


def _connect(url: URL) -> Any:
    options: dict[str, Any] = url.translate_connect_args(username="user", database="dbname")
    # What a URL says after its question mark stands above what it says before it, as with libpq.
    options |= {name: value for name, value in url.query.items() if isinstance(value, str)}
    options |= {"connect_timeout": CONNECT_SECONDS, "application_name": "fks"}
    return psycopg2.connect(**options)


def _where(url: URL) -> str:
    return f"{url.database} on {url.host or url.query.get('host') or 'the local socket'}"


def _revision_of(connection: sa.Connection) -> str | None:
    if connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
        return None
    return connection.scalar(sa.text("SELECT version_num FROM alembic_version"))


def _too_new(revision: str) -> StoreError:
    return StoreError(f"the database is at revision {revision}, this program knows {HEAD_REVISION}: update the program")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
