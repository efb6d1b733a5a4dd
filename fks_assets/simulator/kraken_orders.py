"""Kraken's words for an order: reading a request for one, and printing one, its trades and its ids."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from fks_assets.simulator.answers import Refusal, kraken_error
from fks_assets.simulator.api import Params
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.trading.money import ZERO, down, text
from fks_assets.simulator.trading.orders import Fill, NewOrder, Order, OrderType, Reason, Refused, Side, Status, TimeInForce

_TYPES = {
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "stop-loss": OrderType.STOP_LOSS,
    "take-profit": OrderType.TAKE_PROFIT,
    "stop-loss-limit": OrderType.STOP_LOSS_LIMIT,
    "take-profit-limit": OrderType.TAKE_PROFIT_LIMIT,
    "trailing-stop": OrderType.STOP_LOSS,
}
_STATUS = {
    Status.NEW: "open",
    Status.PARTIALLY_FILLED: "open",
    Status.FILLED: "closed",
    Status.CANCELED: "canceled",
    Status.EXPIRED: "expired",
}
_FLAGS = ("post", "fcib", "fciq", "viqc", "nompp")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ID_BITS = 80
# Any odd factor makes a one-to-one scramble of the numbers; the ids can so be read back.
_SCRAMBLE = 0x9E3779B97F4A7C15F39D
_UNSCRAMBLE = pow(_SCRAMBLE, -1, 2**_ID_BITS)
# A UUID with or without dashes, or a free text of at most 18 characters.
_CLIENT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[!-~]{0,18}")
_PERCENT = re.compile(r"\+([0-9]+(?:\.[0-9]+)?)%")


def order_id(number: int) -> str:
    """Return Kraken's id of an order: O and 16 letters and digits in three groups."""
    return _id("O", number)


def trade_id(number: int) -> str:
    """Return Kraken's id of a trade, of the same form with a T."""
    return _id("T", number)


def number_of(sent: str, kind: str = "O") -> int | None:
    """Return the number of an id of the kind (`O` or `T`), None for what is none."""
    plain = sent.replace("-", "")
    if len(plain) != 17 or plain[0] != kind or not set(plain[1:]) <= set(_LETTERS):
        return None
    value = 0
    for letter in plain[1:]:
        value = value * 32 + _LETTERS.index(letter)
    return value * _UNSCRAMBLE % 2**_ID_BITS


def order_request(instrument: Instrument, params: Params) -> NewOrder:
    """Return the order that AddOrder's parameters ask for."""
    kind, side = params.get("ordertype", ""), params.get("type", "")
    flags = [flag for flag in params.get("oflags", "").split(",") if flag]
    in_force = params.get("timeinforce", "GTC")
    for name, is_right in (
        ("ordertype", kind in _TYPES),
        ("type", side in ("buy", "sell")),
        ("oflags", set(flags) <= set(_FLAGS) and not {"fcib", "fciq"} <= set(flags)),
        ("timeinforce", in_force in list(TimeInForce)),
        ("leverage", params.get("leverage", "none") in ("none", "")),
        ("close", not any(name.startswith("close") for name in params)),
        ("cl_ord_id", _CLIENT_ID.fullmatch(params.get("cl_ord_id", "")) is not None),
        ("userref", re.fullmatch(r"-?[0-9]{1,10}", params.get("userref", "0")) is not None),
    ):
        if not is_right:
            raise Refusal(kraken_error(f"EGeneral:Invalid arguments:{name}"))
    if params.get("reduce_only") == "true":
        raise Refusal(kraken_error("EOrder:Reduce only:No position exists"))
    made = _TYPES[kind]
    if made is OrderType.LIMIT and "post" in flags:
        made = OrderType.LIMIT_MAKER
    first, trailing = (None, _trailing(params)) if kind == "trailing-stop" else (amount(params, "price"), None)
    limit = None if not made.has_limit else amount(params, "price2") if made.is_conditional else first
    volume = amount(params, "volume")
    if volume is None:
        raise Refusal(kraken_error("EGeneral:Invalid arguments:volume"))
    in_quote = "viqc" in flags and made is OrderType.MARKET
    return NewOrder(
        instrument=instrument,
        side=Side(side.upper()),
        type=made,
        quantity=None if in_quote else volume,
        quote_quantity=volume if in_quote else None,
        price=limit,
        stop_price=first if made.is_conditional else None,
        trailing=trailing,
        time_in_force=TimeInForce(in_force),
        client_id=params.get("cl_ord_id", ""),
        fee_currency="base" if "fcib" in flags else "quote",
        triggers_at_once=True,
        extra={
            "ordertype": kind,
            "userref": int(params.get("userref", "0")),
            "cl_ord_id": params.get("cl_ord_id", ""),
            "oflags": ",".join(flags if {"fcib", "fciq"} & set(flags) else [*flags, "fciq"]),
        },
    )


def amount(params: Params, name: str) -> Decimal | None:
    """Return a parameter as an amount, None if it was not sent; refuse what is none."""
    sent = params.get(name, "")
    if not sent:
        return None
    try:
        value = Decimal(sent)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value < 0:
        raise Refusal(kraken_error(f"EGeneral:Invalid arguments:{name}"))
    return value


def description(order: Order) -> dict[str, str]:
    """Return an order's `descr`."""
    request = order.request
    prices = _prices(order)
    return {
        "pair": order.instrument.kraken_altname,
        "type": request.side.value.lower(),
        "ordertype": kind_of(order),
        "price": prices[0],
        "price2": prices[1],
        "leverage": "none",
        "order": summary(order),
        "close": "",
    }


def summary(order: Order) -> str:
    """Return an order in one line, `buy 0.10000000 LTCUSDT @ limit 50.00000`."""
    kind, (first, second) = kind_of(order), _prices(order)
    words = f"{order.side.value.lower()} {text(order.quantity)} {order.instrument.kraken_altname} @ {kind.removesuffix('-limit')}"
    words = words.replace("-", " ") if kind != "market" else words
    if kind == "market":
        return words
    if kind == "limit":
        return words.removesuffix(kind) + f"limit {first}"
    return f"{words} {first}" + (f" -> limit {second}" if kind.endswith("-limit") else "")


def shown(order: Order, *, with_trades: bool = False) -> dict[str, Any]:
    """Return an order as queries answer it; `closetm` and `reason` only once it has ended."""
    places = order.instrument.price_decimals
    average = down(order.executed_sum / order.executed, places) if order.executed else ZERO
    found: dict[str, Any] = {
        "refid": None,
        "userref": order.request.extra.get("userref", 0),
        "status": _STATUS[order.status],
        "opentm": order.placed_ms / 1000,
        "starttm": 0,
        "expiretm": 0,
        "descr": description(order),
        "vol": text(order.quantity),
        "vol_exec": text(order.executed),
        "cost": text(order.executed_sum, places),
        "fee": text(_fee(order), places),
        "price": text(average, places),
        "stopprice": text(order.request.stop_price or ZERO, places),
        "limitprice": text(order.price or ZERO if order.type.is_conditional else ZERO, places),
        "misc": "",
        "oflags": order.request.extra.get("oflags", "fciq"),
        "reason": None,
    }
    if order.request.extra.get("cl_ord_id"):
        found["cl_ord_id"] = order.client_id
    if with_trades and order.fills:
        found["trades"] = [trade_id(fill.number) for fill in order.fills]
    if not order.status.is_open:
        found |= {"reason": order.reason or None, "closetm": order.updated_ms / 1000}
    return found


def traded(order: Order, fill: Fill) -> dict[str, Any]:
    """Return a fill as a trade of the account."""
    places = order.instrument.price_decimals
    return {
        "ordertxid": order_id(order.number),
        "postxid": order_id(order.number),
        "pair": order.instrument.kraken_id,
        "time": fill.at_ms / 1000,
        "type": order.side.value.lower(),
        "ordertype": kind_of(order),
        "price": text(fill.price, places),
        "cost": text(fill.price * fill.quantity, places),
        "fee": text(_fee_in_quote(fill), places),
        "vol": text(fill.quantity),
        "margin": text(ZERO, places),
        "leverage": "0",
        "misc": "",
        "trade_id": fill.number,
        "maker": fill.is_maker,
    }


def kind_of(order: Order) -> str:
    """Return Kraken's name of the order's type."""
    if "ordertype" in order.request.extra:
        return str(order.request.extra["ordertype"])
    names = {kind: name for name, kind in _TYPES.items() if name != "trailing-stop"}
    return names.get(order.type, "limit")


def refusal_of(refused: Refused) -> str:
    """Return Kraken's words for what the matching core refuses."""
    words = {
        Reason.INSUFFICIENT: "EOrder:Insufficient funds",
        Reason.DUPLICATE: "EGeneral:Invalid arguments:cl_ord_id",
        Reason.UNKNOWN: "EOrder:Unknown order",
        Reason.CLOSED: "EOrder:Unknown order",
        Reason.MARKET_CLOSED: "EService:Market in cancel_only mode",
        Reason.PRICE_STEP: "EOrder:Tick size check failed",
        Reason.QUANTITY_STEP: "EGeneral:Invalid arguments:volume",
        Reason.NOTIONAL: "EOrder:Cost minimum not met",
        Reason.PERCENT_PRICE: "EOrder:Invalid price",
        Reason.MAX_ORDERS: "EOrder:Orders limit exceeded",
        Reason.MAX_ALGO_ORDERS: "EOrder:Orders limit exceeded",
        Reason.WOULD_TAKE: "EOrder:Post only order",
        Reason.WOULD_TRIGGER: "EOrder:Invalid price",
    }
    return words.get(refused.reason, f"EGeneral:Invalid arguments:{refused.detail}")


def _id(letter: str, number: int) -> str:
    value, found = number * _SCRAMBLE % 2**_ID_BITS, ""
    for _ in range(_ID_BITS // 5):
        value, index = divmod(value, 32)
        found = _LETTERS[index] + found
    return f"{letter}{found[:5]}-{found[5:10]}-{found[10:]}"


def _trailing(params: Params) -> Decimal:
    found = _PERCENT.fullmatch(params.get("price", ""))
    if found is None:
        raise Refusal(kraken_error("EGeneral:Invalid arguments:price"))
    return Decimal(found.group(1)) / 100


def _prices(order: Order) -> tuple[str, str]:
    """Return price and price2 as they were asked for."""
    places, request = order.instrument.price_decimals, order.request
    if request.trailing is not None:
        return f"+{text(request.trailing * 100, 4)}%", "0"
    if not order.type.is_conditional:
        return ("0" if order.price is None else text(order.price, places)), "0"
    return text(request.stop_price or ZERO, places), "0" if order.price is None else text(order.price, places)


def _fee(order: Order) -> Decimal:
    return sum((_fee_in_quote(fill) for fill in order.fills), ZERO)


def _fee_in_quote(fill: Fill) -> Decimal:
    is_quote = fill.symbol.endswith(f"-{fill.fee_currency}")
    return fill.fee if is_quote else fill.fee * fill.price
