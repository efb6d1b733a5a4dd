"""What an exchange says about its spot markets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import market_from_ccxt


@dataclass(frozen=True, slots=True)
class MarketInfo:
    """A spot market's trading rules, exact: price and amount are multiples of their steps, `min_notional` is in the quote coin.

    A rule that the exchange does not state is None; `status` is its own word, "unknown" when it gives none.
    """

    symbol: str
    base: str
    quote: str
    active: bool
    status: str
    price_tick: Decimal | None
    amount_step: Decimal | None
    min_notional: Decimal | None


def market_infos(markets: Iterable[Mapping[str, Any]]) -> dict[str, MarketInfo]:
    """Return ccxt's spot markets by symbol, of several under one symbol the active one.

    Left out: dark-pool twins, and names that are no symbols of ours.
    """
    infos: dict[str, MarketInfo] = {}
    for market in markets:
        if not market["spot"] or market["id"].endswith(".d") or not _is_symbol(market["symbol"]):
            continue
        known = infos.get(market["symbol"])
        if known is not None and known.active:
            continue
        infos[market["symbol"]] = MarketInfo(
            symbol=market["symbol"],
            base=market["base"],
            quote=market["quote"],
            active=market["active"] is True,
            status=str(market["info"].get("status", "unknown")),
            price_tick=_rule(market["info"].get("tick_size", market["precision"]["price"])),
            amount_step=_rule(market["precision"]["amount"]),
            min_notional=_rule(market["limits"]["cost"]["min"]),
        )
    return infos


def _is_symbol(symbol: str) -> bool:
    try:
        market_from_ccxt(symbol, "any")
    except InvalidInput:
        return False
    return True


def _rule(value: Any) -> Decimal | None:
    if value is None:
        return None
    number = Decimal(str(value))
    if not number.is_finite() or number < 0:
        raise ValueError(f"a trading rule is {value!r}")
    return number
