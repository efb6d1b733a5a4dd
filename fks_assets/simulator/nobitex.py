"""Nobitex's public REST API: rial everywhere but in candles, which are in toman. A source's IRT markets are in toman."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from fks_assets.simulator.answers import Answer, Refusal, as_answer
from fks_assets.simulator.api import Params, PublicHandler
from fks_assets.simulator.book import day_figures, order_book
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import BINANCE_INTERVALS
from fks_assets.simulator.tape import NS_PER_MS, last_trades
from fks_assets.simulator.trading.money import text, whole
from fks_assets.simulator.udf import Candle, candles, history, seconds, tehran_days

RESOLUTIONS = {"1": "1m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "D": "1d"}
PAGE_ROWS = 500
RIALS = 10
CODES = {"IRT": "rls", "USDT": "usdt"}
NAMES = {"BTC": "Bitcoin", "ETH": "Ethereum", "DOGE": "Dogecoin", "LTC": "Litecoin", "USDT": "Tether", "IRT": "﷼"}
_DEPTH = 40
_TRADES = 20


def error(code: str, message: str, status: int = 200, **more: Any) -> Answer:
    """Return the envelope of a failure, which comes with HTTP 200 most of the time."""
    return Answer(orjson.dumps({"status": "failed", "code": code, "message": message, **more}), status)


def missing() -> Answer:
    """Return the answer about something that does not exist."""
    return error("NotFound", "No Order matches the given query.", 404)


def market_id(instrument: Instrument) -> str:
    """Return the name of a market in paths and candles."""
    return instrument.base + instrument.quote


def pair(instrument: Instrument) -> str:
    """Return the name of a market in statistics."""
    return f"{instrument.base.lower()}-{CODES[instrument.quote]}"


def listed(exchange: SimulatedExchange) -> list[Instrument]:
    """Return the markets in rial and tether that trade now."""
    return [one for one in exchange.open_markets() if one.quote in CODES]


def instrument_of(exchange: SimulatedExchange, params: Params) -> Instrument:
    """Return the market that a request names by symbol or by both of its coins; refuse an unknown one."""
    found = named(exchange, params)
    if found is None:
        raise Refusal(error("InvalidSymbol" if "symbol" in params else "InvalidMarketPair", "The market pair is not valid."))
    return found


def named(exchange: SimulatedExchange, params: Params) -> Instrument | None:
    """Return the market that a request names, None for an unknown one."""
    coins = params.get("srcCurrency", "").lower(), params.get("dstCurrency", "").lower()
    return next(
        (
            one
            for one in listed(exchange)
            if params.get("symbol") == market_id(one) or coins == (one.base.lower(), CODES[one.quote])
        ),
        None,
    )


def in_rial(instrument: Instrument, value: Decimal) -> Decimal:
    """Return a price or value as the API tells it: in rial where the market is in toman."""
    return value * RIALS if instrument.quote == "IRT" else value


def options(exchange: SimulatedExchange, params: Params) -> Answer:
    found = listed(exchange)
    coins = sorted({coin for one in found for coin in (one.base, one.quote)})
    return _result(
        {
            "features": {"enabledFeatures": ["StopLoss", "OCO"], "betaFeatures": []},
            "coins": [{"coin": CODES.get(coin, coin.lower()), "name": "Rial" if coin == "IRT" else name(coin)} for coin in coins],
            "nobitex": {
                "minOrders": {"rls": "3000000", "usdt": "11"},
                "amountPrecisions": {market_id(one): text(whole(1, one.size_decimals), 0) for one in found},
                "pricePrecisions": {market_id(one): text(in_rial(one, whole(1, one.price_decimals)), 0) for one in found},
            },
        },
        len(found),
    )


def stats(exchange: SimulatedExchange, params: Params) -> Answer:
    asked = [instrument_of(exchange, params)] if "srcCurrency" in params else listed(exchange)
    return _result({"stats": {pair(one): _stats(exchange, one) for one in asked}}, len(asked))


def orderbook(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    now = exchange.seen_ms(instrument)
    book = order_book(exchange.source, instrument, now)
    sides = {"asks": (book.ask_prices, book.ask_sizes), "bids": (book.bid_prices, book.bid_sizes)}
    levels = {
        side: [
            [_price(instrument, price), text(whole(size, instrument.size_decimals), 0)]
            for price, size in zip(prices[:_DEPTH].tolist(), sizes[:_DEPTH].tolist(), strict=True)
        ]
        for side, (prices, sizes) in sides.items()
    }
    last = day_figures(exchange.source, instrument, now).last
    return _result({"lastUpdate": now, "lastTradePrice": _figure(instrument, last), **levels})


def trades(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    tape = last_trades(exchange.source, instrument, exchange.seen_ms(instrument), _TRADES)
    rows = [
        {
            "time": time_ns // NS_PER_MS,
            "price": _price(instrument, price),
            "volume": text(whole(size, instrument.size_decimals), 0),
            "type": "sell" if is_buyer_maker else "buy",
        }
        for _, time_ns, price, size, is_buyer_maker in tape.rows()
    ]
    return _result({"trades": rows[::-1]}, len(rows))


def udf_history(exchange: SimulatedExchange, params: Params) -> Answer:
    """Return a page of candles, the first page with the newest; page and countback work as TradingView's charts want them."""
    instrument, resolution = named(exchange, params), RESOLUTIONS.get(params.get("resolution", ""))
    if resolution is None or instrument is None:
        return as_answer({"s": "error", "errmsg": "Invalid symbol!" if instrument is None else "Invalid resolution!"})
    page, end = params.get("page", "1"), seconds(params.get("to", ""))
    start = 0 if "countback" in params else seconds(params.get("from", "0"))
    if end is None or start is None or not page.isdecimal() or int(page) < 1:
        return as_answer({"s": "error", "errmsg": "Invalid parameters!"})
    rows: list[Candle]
    if resolution == "1d":
        rows = tehran_days(exchange, instrument, start, end)
    else:
        rows = candles(exchange, instrument, BINANCE_INTERVALS[resolution], start, end)
    if params.get("countback", "").isdecimal():
        rows = rows[-int(params["countback"]) :]
    last = len(rows) - (int(page) - 1) * PAGE_ROWS
    return history(rows[max(0, last - PAGE_ROWS) : max(0, last)], float)


def name(coin: str) -> str:
    """Return the full name of a coin, its code where it has none."""
    return NAMES.get(coin, coin)


def _stats(exchange: SimulatedExchange, instrument: Instrument) -> dict[str, Any]:
    now = exchange.seen_ms(instrument)
    day, book = day_figures(exchange.source, instrument, now), order_book(exchange.source, instrument, now)
    figures = {
        "latest": day.last,
        "mark": day.last,
        "dayLow": day.low,
        "dayHigh": day.high,
        "dayOpen": day.open,
        "dayClose": day.last,
    }
    return {
        "isClosed": False,
        "bestSell": _price(instrument, int(book.ask_prices[0])),
        "bestBuy": _price(instrument, int(book.bid_prices[0])),
        "volumeSrc": f"{day.volume:.10f}",
        "volumeDst": text(in_rial(instrument, Decimal(f"{day.quote_volume:.8f}")), 10),
        **{key: _figure(instrument, value) for key, value in figures.items()},
        "dayChange": f"{(day.last / day.open - 1) * 100:.2f}",
    }


def _price(instrument: Instrument, ticks: int) -> str:
    return text(in_rial(instrument, whole(ticks, instrument.price_decimals)), 0)


def _figure(instrument: Instrument, value: float) -> str:
    return text(in_rial(instrument, Decimal(f"{value:.{instrument.price_decimals}f}")), 0)


def _result(content: dict[str, Any], rows: int = 0) -> Answer:
    return as_answer({"status": "ok", **content}, rows)


ENDPOINTS: Mapping[str, PublicHandler] = {
    "options": options,
    "stats": stats,
    "orderbook": orderbook,
    "trades": trades,
    "history": udf_history,
}
