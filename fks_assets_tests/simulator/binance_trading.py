"""Accounts and orders for the tests of Binance's signed endpoints, in a simulator that fills at the last price."""

from decimal import Decimal
from itertools import count
from typing import Any

from fks_assets.simulator.client import SimulatorClient
from fks_assets_tests.simulator.plain_http import Seen, get
from fks_assets_tests.simulator.signed import BinanceKey

NOW = 1_763_697_723_456
LOOSE = {"binance": {"weight": 10**7, "orders_10s": 10**6, "orders_1d": 10**6}}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}
_numbers = count()


def new_key(running: SimulatorClient) -> BinanceKey:
    """Return a new account with 100,000 USDT and 2 BTC."""
    running.set_trading(fill_model="last", parts=1, check_timestamps=True)
    name = f"sim-{next(_numbers)}"
    running.add_account(name, "hush", balances={"USDT": "100000", "BTC": "2"}, maker="0.001", taker="0.001")
    return BinanceKey(running, name)


def last(key: BinanceKey) -> Decimal:
    return Decimal(get(key.simulator.url, "/api/v3/ticker/price?symbol=BTCUSDT").json["price"])


def near(key: BinanceKey, factor: str) -> str:
    return f"{(last(key) * Decimal(factor)).quantize(Decimal('0.01'))}"


def new(key: BinanceKey, side: str = "BUY", type: str = "MARKET", quantity: str | None = "0.1", **more: Any) -> Any:
    given = {"quantity": quantity} if quantity is not None else {}
    return key.ok("POST", "order", symbol="BTCUSDT", side=side, type=type, **given, **more)


def oco(key: BinanceKey, **more: Any) -> Any:
    prices = {"abovePrice": near(key, "1.01"), "belowStopPrice": near(key, "0.99"), "belowPrice": near(key, "0.985")}
    kinds = {"aboveType": "LIMIT_MAKER", "belowType": "STOP_LOSS_LIMIT", "belowTimeInForce": "GTC"}
    return key.ok("POST", "orderList/oco", symbol="BTCUSDT", side="SELL", quantity="0.5", **{**prices, **kinds, **more})


def resting(key: BinanceKey, **more: Any) -> Any:
    return new(key, type="LIMIT", timeInForce="GTC", price=near(key, "0.9"), **more)


def cancel(key: BinanceKey, number: int, **more: Any) -> Any:
    return key.ok("DELETE", "order", symbol="BTCUSDT", orderId=number, **more)


def replaced(key: BinanceKey, number: int, **more: Any) -> Seen:
    given = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1"}
    price = {"price": near(key, "0.95")}
    mode = {"cancelReplaceMode": "STOP_ON_FAILURE"}
    return key.call("POST", "order/cancelReplace", **{**given, **price, **mode, "cancelOrderId": number, **more})
