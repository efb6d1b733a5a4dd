"""Print rows of whole numbers as the exchanges' JSON rows, many rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from fks_assets.simulator.bars import Bars
from fks_assets.simulator.instruments import Instrument

_BINANCE_DECIMALS = 8
_KRAKEN_SIZE_DECIMALS = 8
_POINT = np.array(b".")
_PADDED = {digits: np.array([f"{number:0{digits}d}" for number in range(10**digits)], f"S{digits}") for digits in (1, 2, 3, 4)}
_LAST_GROUP = np.array([f"{number:\0>4}" for number in range(10_000)], "S4")
_LEADING_GROUP = np.where(np.arange(10_000) == 0, b"", _LAST_GROUP).astype("S4")


@dataclass(frozen=True, slots=True, eq=False)
class RenderedRows:
    """JSON rows, each followed by a comma, in one buffer; row i is `text[offsets[i] : offsets[i + 1]]`."""

    text: bytes
    offsets: np.ndarray

    def rows(self, start: int, stop: int) -> bytes:
        """Return rows start..stop with the comma after the last one left off, so that they fit between brackets."""
        return self.text[self.offsets[start] : self.offsets[stop] - 1] if stop > start else b""


def rendered_lines(lines: Sequence[bytes]) -> RenderedRows:
    """Return rows that are already printed (without commas) in the same form."""
    offsets = np.zeros(len(lines) + 1, np.int64)
    np.cumsum([len(line) + 1 for line in lines], out=offsets[1:])
    return RenderedRows(b"".join(line + b"," for line in lines), offsets)


def binance_rows(bars: Bars, instrument: Instrument, close_times: np.ndarray) -> RenderedRows:
    """Print klines; `close_times` are the excluded ends in ms. The taker's share follows from where the candle closed."""
    price, size = instrument.price_decimals, instrument.size_decimals
    span = np.maximum(bars.high - bars.low, 1)
    taker = np.clip(0.5 + 0.2 * (bars.close - bars.open) / span, 0.3, 0.7)
    taker_base = np.minimum((bars.volume * taker).astype(np.int64), bars.volume)
    taker_quote = np.minimum((bars.quote * taker).astype(np.int64), bars.quote)
    prices = (bars.open, bars.high, bars.low, bars.close)
    if len(bars) == 1:
        texts = [decimal_text(int(column[0]), price, _BINANCE_DECIMALS) for column in prices]
        texts.append(decimal_text(int(bars.volume[0]), size, _BINANCE_DECIMALS))
        quote, taken = (decimal_text(int(column[0]), price + size, _BINANCE_DECIMALS) for column in (bars.quote, taker_quote))
        times = (int(bars.open_time[0]), int(close_times[0]) - 1)
        base = decimal_text(int(taker_base[0]), size, _BINANCE_DECIMALS)
        row = [times[0], *texts, times[1], quote, int(bars.trades[0]), base, taken, "0"]
        return rendered_lines([orjson.dumps(row)])
    fields: list[bytes | list[np.ndarray]] = [b"[", _whole_number(bars.open_time), b',"']
    for column in prices:
        fields += [_decimal(column, price, _BINANCE_DECIMALS), b'","']
    fields += [_decimal(bars.volume, size, _BINANCE_DECIMALS), b'",', _whole_number(close_times - 1), b',"']
    fields += [_decimal(bars.quote, price + size, _BINANCE_DECIMALS), b'",', _whole_number(bars.trades), b',"']
    fields += [_decimal(taker_base, size, _BINANCE_DECIMALS), b'","', _decimal(taker_quote, price + size, _BINANCE_DECIMALS)]
    return _assemble(len(bars), [*fields, b'","0"],'])


def kraken_rows(bars: Bars, instrument: Instrument) -> RenderedRows:
    """Print OHLC rows; a row without trades has a vwap of zero, as the exchange sends it."""
    price, size = instrument.price_decimals, instrument.size_decimals
    vwap = np.where(bars.volume > 0, bars.quote // np.maximum(bars.volume, 1), 0)
    fields: list[bytes | list[np.ndarray]] = [b"[", _whole_number(bars.open_time // 1000), b',"']
    for column in (bars.open, bars.high, bars.low, bars.close, vwap):
        fields += [_decimal(column, price, price), b'","']
    fields += [_decimal(bars.volume, size, _KRAKEN_SIZE_DECIMALS), b'",', _whole_number(bars.trades)]
    return _assemble(len(bars), [*fields, b"],"])


def decimal_text(value: int, decimals: int, shown: int) -> str:
    """Return `value / 10**decimals` in digits with `shown` (at least `decimals`) places, without any rounding."""
    digits = f"{value:0{decimals + 1}d}"
    fraction = digits[len(digits) - decimals :] + "0" * (shown - decimals)
    return f"{digits[: len(digits) - decimals]}.{fraction}" if shown else digits


def _decimal(values: np.ndarray, decimals: int, shown: int) -> list[np.ndarray]:
    """Return the columns of characters of `values / 10**decimals`, NUL where nothing is printed."""
    whole = values // 10**decimals if decimals else values
    columns = _whole_number(whole)
    if shown:
        columns.append(_POINT)
        fraction = (values - whole * 10**decimals) * 10 ** (shown - decimals)
        if shown > 4:
            upper = fraction // 10_000
            columns += [_PADDED[shown - 4][upper], _PADDED[4][fraction - upper * 10_000]]
        else:
            columns.append(_PADDED[shown][fraction])
    return columns


def _whole_number(values: np.ndarray) -> list[np.ndarray]:
    groups = -(-len(str(int(values.max(initial=0)))) // 4)
    columns: list[np.ndarray] = []
    rest = values
    for group in range(groups):
        higher = rest // 10_000
        part = rest - higher * 10_000
        leading = _LAST_GROUP if group == 0 else _LEADING_GROUP
        columns.append(np.where(higher == 0, leading[part], _PADDED[4][part]))
        rest = higher
    return columns[::-1]


def _assemble(rows: int, parts: Sequence[bytes | list[np.ndarray]]) -> RenderedRows:
    columns: list[np.ndarray] = []
    for part in parts:
        columns += [np.array(part)] if isinstance(part, bytes) else part
    table = np.empty(rows, [(f"c{number}", column.dtype) for number, column in enumerate(columns)])
    for number, column in enumerate(columns):
        table[f"c{number}"] = column
    characters = table.view(np.uint8).reshape(rows, table.dtype.itemsize)
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.count_nonzero(characters, axis=1), out=offsets[1:])
    return RenderedRows(characters.tobytes().translate(None, b"\x00"), offsets)
