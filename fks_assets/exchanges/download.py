"""Download candles of many markets at once from ordinary, synchronous code."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fks_assets.errors import ExchangeError, ExchangeUnavailable
from fks_assets.exchanges.budget import RateBudget
from fks_assets.exchanges.gateway import DEFAULT_GRACE_MS, ExchangeGateway, FetchedCandles
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.workers import run_workers
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class CandleRequest:
    """Candles that open in [start_ms, end_ms), found at the exchange under `symbol` (BTC/USDT), wanted for `market`."""

    market: Market
    symbol: str
    timeframe: Timeframe
    start_ms: int
    end_ms: int


Outcome = FetchedCandles | ExchangeError


def download(
    profile: ExchangeProfile,
    budget: RateBudget,
    requests: Sequence[CandleRequest],
    on_done: Callable[[CandleRequest, Outcome], None] | None = None,
    *,
    grace_ms: int = DEFAULT_GRACE_MS,
) -> dict[CandleRequest, Outcome]:
    """Return, for each request, its closed candles or the error that it alone met; `on_done` is told of each one as it ends.

    All markets and pages are fetched concurrently over the profile's connections and within the shared budget. When the exchange
    has stopped answering altogether, the requests that are left fail at once instead of waiting for their deadlines one by one.

    Raises InvalidInput, with nothing asked, when the exchange's API has no such symbol form or timeframe; StoreError when the
    shared budget cannot be used; RuntimeError inside a running event loop (use ExchangeGateway there).
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_Download(profile, budget, grace_ms, on_done).run(dict.fromkeys(requests)))
    raise RuntimeError("download() blocks: inside a running event loop use ExchangeGateway.fetch_candles")


class _Download:
    def __init__(
        self,
        profile: ExchangeProfile,
        budget: RateBudget,
        grace_ms: int,
        on_done: Callable[[CandleRequest, Outcome], None] | None,
    ) -> None:
        self._profile = profile
        self._on_done = on_done
        self._gateway = ExchangeGateway(profile, budget, grace_ms=grace_ms)
        self._outcomes: dict[CandleRequest, Outcome] = {}
        self._silent_in_a_row = 0

    async def run(self, requests: Iterable[CandleRequest]) -> dict[CandleRequest, Outcome]:
        wanted = list(requests)
        async with self._gateway:
            for request in wanted:
                self._gateway.require_askable(request.symbol, request.timeframe)
            queue = iter(wanted)
            # Twice the connections, so that one market's last page never leaves a connection idle.
            await run_workers(lambda: self._work(queue), min(len(wanted), 2 * self._profile.connections))
            return {request: self._settled(request) for request in wanted}

    async def _work(self, queue: Iterable[CandleRequest]) -> None:
        for request in queue:
            outcome = await self._outcome(request)
            self._outcomes[request] = outcome
            if self._on_done is not None:
                self._on_done(request, outcome)

    async def _outcome(self, request: CandleRequest) -> Outcome:
        if self._silent_in_a_row >= 2 * self._profile.connections:
            message = f"{self._profile.name} has stopped answering: {self._silent_in_a_row} requests in a row failed; not asked"
            return ExchangeUnavailable(f"{request.symbol} {request.timeframe}: {message}", exchange=self._profile.name)
        try:
            fetched = await self._gateway.fetch_unsettled(request.symbol, request.timeframe, request.start_ms, request.end_ms)
        except ExchangeError as error:
            self._silent_in_a_row = self._silent_in_a_row + 1 if isinstance(error, ExchangeUnavailable) else 0
            return error
        self._silent_in_a_row = 0
        return fetched

    def _settled(self, request: CandleRequest) -> Outcome:
        outcome = self._outcomes[request]
        return self._gateway.settled(outcome, request.timeframe) if isinstance(outcome, FetchedCandles) else outcome
