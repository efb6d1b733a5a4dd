"""When an exchange has definitely refused: by hand, from its documentation. Everything else that is no success is unknown.

A refusal counts only when the exchange says it in its own structure, with a code or text below that cannot stand for an order
that was taken. What ccxt makes of an answer is not asked: it files unknown outcomes and refusals under the same errors.
"""

import re
from collections.abc import Callable
from typing import Any

from fks_assets.exchanges.orders.venue import Rejected

# Requests that were not processed: limits, keys, time stamps, filters, parameters (-1100 to -1199). -1000, -1001, -1006, -1007
# and -1008 leave open what happened.
_BINANCE_CODES = frozenset(
    {-1002, -1003, -1013, -1014, -1015, -1020, -1021, -1022, -1099, -2008, -2010, -2014, -2015, *range(-1199, -1099)}
)
# An order of this id is open: it is ours, from a call whose answer was lost.
_BINANCE_DUPLICATE = re.compile(r"duplicate", re.IGNORECASE)
_BINANCE_STATUSES = frozenset({400, 401, 403, 409, 418, 429})

_KRAKEN_REFUSALS = re.compile(
    r"""EAPI:(Invalid\ (key|signature|nonce)|Rate\ limit\ exceeded|Bad\ request|Feature\ disabled)
    | EGeneral:(Invalid\ arguments.*|Permission\ denied|Temporary\ lockout|Unknown\ method|Too\ many\ requests)
    | EQuery:(Unknown|Invalid)\ asset(\ pair)?
    | EService:(Market\ in\ (cancel|post)_only\ mode|Deadline\ elapsed|\ ?Throttled.*)
    | EAccount:Invalid\ permissions.* | ETrade:(User\ Locked|Invalid\ request)
    | EOrder:(Insufficient\ (funds|margin).* | (Order|Cost)\ minimum\ not\ met.* | (Domain\ )?[Rr]ate\ limit\ exceeded
        | (Orders|Positions|Scheduled\ orders)\ limit\ exceeded | Tick\ size\ check\ failed.* | Invalid\ (price|order).*
        | Cannot\ open\ (opposing\ )?position | Margin\ (allowance|level|position\ size)\ .* | Reduce\ only.*
        | Trading\ agreement\ required | Post\ only\ order.* | Unknown\ position | Price\ (deviates|out).* )""",
    re.VERBOSE,
)

# `DuplicateOrder` and `DuplicateClientOrderId` may speak of an order of ours that was taken.
_NOBITEX_CODES = frozenset(
    {
        *("InvalidOrderPrice", "BadPrice", "PriceConditionFailed", "OverValueOrder", "SmallOrder", "InvalidMarketPair"),
        *("MarketClosed", "TradingUnavailable", "FeatureUnavailable", "TooManyRequests", "ParseError", "InsufficientBalance"),
        *("InvalidToken", "InvalidSymbol", "MarketExecutionTypeTemporaryClosed", "LeverageUnavailable", "InvalidStopPrice"),
    }
)


def refusal(dialect: str, status: int, value: Any) -> Rejected | None:
    """Return the proof that an order was not taken, in an answer of this HTTP status and decoded body, None without one."""
    return _TABLES[dialect](status, value)


def _binance(status: int, value: Any) -> Rejected | None:
    if status not in _BINANCE_STATUSES or not isinstance(value, dict):
        return None
    code, words = value.get("code"), value.get("msg")
    if type(code) is not int or not isinstance(words, str) or code not in _BINANCE_CODES or _BINANCE_DUPLICATE.search(words):
        return None
    return Rejected(str(code), words)


def _kraken(status: int, value: Any) -> Rejected | None:
    if status >= 500 or not isinstance(value, dict) or value.get("result"):
        return None
    said = value.get("error")
    if not isinstance(said, list) or not said or not all(isinstance(each, str) for each in said):
        return None
    errors = [each for each in said if not each.startswith("W")]
    if not errors or not all(_KRAKEN_REFUSALS.fullmatch(each) for each in errors):
        return None
    return Rejected(errors[0], "; ".join(errors))


def _wallex(status: int, value: Any) -> Rejected | None:
    """Wallex documents no codes, only that 400, 401, 403, 404 and 422 carry its envelope with success false."""
    if status not in (400, 401, 403, 404, 422, 429) or not isinstance(value, dict) or value.get("success") is not False:
        return None
    return Rejected(str(value.get("code", status)), str(value.get("message", "")))


def _nobitex(status: int, value: Any) -> Rejected | None:
    if status >= 500 or not isinstance(value, dict) or value.get("status") != "failed" or value.get("order"):
        return None
    code = value.get("code")
    return Rejected(code, str(value.get("message", ""))) if code in _NOBITEX_CODES else None


_TABLES: dict[str, Callable[[int, Any], Rejected | None]] = {
    "binance": _binance,
    "kraken": _kraken,
    "wallex": _wallex,
    "nobitex": _nobitex,
}
