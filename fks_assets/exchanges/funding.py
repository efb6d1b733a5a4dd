"""Read the funding rates of perpetual markets, each answer checked before it is believed.

A request has a limit of its own at the exchange, and so a bucket of its own in the shared budget.
"""

import asyncio
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine

from fks_assets.clock import iso
from fks_assets.errors import ExchangeError, ExchangeUnavailable
from fks_assets.exchanges.answers import Answer, AnswerJudge, shape_guard
from fks_assets.exchanges.budget import DatabaseBudget, RateBudget
from fks_assets.exchanges.ccxt_loader import load_errors, load_exchange_class
from fks_assets.exchanges.profile import FundingProfile
from fks_assets.exchanges.transport import HttpTransport
from fks_assets.exchanges.workers import run_workers
from fks_assets.quant.funding import FUNDING_GRID, FundingRate
from fks_assets.quant.markets import Market
from fks_assets.quant.money import money
from fks_assets.quant.timeframes import TIMEFRAMES

# A funding is told with the time at which it was booked, which lies some milliseconds beside the hour.
BESIDE_MS = 60_000
SILENT_IN_A_ROW = 3
_HOUR = TIMEFRAMES["1h"]


@dataclass(frozen=True, slots=True)
class FundingRequest:
    """The funding rates of [start_ms, end_ms), found under the perpetual of `symbol` (BTC/USDT), wanted for `market`."""

    market: Market
    symbol: str
    start_ms: int
    end_ms: int


FundingOutcome = tuple[FundingRate, ...] | ExchangeError


def funding_budget(engine: Engine, profile: FundingProfile) -> DatabaseBudget:
    """Return the bucket that all processes share which ask this exchange for funding rates."""
    return DatabaseBudget(engine, f"{profile.name} {profile.api.endpoint}", profile.address, profile.api.limit)


def download_funding(
    profile: FundingProfile, budget: RateBudget, requests: Sequence[FundingRequest]
) -> dict[FundingRequest, FundingOutcome]:
    """Return, for each request, its rates in ascending order or the error that it alone met.

    When the exchange has stopped answering, the requests that are left fail at once. Raises StoreError when the shared budget
    cannot be used.
    """
    return asyncio.run(_Download(profile, budget).run(dict.fromkeys(requests)))


class _Download:
    def __init__(self, profile: FundingProfile, budget: RateBudget) -> None:
        self._profile = profile
        self._api = profile.api
        self._transport = HttpTransport(profile, budget)
        self._client = _client_of(profile)
        self._judge = AnswerJudge(profile.name, self._api, self._client, load_errors())
        self._outcomes: dict[FundingRequest, FundingOutcome] = {}
        self._silent_in_a_row = 0

    async def run(self, requests: Iterable[FundingRequest]) -> dict[FundingRequest, FundingOutcome]:
        wanted = list(requests)
        queue = iter(wanted)

        async def work() -> None:
            for request in queue:
                self._outcomes[request] = await self._outcome(request)

        async with self._transport:
            await run_workers(work, min(len(wanted), self._profile.connections))
        return {request: self._outcomes[request] for request in wanted}

    async def _outcome(self, request: FundingRequest) -> FundingOutcome:
        name = self._profile.name
        if self._silent_in_a_row >= SILENT_IN_A_ROW * self._profile.connections:
            return ExchangeUnavailable(f"{request.symbol}: {name} has stopped answering; not asked", exchange=name)
        try:
            rates = await self._pages(request)
        except ExchangeError as error:
            self._silent_in_a_row = self._silent_in_a_row + 1 if isinstance(error, ExchangeUnavailable) else 0
            error.args = (f"{request.symbol}: {error}",)
            return error
        self._silent_in_a_row = 0
        return rates

    async def _pages(self, request: FundingRequest) -> tuple[FundingRate, ...]:
        found: list[FundingRate] = []
        start = request.start_ms
        while start < request.end_ms:
            page = await self._page(request, start)
            found += page
            if not page:
                break
            start = page[-1].time_ms + _HOUR.milliseconds
            # A page that is short, and yet leaves out what is due after it, is not taken for the last one.
            if len(page) < self._api.page_rows and FUNDING_GRID.ceil(start) >= request.end_ms:
                break
        return tuple(found)

    async def _page(self, request: FundingRequest, start_ms: int) -> list[FundingRate]:
        pair, window = self._api.pair_id(request.symbol), (start_ms, request.end_ms)
        parameters = {"symbol": pair, "startTime": start_ms, "endTime": request.end_ms - 1, "limit": self._api.page_rows}
        url = self._client.sign(self._api.endpoint, [self._api.api], "GET", parameters)["url"]
        return await self._transport.read(
            url, self._api.endpoint, lambda answer: read_funding_rates(answer, self._judge, pair, window, self._api.page_rows)
        )


def read_funding_rates(answer: Answer, judge: AnswerJudge, pair: str, window: tuple[int, int], most: int) -> list[FundingRate]:
    """Return the rates of an answer, their times moved to the hour beside which they lie.

    Raises ExchangeError when the answer reports an error; InvalidResponse unless every row is of this pair, inside the window,
    later than the one before, at most a minute beside a whole hour, with a rate from -1 to 1.
    """
    endpoint = judge.dialect.endpoint
    judge.decode(answer, endpoint)
    with shape_guard(judge, endpoint):
        # Read a second time: the quick decoder turns numbers into floats.
        rows = json.loads(answer.body, parse_float=Decimal)
        rates = [_rate(row, pair, window) for row in rows]
    if len(rates) > most:
        raise judge.invalid(endpoint, f"{len(rates)} rows where {most} were asked for")
    for before, after in itertools.pairwise(rates):
        if after.time_ms <= before.time_ms:
            raise judge.invalid(endpoint, f"{iso(after.time_ms)} after {iso(before.time_ms)}")
    return rates


def _rate(row: dict[str, Any], pair: str, window: tuple[int, int]) -> FundingRate:
    """Return the rate of a row; raise ValueError, or what it stumbles over, for one that cannot be."""
    told, rate = row["fundingTime"], row["fundingRate"]
    if row["symbol"] != pair:
        raise ValueError(f"a row of {row['symbol']!r:.40} where {pair} was asked for")
    if type(told) is not int or not window[0] <= told < window[1]:
        raise ValueError(f"the time {told!r:.40} outside of what was asked for")
    hour = _HOUR.floor(told + _HOUR.milliseconds // 2)
    if abs(told - hour) > BESIDE_MS:
        raise ValueError(f"a funding at {iso(told)}, beside every hour")
    if type(rate) is not str:
        raise ValueError(f"the rate {rate!r:.40}, not a text")
    return FundingRate(hour, money(rate))


def _client_of(profile: FundingProfile) -> Any:
    """Return the ccxt exchange that builds the URLs and knows the error codes; it sends nothing itself."""
    api = profile.api
    config: dict[str, Any] = {"enableRateLimit": False}
    if profile.base_url is not None:
        config["urls"] = {"api": {api.api: f"{profile.base_url.rstrip('/')}/{api.version}"}}
    return load_exchange_class(api.ccxt_id)(config)
