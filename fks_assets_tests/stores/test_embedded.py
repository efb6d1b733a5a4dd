"""The embedded PostgreSQL starts once, is shared, survives kills, and goes when nobody needs it."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from fks_assets.errors import StoreError
from fks_assets.stores import embedded, embedded_binaries
from fks_assets.stores.database import open_database
from fks_assets.stores.embedded_binaries import find_installation
from fks_assets.stores.embedded_process import server_user
from fks_assets_tests.stores.processes import PROJECT, child, line_of, wait_until

CLIENT = """
import sys
from pathlib import Path
from fks_assets.stores import embedded
home = Path(sys.argv[1])
embedded.ensure_running(home, linger_seconds=float(sys.argv[2]))
print(embedded.status(home).server_pid, flush=True)
sys.stdin.read()
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")


@pytest.fixture(scope="module")
def server_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of this file alone. The test process does not attach to it, so that children are its only clients."""
    home = tmp_path_factory.mktemp("embedded")
    yield home
    embedded.stop(home)


@pytest.fixture(scope="module")
def stopped_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database has been created, to copy: that takes a second less than creating one."""
    home = tmp_path_factory.mktemp("stopped")
    with child(CLIENT, str(home), "20") as client:
        line_of(client)
    embedded.stop(home)
    return home


@pytest.fixture
def own_home(stopped_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A home of one test, with a database that is not running."""
    home = tmp_path / "own"
    home.mkdir()
    subprocess.run(["cp", "-a", str(stopped_home / "postgres"), str(home)], check=True)
    yield home
    embedded.stop(home)


def query(home: Path, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
    connection = psycopg2.connect(host=str(embedded.status(home).socket_directory), user="fks", dbname=database)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_a_second_process_attaches_to_the_running_server(server_home: Path) -> None:
    with child(CLIENT, str(server_home), "20") as first, child(CLIENT, str(server_home), "20") as second:
        assert int(line_of(first)) == int(line_of(second)) == embedded.status(server_home).server_pid
        assert query(server_home, "SELECT 1") == [(1,)]


def test_many_processes_that_start_at_once_on_an_empty_home_share_one_server(home: Path) -> None:
    with child(CLIENT, str(home), "1") as a, child(CLIENT, str(home), "1") as b, child(CLIENT, str(home), "1") as c:
        assert len({line_of(process) for process in (a, b, c)}) == 1
    embedded.stop(home)


def test_the_server_keeps_what_it_confirmed_and_listens_on_a_private_socket_only(server_home: Path) -> None:
    with child(CLIENT, str(server_home), "20") as client:
        line_of(client)
        names = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
        assert [query(server_home, f"SHOW {name}") for name in names] == [[("on",)]] * 4
        assert query(server_home, "SHOW listen_addresses") == [("",)]
        assert stat.S_IMODE((server_home / "postgres").stat().st_mode) == 0o700


@needs_root
def test_root_starts_a_server_that_is_not_root_and_opens_no_directory(server_home: Path) -> None:
    """The directories above are those of pytest, which are root's alone."""
    above = [server_home, *server_home.parents]
    before = [stat.S_IMODE(path.stat().st_mode) for path in above]
    assert 0o700 in before
    users = Path("/etc/passwd").read_bytes()
    with child(CLIENT, str(server_home), "20") as client:
        pid = int(line_of(client))
        assert Path(f"/proc/{pid}").stat().st_uid == (server_home / "postgres").stat().st_uid != 0
    assert [stat.S_IMODE(path.stat().st_mode) for path in above] == before
    assert Path("/etc/passwd").read_bytes() == users


@needs_root
def test_an_ordinary_user_runs_the_server_as_himself_and_root_can_use_it() -> None:
    nobody = pwd.getpwnam("nobody")
    packages = find_installation().parents[1]
    options = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
    environment = {"PYTHONPATH": f"{PROJECT}:{packages}", "TMPDIR": "/tmp"}
    python = "/usr/bin/python3"
    probe = [python, "-c", "import fks_assets.stores.embedded, sys; assert sys.version_info >= (3, 11)"]
    usable = Path(python).exists() and subprocess.run(probe, env=environment, check=False, capture_output=True, **options)
    if not usable or usable.returncode:
        pytest.skip("no Python that an ordinary user can run, or this directory is closed to him")
    home = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    arguments = [python, "-c", CLIENT, str(home), "1"]
    user = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )
    try:
        pid = int(line_of(user))
        assert Path(f"/proc/{pid}").stat().st_uid == nobody.pw_uid
        assert query(home, "SELECT 1") == [(1,)]
    finally:
        user.kill()
        user.communicate()
        embedded.stop(home)
        shutil.rmtree(home)


@needs_root
def test_binaries_in_a_private_directory_are_copied_to_where_the_server_may_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    package = find_installation().parent
    shutil.copytree(package / "pginstall18", private / package.name / "pginstall18", symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), private / f"{package.name}.libs", symlinks=True)
    open_to_all = Path(tempfile.mkdtemp(dir="/tmp"))
    open_to_all.chmod(0o755)
    user = server_user(embedded.Layout(tmp_path))
    monkeypatch.setattr(embedded_binaries, "find_installation", lambda: private / package.name / "pginstall18")
    monkeypatch.setattr(embedded_binaries, "PLACES_FOR_ALL", (open_to_all,))
    try:
        for name in ("initdb", "postgres"):
            program = Path(embedded_binaries.binary(name, user))
            assert program.is_relative_to(open_to_all)
            assert subprocess.run([program, "--version"], check=False, cwd="/", **user.options()).returncode == 0
        [place] = open_to_all.iterdir()
        place.chmod(0o777)
        with pytest.raises(StoreError, match="cannot reach"):
            embedded_binaries.binary("postgres", user)
    finally:
        shutil.rmtree(open_to_all)


def test_a_killed_server_is_recovered_by_the_next_who_asks_with_all_it_had_committed(server_home: Path) -> None:
    with child(CLIENT, str(server_home), "20") as client:
        first = int(line_of(client))
        query(server_home, "CREATE TABLE IF NOT EXISTS kept (value int)")
        query(server_home, "INSERT INTO kept VALUES (42)")
        os.kill(first, signal.SIGKILL)
        with child(CLIENT, str(server_home), "20") as second:
            assert int(line_of(second)) != first
        assert (42,) in query(server_home, "SELECT value FROM kept")


def test_a_killed_server_is_revived_by_the_keeper_while_somebody_needs_it(server_home: Path) -> None:
    with child(CLIENT, str(server_home), "20") as client:
        first = int(line_of(client))
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: embedded.status(server_home).server_pid not in (None, first), "revived")
        wait_until(lambda: embedded.status(server_home).state == "ready", "ready")


def test_a_pid_file_that_names_a_living_stranger_does_not_prevent_recovery(server_home: Path) -> None:
    with child(CLIENT, str(server_home), "20") as client:
        pid = int(line_of(client))
        os.kill(embedded.status(server_home).keeper_pid or 0, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: embedded.status(server_home).state == "absent", "gone")
        path = server_home / "postgres" / "postmaster.pid"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
        with child(CLIENT, str(server_home), "20") as second:
            assert int(line_of(second)) not in (pid, os.getppid())


def test_the_server_goes_after_its_last_client_however_that_ends(own_home: Path) -> None:
    for end in (signal.SIGTERM, signal.SIGKILL):
        with child(CLIENT, str(own_home), "0.5") as staying:
            with child(CLIENT, str(own_home), "0.5") as leaving:
                pid = int(line_of(staying))
                assert int(line_of(leaving)) == pid
                leaving.send_signal(end)
                leaving.wait()
            assert embedded.status(own_home).keeper_pid is not None
            with child("import time; time.sleep(1.2)") as pause:
                pause.wait()
            assert embedded.status(own_home).server_pid == pid
            staying.send_signal(end)
            staying.wait()
        wait_until(lambda: embedded.status(own_home).state == "absent", "stopped")
        wait_until(lambda: embedded.status(own_home).keeper_pid is None, "keeper gone")
    log = (own_home / "logs" / "postgres.log").read_text()
    assert log.count("database system is shut down") == 2
    assert "automatic recovery" not in log


def test_a_killed_keeper_is_replaced_by_the_next_client(server_home: Path) -> None:
    with child(CLIENT, str(server_home), "20") as first:
        pid = line_of(first)
        keeper = embedded.status(server_home).keeper_pid
        os.kill(keeper or 0, signal.SIGKILL)
        wait_until(lambda: embedded.status(server_home).keeper_pid is None, "keeper gone")
        with child(CLIENT, str(server_home), "20") as second:
            assert line_of(second) == pid
            assert embedded.status(server_home).keeper_pid not in (None, keeper)


def test_stop_ends_server_and_keeper(server_home: Path) -> None:
    with child(CLIENT, str(server_home), "20") as client:
        line_of(client)
        assert embedded.stop(server_home)
        assert not embedded.stop(server_home)
        status = embedded.status(server_home)
        assert (status.state, status.server_pid, status.keeper_pid) == ("absent", None, None)


def test_the_keeper_costs_little_while_it_waits(server_home: Path) -> None:
    embedded.stop(server_home)
    with child(CLIENT, str(server_home), "20") as client:
        line_of(client)
        keeper = embedded.status(server_home).keeper_pid
        text = Path(f"/proc/{keeper}/status").read_text()
        resident = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))
        assert resident < 16_000, f"{resident} kB"


def test_a_home_with_a_very_long_path_and_spaces_works(own_home: Path, tmp_path: Path) -> None:
    home = own_home.rename(tmp_path / ("a long name with spaces & signs % " * 4))
    with child(CLIENT, str(home), "1") as client:
        line_of(client)
        directory = embedded.status(home).socket_directory
        assert len(str(directory)) < 90
        with sa.create_engine(embedded.url_of(directory, "postgres"), poolclass=sa.pool.NullPool).connect() as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
        directory.unlink()
        wait_until(lambda: directory.is_symlink(), "a link that a cleaner of temporary files took is made again")
    embedded.stop(home)
    assert not directory.is_symlink()


def test_a_database_of_the_embedded_server_comes_back_after_a_kill_without_anybody_asking(own_home: Path) -> None:
    database = open_database(own_home, None)
    with database.transaction() as connection:
        connection.execute(sa.text("CREATE TABLE kept AS SELECT 42 AS value"))
    # A connection that is open may serve for a moment longer than the killed server: let this one be new.
    database.engine.dispose()
    os.kill(embedded.status(own_home).server_pid or 0, signal.SIGKILL)
    with database.transaction() as connection:
        assert connection.scalar(sa.text("SELECT value FROM kept")) == 42
    assert query(own_home, "SELECT count(*) FROM pg_database WHERE datname IN ('fks', 'dagster')") == [(2,)]
    database.engine.dispose()


def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"FKS_HOME .*/file/home cannot be written: Not a directory") as refused:
        embedded.ensure_running(tmp_path / "file" / "home")
    assert "\n" not in str(refused.value)


FULL_DISK = """
import resource, sys
from pathlib import Path
from fks_assets.errors import StoreError
from fks_assets.stores import embedded
resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
try:
    embedded.ensure_running(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_database(home: Path) -> None:
    with child(FULL_DISK, str(home)) as limited:
        said = line_of(limited)
    assert said.startswith(f"FKS_HOME {home}: the database could not be created:")
    assert not (home / "postgres").exists()
    assert not (home / "postgres.partial").exists()
    with child(CLIENT, str(home), "1") as client:
        assert int(line_of(client)) > 0
    embedded.stop(home)


def test_the_status_of_a_home_without_a_server_starts_none(home: Path) -> None:
    assert embedded.status(home).state == "absent"
    assert not embedded.stop(home)
    assert list(home.iterdir()) == []
