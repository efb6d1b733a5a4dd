"""Venues on a wire: budgets that let everything through, keys that sign, orders to send, and answers as exchanges give them."""

import base64
import time
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import orjson

from fks_assets.exchanges.orders.binance import BinanceVenue
from fks_assets.exchanges.orders.kraken import KrakenVenue
from fks_assets.exchanges.orders.private_limits import VenueBudgets
from fks_assets.exchanges.orders.signing import ApiKey
from fks_assets.exchanges.orders.venue import VenueOrder
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, OrderType, Side, client_order_id
from fks_assets_tests.orders.wire import Said, Sent

NOW_MS = 1_763_683_200_000  # 2025-11-21 00:00:00 UTC
SECRET = base64.b64encode(b"canary-secret-of-an-account").decode()
KEY = ApiKey("canary-key", SECRET)
VENUES: dict[str, type[BinanceVenue] | type[KrakenVenue]] = {"binance": BinanceVenue, "kraken": KrakenVenue}
_BEGAN = time.monotonic()
MARKETS = {"binance": Market("BTC", "USDT", "binance"), "kraken": Market("BTC", "USD", "kraken")}


class OpenBudget:
    """Lets everything through and writes down what it was told."""

    def __init__(self) -> None:
        self.acquired: list[tuple[int, bool]] = []
        self.blocks: list[float] = []

    async def acquire(self, weight: int, patience: float, *, urgent: bool = False) -> None:
        self.acquired.append((weight, urgent))

    async def block(self, seconds: float, reason: str) -> None:
        self.blocks.append(seconds)

    async def report_used(self, weight: int, seconds_left: float) -> None:
        pass


def budgets() -> VenueBudgets:
    return VenueBudgets(OpenBudget(), OpenBudget(), OpenBudget())


def an_id(number: int = 0) -> str:
    return client_order_id("main", "breakout/1h", "BTC-USDT@binance", NOW_MS, Leg.ENTRY, number)


def an_order(dialect: str, type_: OrderType = OrderType.MARKET, side: Side = Side.BUY, number: int = 0) -> VenueOrder:
    waits = type_ in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT)
    limited = type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    return VenueOrder(
        MARKETS[dialect],
        an_id(number),
        side,
        type_,
        Decimal("0.00150"),
        Decimal("59990.0") if limited else None,
        Decimal("60000.10") if waits else None,
    )


def passing_ms() -> int:
    """Return the one time of exchange and machine, which goes on: neither waits for a busy machine."""
    return NOW_MS + round((time.monotonic() - _BEGAN) * 1000)


def clock_answer(dialect: str, now_ms: int) -> Said:
    if dialect == "kraken":
        return Said(orjson.dumps({"error": [], "result": {"unixtime": now_ms // 1000, "rfc1123": ""}}))
    return Said(orjson.dumps({"serverTime": now_ms}))


def clocked(dialect: str, script: Callable[[Sent], Said], now_ms: Callable[[], int] = passing_ms) -> Callable[[Sent], Said]:
    """Return a script that tells the time and leaves everything else to another."""
    return lambda sent: clock_answer(dialect, now_ms()) if sent.endpoint in ("time", "Time") else script(sent)


async def with_venue(dialect: str, url: str, work: Callable[[Any], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Return what the work makes of a venue at this URL, whose machine's clock agrees with the exchange's."""
    profile = ExchangeProfile(
        dialect, dialect, url, **{"deadline_seconds": 3.0, "patience_seconds": 2.0, **options.pop("profile", {})}
    )
    options = {"wall_ms": passing_ms, **options}
    async with VENUES[dialect](profile, KEY, options.pop("budgets", budgets()), [MARKETS[dialect]], **options) as venue:
        return await work(venue)


def accepted_body(dialect: str, sent: Sent) -> bytes:
    """Return what the exchange says about an order that it has taken, from its documentation."""
    if dialect == "kraken":
        return orjson.dumps({"error": [], "result": {"descr": {"order": "buy"}, "txid": ["OUF4EM-FRGI2-MQMWZD"]}})
    return orjson.dumps(
        {
            "symbol": sent.params["symbol"],
            "orderId": 28,
            "orderListId": -1,
            "clientOrderId": sent.params["newClientOrderId"],
            "transactTime": NOW_MS,
            "price": "0.00000000",
            "origQty": sent.params["quantity"],
            "executedQty": sent.params["quantity"],
            "cummulativeQuoteQty": "90.00000000",
            "status": "FILLED",
            "timeInForce": "GTC",
            "type": sent.params["type"],
            "side": sent.params["side"],
            "fills": [
                {"price": "59999.99", "qty": "0.00100", "commission": "0.06", "commissionAsset": "USDT", "tradeId": 56},
                {"price": "60000.00", "qty": "0.00050", "commission": "0.03", "commissionAsset": "USDT", "tradeId": 57},
            ],
        }
    )
