"""The last price of each market, exact to the digit, from one public request."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fks_assets.exchanges.answers import Answer, AnswerJudge, shape_guard
from fks_assets.exchanges.budget import RateBudget
from fks_assets.exchanges.ccxt_client import build_client
from fks_assets.exchanges.dialects import Dialect
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.transport import HttpTransport
from fks_assets.quant.markets import Market
from fks_assets.quant.money import money

RIALS_PER_TOMAN = Decimal(10)
# Before the codes of coins in the names of Kraken's older pairs: XXBTZUSD is XBT and USD.
KRAKEN_PREFIXES = ("", "X", "Z")


async def last_prices(profile: ExchangeProfile, budget: RateBudget, markets: Sequence[Market]) -> dict[Market, Decimal]:
    """Return the last price of each market in its quote coin; nothing is asked for no markets.

    Raises ExchangeError when the exchange cannot be asked, or gives no price above 0 for one of them: none is ever made up.
    """
    if not markets:
        return {}
    async with HttpTransport(profile, budget) as transport:
        client = build_client(profile, transport)
        dialect, endpoint = profile.api, profile.api.prices_endpoint
        url = client.sign(dialect.path(endpoint), ["public"], "GET", _parameters(dialect, markets))["url"]
        return await transport.read(url, endpoint, lambda answer: _read(answer, client.judge, markets))


def _parameters(dialect: Dialect, markets: Sequence[Market]) -> dict[str, str]:
    pairs = [dialect.pair_id(market.ccxt_symbol) for market in markets]
    if dialect.name == "binance":
        return {"symbols": json.dumps(pairs, separators=(",", ":"))}
    return {"pair": ",".join(pairs)} if dialect.name == "kraken" else {}


def _read(answer: Answer, judge: AnswerJudge, markets: Sequence[Market]) -> dict[Market, Decimal]:
    dialect, endpoint = judge.dialect, judge.dialect.prices_endpoint
    judge.decode(answer, endpoint)
    with shape_guard(judge, endpoint):
        # Read a second time: the quick decoder turns numbers into floats.
        value = json.loads(answer.body, parse_float=Decimal)
        prices = {market: _READERS[dialect.name](value, market, dialect) for market in markets}
    for market, price in prices.items():
        if price <= 0:
            raise judge.invalid(endpoint, f"the price {price} of {market}")
    return prices


def _binance(value: Any, market: Market, dialect: Dialect) -> Decimal:
    pair = dialect.pair_id(market.ccxt_symbol)
    (price,) = (money(each["price"]) for each in value if each["symbol"] == pair)
    return price


def _kraken(value: Any, market: Market, dialect: Dialect) -> Decimal:
    base, quote = (dialect.currency_codes.get(coin, coin) for coin in (market.base, market.quote))
    names = {before + base + between + quote for before, between in itertools.product(KRAKEN_PREFIXES, repeat=2)}
    (price,) = (money(each["c"][0]) for name, each in value["result"].items() if name in names)
    return price


def _wallex(value: Any, market: Market, dialect: Dialect) -> Decimal:
    return money(str(value["result"]["symbols"][dialect.pair_id(market.ccxt_symbol)]["stats"]["lastPrice"]))


def _nobitex(value: Any, market: Market, _: Dialect) -> Decimal:
    """Return the price in the desk's toman where the exchange says rial."""
    toman = market.quote == "IRT"
    stats: Mapping[str, Any] = value["stats"][f"{market.base.lower()}-{'rls' if toman else market.quote.lower()}"]
    price = money(str(stats["latest"]))
    return price / RIALS_PER_TOMAN if toman else price


_READERS: dict[str, Callable[[Any, Market, Dialect], Decimal]] = {
    "binance": _binance,
    "kraken": _kraken,
    "wallex": _wallex,
    "nobitex": _nobitex,
}
