"""Bodies of Wallex and Nobitex that are in their documentation but not among the recorded files, abridged where it says …"""

from typing import Any

from fks_assets_tests.shared_data import SHARED

# https://apidocs.nobitex.ir/#options: the keys and the values of BTCIRT, BTCUSDT and minOrders; other markets by the same form.
NOBITEX_OPTIONS: dict[str, Any] = {
    "status": "ok",
    "features": {"enabledFeatures": ["PriceAlert", "StopLoss", "GiftCard", "OCO"], "betaFeatures": []},
    "coins": [
        {"coin": coin, "name": name}
        for coin, name in (
            ("rls", "Rial"),
            ("btc", "Bitcoin"),
            ("doge", "Dogecoin"),
            ("ltc", "Litecoin"),
            ("usdt", "Tether"),
        )
    ],
    "nobitex": {
        "allCurrencies": ["rls", "btc", "doge", "ltc", "usdt"],
        "minOrders": {"rls": "3000000", "usdt": "11", "2": "3000000", "13": "11"},
        "amountPrecisions": {
            "BTCIRT": "0.000001",
            "BTCUSDT": "0.000001",
            "DOGEIRT": "1",
            "LTCIRT": "0.0001",
            "USDTIRT": "0.01",
        },
        "pricePrecisions": {"BTCIRT": "10", "BTCUSDT": "0.01", "DOGEIRT": "1", "LTCIRT": "10", "USDTIRT": "10"},
    },
}
# https://apidocs.nobitex.ir/#user-trades
NOBITEX_TRADES: dict[str, Any] = {
    "status": "ok",
    "trades": [
        {
            "id": 123412,
            "orderId": 1231222,
            "srcCurrency": "Tether",
            "dstCurrency": "﷼",
            "market": "USDT-RLS",
            "timestamp": "2022-07-05T09:57:38.560820+00:00",
            "type": "sell",
            "price": "316800",
            "amount": "57.3605",
            "total": "18171806.4",
            "fee": "27257.7096",
        }
    ],
    "hasNext": False,
}
# https://apidocs.nobitex.ir/#oco-order, an answer to amount 0.01, price 42390, stopPrice 42700, stopLimitPrice 42715.
NOBITEX_OCO: dict[str, Any] = {
    "status": "ok",
    "orders": [
        {
            "id": number,
            "type": "buy",
            "execution": execution,
            "market": "BTC-USDT",
            "srcCurrency": "Bitcoin",
            "dstCurrency": "Tether",
            "price": price,
            "amount": "0.01",
            "totalPrice": "0",
            "totalOrderPrice": value,
            "matchedAmount": "0",
            "unmatchedAmount": "0.01",
            "status": status,
            "created_at": "2022-04-10T10:12:38.402795+00:00",
            "pairId": twin,
            "clientOrderId": named,
            **more,
        }
        for number, execution, price, value, status, twin, named, more in (
            (27, "Limit", "42390", "423.9", "Active", 28, "order1", {}),
            (28, "StopLimit", "42715", "427.15", "Inactive", 27, None, {"param1": "42700"}),
        )
    ],
}
# https://api-docs.wallex.ir (2022), account trades.
WALLEX_TRADES: dict[str, Any] = {
    "success": True,
    "message": "The operation was successful",
    "result": {
        "AccountLatestTrades": [
            {
                "symbol": "BTCUSDT",
                "quantity": "0.0253800000000000",
                "price": "43437.2300000000000000",
                "sum": "1102.4369000000000000",
                "fee": "0.0000507600000000",
                "feeCoefficient": "0.0020000000000000",
                "feeAsset": "BTC",
                "isBuyer": True,
                "timestamp": "2021-05-29T07:55:06Z",
            }
        ]
    },
}


def body(path: str) -> bytes:
    """Return a file below data/api."""
    assert SHARED is not None
    return (SHARED / "data" / "api" / path).read_bytes()


def wallex_bodies(**other: Any) -> dict[str, Any]:
    """Return the documented bodies by the end of their path; keys of `other` name what a test replaces, with _ for /."""
    documented = {
        "v1/markets": body("wallex/documented/markets.json"),
        "v1/depth": body("wallex/documented/depth.json"),
        "v1/trades": body("wallex/documented/trades.json"),
        "udf/history": body("wallex/documented/udf_history.json"),
        "account/balances": body("wallex/documented/balances.json"),
        "account/orders": body("wallex/documented/order_new.json"),
        "LIMIT-670f7c34-d609-40d3-b98e-0150640d79cb": body("wallex/documented/order_new.json"),
        "account/openOrders": body("wallex/documented/open_orders.json"),
        "account/trades": WALLEX_TRADES,
    }
    return documented | {name.replace("_", "/"): value for name, value in other.items()}


def nobitex_bodies(**other: Any) -> dict[str, Any]:
    """Return the documented and recorded bodies by the end of their path, as `wallex_bodies` does."""
    documented = {
        "v2/options": NOBITEX_OPTIONS,
        "market/stats": body("nobitex/documented/market_stats.json"),
        "orderbook/BTCIRT": body("nobitex/documented/orderbook_v3.json"),
        "trades/BTCIRT": body("nobitex/documented/trades_v2.json"),
        "udf/history": body("nobitex/recorded/udf_history_BTCIRT_5m_2026-09.json"),
        "wallets/list": body("nobitex/documented/wallets_list.json"),
        "orders/add": body("nobitex/documented/order_add_limit.json"),
        "orders/status": body("nobitex/documented/order_status.json"),
        "orders/update-status": body("nobitex/documented/order_canceled.json"),
        "orders/list": body("nobitex/documented/orders_list.json"),
        "trades/list": NOBITEX_TRADES,
    }
    return documented | {name.replace("_", "/"): value for name, value in other.items()}
