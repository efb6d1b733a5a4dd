"""Public market data of one exchange: its clock, markets and closed candles, each answer checked before it is believed."""

import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from fks_assets.errors import ExchangeError, InvalidInput, InvalidResponse
from fks_assets.exchanges.answers import Answer, shape_guard
from fks_assets.exchanges.budget import RateBudget
from fks_assets.exchanges.candle_api import answered_time_ms, candle_url, read_rows
from fks_assets.exchanges.ccxt_client import build_client
from fks_assets.exchanges.exchange_clock import ClockSample, ExchangeClock
from fks_assets.exchanges.market_info import read_market_rules, rules_url
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.rows import RawRows
from fks_assets.exchanges.screening import Window, screen_rows
from fks_assets.exchanges.trades import TradePage, TradeReader
from fks_assets.exchanges.transport import HttpTransport, Tally
from fks_assets.exchanges.workers import run_workers
from fks_assets.quant.candles import Candles, QuarantinedRow, concatenate, empty_candles
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market, market_from_ccxt
from fks_assets.quant.timeframes import Timeframe, first_open_candle

DEFAULT_GRACE_MS = 2000
UNFOLLOWED_MS = 2 * 3_600_000
_PAGES_WITHOUT_PROBE = 3


@dataclass(frozen=True, slots=True, eq=False)
class FetchedCandles:
    """Closed candles of the asked window, and what else the answers told.

    `exchange_time_ms` is the exchange's clock when asking; `requests` counts what was sent. Candles before `unreachable_before`
    (ms, None when there is no such bound) cannot be had from this exchange any more. After it and before `known_until` (ms) a
    candle that is neither here nor quarantined does not exist there; later ones may still come.
    """

    candles: Candles
    quarantined: tuple[QuarantinedRow, ...]
    exchange_time_ms: int
    requests: int
    known_until: int
    unreachable_before: int | None = None


_Page = tuple[Candles, tuple[QuarantinedRow, ...]]


@dataclass(slots=True)
class _Query:
    """Closed candles of [start_ms, end_ms), asked for up to `ask_end_ms` at the exchange's time `now_ms`."""

    symbol: str
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    ask_end_ms: int
    now_ms: int
    tally: Tally


class ExchangeGateway:
    """Reads public data from one exchange within its shared request budget; an async context manager.

    A candle counts as closed `grace_ms` after its close time on the exchange's own clock. That clock alone is not believed: the
    exchange must also have given a later candle, of any market, unless the close is two hours past. So a clock that runs ahead
    makes no unfinished candle closed.
    """

    def __init__(
        self,
        profile: ExchangeProfile,
        budget: RateBudget,
        *,
        grace_ms: int = DEFAULT_GRACE_MS,
        jitter: random.Random | None = None,
    ) -> None:
        self._profile = profile
        self._api = profile.api
        self._grace_ms = grace_ms
        self._transport = HttpTransport(profile, budget, jitter=jitter)
        self._clock = ExchangeClock(profile.name, self._sample_clock)
        self._client: Any = None
        self._newest_seen_ms = 0

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        self._client = build_client(self._profile, self._transport)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._clock.close()
        await self._transport.__aexit__(kind, error, traceback)

    async def clock_ms(self) -> int:
        """Return the exchange's time in ms; raise ExchangeError when it cannot be measured."""
        return await self._clock.now_ms()

    async def market_rules(self, markets: Sequence[Market]) -> dict[Market, MarketRules | InvalidResponse]:
        """Return the trading rules of each market as they are now, or why they are unusable, from one request.

        A market that the exchange does not list is delisted. Raises ExchangeError when the list cannot be had.
        """
        return await self._transport.read(
            rules_url(self._client, self._api),
            self._api.markets_endpoint,
            lambda answer: read_market_rules(answer, self._judge, markets),
        )

    async def fetch_candles(self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int) -> FetchedCandles:
        """Return the closed candles of a market, such as BTC/USDT, that open in [start_ms, end_ms).

        Raises InvalidInput for a symbol or timeframe that cannot be asked for, ExchangeError when any page failed.
        """
        return self.settled(await self.fetch_unsettled(symbol, timeframe, start_ms, end_ms), timeframe)

    async def fetch_unsettled(self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int) -> FetchedCandles:
        """Do as `fetch_candles`, but keep newest candles that nothing shows to be closed but the exchange's clock.

        Pass the result to `settled` when other markets have been asked too.
        """
        self.require_askable(symbol, timeframe)
        now = await self.clock_ms()
        end = min(timeframe.ceil(end_ms), first_open_candle(now, timeframe, self._grace_ms))
        ask_end = end + timeframe.milliseconds if end > now - UNFOLLOWED_MS else end
        query = _Query(symbol, timeframe, timeframe.ceil(start_ms), end, ask_end, now, Tally())
        if query.start_ms >= query.end_ms:
            return FetchedCandles(empty_candles(), (), now, 0, min(end, query.start_ms))
        try:
            return await (self._fetch_pages(query) if self._api.history_rows is None else self._fetch_latest(query))
        except ExchangeError as error:
            error.args = (f"{symbol} {timeframe}: {error}",)
            raise

    def trade_pages(self, symbol: str, start_ms: int, end_ms: int, tally: Tally) -> AsyncGenerator[TradePage]:
        """Return the public trades of a market in [start_ms, end_ms), page by page; see `TradeReader.pages`.

        Raises InvalidInput for an exchange that is not asked for trades.
        """
        reader = TradeReader(self._client, self._transport, self.clock_ms, UNFOLLOWED_MS, tally)
        return reader.pages(symbol, start_ms, end_ms)

    def settled(self, fetched: FetchedCandles, timeframe: Timeframe) -> FetchedCandles:
        """Return the result with those candles only that are closed beyond doubt."""
        closed_until = timeframe.floor(max(self._newest_seen_ms, fetched.exchange_time_ms - UNFOLLOWED_MS))
        known_until = min(fetched.known_until, closed_until)
        return replace(fetched, candles=fetched.candles.between(0, known_until), known_until=known_until)

    def require_askable(self, symbol: str, timeframe: Timeframe) -> None:
        """Raise InvalidInput unless the exchange's API can be asked for these candles."""
        market_from_ccxt(symbol, "any")
        if timeframe.name not in self._api.timeframes:
            raise InvalidInput(f"{self._profile.name} has no {timeframe} candles; it has {', '.join(self._api.timeframes)}")

    async def _fetch_pages(self, query: _Query) -> FetchedCandles:
        span = self._api.page_rows * query.timeframe.milliseconds
        begin = max(query.start_ms, query.timeframe.ceil(self._api.first_candle_ms.get(query.timeframe.name, 0)))
        windows = [(start, min(start + span, query.ask_end_ms)) for start in range(begin, query.ask_end_ms, span)]
        pages: list[_Page] = []
        if len(windows) > _PAGES_WITHOUT_PROBE and self._api.oldest_first:
            pages.append(await self._page(query, *windows.pop(0)))
            if not len(pages[0][0]) and not pages[0][1]:
                first = await self._first_open(query, windows[0][0])
                windows = [window for window in windows if window[1] > first]
        pages += await self._all_pages(query, windows)
        quarantined = tuple(row for _, rows in pages for row in rows)
        candles = concatenate([candles for candles, _ in pages]).between(query.start_ms, query.end_ms)
        return FetchedCandles(candles, quarantined, query.now_ms, query.tally.requests, query.end_ms)

    async def _fetch_latest(self, query: _Query) -> FetchedCandles:
        """Return what is left of the window where only the newest candles can be had, all in one answer."""
        step, count = query.timeframe.milliseconds, self._api.history_rows or 0
        running = query.timeframe.floor(query.now_ms)
        if query.end_ms < running - count * step:
            return FetchedCandles(empty_candles(), (), query.now_ms, 0, query.end_ms, running - (count - 1) * step)
        rows = await self._rows(query, query.start_ms, None, self._api.page_rows)
        candles, quarantined = await self._screen(query, rows, query.start_ms, query.ask_end_ms)
        oldest = int(rows.open_time.min()) if len(rows.open_time) else query.start_ms
        unreachable = oldest if len(rows) >= count and oldest > query.start_ms else None
        candles = candles.between(query.start_ms, query.end_ms)
        return FetchedCandles(candles, quarantined, query.now_ms, query.tally.requests, query.end_ms, unreachable)

    async def _all_pages(self, query: _Query, windows: Sequence[tuple[int, int]]) -> list[_Page]:
        """Return the pages, fetched concurrently over the profile's connections; at the first error stop and raise it."""
        pages: list[_Page] = []
        queue = iter(windows)

        async def work() -> None:
            for window in queue:
                pages.append(await self._page(query, *window))

        await run_workers(work, min(len(windows), self._profile.connections))
        return pages

    async def _page(self, query: _Query, start_ms: int, end_ms: int) -> _Page:
        rows = await self._rows(query, start_ms, end_ms, self._api.page_rows)
        return await self._screen(query, rows, start_ms, end_ms)

    async def _first_open(self, query: _Query, start_ms: int) -> int:
        """Return the open time of the market's first usable candle from `start_ms` on, the end of the query if there is none."""
        rows = await self._rows(query, start_ms, None, 1)
        candles, quarantined = await self._screen(query, rows, start_ms, query.ask_end_ms)
        times = [*candles.open_time.tolist(), *(max(start_ms, row.open_time) for row in quarantined)]
        return min(times, default=query.ask_end_ms)

    async def _rows(self, query: _Query, start_ms: int, end_ms: int | None, count: int) -> RawRows:
        url = candle_url(self._client, self._api, query.symbol, query.timeframe, start_ms, end_ms=end_ms, rows=count)

        def parse(answer: Answer) -> RawRows:
            return read_rows(answer, self._judge, query.timeframe)

        return await self._transport.read(url, self._api.candles_endpoint, parse, tally=query.tally)

    async def _screen(self, query: _Query, rows: RawRows, start_ms: int, end_ms: int) -> _Page:
        latest = query.timeframe.floor(await self.clock_ms()) + query.timeframe.milliseconds
        window = Window(start_ms, end_ms, query.end_ms, latest, self._api.asked_only)
        candles, quarantined = screen_rows(rows, query.timeframe, window)
        if len(candles):
            self._newest_seen_ms = max(self._newest_seen_ms, int(candles.open_time[-1]))
        return candles, quarantined

    async def _sample_clock(self) -> ClockSample:
        endpoint = self._api.clock_endpoint
        url = self._client.sign(self._api.path(endpoint), ["public"], "GET", {})["url"]

        def parse(answer: Answer) -> ClockSample:
            value = self._judge.decode(answer, endpoint)
            with shape_guard(self._judge, endpoint):
                return ClockSample(answered_time_ms(answer, value, self._api), answer.sent_at, answer.received_at)

        return await self._transport.read(url, endpoint, parse)

    @property
    def _judge(self) -> Any:
        return self._client.judge
