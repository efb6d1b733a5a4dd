"""Public market data of the desk's exchange as a Dagster resource."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings

if TYPE_CHECKING:
    from fks_assets.errors import ExchangeError
    from fks_assets.exchanges.download import CandleRequest
    from fks_assets.exchanges.gateway import FetchedCandles


class MarketData:
    """Downloads candles within the exchange's limits, which all processes on this address share."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self.settings = settings
        self.stores = stores

    def download(self, requests: "Sequence[CandleRequest]") -> "dict[CandleRequest, FetchedCandles | ExchangeError]":
        """Return, for each request, its closed candles or the error that it alone met."""
        from fks_assets.exchanges.budget import DatabaseBudget
        from fks_assets.exchanges.download import download

        profile = self.settings.exchange_profile()
        if self.settings.is_simulated:
            self._ensure_simulator(profile.base_url or "")
        budget = DatabaseBudget.for_profile(self.stores.database.engine, profile)
        return download(profile, budget, requests, grace_ms=self.settings.grace_ms)

    def _ensure_simulator(self, url: str) -> None:
        from fks_assets.simulator.launcher import ensure_running

        simulator = self.settings.simulator
        ensure_running(
            self.settings.home, url, seed=simulator.seed, speed=simulator.speed, replay=simulator.replay, faults=simulator.faults
        )
