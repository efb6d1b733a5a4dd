"""Binance's public spot REST API: paths below /api/v3, their weights, answers and refusals."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from fks_assets.simulator.answers import Answer, Refusal, as_answer, binance_error
from fks_assets.simulator.binance_params import Params, illegal, instrument_of, invalid, limit_of, number, required
from fks_assets.simulator.binance_rules import exchange_info
from fks_assets.simulator.book import DayFigures, day_figures, order_book
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import BINANCE_INTERVALS, DAY_MS
from fks_assets.simulator.rendering import decimal_text
from fks_assets.simulator.source import last_price, read_page
from fks_assets.simulator.tape import NS_PER_MS, last_trades, oldest_trades

_NUMBER = re.compile(r"[0-9]{1,20}")
_FOREVER = 2**53


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler, its weight for given parameters, and which parameters name market and interval (for journal and faults)."""

    answer: Callable[[SimulatedExchange, Params], Answer]
    weight: Callable[[Params], int]


def symbol_of(exchange: SimulatedExchange, params: Params) -> str:
    """Return the desk's symbol (`BTC-USDT`) of a request, empty when it names none that is known."""
    name = params.get("symbol", "")
    return next((one.symbol for one in exchange.source.instruments.values() if one.binance_id == name), "")


def timeframe_of(params: Params) -> str:
    """Return the interval name of a request, empty when it names none."""
    return params.get("interval", "")


def ping(exchange: SimulatedExchange, params: Params) -> Answer:
    _no_parameters(params)
    return as_answer({})


def server_time(exchange: SimulatedExchange, params: Params) -> Answer:
    _no_parameters(params)
    return as_answer({"serverTime": exchange.clock.told_ms()})


def info(exchange: SimulatedExchange, params: Params) -> Answer:
    return as_answer(exchange_info(exchange, _asked(exchange, params) or exchange.listed()))


def klines(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    name = required(params, "interval")
    if name not in BINANCE_INTERVALS:
        raise Refusal(binance_error(-1120, "Invalid interval."))
    if params.get("timeZone", "0") not in ("0", "00:00", "+00:00"):
        raise Refusal(invalid("timeZone", "; the simulator keeps UTC candles only"))
    start, end = number(params, "startTime"), number(params, "endTime")
    page = read_page(
        exchange.source,
        instrument,
        BINANCE_INTERVALS[name],
        first_ms=0 if start is None else min(start, _FOREVER),
        last_ms=_FOREVER if end is None else min(end, _FOREVER),
        now_ms=exchange.seen_ms(instrument),
        limit=limit_of(params, 500, 1000),
        newest=start is None,
    )
    return Answer(page.body("binance"), rows=len(page))


def depth(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    count = limit_of(params, 100, 5000)
    now = exchange.seen_ms(instrument)
    book = order_book(exchange.source, instrument, now)
    return as_answer(
        {
            "lastUpdateId": now // 1000,
            "bids": _levels(instrument, book.bid_prices[:count].tolist(), book.bid_sizes[:count].tolist()),
            "asks": _levels(instrument, book.ask_prices[:count].tolist(), book.ask_sizes[:count].tolist()),
        }
    )


def trades(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    tape = last_trades(exchange.source, instrument, exchange.seen_ms(instrument), limit_of(params, 500, 1000))
    digits = instrument.price_decimals + instrument.size_decimals
    found = [
        {
            "id": number,
            "price": _price(instrument, price),
            "qty": _size(instrument, size),
            "quoteQty": decimal_text(price * size, digits, max(digits, 8)),
            "time": time_ns // NS_PER_MS,
            "isBuyerMaker": is_buyer_maker,
            "isBestMatch": True,
        }
        for number, time_ns, price, size, is_buyer_maker in tape.rows()
    ]
    return as_answer(found, rows=len(found))


def aggregate_trades(exchange: SimulatedExchange, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    count, now = limit_of(params, 500, 1000), exchange.seen_ms(instrument)
    start, end = number(params, "startTime"), number(params, "endTime")
    if "fromId" in params:
        raise Refusal(invalid("fromId", "; the simulator reads trades by time only"))
    until = now if end is None else min(end, now)
    if start is None:
        tape = last_trades(exchange.source, instrument, until, count)
    else:
        tape = oldest_trades(exchange.source, instrument, start * NS_PER_MS, until, count)
    found = [
        {
            "a": number,
            "p": _price(instrument, price),
            "q": _size(instrument, size),
            "f": number,
            "l": number,
            "T": time_ns // NS_PER_MS,
            "m": is_buyer_maker,
            "M": True,
        }
        for number, time_ns, price, size, is_buyer_maker in tape.rows()
    ]
    return as_answer(found, rows=len(found))


def ticker_price(exchange: SimulatedExchange, params: Params) -> Answer:
    def price(instrument: Instrument) -> dict[str, Any]:
        last = last_price(exchange.source, instrument, exchange.seen_ms(instrument))
        return {"symbol": instrument.binance_id, "price": _price(instrument, last)}

    return _one_or_many(exchange, params, price)


def ticker_book(exchange: SimulatedExchange, params: Params) -> Answer:
    def best(instrument: Instrument) -> dict[str, Any]:
        return {"symbol": instrument.binance_id, **_best(exchange, instrument)}

    return _one_or_many(exchange, params, best)


def ticker_24h(exchange: SimulatedExchange, params: Params) -> Answer:
    kind = params.get("type", "FULL")
    if kind not in ("FULL", "MINI"):
        raise Refusal(binance_error(-1139, "Invalid ticker type."))

    def figures(instrument: Instrument) -> dict[str, Any]:
        now = exchange.seen_ms(instrument)
        day = day_figures(exchange.source, instrument, now)
        mini = _mini(instrument, day, now)
        return mini if kind == "MINI" else {**mini, **_full(day), **_best(exchange, instrument)}

    return _one_or_many(exchange, params, figures)


def _mini(instrument: Instrument, day: DayFigures, now_ms: int) -> dict[str, Any]:
    first = (now_ms - DAY_MS) // 60_000 * 1_000_000
    return {
        "symbol": instrument.binance_id,
        "openPrice": f"{day.open:.8f}",
        "highPrice": f"{day.high:.8f}",
        "lowPrice": f"{day.low:.8f}",
        "lastPrice": f"{day.last:.8f}",
        "volume": f"{day.volume:.8f}",
        "quoteVolume": f"{day.quote_volume:.8f}",
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": first if day.trades else -1,
        "lastId": first + day.trades - 1 if day.trades else -1,
        "count": day.trades,
    }


def _full(day: DayFigures) -> dict[str, Any]:
    change = day.last - day.open
    return {
        "priceChange": f"{change:.8f}",
        "priceChangePercent": f"{change / day.open * 100:.3f}",
        "weightedAvgPrice": f"{day.quote_volume / day.volume if day.volume else 0:.8f}",
        "prevClosePrice": f"{day.open:.8f}",
        "lastQty": f"{day.last_size:.8f}",
    }


def _best(exchange: SimulatedExchange, instrument: Instrument) -> dict[str, Any]:
    if not exchange.trading.is_trading(instrument):
        return dict.fromkeys(("bidPrice", "bidQty", "askPrice", "askQty"), "0.00000000")
    book = order_book(exchange.source, instrument, exchange.seen_ms(instrument))
    return {
        "bidPrice": _price(instrument, int(book.bid_prices[0])),
        "bidQty": _size(instrument, int(book.bid_sizes[0])),
        "askPrice": _price(instrument, int(book.ask_prices[0])),
        "askQty": _size(instrument, int(book.ask_sizes[0])),
    }


def _one_or_many(exchange: SimulatedExchange, params: Params, figures: Callable[[Instrument], dict[str, Any]]) -> Answer:
    asked = _asked(exchange, params)
    if "symbol" in params and asked:
        return as_answer(figures(asked[0]), rows=1)
    found = [figures(instrument) for instrument in asked or exchange.open_markets()]
    return as_answer(found, rows=len(found))


def _asked(exchange: SimulatedExchange, params: Params) -> list[Instrument]:
    """Return the markets named by `symbol` or `symbols`, none when neither is given."""
    if "symbol" in params and "symbols" in params:
        raise Refusal(binance_error(-1128, "Combination of optional parameters invalid."))
    if "symbols" not in params:
        return [instrument_of(exchange, params)] if "symbol" in params else []
    try:
        names = orjson.loads(params["symbols"])
    except orjson.JSONDecodeError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise Refusal(illegal("symbols", r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$'))
    return [instrument_of(exchange, {"symbol": name}) for name in names]


def _no_parameters(params: Params) -> None:
    if params:
        raise Refusal(binance_error(-1101, f"Too many parameters; expected '0' and received '{len(params)}'."))


def _price(instrument: Instrument, ticks: int) -> str:
    return decimal_text(ticks, instrument.price_decimals, 8)


def _size(instrument: Instrument, lots: int) -> str:
    return decimal_text(lots, instrument.size_decimals, 8)


def _levels(instrument: Instrument, prices: list[int], sizes: list[int]) -> list[list[str]]:
    return [[_price(instrument, price), _size(instrument, size)] for price, size in zip(prices, sizes, strict=True)]


def _depth_weight(params: Params) -> int:
    limit = int(params["limit"]) if _NUMBER.fullmatch(params.get("limit", "")) else 100
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)


def _ticker_weight(params: Params) -> int:
    return 2 if "symbol" in params else 4


def _day_ticker_weight(params: Params) -> int:
    if "symbol" in params:
        return 2
    count = params["symbols"].count('"') // 2 if "symbols" in params else 101
    return 2 if count <= 20 else 40 if count <= 100 else 80


ENDPOINTS: dict[str, Endpoint] = {
    "ping": Endpoint(ping, lambda _: 1),
    "time": Endpoint(server_time, lambda _: 1),
    "exchangeInfo": Endpoint(info, lambda _: 20),
    "klines": Endpoint(klines, lambda _: 2),
    "depth": Endpoint(depth, _depth_weight),
    "trades": Endpoint(trades, lambda _: 25),
    "aggTrades": Endpoint(aggregate_trades, lambda _: 4),
    "ticker/price": Endpoint(ticker_price, _ticker_weight),
    "ticker/24hr": Endpoint(ticker_24h, _day_ticker_weight),
    "ticker/bookTicker": Endpoint(ticker_book, _ticker_weight),
}
