"""Binance's exchangeInfo: limits and the trading rules of every market."""

from typing import Any

from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.trading.settings import TradingSettings

_ORDER_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
_SELF_TRADE_PREVENTION = ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"]
_PRICE_MULTIPLIERS = {"bidMultiplierUp": "5", "bidMultiplierDown": "0.2", "askMultiplierUp": "5", "askMultiplierDown": "0.2"}
_TRAILING = {
    "minTrailingAboveDelta": 10,
    "maxTrailingAboveDelta": 2000,
    "minTrailingBelowDelta": 10,
    "maxTrailingBelowDelta": 2000,
}


def exchange_info(exchange: SimulatedExchange, instruments: list[Instrument]) -> dict[str, Any]:
    """Return the exchangeInfo of the given markets; the key `simulator` marks it as simulated."""
    limits = exchange.limiter.binance
    return {
        "timezone": "UTC",
        "serverTime": exchange.clock.told_ms(),
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": int(limits.weight)},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": int(limits.orders_10s)},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": int(limits.orders_1d)},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61_000},
        ],
        "exchangeFilters": [],
        "symbols": [_rules(exchange, instrument) for instrument in instruments],
        "simulator": exchange.marker(),
    }


def _rules(exchange: SimulatedExchange, instrument: Instrument) -> dict[str, Any]:
    is_trading = exchange.trading.is_trading(instrument)
    return {
        "symbol": instrument.binance_id,
        "status": "TRADING" if is_trading else "BREAK",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _ORDER_TYPES,
        "icebergAllowed": False,
        "ocoAllowed": True,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": False,
        "isSpotTradingAllowed": is_trading,
        "isMarginTradingAllowed": False,
        "filters": _filters(instrument, exchange.trading.settings),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": _SELF_TRADE_PREVENTION,
    }


def _filters(instrument: Instrument, settings: TradingSettings) -> list[dict[str, Any]]:
    tick, lot = (f"{10.0**-decimals:.8f}" for decimals in (instrument.price_decimals, instrument.size_decimals))
    notional = {"minNotional": f"{instrument.min_notional:.8f}", "maxNotional": "9000000.00000000"}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000.00000000", "stepSize": lot},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "1000000.00000000", "stepSize": "0.00000000"},
        {"filterType": "TRAILING_DELTA", **_TRAILING},
        {"filterType": "PERCENT_PRICE_BY_SIDE", **_PRICE_MULTIPLIERS, "avgPriceMins": 5},
        {"filterType": "NOTIONAL", **notional, "applyMinToMarket": True, "applyMaxToMarket": False, "avgPriceMins": 5},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": settings.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": settings.max_algo_orders},
    ]
