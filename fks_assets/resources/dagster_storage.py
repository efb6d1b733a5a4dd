"""Dagster's own storage in the desk's PostgreSQL: embedded by default, FKS_DATABASE_URL for a server. Named in dagster.yaml.

storage: {custom: {module: fks_assets.resources.dagster_storage, class: FksStorage, config: {}}}
"""

from collections.abc import Sequence
from typing import Any

from dagster import EventLogEntry, Field
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClassData, deserialize_value, serialize_value
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.storage import DagsterPostgresStorage

from fks_assets.redaction import redacted_json
from fks_assets.settings import load_settings
from fks_assets.stores.database import DAGSTER_TABLES_LOCK, database_urls, one_process_at_a_time


class RedactedEventLog(PostgresEventLogStorage):
    """The event log without what is secret in this process: in messages, in errors and their causes, in metadata."""

    def store_event(self, event: EventLogEntry) -> None:
        super().store_event(_redacted(event))

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        super().store_event_batch([_redacted(event) for event in events])


class FksStorage(DagsterPostgresStorage):
    """dagster-postgres' storage with the URL of the desk's settings, so that dagster.yaml holds no address and no secret.

    An embedded server that dies is revived by its keeper within dagster-postgres' own retries.
    """

    def __init__(
        self, postgres_url: str, should_autocreate_tables: bool = True, inst_data: ConfigurableClassData | None = None
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables, inst_data)
        # The tables are there by now.
        self._event_log_storage = RedactedEventLog(postgres_url, should_autocreate_tables=False)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"should_autocreate_tables": Field(bool, is_required=False, default_value=True)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "FksStorage":
        settings = load_settings()
        url = settings.database_url
        dagster_url = database_urls(settings.home, None if url is None else url.get_secret_value()).dagster
        # Web server, daemon and code server start together; dagster-postgres looks for its tables, then creates them.
        with one_process_at_a_time(dagster_url, DAGSTER_TABLES_LOCK):
            return cls(dagster_url, should_autocreate_tables=config_value["should_autocreate_tables"], inst_data=inst_data)


def _redacted(event: EventLogEntry) -> EventLogEntry:
    stored = serialize_value(event)
    said = redacted_json(stored)
    return event if said == stored else deserialize_value(said, EventLogEntry)
