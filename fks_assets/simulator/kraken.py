"""Kraken's public spot REST API: paths below /0/public. Failures come inside HTTP 200."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import orjson

from fks_assets.clock import iso, to_datetime
from fks_assets.simulator.answers import Answer, Refusal, kraken_error
from fks_assets.simulator.book import day_figures, order_book
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument, kraken_asset, kraken_code
from fks_assets.simulator.intervals import DAY_MS, KRAKEN_INTERVALS, Interval
from fks_assets.simulator.rendering import decimal_text
from fks_assets.simulator.source import last_price, read_page
from fks_assets.simulator.tape import NS_PER_MS, last_trades, oldest_trades

Params = Mapping[str, str]
Handler = Callable[[SimulatedExchange, Params], Answer]
HISTORY_ROWS = 720
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]*)?")
_NANOSECONDS_FROM = 10**14
_FEES = [[0, 0.4], [10_000, 0.35], [50_000, 0.24], [100_000, 0.22], [250_000, 0.2], [500_000, 0.18], [1_000_000, 0.16]]
_MAKER_FEES = [[0, 0.25], [10_000, 0.2], [50_000, 0.14], [100_000, 0.12], [250_000, 0.1], [500_000, 0.08], [1_000_000, 0.06]]


def symbol_of(exchange: SimulatedExchange, params: Params) -> str:
    """Return the desk's symbol (`BTC-USDT`) of a request, empty when it names none that is known."""
    name = params.get("pair", "")
    return next((one.symbol for one in exchange.source.instruments.values() if name in _names(one)), "")


def timeframe_of(params: Params) -> str:
    """Return the desk's name of the interval of a request, or the number as sent."""
    sent = params.get("interval", "")
    interval = KRAKEN_INTERVALS.get(int(sent)) if sent.isdecimal() else None
    return sent if interval is None else interval.name


def server_time(exchange: SimulatedExchange, params: Params) -> Answer:
    told = exchange.clock.told_ms()
    return _result({"unixtime": told // 1000, "rfc1123": to_datetime(told).strftime("%a, %d %b %y %H:%M:%S +0000")})


def system_status(exchange: SimulatedExchange, params: Params) -> Answer:
    return _result({"status": "online", "timestamp": iso(exchange.clock.told_ms())}, exchange)


def assets(exchange: SimulatedExchange, params: Params) -> Answer:
    names = sorted({name for instrument in exchange.open_markets() for name in (instrument.base, instrument.quote)})
    found = {kraken_asset(name): _asset(name) for name in names}
    return _result(found, exchange, rows=len(found))


def asset_pairs(exchange: SimulatedExchange, params: Params) -> Answer:
    asked = [instrument_of(exchange, name) for name in params["pair"].split(",")] if "pair" in params else exchange.open_markets()
    return _result({instrument.kraken_id: _pair(instrument) for instrument in asked}, exchange, rows=len(asked))


def ohlc(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params.get("pair", ""))
    minutes = params.get("interval", "1")
    interval = KRAKEN_INTERVALS.get(int(minutes)) if minutes.isdecimal() else None
    if interval is None:
        raise Refusal(kraken_error("EGeneral:Invalid arguments"))
    now = exchange.seen_ms(instrument)
    since = _since_ns(params)
    first = 0 if since is None else max(since // NS_PER_MS + 1, 0)
    page = read_page(
        exchange.source,
        instrument,
        interval,
        first_ms=first,
        last_ms=now,
        now_ms=now,
        limit=HISTORY_ROWS,
        newest=True,
        with_running=False,
    )
    times = page.open_times()
    rows = [row for row in (page.rows("kraken"), _running_row(exchange, instrument, interval, now, first)) if row]
    last = int(times[-1]) // 1000 if len(times) else max(first - 1, 0) // 1000
    body = b'{"error":[],"result":{%b:[%b],"last":%d}}' % (orjson.dumps(instrument.kraken_id), b",".join(rows), last)
    return Answer(body, rows=len(page) + len(rows) - bool(len(page)))


def ticker(exchange: SimulatedExchange, params: Params) -> Answer:
    names = params["pair"].split(",") if params.get("pair") else []
    asked = [instrument_of(exchange, name) for name in names] or exchange.open_markets()
    return _result({instrument.kraken_id: _ticker(exchange, instrument) for instrument in asked}, rows=len(asked))


def depth(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params.get("pair", ""))
    count = _count(params, 100, 500)
    now = exchange.seen_ms(instrument)
    book = order_book(exchange.source, instrument, now)
    sides = {"asks": (book.ask_prices, book.ask_sizes), "bids": (book.bid_prices, book.bid_sizes)}
    levels = {
        side: [
            [_price(instrument, price), _lots(instrument, size, 3), now // 1000]
            for price, size in zip(prices[:count].tolist(), sizes[:count].tolist(), strict=True)
        ]
        for side, (prices, sizes) in sides.items()
    }
    return _result({instrument.kraken_id: levels})


def trades(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params.get("pair", ""))
    count = _count(params, 1000, 1000)
    now = exchange.seen_ms(instrument)
    since = _since_ns(params)
    if since is None:
        tape = last_trades(exchange.source, instrument, now, count)
    else:
        tape = oldest_trades(exchange.source, instrument, since + 1, now, count)
    found = [
        [_price(instrument, price), _lots(instrument, size, 8), time_ns / 10**9, "s" if is_buyer_maker else "b", "l", "", number]
        for number, time_ns, price, size, is_buyer_maker in tape.rows()
    ]
    last = int(tape.time_ns[-1]) if found else now * NS_PER_MS if since is None else since
    return _result({instrument.kraken_id: found, "last": str(last)}, rows=len(found))


def _running_row(exchange: SimulatedExchange, instrument: Instrument, interval: Interval, now_ms: int, first_ms: int) -> bytes:
    """Return the running candle's row; generated markets have one even before its first trade, as the exchange does."""
    open_ms = interval.floor(now_ms)
    if open_ms < first_ms:
        return b""
    running = exchange.source.running(instrument, interval, now_ms)
    if running is not None:
        return running.rendered("kraken").rows(0, 1)
    if exchange.source.kind == "replayed":
        return b""
    price = decimal_text(last_price(exchange.source, instrument, now_ms), instrument.price_decimals, instrument.price_decimals)
    return orjson.dumps([open_ms // 1000, price, price, price, price, "0.0", "0.00000000", 0])


def _ticker(exchange: SimulatedExchange, instrument: Instrument) -> dict[str, Any]:
    now_ms = exchange.seen_ms(instrument)
    book = order_book(exchange.source, instrument, now_ms)
    day = day_figures(exchange.source, instrument, now_ms)
    today = day_figures(exchange.source, instrument, now_ms, start_ms=now_ms - now_ms % DAY_MS)
    places = max(5, instrument.price_decimals)

    def best(price: np.int64, size: np.int64) -> list[str]:
        lots = _lots(instrument, int(size), 3)
        return [decimal_text(int(price), instrument.price_decimals, places), lots.partition(".")[0], lots]

    def average(quote: float, volume: float) -> str:
        return f"{quote / volume if volume else 0:.{places}f}"

    return {
        "a": best(book.ask_prices[0], book.ask_sizes[0]),
        "b": best(book.bid_prices[0], book.bid_sizes[0]),
        "c": [f"{day.last:.{places}f}", f"{day.last_size:.8f}"],
        "v": [f"{today.volume:.8f}", f"{day.volume:.8f}"],
        "p": [average(today.quote_volume, today.volume), average(day.quote_volume, day.volume)],
        "t": [today.trades, day.trades],
        "l": [f"{today.low:.{places}f}", f"{day.low:.{places}f}"],
        "h": [f"{today.high:.{places}f}", f"{day.high:.{places}f}"],
        "o": f"{today.open:.{places}f}",
    }


def _asset(name: str) -> dict[str, Any]:
    is_old = kraken_asset(name) != kraken_code(name)
    return {
        "aclass": "currency",
        "altname": kraken_code(name),
        "decimals": 10 if is_old else 8,
        "display_decimals": 5,
        "status": "enabled",
    }


def _pair(instrument: Instrument) -> dict[str, Any]:
    price, size = instrument.price_decimals, instrument.size_decimals
    return {
        "altname": instrument.kraken_altname,
        "wsname": f"{kraken_code(instrument.base)}/{kraken_code(instrument.quote)}",
        "aclass_base": "currency",
        "base": kraken_asset(instrument.base),
        "aclass_quote": "currency",
        "quote": kraken_asset(instrument.quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": price,
        "lot_decimals": size,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": _FEES,
        "fees_maker": _MAKER_FEES,
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": f"{10.0**-size:.{size}f}",
        "costmin": str(instrument.min_notional),
        "tick_size": f"{10.0**-price:.{price}f}",
        "status": "online",
        "long_position_limit": 0,
        "short_position_limit": 0,
    }


def _result(content: Any, exchange: SimulatedExchange | None = None, rows: int = 0) -> Answer:
    marker = {} if exchange is None else {"simulator": exchange.marker()}
    return Answer(orjson.dumps({"error": [], "result": content, **marker}), rows=rows)


def _names(instrument: Instrument) -> tuple[str, str, str]:
    return instrument.kraken_id, instrument.kraken_altname, f"{kraken_code(instrument.base)}/{kraken_code(instrument.quote)}"


def instrument_of(exchange: SimulatedExchange, name: str) -> Instrument:
    """Return the trading market of a pair name of any spelling; refuse an unknown one."""
    if not name:
        raise Refusal(kraken_error("EGeneral:Invalid arguments"))
    for instrument in exchange.open_markets():
        if name in _names(instrument):
            return instrument
    raise Refusal(kraken_error("EQuery:Unknown asset pair"))


def _since_ns(params: Params) -> int | None:
    """Return `since` in ns: it is sent in seconds, or in ns as `last` gives it."""
    sent = params.get("since", "")
    if not sent:
        return None
    if not _NUMBER.fullmatch(sent.removeprefix("-")):
        raise Refusal(kraken_error("EGeneral:Invalid arguments:since"))
    value = Decimal(sent)
    return int(value) if value >= _NANOSECONDS_FROM else int(value * 10**9)


def _count(params: Params, default: int, most: int) -> int:
    sent = params.get("count", str(default))
    if not sent.isdecimal() or int(sent) < 1:
        raise Refusal(kraken_error("EGeneral:Invalid arguments:count"))
    return min(int(sent), most)


def _price(instrument: Instrument, ticks: int) -> str:
    return decimal_text(ticks, instrument.price_decimals, max(5, instrument.price_decimals))


def _lots(instrument: Instrument, lots: int, places: int) -> str:
    return decimal_text(lots, instrument.size_decimals, max(places, instrument.size_decimals))


ENDPOINTS: dict[str, Handler] = {
    "Time": server_time,
    "SystemStatus": system_status,
    "Assets": assets,
    "AssetPairs": asset_pairs,
    "OHLC": ohlc,
    "Ticker": ticker,
    "Depth": depth,
    "Trades": trades,
}
