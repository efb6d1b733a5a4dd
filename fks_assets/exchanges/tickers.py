"""What an exchange says of markets right now in one public request: the last trade and the best offers on both sides."""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from fks_assets.clock import to_ms
from fks_assets.errors import ExchangeRefused, InvalidInput
from fks_assets.exchanges.answers import Answer, AnswerJudge, answer_date, shape_guard
from fks_assets.exchanges.budget import RateBudget
from fks_assets.exchanges.ccxt_client import build_client
from fks_assets.exchanges.dialects import Dialect
from fks_assets.exchanges.prices import KRAKEN_PREFIXES, RIALS_PER_TOMAN
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.transport import HttpTransport
from fks_assets.quant.markets import Market
from fks_assets.quant.money import money

# More markets than these are not named one by one: the request would be longer than an exchange reads.
MOST_NAMED = 100
PATIENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Ticker:
    """What one answer says of a market. Prices in its quote coin; None where it says none above 0.

    `told_ms` is the exchange's own time of it (UTC ms), None where it gives none. `row` stays the same as long as nothing that
    the exchange says of the market changes.
    """

    last: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    told_ms: int | None
    row: str


@dataclass(frozen=True, slots=True)
class Tickers:
    """One answer: the markets that it has, and when the exchange gave it by its own clock (UTC ms), None if it does not say."""

    by_market: Mapping[Market, Ticker]
    answered_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Priced:
    """The shared budget for a call of this weight that waits for no other: the last tenth is kept for such."""

    budget: RateBudget
    weight: int

    async def acquire(self, weight: int, patience: float, *, urgent: bool = False) -> None:
        await self.budget.acquire(self.weight, patience, urgent=True)

    async def block(self, seconds: float, reason: str) -> None:
        await self.budget.block(seconds, reason)

    async def report_used(self, weight: int, seconds_left: float) -> None:
        await self.budget.report_used(weight, seconds_left)


async def read_tickers(profile: ExchangeProfile, budget: RateBudget, markets: Sequence[Market], seconds: float) -> Tickers:
    """Return what the exchange says of markets, within so many seconds and before other calls; nothing is asked for none.

    A market that the answer lacks is missing. When the exchange refuses the names (one of them may be delisted), it is asked for
    all that it has. Raises ExchangeError when it cannot be asked.
    """
    if not markets:
        return Tickers({})
    hurried = replace(profile, deadline_seconds=seconds, patience_seconds=min(PATIENCE_SECONDS, seconds))
    if len(markets) > MOST_NAMED:
        return await _ask(hurried, budget, markets, named=False)
    try:
        return await _ask(hurried, budget, markets, named=True)
    except ExchangeRefused:
        if not _parameters(profile.api, markets):
            raise
        return await _ask(hurried, budget, markets, named=False)


async def _ask(profile: ExchangeProfile, budget: RateBudget, markets: Sequence[Market], *, named: bool) -> Tickers:
    dialect, endpoint = profile.api, profile.api.tickers_endpoint
    priced = _Priced(budget, dialect.ticker_weight(len(markets) if named else None))
    async with HttpTransport(profile, priced) as transport:
        client = build_client(profile, transport)
        parameters = _parameters(dialect, markets) if named else {}
        url = client.sign(dialect.path(endpoint), ["public"], "GET", parameters)["url"]
        return await transport.read(url, endpoint, lambda answer: _read(answer, client.judge, markets))


def _parameters(dialect: Dialect, markets: Sequence[Market]) -> dict[str, str]:
    pairs = [dialect.pair_id(market.ccxt_symbol) for market in markets]
    if dialect.name == "binance":
        return {"symbols": json.dumps(pairs, separators=(",", ":"))}
    return {"pair": ",".join(pairs)} if dialect.name == "kraken" else {}


def _read(answer: Answer, judge: AnswerJudge, markets: Sequence[Market]) -> Tickers:
    dialect, endpoint = judge.dialect, judge.dialect.tickers_endpoint
    judge.decode(answer, endpoint)
    with shape_guard(judge, endpoint):
        # Read a second time: the quick decoder turns numbers into floats.
        rows = _ROWS[dialect.name](json.loads(answer.body, parse_float=Decimal), markets, dialect)
        found = {market: _FIELDS[dialect.name](row, market) for market, row in rows.items()}
    date = answer_date(answer)
    return Tickers(found, None if date is None else to_ms(date))


def _binance_rows(value: Any, markets: Sequence[Market], dialect: Dialect) -> dict[Market, Any]:
    by_pair = {row["symbol"]: row for row in value}
    return _present({market: by_pair.get(dialect.pair_id(market.ccxt_symbol)) for market in markets})


def _kraken_rows(value: Any, markets: Sequence[Market], dialect: Dialect) -> dict[Market, Any]:
    found: dict[Market, Any] = {}
    for market in markets:
        base, quote = (dialect.currency_codes.get(coin, coin) for coin in (market.base, market.quote))
        names = (before + base + between + quote for before, between in itertools.product(KRAKEN_PREFIXES, repeat=2))
        found[market] = next((value["result"][name] for name in names if name in value["result"]), None)
    return _present(found)


def _wallex_rows(value: Any, markets: Sequence[Market], dialect: Dialect) -> dict[Market, Any]:
    symbols = value["result"]["symbols"]
    listed = {market: symbols.get(dialect.pair_id(market.ccxt_symbol)) for market in markets}
    return {market: row["stats"] for market, row in _present(listed).items()}


def _nobitex_rows(value: Any, markets: Sequence[Market], _: Dialect) -> dict[Market, Any]:
    names = {market: "rls" if market.quote == "IRT" else market.quote.lower() for market in markets}
    return _present({market: value["stats"].get(f"{market.base.lower()}-{quote}") for market, quote in names.items()})


def _present(rows: Mapping[Market, Any]) -> dict[Market, Any]:
    return {market: row for market, row in rows.items() if row is not None}


def _binance_ticker(row: Mapping[str, Any], _: Market) -> Ticker:
    return _ticker(row, row["lastPrice"], row.get("bidPrice"), row.get("askPrice"), told_ms=int(row["closeTime"]))


def _kraken_ticker(row: Mapping[str, Any], _: Market) -> Ticker:
    return _ticker(row, row["c"][0], row["b"][0], row["a"][0])


def _wallex_ticker(row: Mapping[str, Any], _: Market) -> Ticker:
    return _ticker(row, row["lastPrice"], row.get("bidPrice"), row.get("askPrice"))


def _nobitex_ticker(row: Mapping[str, Any], market: Market) -> Ticker:
    """Return prices in the desk's toman where the exchange says rial."""
    unit = RIALS_PER_TOMAN if market.quote == "IRT" else Decimal(1)
    return _ticker(row, row["latest"], row.get("bestBuy"), row.get("bestSell"), unit=unit)


def _ticker(
    row: Mapping[str, Any], last: Any, bid: Any, ask: Any, *, told_ms: int | None = None, unit: Decimal = Decimal(1)
) -> Ticker:
    prices = [None if price is None else price / unit for price in map(_price, (last, bid, ask))]
    content = json.dumps(row, default=str, sort_keys=True)
    return Ticker(*prices, told_ms, hashlib.blake2b(content.encode(), digest_size=12).hexdigest())


def _price(value: Any) -> Decimal | None:
    """Return a price above 0, None for what is no price."""
    try:
        price = money(str(value))
    except InvalidInput:
        return None
    return price if price > 0 else None


_ROWS: dict[str, Callable[[Any, Sequence[Market], Dialect], dict[Market, Any]]] = {
    "binance": _binance_rows,
    "kraken": _kraken_rows,
    "wallex": _wallex_rows,
    "nobitex": _nobitex_rows,
}
_FIELDS: dict[str, Callable[[Mapping[str, Any], Market], Ticker]] = {
    "binance": _binance_ticker,
    "kraken": _kraken_ticker,
    "wallex": _wallex_ticker,
    "nobitex": _nobitex_ticker,
}
