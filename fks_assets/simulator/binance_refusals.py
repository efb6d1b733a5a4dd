"""Binance's codes and words for what the matching core refuses."""

from fks_assets.simulator.answers import Answer, binance_error
from fks_assets.simulator.trading.orders import Reason, Refused

_FILTERS = {
    Reason.PRICE_STEP: "PRICE_FILTER",
    Reason.NOTIONAL: "NOTIONAL",
    Reason.PERCENT_PRICE: "PERCENT_PRICE_BY_SIDE",
    Reason.MAX_ORDERS: "MAX_NUM_ORDERS",
    Reason.MAX_ALGO_ORDERS: "MAX_NUM_ALGO_ORDERS",
}
_REFUSALS = {
    Reason.INSUFFICIENT: (-2010, "Account has insufficient balance for requested action."),
    Reason.DUPLICATE: (-2010, "Duplicate order sent."),
    Reason.MARKET_CLOSED: (-2010, "Market is closed."),
    Reason.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    Reason.WOULD_TRIGGER: (-2010, "Stop price would trigger immediately."),
    Reason.OCO_PRICES: (-2010, "The relationship of the prices for the orders is not correct."),
    Reason.CLOSED: (-2011, "Unknown order sent."),
}


def refusal_of(refused: Refused, *, is_query: bool = False) -> Answer:
    """Return the answer to a refused order or cancel, or to a query for an order that does not exist."""
    reason = refused.reason
    if reason is Reason.UNKNOWN:
        return binance_error(-2013, "Order does not exist.") if is_query else binance_error(-2011, "Unknown order sent.")
    if reason in _REFUSALS:
        return binance_error(*_REFUSALS[reason])
    if reason is Reason.MALFORMED and refused.detail != "trailingDelta":
        return binance_error(-1106, f"Parameter '{refused.detail}' sent when not required.")
    name = "TRAILING_DELTA" if reason is Reason.MALFORMED else _FILTERS.get(reason, refused.detail)
    return binance_error(-1013, f"Filter failure: {name}")
