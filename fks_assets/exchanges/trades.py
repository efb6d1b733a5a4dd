"""Read a market's public trades page by page, each answer checked before it is believed. Knows Kraken's Trades endpoint.

Kraken gives at most 1000 trades that are later than `since` (ns), oldest first, and in `last` the `since` of the next page.
"""

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from fks_assets.clock import iso
from fks_assets.errors import ExchangeError, InvalidInput, InvalidResponse
from fks_assets.exchanges.answers import Answer, AnswerJudge
from fks_assets.exchanges.dialects import Dialect
from fks_assets.exchanges.transport import HttpTransport, Tally
from fks_assets.quant.markets import market_from_ccxt
from fks_assets.quant.trades import NS_PER_MS, Trades, empty_trades

TRADES_PER_PAGE = 1000
MOST_SHORT_PAGES = 20
_WIDTH = 7
_NS_PER_SECOND = 10**9
# Times are told as JSON numbers that hold about 240 ns; `last` has every digit.
_TIME_ROUNDING_NS = 1000
_EARLIEST_NS, _LATEST_NS = 1_230_768_000 * _NS_PER_SECOND, 4_102_444_800 * _NS_PER_SECOND
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_SECONDS = re.compile(r"([0-9]{1,12})\.([0-9]{1,20})")


class _Number(str):
    """A JSON number as it was written."""


@dataclass(frozen=True, slots=True, eq=False)
class TradePage:
    """Trades that follow those of the page before. Every trade before `known_until_ms` is in this page or an earlier one."""

    trades: Trades
    known_until_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class _Answered:
    trades: Trades
    last_ns: int | None


@dataclass(frozen=True, slots=True)
class _Cursor:
    """What has been read: all trades up to `since_ns`, the newest of them with this number and time."""

    since_ns: int
    number: int = -1
    time_ns: int = -1


class TradeReader:
    """Pages through the public trades of one exchange.

    `clock` tells the exchange's time in ms; that nothing has happened since the last trade is believed up to `unfollowed_ms` ago.
    """

    def __init__(
        self, client: Any, transport: HttpTransport, clock: Callable[[], Awaitable[int]], unfollowed_ms: int, tally: Tally
    ) -> None:
        self._client = client
        self._judge: AnswerJudge = client.judge
        self._transport = transport
        self._clock = clock
        self._unfollowed_ms = unfollowed_ms
        self._tally = tally
        endpoint = self._judge.dialect.trades_endpoint
        if endpoint is None:
            raise InvalidInput(f"{self._judge.exchange} is not asked for public trades: its candles reach back far enough")
        self._endpoint = endpoint

    async def pages(self, symbol: str, start_ms: int, end_ms: int) -> AsyncGenerator[TradePage]:
        """Yield every trade of a symbol such as BTC/USD in [start_ms, end_ms), oldest first.

        The last page's `known_until_ms` is `end_ms`, or less where the exchange cannot know yet. Raises InvalidInput for a symbol
        that cannot be asked for, ExchangeError when a page failed; it ends after every trade has been read once, or with that.
        """
        market_from_ccxt(symbol, "any")
        try:
            async with aclosing(self._pages(symbol, start_ms, end_ms)) as pages:
                async for page in pages:
                    yield page
        except ExchangeError as error:
            error.args = (f"{symbol} trades: {error}",)
            raise

    async def _pages(self, symbol: str, start_ms: int, end_ms: int) -> AsyncGenerator[TradePage]:
        start_ns, known_until, short = start_ms * NS_PER_MS, start_ms, 0
        cursor = _Cursor(start_ns - 1)
        while known_until < end_ms:
            answered = await self._after(symbol, cursor)
            if not len(answered.trades):
                answered = await self._confirmed_end(symbol, cursor)
            trades, last_ns = answered.trades, answered.last_ns
            if not len(trades) or last_ns is None:
                silent_until = min(end_ms, await self._clock() - self._unfollowed_ms)
                yield TradePage(empty_trades(), max(known_until, silent_until))
                return
            cursor = _Cursor(last_ns, int(trades.number[-1]), int(trades.time_ns[-1]))
            short = short + 1 if len(trades) < TRADES_PER_PAGE // 2 else 0
            if short == 1:
                # Only the newest page is short: without a bound, new trades would lead on for ever.
                end_ms = max(known_until, min(end_ms, await self._clock()))
            if short > MOST_SHORT_PAGES:
                raise self._judge.invalid(self._endpoint, f"{short} pages in a row of less than half of what it gives at once")
            known_until = min(end_ms, cursor.time_ns // NS_PER_MS)
            yield TradePage(trades.between(start_ns, end_ms * NS_PER_MS), known_until)

    async def _after(self, symbol: str, cursor: _Cursor) -> _Answered:
        def parse(answer: Answer) -> _Answered:
            return self._checked(self._parsed(answer, symbol), cursor)

        return await self._read(symbol, {"since": str(cursor.since_ns)}, parse)

    async def _confirmed_end(self, symbol: str, cursor: _Cursor) -> _Answered:
        """Return the trades after the cursor once more if the newest trades show that there are any, else none."""
        newest = await self._read(symbol, {}, lambda answer: self._parsed(answer, symbol))
        if not len(newest.trades) or int(newest.trades.time_ns[-1]) <= cursor.since_ns + _TIME_ROUNDING_NS:
            return _Answered(empty_trades(), None)
        answered = await self._after(symbol, cursor)
        if not len(answered.trades):
            times = (iso(time // NS_PER_MS) for time in (cursor.since_ns, int(newest.trades.time_ns[-1])))
            raise self._judge.invalid(self._endpoint, "no trade after {}, yet its newest one is of {}".format(*times))
        return answered

    async def _read(self, symbol: str, parameters: dict[str, str], parse: Callable[[Answer], _Answered]) -> _Answered:
        asked = {"pair": self._judge.dialect.pair_id(symbol), **parameters}
        url = self._client.sign(self._endpoint, ["public"], "GET", asked)["url"]
        return await self._transport.read(url, self._endpoint, parse, tally=self._tally)

    def _parsed(self, answer: Answer, symbol: str) -> _Answered:
        self._judge.decode(answer, self._endpoint)
        try:
            return _parsed(json.loads(answer.body, parse_float=_Number), pair_names(self._judge.dialect, symbol))
        except (ValueError, RecursionError) as fault:
            raise self._judge.invalid(self._endpoint, str(fault)) from None

    def _checked(self, answered: _Answered, cursor: _Cursor) -> _Answered:
        """Return the trades after the cursor; raise InvalidResponse unless they follow it and the next page will follow them."""
        trades = answered.trades
        if len(trades) and int(trades.time_ns[0]) < cursor.since_ns - _TIME_ROUNDING_NS:
            first = int(trades.time_ns[0])
            raise self._invalid(f"a trade of {_shown(first)} where trades since {_shown(cursor.since_ns)} were asked for")
        trades = trades.slice(int(np.searchsorted(trades.number, cursor.number, side="right")))
        if not len(trades):
            return _Answered(trades, None)
        first, newest, last_ns = int(trades.time_ns[0]), int(trades.time_ns[-1]), answered.last_ns
        if first < cursor.time_ns:
            raise self._invalid(f"a trade of {_shown(first)} after one of {_shown(cursor.time_ns)}")
        if last_ns is None or abs(last_ns - newest) > _TIME_ROUNDING_NS:
            raise self._invalid(f"last={last_ns} after a trade of {_shown(newest)}")
        if last_ns <= cursor.since_ns:
            raise self._invalid(f"last={last_ns}, which does not lead on from since={cursor.since_ns}")
        return _Answered(trades, last_ns)

    def _invalid(self, fault: str) -> InvalidResponse:
        return self._judge.invalid(self._endpoint, fault)


def pair_names(dialect: Dialect, symbol: str) -> frozenset[str]:
    """Return the names under which Kraken may answer for a symbol: XBTUSD or XXBTZUSD for BTC/USD."""
    base, quote = (dialect.currency_codes.get(coin, coin) for coin in symbol.split("/"))
    return frozenset(first + second for first in (base, f"X{base}") for second in (quote, f"Z{quote}", f"X{quote}"))


def _parsed(decoded: Any, names: frozenset[str]) -> _Answered:
    """Return decoded JSON as columns; raise ValueError that says what is not as it should be."""
    result = decoded.get("result") if isinstance(decoded, dict) else None
    if not isinstance(result, dict):
        raise ValueError("the answer has no result object")
    pairs = [key for key in result if key != "last"]
    if len(pairs) != 1 or pairs[0] not in names:
        raise ValueError(f"trades of {', '.join(map(repr, pairs))[:100] or 'no pair'}, not of {min(names, key=len)}")
    rows = result[pairs[0]]
    if not isinstance(rows, list):
        raise ValueError("the trades are no list of rows")
    columns = list(zip(*(_row(row, place) for place, row in enumerate(rows)), strict=True)) or [(), (), (), ()]
    number, time_ns = (np.array(column, np.int64) for column in columns[:2])
    price, volume = (np.array(column, np.float64) for column in columns[2:])
    for column, what in ((np.diff(number) <= 0, "number"), (np.diff(time_ns) < 0, "time")):
        if column.any():
            place = int(np.argmax(column)) + 1
            raise ValueError(f"row {place} is out of order: its {what} does not follow that of the row before")
    return _Answered(Trades(number, time_ns, price, volume), _last(result.get("last")))


def _row(row: Any, place: int) -> tuple[int, int, float, float]:
    if not isinstance(row, list) or len(row) != _WIDTH:
        raise ValueError(f"row {place} is not a list of {_WIDTH} values")
    price, volume, time, *_, number = row
    for cell, what in ((price, "price"), (volume, "volume")):
        if not isinstance(cell, str) or isinstance(cell, _Number) or not _DECIMAL.fullmatch(cell):
            raise ValueError(f"row {place} has {str(cell)[:40]!r} as its {what}")
    if float(price) <= 0:
        raise ValueError(f"row {place} has a price of {price}")
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(f"row {place} has {str(number)[:40]!r} as its number")
    return number, _time_ns(time, place), float(price), float(volume)


def _time_ns(cell: Any, place: int) -> int:
    """Return ns of a number of seconds, to the last digit."""
    parts = _SECONDS.fullmatch(cell) if isinstance(cell, _Number) else None
    if parts is not None:
        time = int(parts[1]) * _NS_PER_SECOND + int(parts[2][:9].ljust(9, "0"))
    elif type(cell) is int:
        time = cell * _NS_PER_SECOND
    else:
        raise ValueError(f"row {place} has {str(cell)[:40]!r} as its time")
    if not _EARLIEST_NS <= time < _LATEST_NS:
        raise ValueError(f"row {place} has the impossible time {str(cell)[:40]}")
    return time


def _last(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if type(value) is int and 0 <= value < 2**63 else None


def _shown(time_ns: int) -> str:
    return f"{iso(time_ns // NS_PER_MS)} ({time_ns})"
