"""Read recorded candle files: Binance JSON arrays, Binance vision CSV, Kraken OHLCVT CSV. Nothing is repaired or filled."""

import gzip
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson

from fks_assets.errors import InvalidInput
from fks_assets.simulator.instruments import common_code
from fks_assets.simulator.intervals import BINANCE_INTERVALS, MINUTE_MS, Interval

_JSON = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)-(\d+[mhdwM])\.json(?:\.gz)?")
_VISION = re.compile(r"([A-Z0-9]+)-(\d+[mhdwM])-\d{4}-\d{2}(?:-\d{2})?\.csv(?:\.gz)?")
_KRAKEN = re.compile(r"([A-Z0-9]+)_(\d+)\.csv(?:\.gz)?")
_BINANCE_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "EUR", "GBP", "TRY", "BTC", "ETH", "BNB")
_KRAKEN_QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "JPY", "CAD", "AUD", "CHF", "XBT", "ETH")
_MICROSECONDS_FROM = 10**14
_NOT_RECORDED = ("0", "0", "0", "0")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Recorded candles: int64 open times in ms, float64 (rows, 5) values, and where the file holds text, that text.

    `texts` are open, high, low, close, volume; `extras` quote turnover, trades, taker base and taker quote turnover.
    """

    open_time: np.ndarray
    values: np.ndarray
    texts: np.ndarray | None = None
    extras: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.open_time)

    def take(self, selector: np.ndarray | slice) -> "Rows":
        """Return the rows chosen by a mask, indices or a slice."""
        texts, extras = (None if part is None else part[selector] for part in (self.texts, self.extras))
        return Rows(self.open_time[selector], self.values[selector], texts, extras)

    def printed(self) -> list[tuple[str, ...]]:
        """Return the five values of each row as recorded, or as the shortest text that reads back as the same number."""
        source = self.values if self.texts is None else self.texts
        return [tuple(map(_plain, row)) for row in source.tolist()]

    def more(self) -> list[tuple[str, ...]]:
        """Return the four further values of each row; zeros where they were not recorded."""
        return [_NOT_RECORDED] * len(self) if self.extras is None else [tuple(row) for row in self.extras.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """All rows of one market and interval, sorted by open time, each time once."""

    base: str
    quote: str
    interval: Interval
    rows: Rows

    @property
    def symbol(self) -> str:
        return f"{self.base}-{self.quote}"


def read_recordings(directory: Path) -> tuple[list[Recording], list[str]]:
    """Return the recordings of a directory (not of those below it) and the names of the files that are none.

    Raise InvalidInput for a directory without recordings, an unreadable row, or two files that contradict each other.
    """
    if not directory.is_dir():
        raise InvalidInput(f"replay directory {str(directory)!r} does not exist")
    parts: dict[tuple[str, str, Interval], list[tuple[Path, Rows]]] = {}
    skipped: list[str] = []
    for path in sorted(directory.iterdir()):
        named = _name(path)
        if named is None:
            skipped.append(path.name)
            continue
        base, quote, interval, reader = named
        parts.setdefault((base, quote, interval), []).append((path, _read(path, interval, reader)))
    if not parts:
        below = ", ".join(sorted(path.name for path in directory.iterdir() if path.is_dir()))
        hint = f"; it has directories: {below}" if below else ""
        forms = "BTC_USDT-1h.json, BTCUSDT-1h-2024-11.csv, XBTUSD_60.csv, each also .gz"
        raise InvalidInput(f"replay directory {str(directory)!r} holds no recorded candles ({forms}){hint}")
    return [Recording(*key, _merge(files)) for key, files in parts.items()], skipped


Reader = Callable[[bytes], Rows]


def _name(path: Path) -> tuple[str, str, Interval, Reader] | None:
    if match := _JSON.fullmatch(path.name):
        return match[1], match[2], _interval(path, match[3]), _json_rows
    if match := _VISION.fullmatch(path.name):
        base, quote = _split(path, match[1], _BINANCE_QUOTES)
        return base, quote, _interval(path, match[2]), _vision_rows
    if match := _KRAKEN.fullmatch(path.name):
        base, quote = (common_code(code) for code in _split(path, match[1], _KRAKEN_QUOTES))
        for interval in BINANCE_INTERVALS.values():
            if interval.milliseconds == int(match[2]) * MINUTE_MS:
                return base, quote, interval, _kraken_rows
        raise InvalidInput(f"{path}: {match[2]} minutes is no candle length of an exchange")
    return None


def _interval(path: Path, name: str) -> Interval:
    if name not in BINANCE_INTERVALS:
        raise InvalidInput(f"{path}: {name!r} is no candle length; known: {', '.join(BINANCE_INTERVALS)}")
    return BINANCE_INTERVALS[name]


def _split(path: Path, pair: str, quotes: Sequence[str]) -> tuple[str, str]:
    for quote in quotes:
        if pair.endswith(quote) and pair != quote:
            return pair[: -len(quote)], quote
    raise InvalidInput(f"{path}: cannot tell base and quote of {pair!r}; known quotes: {', '.join(quotes)}")


def _read(path: Path, interval: Interval, reader: Reader) -> Rows:
    try:
        content = path.read_bytes()
        rows = reader(gzip.decompress(content) if path.suffix == ".gz" else content)
    except (OSError, EOFError, ValueError, TypeError, IndexError) as error:
        raise InvalidInput(f"{path}: cannot be read as recorded candles: {error}") from error
    if len(rows) == 0:
        raise InvalidInput(f"{path}: holds no candle")
    finite = np.isfinite(rows.values).all(axis=1)
    if not finite.all():
        raise InvalidInput(f"{path}: candle {int(np.argmin(finite)) + 1} holds a value that is no number")
    off = interval.opens(rows.open_time) != rows.open_time
    if off.any():
        raise InvalidInput(f"{path}: {int(rows.open_time[off][0])} is not an open time of {interval.name} candles")
    return rows


def _json_rows(content: bytes) -> Rows:
    table = np.array(orjson.loads(content), np.float64)
    return Rows(table[:, 0].astype(np.int64), table[:, 1:6])


def _vision_rows(content: bytes) -> Rows:
    table = _table(content)
    times = table[:, 0].astype(np.int64)
    times = np.where(times >= _MICROSECONDS_FROM, times // 1000, times)
    return Rows(times, table[:, 1:6].astype(np.float64), table[:, 1:6], table[:, 7:11])


def _kraken_rows(content: bytes) -> Rows:
    table = _table(content)
    extras = np.full((len(table), 4), "0", table.dtype)
    extras[:, 1] = table[:, 6]
    return Rows(table[:, 0].astype(np.int64) * 1000, table[:, 1:6].astype(np.float64), table[:, 1:6], extras)


def _table(content: bytes) -> np.ndarray:
    lines = content.decode().splitlines()
    if lines and not lines[0][:1].isdigit():
        del lines[0]
    return np.array([line.split(",") for line in lines if line], str)


def _plain(value: float | str) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"{Decimal(text):f}" if "e" in text or "E" in text else text


def _merge(files: Sequence[tuple[Path, Rows]]) -> Rows:
    if len(files) == 1 and (np.diff(files[0][1].open_time) > 0).all():
        return files[0][1]
    parts = [rows for _, rows in files]
    origin = np.repeat(np.arange(len(parts)), [len(rows) for rows in parts])
    joined = Rows(*(_stack([getattr(rows, name) for rows in parts]) for name in ("open_time", "values", "texts", "extras")))
    order = np.argsort(joined.open_time, kind="stable")
    joined, origin = joined.take(order), origin[order]
    again = np.append(False, np.diff(joined.open_time) == 0)
    differs = again & np.append(False, (np.diff(joined.values, axis=0) != 0).any(axis=1))
    if differs.any():
        row = int(np.argmax(differs))
        names = " and ".join(sorted({files[origin[row - 1]][0].name, files[origin[row]][0].name}))
        raise InvalidInput(f"{files[0][0].parent}: {names} hold different candles that open at {int(joined.open_time[row])}")
    return joined.take(~again)


def _stack(columns: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the columns as one; without text as soon as one part has none, for text then cannot be told apart by row."""
    known = [column for column in columns if column is not None]
    return np.concatenate(known) if len(known) == len(columns) else None
