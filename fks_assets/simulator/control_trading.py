"""The oracle's pages of trading under /_simulator/trading: accounts, orders, fills, books, and what a human does by hand."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fks_assets.errors import InvalidInput
from fks_assets.simulator.answers import JSON
from fks_assets.simulator.control import Levers, control_page
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.rendering import decimal_text
from fks_assets.simulator.source import last_price
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.money import text
from fks_assets.simulator.trading.oracle import books, dump, duplicates, equity_of
from fks_assets.simulator.trading.orders import NewOrder, Order, OrderType, Refused, Side

_HUMAN = "human"


def trading_routes(exchange: SimulatedExchange) -> list[Route]:
    """Return the routes of the oracle's trading pages."""
    pages: list[tuple[str, str, Levers]] = [
        ("settings", "GET", _read_settings),
        ("settings", "POST", _set_settings),
        ("accounts", "GET", _read_accounts),
        ("accounts", "POST", _add_account),
        ("balances", "POST", _adjust),
        ("equity", "GET", _equity),
        ("price", "GET", _price),
        ("orders", "GET", _orders),
        ("orders", "POST", _place),
        ("orders/cancel", "POST", _cancel),
        ("orders/fill", "POST", _fill),
        ("fills", "GET", _fills),
        ("duplicates", "GET", _duplicates),
        ("books", "GET", _books),
        ("dump", "GET", _dump),
        ("requests", "GET", _requests),
        ("halt", "POST", _halt),
        ("freeze", "POST", _freeze),
    ]
    under = "/_simulator/trading/"
    return [Route(under + path, control_page(exchange, lever), methods=[method]) for path, method, lever in pages]


def _read_settings(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    return exchange.trading.settings.as_json()


def _set_settings(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    exchange.trading.configure(exchange.trading.settings.changed(sent))
    return exchange.trading.settings.as_json()


def _read_accounts(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    exchange.trading.advance()
    return {"accounts": [account.as_json() for account in exchange.trading.accounts.by_key.values()]}


def _add_account(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    given = _table(sent, "account", ("key", "secret", "balances", "maker", "taker", "fee_rule", "fee_places"))
    balances = _table(given.get("balances", {}), "balances", None)
    amounts = {asset: _amount(asset, value) for asset, value in balances.items()}
    places = given.get("fee_places", 8)
    if isinstance(places, bool) or not isinstance(places, int) or not 0 <= places <= 18:
        raise InvalidInput(f"fee_places was {places!r}; give a whole number from 0 to 18")
    account = Account(
        key=_text(given, "key"),
        secret=_text(given, "secret"),
        maker=_amount("maker", given.get("maker", "0.001")),
        taker=_amount("taker", given.get("taker", "0.001")),
        fee_rule=_text({"fee_rule": "received", **given}, "fee_rule"),
        fee_places=places,
    )
    exchange.trading.advance()
    exchange.trading.accounts.add(account)
    for asset, amount in amounts.items():
        exchange.trading.accounts.bring(account, asset, amount)
    return account.as_json()


def _adjust(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    """Deposit, or with a negative amount withdraw, what is free."""
    given = _table(sent, "balances", ("key", "asset", "amount"))
    exchange.trading.advance()
    account = exchange.trading.accounts.get(_text(given, "key"))
    exchange.trading.accounts.bring(account, _text(given, "asset"), _amount("amount", given.get("amount"), low=None))
    account.changed_ms = exchange.trading.now_ms
    return account.as_json()


def _equity(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    account = exchange.trading.accounts.get(request.query_params.get("key", ""))
    quote = request.query_params.get("quote", "USDT")
    return {"key": account.key, "quote": quote, "equity": text(equity_of(exchange.trading, account, quote), 0)}


def _price(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    instrument = _instrument(exchange, _wanted(request, ("symbol",)))
    ticks = last_price(exchange.source, instrument, exchange.seen_ms(instrument))
    return {"symbol": instrument.symbol, "price": decimal_text(ticks, instrument.price_decimals, instrument.price_decimals)}


def _orders(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    """Return every order ever accepted, also those that are hidden from the clients."""
    exchange.trading.advance()
    wanted = _wanted(request, ("account", "symbol", "client_id", "status", "origin"))
    found = [order.as_json() for order in exchange.trading.registry.orders.values()]
    return {"orders": [row for row in found if all(row[name] == value for name, value in wanted.items())]}


def _fills(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    exchange.trading.advance()
    wanted = _wanted(request, ("account", "symbol"))
    found = [fill.as_json() for fill in exchange.trading.registry.fills]
    return {"fills": [row for row in found if all(row[name] == value for name, value in wanted.items())]}


def _place(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    given = _table(sent, "order", ("key", "symbol", "side", "type", "quantity", "price", "stop_price", "client_id"))
    for name, known in (("side", Side), ("type", OrderType)):
        if given.get(name) not in list(known):
            raise InvalidInput(f"{name} was {given.get(name)!r}; known: {', '.join(known)}")
    made = NewOrder(
        instrument=_instrument(exchange, given),
        side=Side(given["side"]),
        type=OrderType(given["type"]),
        quantity=_amount("quantity", given.get("quantity")),
        price=None if given.get("price") is None else _amount("price", given["price"]),
        stop_price=None if given.get("stop_price") is None else _amount("stop_price", given["stop_price"]),
        client_id=given.get("client_id", ""),
    )
    account = exchange.trading.accounts.get(_text(given, "key"))
    try:
        return exchange.trading.place(account, made, origin=_HUMAN).as_json()
    except Refused as refused:
        raise InvalidInput(f"the exchange refuses the order: {refused}") from None


def _cancel(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    order, account = _order(exchange, _table(sent, "cancel", ("number",)))
    try:
        return exchange.trading.cancel(account, order, reason="Cancelled by hand").as_json()
    except Refused as refused:
        raise InvalidInput(f"the exchange refuses the cancel: {refused}") from None


def _fill(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    """Fill an open order at a price, all that is left of it or a quantity."""
    given = _table(sent, "fill", ("number", "price", "quantity"))
    order, _ = _order(exchange, given)
    quantity = order.remaining if given.get("quantity") is None else _amount("quantity", given["quantity"])
    return exchange.trading.fill_by_hand(order, _amount("price", given.get("price")), quantity).as_json()


def _duplicates(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    return {"duplicates": duplicates(exchange.trading)}


def _books(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    return books(exchange.trading)


def _dump(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    return Response(dump(exchange.trading), media_type=JSON)


def _requests(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    """Return how many rightly signed requests each key sent to each endpoint, as far as the journal reaches back."""
    counts = Counter((entry.account, entry.endpoint) for entry in exchange.journal.read() if entry.account)
    return {"requests": [{"account": key, "endpoint": name, "count": count} for (key, name), count in sorted(counts.items())]}


def _halt(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    """Delist a market: open orders expire, no candle follows; with `resume` it goes on as if nothing had been."""
    given = _table(sent, "halt", ("symbol", "resume"))
    instrument = _instrument(exchange, given)
    (exchange.trading.resume if given.get("resume") else exchange.trading.halt)(instrument)
    return {"halted": exchange.trading.halted}


def _freeze(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    """Let a market's public data stand still while it trades on; with `resume` they go on."""
    given = _table(sent, "freeze", ("symbol", "resume"))
    symbol = _instrument(exchange, given).symbol
    if given.get("resume"):
        exchange.frozen.pop(symbol, None)
    else:
        exchange.frozen.setdefault(symbol, exchange.clock.now_ms())
    return {"frozen": exchange.frozen}


def _order(exchange: SimulatedExchange, given: Mapping[str, Any]) -> tuple[Order, Account]:
    exchange.trading.advance()
    order = exchange.trading.registry.orders.get(given.get("number", 0))
    if order is None:
        raise InvalidInput(f"order number {given.get('number')!r} is unknown")
    return order, exchange.trading.accounts.get(order.account)


def _instrument(exchange: SimulatedExchange, given: Mapping[str, Any]) -> Instrument:
    found = exchange.source.instruments.get(given.get("symbol", ""))
    if found is None:
        raise InvalidInput(f"symbol {given.get('symbol')!r} is unknown; known: {', '.join(exchange.source.instruments)}")
    return found


def _wanted(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    wanted = dict(request.query_params)
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"filter {name!r} is unknown; known: {', '.join(known)}")
    return wanted


def _table(sent: Any, label: str, known: tuple[str, ...] | None) -> Mapping[str, Any]:
    if not isinstance(sent, dict):
        raise InvalidInput(f"{label} was {sent!r}; give a table")
    for name in sent:
        if known is not None and name not in known:
            raise InvalidInput(f"{label}: key {name!r} is unknown; known: {', '.join(known)}")
    return sent


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{name} was {value!r}; give a text")
    return value


def _amount(name: str, value: Any, low: int | None = 0) -> Decimal:
    try:
        found = Decimal(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except InvalidOperation:
        found = None
    if found is None or not found.is_finite() or (low is not None and found < low):
        raise InvalidInput(f"{name} was {value!r}; give an amount as text{'' if low is None else f' of {low} or more'}")
    return found
