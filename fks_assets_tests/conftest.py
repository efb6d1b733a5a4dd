"""Shared fixtures: one private PostgreSQL for each test process, an empty migrated database for each test that asks for one."""

import gc
import itertools
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from fks_assets.stores.candles import CandleStore
    from fks_assets.stores.database import Database
    from fks_assets_tests.emptying import Emptier

# The same examples in every run, so that a red test is one that a change made red; RANDOM_TESTS=1 looks for new ones.
settings.register_profile("desk", deadline=None, derandomize=not os.environ.get("RANDOM_TESTS"))
settings.load_profile("desk")
os.environ.setdefault("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
# A shell that starts us in the background ignores SIGINT for us; Dagster then ignores SIGTERM too, and every child does likewise.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
_TEMPLATE = "fks_template"
_MEMORY, _MEMORY_NEEDED = Path("/dev/shm"), 4 * 2**30
# A worker takes a file at a time: what lasts longest goes first, or the others wait for it at the end.
_LONGEST = (
    "stores/ledger/test_ledger_machine.py",
    "supervisor/test_whole_desk.py",
    "guarding/test_iranian_stops.py",
    "scenarios/test_faults_at_the_desk.py",
    "quant/strategies/test_certificate.py",
    "scenarios/test_ninety_days.py",
    "web/test_web_ui.py",
    "guarding/test_faults_at_the_exchange.py",
    "trading/test_trading_assets.py",
    "supervisor/test_processes.py",
    "stores/ledger/test_concurrent_books.py",
    "scenarios/test_ideas_at_the_desk.py",
    "scenarios/test_real_candles.py",
)
_LONG = (
    "scenarios",
    "trading",
    "guarding",
    "portfolio",
    "orders",
    "assets",
    "security",
    "supervisor",
    "notify",
    "exchanges",
    "stores",
)
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, then the folders of long ones; the order within a file stays."""
    place = {name: number for number, name in enumerate((*_LONGEST, *_LONG))}

    def place_of(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent)
        return place.get(path.as_posix(), place.get(path.parts[0], len(place)))

    items.sort(key=place_of)


def pytest_collection_finish() -> None:
    """Never look for garbage among the modules again: half a million objects that stay cost every test a quarter of its time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose embedded server runs for the whole test process; it ends soon after the process does, however that ends."""
    from fks_assets.stores import embedded
    from fks_assets.stores.database import Database

    home = _in_memory() or tmp_path_factory.mktemp("postgres")
    directory = embedded.ensure_running(home, linger_seconds=5.0)
    _execute(embedded.url_of(directory, "postgres"), f"CREATE DATABASE {_TEMPLATE}")
    template = Database(embedded.url_of(directory, _TEMPLATE))
    template.migrate()
    template.engine.dispose()
    yield home
    embedded.stop(home)
    if home.parent == _MEMORY:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def migrations_are_read_once() -> Iterator[None]:
    """Every Dagster instance of a test reads all of Dagster's migrations anew, to note that its empty database needs none."""
    from alembic.util import pyfiles

    read, known = pyfiles.load_module_py, dict[str, Any]()

    def read_once(module_id: str, path: str | os.PathLike[str]) -> Any:
        if Path(path).parent.name != "versions":
            return read(module_id, path)
        if str(path) not in known:
            known[str(path)] = read(module_id, path)
        return known[str(path)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyfiles, "load_module_py", read_once)
        yield


def _in_memory() -> Path | None:
    """Return a directory on the machine's memory disk, if it has one with room; what killed test processes left there goes.

    Half of the tests wait for the disk at every commit. Processes are killed here, machines are not: nothing is lost with them.
    """
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _MEMORY_NEEDED:
        return None
    for left in _MEMORY.glob("fks-tests-*-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"fks-tests-{os.getpid()}-", dir=_MEMORY))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty FKS_HOME."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def private_database_url(postgres_home: Path) -> Iterator[str]:
    """The URL of a migrated database that the test may spoil. `database_url` costs a tenth."""
    from fks_assets.stores import embedded

    directory = embedded.ensure_running(postgres_home)
    name = f"test_{next(_numbers)}"
    server = embedded.url_of(directory, "postgres")
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    yield embedded.url_of(directory, name)
    for each in (name, f"{name}_dagster"):
        _execute(server, f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")


@pytest.fixture(scope="session")
def shared_database(postgres_home: Path) -> "Iterator[tuple[str, Emptier]]":
    """The URL of the database that the tests of this process use one after another, and what empties it."""
    from fks_assets.stores import embedded
    from fks_assets_tests.emptying import Emptier

    directory = embedded.ensure_running(postgres_home)
    _execute(embedded.url_of(directory, "postgres"), f"CREATE DATABASE fks TEMPLATE {_TEMPLATE}")
    emptier = Emptier(postgres_home, "fks")
    yield embedded.url_of(directory, "fks"), emptier
    emptier.close()


@pytest.fixture
def database_url(shared_database: "tuple[str, Emptier]") -> Iterator[str]:
    """The URL of a migrated database without rows. Use it as FKS_DATABASE_URL or `Settings(database_url=…)`.

    Afterwards connections that are left are closed, all rows are deleted, and Dagster's database beside it is dropped.
    """
    from fks_assets.stores import database

    url, emptier = shared_database
    yield url
    emptier.empty()
    # A process remembers which databases it has found; this one is gone.
    database._prepared.clear()


@pytest.fixture
def database(database_url: str) -> "Iterator[Database]":
    """The migrated database without rows."""
    from fks_assets.stores.database import Database

    opened = Database(database_url)
    yield opened
    opened.engine.dispose()


@pytest.fixture
def candle_store(home: Path, database: "Database") -> "CandleStore":
    """An empty candle store on the local disk."""
    from fks_assets.stores.candles import CandleStore

    return CandleStore(str(home / "candles"), database)


def _execute(url: str, *statements: str) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
