"""The database opens at its newest revision, refuses unsafe servers, and never prints a password."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from fks_assets.errors import SettingsError, StoreError
from fks_assets.stores import database as database_module
from fks_assets.stores.database import (
    HEAD_REVISION,
    Database,
    database_urls,
    one_process_at_a_time,
    open_database,
    store_errors,
)
from fks_assets.stores.models import METADATA

MIGRATIONS = Path(database_module.__file__).with_name("migrations")


def empty_database(database: Database, name: str) -> Database:
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return Database(sa.make_url(database.url).set(database=name).render_as_string(hide_password=False))


def test_the_newest_migration_is_the_revision_that_the_program_wants() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD_REVISION


def test_migrations_create_exactly_the_tables_of_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def test_checks_of_the_migration_are_those_of_the_models(database: Database) -> None:
    inspector = sa.inspect(database.engine)
    for table in METADATA.sorted_tables:
        expected = {str(check.name) for check in table.constraints if isinstance(check, sa.CheckConstraint)}
        assert {check["name"] for check in inspector.get_check_constraints(table.name)} == expected


def test_migrating_twice_and_by_several_at_once_ends_at_the_same_schema(database: Database) -> None:
    fresh = empty_database(database, "several_at_once")

    def migrate(_: int) -> None:
        own = Database(fresh.url)
        own.migrate()
        own.migrate()
        own.engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, range(4)))
    fresh.require_current()
    fresh.engine.dispose()


def test_the_start_gate_refuses_a_database_without_migrations(database: Database) -> None:
    fresh = empty_database(database, "without_migrations")
    with pytest.raises(StoreError, match=f"revision none, {HEAD_REVISION} is needed"):
        fresh.require_current()
    fresh.engine.dispose()


def test_the_start_gate_refuses_a_database_from_the_future(private_database_url: str) -> None:
    database = Database(private_database_url)
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="revision 9999, this program knows"):
        database.require_current()
    with pytest.raises(StoreError, match="update the program"):
        database.migrate()


def test_the_start_gate_refuses_a_server_that_may_lose_commits(private_database_url: str) -> None:
    database = Database(private_database_url)
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f'ALTER DATABASE "{sa.make_url(database.url).database}" SET synchronous_commit = off'))
    database.engine.dispose()
    with pytest.raises(StoreError, match="synchronous_commit = off"):
        database.require_current()


def test_a_url_opens_its_database_and_creates_the_one_of_dagster_beside_it(home: Path, database_url: str) -> None:
    url = sa.make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    opened = open_database(home, url)
    opened.require_current()
    urls = database_urls(home, url)
    assert sa.make_url(urls.dagster).database == f"{sa.make_url(database_url).database}_dagster"
    engine = sa.create_engine(urls.dagster, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    opened.engine.dispose()


def test_a_role_that_may_not_create_databases_is_told_what_to_create(home: Path, database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(sa.text("CREATE ROLE poor LOGIN"))
    url = sa.make_url(database.url).set(username="poor").render_as_string(hide_password=False)
    try:
        with pytest.raises(StoreError, match=r"CREATE DATABASE .*_dagster.*permission denied"):
            database_urls(home, url)
    finally:
        with database.transaction() as connection:
            connection.execute(sa.text("DROP ROLE poor"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hunter2@h/fks", "'mysql'"),
        ("postgresql+asyncpg://u:hunter2@h/fks", "asyncpg"),
        ("postgresql://u:hunter2@h/", "names the database ''"),
        ("postgresql://u:hunter2@h/a%22b", "names the database"),
        ("postgresql://u:hunter2@h:port/fks", "cannot be parsed"),
        ("hunter2", "cannot be parsed"),
    ],
)
def test_an_unusable_url_is_refused_in_one_line_without_its_password(home: Path, url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        database_urls(home, url)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("query", ["connect_timeout=3", "application_name=mine", "user=fks&port=5432"])
def test_what_a_url_says_twice_is_taken_once(home: Path, database_url: str, query: str) -> None:
    """Options that the desk sets itself, and those that the URL has named before its question mark."""
    url = sa.make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    urls = database_urls(home, f"{url}{'&' if '?' in url else '?'}{query}")
    with one_process_at_a_time(urls.fks, 1):
        pass


@pytest.mark.parametrize("query", ["host=/nowhere", "port=x", "colour=blue", "sslmode=blue"])
def test_options_that_open_nothing_are_one_line_without_the_password(home: Path, query: str) -> None:
    with pytest.raises(StoreError, match=r"cannot be opened") as refused:
        database_urls(home, f"postgresql://trader:hunter2@127.0.0.1:1/fks?{query}")
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_is_not_there_is_one_line_without_the_password(home: Path) -> None:
    with pytest.raises(StoreError, match=r"fks on 127\.0\.0\.1 cannot be opened") as refused:
        database_urls(home, "postgresql://trader:hunter2@127.0.0.1:1/fks")
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in repr(Database("postgresql://trader:hunter2@127.0.0.1:1/fks"))


def test_a_database_error_says_what_happened_without_the_statement_or_its_values(database: Database) -> None:
    with pytest.raises(StoreError, match="error_has_words") as refused, database.transaction() as connection:
        connection.execute(
            sa.text("INSERT INTO sync_status (market, timeframe, state, last_attempt_at) VALUES ('A-B@x', :t, 'ERROR', now())"),
            {"t": "secret"},
        )
    assert "secret" not in str(refused.value)
    assert "INSERT" not in str(refused.value)


def test_statements_and_waits_for_locks_are_limited(database: Database) -> None:
    with database.engine.connect() as connection:
        settings = {name: connection.scalar(sa.text(f"SHOW {name}")) for name in ("statement_timeout", "lock_timeout")}
    assert settings == {"statement_timeout": "5s", "lock_timeout": "2s"}
    with pytest.raises(StoreError, match="statement timeout"), store_errors(), database.engine.connect() as connection:
        connection.execute(sa.text("SET statement_timeout = '50ms'"))
        connection.execute(sa.text("SELECT pg_sleep(5)"))


def test_opening_the_database_loads_neither_alembic_nor_parquet_once_it_is_migrated(database_url: str, home: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from fks_assets.stores.database import open_database;"
        f"open_database(Path({str(home)!r}), {database_url!r});"
        "print([name for name in ('alembic', 'pyarrow', 'pandas') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert answer.stdout.strip() == "[]", answer.stderr
