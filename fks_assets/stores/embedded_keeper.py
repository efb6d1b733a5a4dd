"""The keeper of an embedded PostgreSQL: a small process that stops the server when no client is left and revives it when it dies.

Runs as `python -I -S embedded_keeper.py HOME SOCKET LINGER_SECONDS LOCK_DESCRIPTOR SITE_PACKAGES`. While it waits it has loaded
next to nothing; the launcher is imported only when there is something to start or stop.
"""

import os
import sys
import time

LONGEST_PAUSE_SECONDS = 2.0


def keep(home: str, socket_path: str, linger_seconds: float) -> None:
    """Watch home's server until it is no longer needed, then stop it and return."""
    from fks_assets.stores.embedded_locks import is_free, listens

    clients_path, start_path = os.path.join(home, "run", "postgres.clients"), os.path.join(home, "run", "postgres.lock")
    pause = min(LONGEST_PAUSE_SECONDS, linger_seconds / 4)
    last_seen, last_touch = time.monotonic(), 0
    # When home itself is removed there is nothing to keep; PostgreSQL notices that within a minute and ends.
    while os.path.exists(start_path):
        time.sleep(pause)
        try:
            descriptor = os.open(clients_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                alone, touched = is_free(descriptor), os.fstat(descriptor).st_mtime_ns
            finally:
                os.close(descriptor)
            if not alone or touched != last_touch:
                last_seen, last_touch = time.monotonic(), touched
            if not alone and not listens(socket_path):
                _revive(home)
            if time.monotonic() - last_seen >= linger_seconds and _stop_if_alone(home):
                return
        except OSError as error:
            _say(str(error))


def _revive(home: str) -> None:
    from pathlib import Path

    from fks_assets.errors import StoreError
    from fks_assets.stores.embedded import bring_up
    from fks_assets.stores.embedded_layout import Layout, locked

    layout = Layout(Path(home))
    try:
        with locked(layout.start_lock, home=layout.home):
            bring_up(layout)
    except StoreError as error:
        _say(str(error))


def _stop_if_alone(home: str) -> bool:
    from pathlib import Path

    from fks_assets.errors import StoreError
    from fks_assets.stores.embedded_layout import Layout, locked, opened
    from fks_assets.stores.embedded_locks import is_free
    from fks_assets.stores.embedded_process import stop_server

    layout = Layout(Path(home))
    try:
        with locked(layout.start_lock, home=layout.home), opened(layout.clients_lock, home=layout.home) as clients:
            # A client that came meanwhile holds its lock already: it took it under the start lock.
            if not is_free(clients):
                return False
            stop_server(layout)
            layout.remove_short_link()
    except StoreError as error:
        _say(str(error))
    return True


def _say(text: str) -> None:
    print(f"keeper: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Keep the home named on the command line. The lock descriptor is only held, never used."""
    home, socket_path, linger_seconds, _, site_packages = sys.argv[1:]
    project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path[:0] = [project]
    sys.path.append(site_packages)
    keep(home, socket_path, float(linger_seconds))


if __name__ == "__main__":
    main()
