"""Run the Dagster daemon while holding a lock on its database: two daemons would launch every scheduled run twice.

Usage: python -m fks_assets.supervisor.daemon --workspace FILE [--since MILLISECONDS]
"""

import argparse
import os
import sys
import threading
import time
from typing import Any

import psycopg2

from fks_assets.clock import to_datetime
from fks_assets.settings import load_settings
from fks_assets.stores.database import DAEMON_LOCK

CONNECT_SECONDS = 5
RETRY_SECONDS = 5.0
WATCH_SECONDS = 5.0
LOST_LOCK_EXIT_CODE = 75
ABANDONED = "The desk was stopped while this run was under way; nothing of it is still running."
_HOLDER = """
    SELECT activity.application_name, activity.client_addr
    FROM pg_locks AS locks JOIN pg_stat_activity AS activity USING (pid)
    WHERE locks.locktype = 'advisory' AND locks.granted AND (locks.classid::bigint << 32) + locks.objid::bigint = %s
"""


def connect(url: str) -> Any:
    """Return the connection that holds the lock; the server notices within half a minute when this machine is gone."""
    connection = psycopg2.connect(
        url.replace("postgresql+psycopg2://", "postgresql://", 1),
        connect_timeout=CONNECT_SECONDS,
        application_name=f"fks daemon {os.uname().nodename}:{os.getpid()}",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        options="-c statement_timeout=5s -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
    )
    connection.autocommit = True
    return connection


def take_lock(connection: Any) -> None:
    """Wait until this process is the only daemon of the database; say on standard output who is in the way."""
    said = None
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (DAEMON_LOCK,))
            if cursor.fetchone()[0]:
                return
            cursor.execute(_HOLDER, (DAEMON_LOCK,))
            found = cursor.fetchone()
        name = "another daemon" if found is None else str(found[0])
        if name != said:
            print(f"{name} runs on this database; this one waits until it ends", flush=True)
            said = name
        time.sleep(RETRY_SECONDS)


def watch_lock(connection: Any) -> None:
    """End this process at once when the lock's connection is lost: another daemon may take over from then on."""
    while True:
        time.sleep(WATCH_SECONDS)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error as error:
            print(f"the daemon lost its lock on the database ({str(error).strip()}); it stops", file=sys.stderr, flush=True)
            os._exit(LOST_LOCK_EXIT_CODE)


def fail_abandoned_runs(since_ms: int) -> int:
    """Report runs as failed that were under way when an earlier `fks up` ended: their processes are gone. Return how many."""
    import dagster as dg

    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    with dg.DagsterInstance.get() as instance:
        abandoned = instance.get_runs(dg.RunsFilter(statuses=statuses, updated_before=to_datetime(since_ms)))
        for run in abandoned:
            instance.report_run_failed(run, message=ABANDONED)
    return len(abandoned)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--since", type=int, help="start of this `fks up`, milliseconds since the epoch")
    options = parser.parse_args()
    from fks_assets.stores.database import database_urls

    settings = load_settings()
    url = None if settings.database_url is None else settings.database_url.get_secret_value()
    connection = connect(database_urls(settings.home, url).dagster)
    take_lock(connection)
    threading.Thread(target=watch_lock, args=(connection,), name="lock-watch", daemon=True).start()
    # A database of our own has no other host whose runs might still be alive.
    if options.since is not None and url is None and (count := fail_abandoned_runs(options.since)):
        print(f"{count} runs of an earlier life were reported as failed", flush=True)
    from dagster._daemon.cli import run_command

    run_command.main(["--workspace", options.workspace], prog_name="daemon")


if __name__ == "__main__":
    main()
