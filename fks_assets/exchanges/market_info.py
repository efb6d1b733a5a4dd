"""What an exchange says about the trading rules of its spot markets: asked for in one request, read without losing a digit."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fks_assets.errors import InvalidInput, InvalidResponse
from fks_assets.exchanges.answers import Answer, AnswerJudge, shape_guard
from fks_assets.exchanges.dialects import Dialect
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?")
_MOST_DECIMALS = 18
_RIALS_PER_TOMAN = 10


def rules_url(client: Any, dialect: Dialect) -> str:
    """Return the URL that asks for the rules of every market.

    All of them, because one unknown name among those asked for would make the exchange refuse the whole request.
    """
    # Names of account groups that may trade a symbol make up half of Binance's answer.
    parameters = {"showPermissionSets": "false"} if dialect.name == "binance" else {}
    return client.sign(dialect.path(dialect.markets_endpoint), ["public"], "GET", parameters)["url"]


def read_market_rules(
    answer: Answer, judge: AnswerJudge, markets: Sequence[Market]
) -> dict[Market, MarketRules | InvalidResponse]:
    """Return the rules of each asked market, or what is wrong with those that the exchange gave for it.

    A market that the answer does not list is delisted, without rules. Raises ExchangeError when the answer reports an error,
    InvalidResponse when it is not the promised list or the list is empty.
    """
    dialect = judge.dialect
    endpoint = dialect.markets_endpoint
    judge.decode(answer, endpoint)
    with shape_guard(judge, endpoint):
        # Read a second time: the quick decoder turns numbers into floats.
        value = json.loads(answer.body, parse_float=Decimal)
        list_markets, read = _READERS[dialect.name]
        listed = list_markets(value)
    if not listed:
        raise judge.invalid(endpoint, "a list without any market")
    found: dict[Market, MarketRules | InvalidResponse] = {}
    for market in markets:
        entry = listed.get(dialect.pair_id(market.ccxt_symbol))
        if entry is None:
            found[market] = MarketRules(market, MarketStatus.DELISTED)
            continue
        try:
            with shape_guard(judge, endpoint):
                found[market] = _usable(read, market, entry, judge)
        except InvalidResponse as fault:
            found[market] = InvalidResponse(f"{market}: {fault}", exchange=judge.exchange, endpoint=endpoint)
    return found


def _usable(read: Callable[..., MarketRules], market: Market, entry: Any, judge: AnswerJudge) -> MarketRules | InvalidResponse:
    try:
        return read(market, entry, judge.dialect)
    except InvalidInput as fault:
        return judge.invalid(judge.dialect.markets_endpoint, str(fault))


def _binance_rules(market: Market, symbol: Mapping[str, Any], dialect: Dialect) -> MarketRules:
    filters = {each["filterType"]: each for each in symbol["filters"]}
    lot = filters["LOT_SIZE"]
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    return MarketRules(
        market=market,
        status=_binance_status(symbol),
        tick_size=_number(market, "tickSize", filters["PRICE_FILTER"]["tickSize"]),
        lot_size=_number(market, "stepSize", lot["stepSize"]),
        min_quantity=_number(market, "minQty", lot["minQty"]),
        max_quantity=_number(market, "maxQty", lot["maxQty"]),
        min_notional=_number(market, "minNotional", notional.get("minNotional")),
        maker_fee=dialect.maker_fee,
        taker_fee=dialect.taker_fee,
    )


def _binance_status(symbol: Mapping[str, Any]) -> MarketStatus:
    """Return what Binance's word means. It keeps delisted symbols as BREAK, but says BREAK in maintenance too."""
    if symbol["status"] == "TRADING":
        return MarketStatus.TRADING
    gone = symbol["status"] == "BREAK" and symbol.get("isSpotTradingAllowed") is False
    return MarketStatus.DELISTED if gone else MarketStatus.HALTED


def _kraken_rules(market: Market, pair: Mapping[str, Any], dialect: Dialect) -> MarketRules:
    multiplier = _number(market, "lot_multiplier", pair.get("lot_multiplier", 1))
    lot = _step(market, "lot_decimals", pair["lot_decimals"])
    tick = _number(market, "tick_size", pair.get("tick_size"))
    maker, taker = (_base_fee(market, name, pair.get(name)) for name in ("fees_maker", "fees"))
    return MarketRules(
        market=market,
        # Recordings of 2021 hold no status: what was listed then was traded. A word that is not known halts the market.
        status=MarketStatus.TRADING if pair.get("status", "online") == "online" else MarketStatus.HALTED,
        tick_size=_step(market, "pair_decimals", pair["pair_decimals"]) if tick is None else tick,
        lot_size=lot if multiplier is None else lot * multiplier,
        min_quantity=_number(market, "ordermin", pair.get("ordermin")),
        min_notional=_number(market, "costmin", pair.get("costmin")),
        # A pair without a schedule for makers charges them like takers.
        maker_fee=dialect.maker_fee if maker is None and taker is None else taker if maker is None else maker,
        taker_fee=dialect.taker_fee if taker is None else taker,
    )


def _base_fee(market: Market, name: str, schedule: Any) -> Decimal | None:
    """Return the fee, as a fraction, of an account without turnover; the schedule is in percent by turnover."""
    if not schedule:
        return None
    by_turnover = {_number(market, f"{name} turnover", turnover): fee for turnover, fee in schedule}
    fee = _number(market, name, by_turnover[Decimal(0)])
    return None if fee is None else fee.scaleb(-2)


def _wallex_rules(market: Market, symbol: Mapping[str, Any], dialect: Dialect) -> MarketRules:
    given = {name: None if symbol.get(name) == "-" else symbol.get(name) for name in ("minQty", "maxQty", "minNotional")}
    return MarketRules(
        market=market,
        status=MarketStatus.TRADING,
        tick_size=_step(market, "tickSize", symbol["tickSize"]),
        lot_size=_step(market, "stepSize", symbol["stepSize"]),
        min_quantity=_number(market, "minQty", given["minQty"]),
        max_quantity=_number(market, "maxQty", given["maxQty"]),
        min_notional=_number(market, "minNotional", given["minNotional"]),
        maker_fee=dialect.maker_fee,
        taker_fee=dialect.taker_fee,
    )


def _nobitex_listed(value: Any) -> dict[str, Any]:
    """Return, by market, its steps and least value in its own money, which is rial for those of IRT."""
    rules = value["nobitex"]
    least = rules["minOrders"]
    return {
        name: {"tick": rules["pricePrecisions"][name], "lot": lot, "least": least.get("rls" if name.endswith("IRT") else "usdt")}
        for name, lot in rules["amountPrecisions"].items()
        if name in rules["pricePrecisions"]
    }


def _nobitex_rules(market: Market, entry: Mapping[str, Any], dialect: Dialect) -> MarketRules:
    tick, lot, least = (_number(market, name, entry[name]) for name in ("tick", "lot", "least"))
    per = _RIALS_PER_TOMAN if market.quote == "IRT" else Decimal(1)
    return MarketRules(
        market=market,
        status=MarketStatus.TRADING,
        tick_size=None if tick is None else tick / per,
        lot_size=lot,
        min_notional=None if least is None else least / per,
        maker_fee=dialect.maker_fee,
        taker_fee=dialect.taker_fee,
    )


_Readers = tuple[Callable[[Any], dict[str, Any]], Callable[..., MarketRules]]
_READERS: dict[str, _Readers] = {
    "binance": (lambda value: {symbol["symbol"]: symbol for symbol in value["symbols"]}, _binance_rules),
    "kraken": (lambda value: {pair["altname"]: pair for pair in value["result"].values()}, _kraken_rules),
    "wallex": (lambda value: {symbol["symbol"]: symbol for symbol in value["result"]["symbols"].values()}, _wallex_rules),
    "nobitex": (_nobitex_listed, _nobitex_rules),
}


def _step(market: Market, name: str, decimals: Any) -> Decimal:
    if type(decimals) is not int or not 0 <= decimals <= _MOST_DECIMALS:
        raise InvalidInput(f"{market}: {name} is {decimals!r}, it must be a whole number from 0 to {_MOST_DECIMALS}")
    return Decimal(1).scaleb(-decimals)


def _number(market: Market, name: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    if type(value) in (int, Decimal) or (type(value) is str and _NUMBER.fullmatch(value)):
        return Decimal(value)
    raise InvalidInput(f"{market}: {name} is {value!r}, not a number")
