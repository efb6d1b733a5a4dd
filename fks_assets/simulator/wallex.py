"""Wallex's REST API: what it lists and trades, in toman, which it calls TMN. It has no orders with a trigger and no pairs.

Parameters that it does not document are not looked at: an order with a stop price is taken as a plain one.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from fks_assets.clock import to_datetime
from fks_assets.simulator.answers import Answer, Refusal, as_answer
from fks_assets.simulator.api import Params, PrivateHandler, PublicHandler
from fks_assets.simulator.book import day_figures, order_book
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import BINANCE_INTERVALS
from fks_assets.simulator.rendering import decimal_text
from fks_assets.simulator.tape import NS_PER_MS, last_trades
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.money import ZERO, text
from fks_assets.simulator.trading.orders import Fill, NewOrder, Order, OrderType, Reason, Refused, Side, Status
from fks_assets.simulator.udf import candles, history, seconds

RESOLUTIONS = {"1": "1m", "60": "1h", "240": "4h", "1D": "1d"}
PLACES = 16
_DEPTH = 100
_TRADES = 50
_OWN_TRADES = 100


def error(message: str, status: int = 400) -> Answer:
    """Return the envelope of a failure."""
    return Answer(orjson.dumps({"success": False, "message": message, "code": status, "result": {}}), status)


def market_id(instrument: Instrument) -> str:
    """Return Wallex's name of a market."""
    return instrument.base + code(instrument.quote)


def code(asset: str) -> str:
    """Return Wallex's name of an asset."""
    return "TMN" if asset == "IRT" else asset


def instrument_of(exchange: SimulatedExchange, params: Params) -> Instrument:
    """Return the market that a request names; refuse an unknown one."""
    found = next((one for one in listed(exchange) if market_id(one) == params.get("symbol", "").upper()), None)
    if found is None:
        raise Refusal(error(f"symbol {params.get('symbol', '')!r} is invalid"))
    return found


def listed(exchange: SimulatedExchange) -> list[Instrument]:
    """Return the markets in toman and tether that trade now."""
    return [one for one in exchange.open_markets() if one.quote in ("IRT", "USDT")]


def markets(exchange: SimulatedExchange, params: Params) -> Answer:
    found = {market_id(one): _market(exchange, one) for one in listed(exchange)}
    return _result({"symbols": found}, len(found))


def depth(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    book = order_book(exchange.source, instrument, exchange.seen_ms(instrument))
    sides = {"ask": (book.ask_prices, book.ask_sizes), "bid": (book.bid_prices, book.bid_sizes)}
    levels = {
        side: [_level(instrument, *level) for level in zip(prices[:_DEPTH].tolist(), sizes[:_DEPTH].tolist(), strict=True)]
        for side, (prices, sizes) in sides.items()
    }
    return _result(levels)


def trades(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    tape = last_trades(exchange.source, instrument, exchange.seen_ms(instrument), _TRADES)
    rows = [
        {
            "symbol": market_id(instrument),
            "quantity": decimal_text(size, instrument.size_decimals, PLACES),
            "price": decimal_text(price, instrument.price_decimals, PLACES),
            "sum": decimal_text(size * price, instrument.size_decimals + instrument.price_decimals, PLACES),
            "isBuyOrder": not is_buyer_maker,
            "timestamp": _moment(time_ns // NS_PER_MS),
        }
        for _, time_ns, price, size, is_buyer_maker in tape.rows()
    ]
    return _result({"latestTrades": rows[::-1]}, len(rows))


def udf_history(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    start, end = (seconds(params.get(name, "")) for name in ("from", "to"))
    if params.get("resolution") not in RESOLUTIONS or start is None or end is None:
        return as_answer({"s": "error", "errmsg": "Invalid resolution or times"})
    interval = BINANCE_INTERVALS[RESOLUTIONS[params["resolution"]]]
    return history(candles(exchange, instrument, interval, start, end), _spelled)


def new_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    kind, side = params.get("type", "").upper(), params.get("side", "").upper()
    if kind not in ("LIMIT", "MARKET") or side not in ("BUY", "SELL"):
        raise Refusal(error("type or side is invalid"))
    request = NewOrder(
        instrument=instrument_of(exchange, params),
        side=Side(side),
        type=OrderType(kind),
        quantity=_amount(params, "quantity"),
        price=_amount(params, "price") if kind == "LIMIT" else None,
        client_id=params.get("client_id", ""),
    )
    return _result(shown(exchange.trading.place(account, request)))


def query_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    return _result(shown(exchange.trading.find(account, client_id=params.get("clientOrderId", ""))), 1)


def cancel_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    order = exchange.trading.find(account, client_id=params.get("clientOrderId", ""))
    return _result(shown(exchange.trading.cancel(account, order)))


def open_orders(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    symbol = instrument_of(exchange, params).symbol if params.get("symbol") else None
    rows = [shown(order) for order in exchange.trading.open_orders(account, symbol)]
    return _result({"orders": rows}, len(rows))


def own_trades(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    symbol = instrument_of(exchange, params).symbol if params.get("symbol") else None
    orders = exchange.trading.registry.orders
    found = exchange.trading.fills_of(account, symbol)[-_OWN_TRADES:]
    rows = [_filled(orders[fill.order], fill) for fill in reversed(found)]
    return _result({"AccountLatestTrades": rows}, len(rows))


def balances(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    held = {
        code(asset): {
            "asset": code(asset),
            "faName": code(asset),
            "fiat": asset == "IRT",
            "value": text(account.total(asset)),
            "locked": text(account.locked[asset]),
        }
        for asset in account.assets()
    }
    return _result({"balances": held}, len(held))


def shown(order: Order) -> dict[str, Any]:
    """Return an order as Wallex prints it."""
    value = order.price * order.quantity if order.price is not None else None
    status = Status.PARTIALLY_FILLED if order.status.is_open and order.executed else order.status
    return {
        "symbol": market_id(order.instrument),
        "type": order.type.value,
        "side": order.side.value,
        "price": "-" if order.price is None else text(order.price, PLACES),
        "origQty": text(order.quantity, PLACES),
        "origSum": "-" if value is None else text(value, PLACES),
        "executedPrice": text(_average(order), PLACES),
        "executedQty": text(order.executed, PLACES),
        "executedSum": text(order.executed_sum, PLACES),
        "executedPercent": int(order.executed / order.quantity * 100) if order.quantity else 0,
        "status": status.value,
        "active": order.status.is_open,
        "clientOrderId": order.client_id,
        "created_at": to_datetime(order.placed_ms).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "fills": [_filled(order, fill) for fill in order.fills],
    }


def refusal_of(refused: Refused) -> Answer:
    """Return Wallex's answer to what the matching core refuses; its codes are not documented."""
    return error(str(refused), 404 if refused.reason is Reason.UNKNOWN else 400)


def _average(order: Order) -> Decimal:
    if not order.executed:
        return ZERO
    return (order.executed_sum / order.executed).quantize(Decimal(1).scaleb(-order.instrument.price_decimals))


def _filled(order: Order, fill: Fill) -> dict[str, Any]:
    charged = fill.quantity if fill.fee_currency == order.instrument.base else fill.price * fill.quantity
    return {
        "symbol": market_id(order.instrument),
        "quantity": text(fill.quantity, PLACES),
        "price": text(fill.price, PLACES),
        "sum": text(fill.price * fill.quantity, PLACES),
        "fee": text(fill.fee, PLACES),
        "feeCoefficient": f"{fill.fee / charged:.16f}",
        "feeAsset": code(fill.fee_currency),
        "isBuyer": fill.side is Side.BUY,
        "timestamp": _moment(fill.at_ms),
    }


def _market(exchange: SimulatedExchange, instrument: Instrument) -> dict[str, Any]:
    now = exchange.seen_ms(instrument)
    day = day_figures(exchange.source, instrument, now)
    book = order_book(exchange.source, instrument, now)
    price, size = instrument.price_decimals, instrument.size_decimals
    return {
        "symbol": market_id(instrument),
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": code(instrument.quote),
        "quotePrecision": 8,
        "stepSize": size,
        "tickSize": price,
        "minQty": 10.0**-size,
        "minNotional": instrument.min_notional,
        "stats": {
            "bidPrice": decimal_text(int(book.bid_prices[0]), price, PLACES),
            "askPrice": decimal_text(int(book.ask_prices[0]), price, PLACES),
            "24h_ch": round((day.last / day.open - 1) * 100, 2),
            "24h_volume": f"{day.volume:.16f}",
            "24h_quoteVolume": f"{day.quote_volume:.16f}",
            "24h_highPrice": f"{day.high:.16f}",
            "24h_lowPrice": f"{day.low:.16f}",
            "lastPrice": f"{day.last:.{price}f}",
            "lastQty": f"{day.last_size:.16f}",
        },
        "createdAt": to_datetime(instrument.listed_ms).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


def _level(instrument: Instrument, price: int, size: int) -> dict[str, Any]:
    places = instrument.price_decimals + instrument.size_decimals
    return {
        "price": decimal_text(price, instrument.price_decimals, PLACES),
        "quantity": size / 10**instrument.size_decimals,
        "sum": decimal_text(price * size, places, places),
    }


def _amount(params: Params, name: str) -> Decimal:
    try:
        value = Decimal(params.get(name, ""))
    except InvalidOperation:
        value = ZERO
    if not value.is_finite() or value <= 0:
        raise Refusal(error(f"{name} is invalid"))
    return value


def _spelled(value: str) -> str:
    return f"{Decimal(value):.16f}"


def _moment(at_ms: int) -> str:
    return to_datetime(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def _result(content: dict[str, Any], rows: int = 0) -> Answer:
    return as_answer({"success": True, "message": "The operation was successful", "result": content}, rows)


PUBLIC: Mapping[str, PublicHandler] = {"markets": markets, "depth": depth, "trades": trades, "history": udf_history}
PRIVATE: Mapping[str, PrivateHandler] = {
    "POST orders": new_order,
    "GET orders": query_order,
    "DELETE orders": cancel_order,
    "GET openOrders": open_orders,
    "GET trades": own_trades,
    "GET balances": balances,
}
