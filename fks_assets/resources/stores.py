"""The desk's stores as a Dagster resource: opened on first use, once per process, so that loading definitions opens nothing."""

from functools import cached_property
from typing import TYPE_CHECKING

from fks_assets.settings import Settings

if TYPE_CHECKING:
    from fks_assets.stores.candles import CandleStore
    from fks_assets.stores.database import Database


class Stores:
    """The database and the candle store that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def database(self) -> "Database":
        from fks_assets.stores.database import open_database

        url = self.settings.database_url
        return open_database(self.settings.home, None if url is None else url.get_secret_value())

    @cached_property
    def candles(self) -> "CandleStore":
        from fks_assets.stores.candles import CandleStore

        return CandleStore(self.settings.candle_location, self.database, self.settings.cold_location)
