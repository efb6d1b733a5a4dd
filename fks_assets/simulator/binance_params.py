"""Reading the parameters of Binance's endpoints, with its own words for what is wrong with them."""

import re
from collections.abc import Mapping

from fks_assets.simulator.answers import Answer, Refusal, binance_error
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument

Params = Mapping[str, str]
_SYMBOL = re.compile(r"[A-Z0-9-_.]{1,20}")
_NUMBER = re.compile(r"[0-9]{1,20}")


def instrument_of(exchange: SimulatedExchange, params: Params) -> Instrument:
    """Return the market that `symbol` names; refuse an unknown one."""
    name = required(params, "symbol")
    if not _SYMBOL.fullmatch(name):
        raise Refusal(illegal("symbol", "^[A-Z0-9-_.]{1,20}$"))
    for instrument in exchange.listed():
        if instrument.binance_id == name:
            return instrument
    raise Refusal(binance_error(-1121, "Invalid symbol."))


def required(params: Params, name: str) -> str:
    """Return a parameter that must be there."""
    if not params.get(name):
        raise Refusal(binance_error(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
    return params[name]


def number(params: Params, name: str) -> int | None:
    """Return a parameter as a whole number, None if it was not sent."""
    if name not in params:
        return None
    if not _NUMBER.fullmatch(params[name]):
        raise Refusal(illegal(name, "^[0-9]{1,20}$"))
    return int(params[name])


def limit_of(params: Params, default: int, most: int) -> int:
    """Return how many rows are asked for, at most `most`."""
    limit = number(params, "limit")
    if limit == 0:
        raise Refusal(invalid("limit"))
    return default if limit is None else min(limit, most)


def illegal(name: str, legal: str) -> Answer:
    """Return the refusal of a parameter with other characters than allowed."""
    return binance_error(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def invalid(name: str, why: str = "") -> Answer:
    """Return the refusal of a parameter with a value that cannot be."""
    return binance_error(-1130, f"Data sent for parameter '{name}' is not valid{why}.")
