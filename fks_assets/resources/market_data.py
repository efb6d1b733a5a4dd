"""Public market data of the desk's exchange as a Dagster resource."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput, InvalidResponse
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings

if TYPE_CHECKING:
    from fks_assets.desk.floor import Floor
    from fks_assets.desk.prices import LivePrices
    from fks_assets.errors import ExchangeError
    from fks_assets.exchanges.budget import DatabaseBudget
    from fks_assets.exchanges.download import CandleRequest
    from fks_assets.exchanges.funding import FundingOutcome, FundingRequest
    from fks_assets.exchanges.gateway import FetchedCandles
    from fks_assets.exchanges.profile import ExchangeProfile
    from fks_assets.exchanges.tickers import Tickers
    from fks_assets.exchanges.trade_download import TradesRead, TradesRequest
    from fks_assets.exchanges.trades import TradePage
    from fks_assets.quant.market_rules import MarketRules
    from fks_assets.quant.markets import Market


class MarketData:
    """Downloads candles within the exchange's limits, which all processes on this address share."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self.settings = settings
        self.stores = stores

    def download(
        self, requests: "Sequence[CandleRequest]", *, exchange: str | None = None
    ) -> "dict[CandleRequest, FetchedCandles | ExchangeError]":
        """Return, for each request, its closed candles or the error that it alone met; `exchange` None is the desk's own."""
        from fks_assets.exchanges.download import download

        profile, budget = self._access(exchange)
        return download(profile, budget, requests, grace_ms=self.settings.grace_ms)

    @property
    def gives_trades(self) -> bool:
        """Whether candles that the exchange no longer gives can be rebuilt from its public trades."""
        return self.settings.exchange_profile().api.trades_endpoint is not None

    def download_trades(self, request: "TradesRequest", on_page: "Callable[[TradePage], None]") -> "TradesRead":
        """Give every trade of the request to `on_page`, page by page, oldest first; raise ExchangeError when a page failed."""
        from fks_assets.exchanges.trade_download import download_trades

        return download_trades(*self._access(), request, on_page)

    def funding_rates(self, requests: "Sequence[FundingRequest]") -> "dict[FundingRequest, FundingOutcome]":
        """Return, for each request, the funding rates that the desk's exchange tells, or the error that it alone met.

        Raises InvalidInput where the settings name no API of funding rates for it.
        """
        from fks_assets.exchanges.funding import download_funding, funding_budget

        profile = self.settings.funding_profile()
        if profile is None:
            name = self.settings.exchange
            raise InvalidInput(f"exchanges.{name}.funding is not set: {name} is not asked for funding rates")
        self._ready(profile)
        return download_funding(profile, funding_budget(self.stores.database.engine, profile), requests)

    def market_rules(
        self, markets: "Sequence[Market]", *, exchange: str | None = None
    ) -> "dict[Market, MarketRules | InvalidResponse]":
        """Return the trading rules of each market as they are now, or why they are unusable; raise ExchangeError if none came.

        All of them are on one exchange; None is the desk's own.
        """
        from fks_assets.exchanges.gateway import ExchangeGateway

        profile, budget = self._access(exchange)

        async def ask() -> "dict[Market, MarketRules | InvalidResponse]":
            async with ExchangeGateway(profile, budget) as gateway:
                return await gateway.market_rules(markets)

        return asyncio.run(ask())

    def price_feed(self, exchange: str) -> "LivePrices":
        """Return the feed of an exchange of the settings: its prices of now, and the stored candles of its markets."""
        from fks_assets.desk.prices import LivePrices

        return LivePrices(*self._access(exchange), self.stores.candles, self.settings.timeframe_list(), now_ms)

    async def tickers(self, exchange: str, markets: "Sequence[Market]", seconds: float) -> "Tickers":
        """Return what an exchange of the settings says of markets now, within so many seconds, before all other calls.

        Raises ExchangeError, also for an answer that was given longer ago than a price may be old, and InvalidInput for an
        exchange that the settings do not have. Starts no simulator.
        """
        from fks_assets.exchanges.budget import DatabaseBudget
        from fks_assets.exchanges.tickers import read_tickers

        if exchange not in self.settings.exchanges:
            raise InvalidInput(f"exchange {exchange!r} is not in the settings; they have {', '.join(self.settings.exchanges)}")
        profile = self.settings.exchange_profile(exchange)
        budget = DatabaseBudget.for_profile(self.stores.database.engine, profile)
        found = await read_tickers(profile, budget, markets, seconds)
        # The simulated exchange lives in a time of its own.
        ago = 0 if found.answered_ms is None or profile.name == "simulated" else (now_ms() - found.answered_ms) / 1000
        if ago > self.settings.guard.price_age_seconds:
            raise InvalidResponse(f"{exchange} answered with what it said {ago:.0f} s ago", exchange=exchange)
        return found

    def trading_floor(self) -> "Floor":
        """Return what the accounts of the desk trade with."""
        from fks_assets.desk.floor import Floor

        feeds: dict[str, LivePrices] = {}

        def prices(exchange: str) -> "LivePrices":
            if exchange not in feeds:
                feeds[exchange] = self.price_feed(exchange)
            return feeds[exchange]

        return Floor(self.stores.database, self.settings, prices)

    def _access(self, exchange: str | None = None) -> "tuple[ExchangeProfile, DatabaseBudget]":
        from fks_assets.exchanges.budget import DatabaseBudget

        profile = self.settings.exchange_profile(exchange)
        self._ready(profile)
        return profile, DatabaseBudget.for_profile(self.stores.database.engine, profile)

    def _ready(self, profile: "ExchangeProfile") -> None:
        """Start the simulator where it is what is asked and does not run."""
        if profile.name == "simulated":
            self._ensure_simulator(profile.base_url or "")

    def _ensure_simulator(self, url: str) -> None:
        from fks_assets.simulator.launcher import ensure_running

        simulator = self.settings.simulator
        ensure_running(
            self.settings.home, url, seed=simulator.seed, speed=simulator.speed, replay=simulator.replay, faults=simulator.faults
        )
