"""Emptying the database that the tests of a process use one after another, in a few milliseconds."""

import contextlib
from pathlib import Path

import psycopg2

from fks_assets.stores import embedded
from fks_assets.stores.models import METADATA


class Emptier:
    """Deletes all rows of a database and drops Dagster's beside it, over a connection that is kept."""

    def __init__(self, home: Path, name: str) -> None:
        self._home, self._name = home, name
        self._connection: psycopg2.extensions.connection | None = None
        deletions = "; ".join(f"DELETE FROM {table.name}" for table in METADATA.sorted_tables)
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        self._end_others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
        # As a replica: rows that may only be added, and rows that others refer to, go as well.
        self._delete = f"BEGIN; SET LOCAL session_replication_role = replica; {deletions}; COMMIT"

    def empty(self) -> None:
        """End connections that are left, delete all rows, drop Dagster's database; start a server that a test has stopped."""
        try:
            self._empty()
        except psycopg2.Error:
            self.close()
            self._empty()

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _empty(self) -> None:
        if self._connection is None:
            self._connection = _connected(self._home, self._name)
        with self._connection.cursor() as cursor:
            cursor.execute(self._end_others)
            cursor.execute(self._delete)
            cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (f"{self._name}_dagster",))
            (found,) = cursor.fetchone() or (0,)
        if found:
            with contextlib.closing(_connected(self._home, "postgres")) as server, server.cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS {self._name}_dagster WITH (FORCE)")


def _connected(home: Path, name: str) -> psycopg2.extensions.connection:
    url = embedded.url_of(embedded.ensure_running(home), name)
    connection = psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://"))
    connection.autocommit = True
    return connection
