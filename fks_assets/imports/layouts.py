"""Tell by its first bytes what wrote a text file of candles, and where its columns are."""

import csv
import re
from dataclasses import dataclass

from fks_assets.imports.report import ImportFormat, ImportRefused
from fks_assets.imports.sources import HEAD_BYTES
from fks_assets.quant.candles import OHLCV_COLUMNS

BINANCE_COLUMNS = (
    *("open_time", *OHLCV_COLUMNS, "close_time", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
KRAKEN_COLUMNS = ("open_time", *OHLCV_COLUMNS, "trades")
FREQTRADE_COLUMNS = ("empty_0", "empty_1", "open_time", *OHLCV_COLUMNS)
_TIME = re.compile(r"[0-9]{9,19}(?:\.[0-9]*)?")
_JSON_ROWS = re.compile(rb"\s*\[\s*\[\s*-?[0-9]([^][]*)")
_TIMES = ("unix", "unix timestamp", "timestamp")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class TextLayout:
    """Where a text's columns are, by position: `time` (a number) or `date` (text), or both; then open … volume.

    `last` is the last moment of the candle, `symbol` the pair. `skipped_lines` come before the first row.
    """

    format: ImportFormat
    width: int
    values: tuple[int, ...]
    time: int | None = None
    date: int | None = None
    last: int | None = None
    symbol: int | None = None
    skipped_lines: int = 0
    is_json: bool = False

    @property
    def used(self) -> list[int]:
        """The positions that are read."""
        return sorted({*self.values, *(at for at in (self.time, self.date, self.last, self.symbol) if at is not None)})


def layout_of(head: bytes) -> TextLayout:
    """Return the layout of a text that begins with `head`; raise ImportRefused that shows what was found instead."""
    if not head.strip():
        raise ImportRefused("is empty")
    if head.lstrip().startswith(b"["):
        return _json_layout(head)
    try:
        lines = head.decode("utf-8", errors="strict" if len(head) < HEAD_BYTES else "ignore").splitlines()
    except UnicodeDecodeError:
        raise ImportRefused("is neither text nor a known binary format") from None
    skipped = 0
    while skipped < len(lines) and (not lines[skipped].strip() or lines[skipped].startswith(("http://", "https://", "#"))):
        skipped += 1
    if skipped == len(lines):
        raise ImportRefused("holds no rows")
    cells = [cell.strip() for cell in next(csv.reader([lines[skipped]]))]
    layout = _headless(cells, skipped) or _named([cell.lower() for cell in cells], skipped + 1)
    if layout is None:
        shown = lines[skipped] if len(lines[skipped]) <= _SHOWN else f"{lines[skipped][:_SHOWN]}…"
        raise ImportRefused(
            f"the format is unknown; the first line is {shown!r}; known: {', '.join(ImportFormat)} (see docs/importing.md)"
        )
    return layout


def _headless(cells: list[str], skipped: int) -> TextLayout | None:
    if not _TIME.fullmatch(cells[0]):
        return None
    if len(cells) == len(BINANCE_COLUMNS):
        return _positions(ImportFormat.BINANCE, BINANCE_COLUMNS, skipped)
    if len(cells) == len(KRAKEN_COLUMNS):
        return _positions(ImportFormat.KRAKEN, KRAKEN_COLUMNS, skipped)
    return None


def _named(names: list[str], skipped: int) -> TextLayout | None:
    if names[0] in ("open_time", "open time") and len(names) == len(BINANCE_COLUMNS):
        return _positions(ImportFormat.BINANCE, BINANCE_COLUMNS, skipped)
    time = next((names.index(name) for name in _TIMES if name in names), None)
    date = names.index("date") if "date" in names else None
    volumes = [place for place, name in enumerate(names) if name.startswith("volume")]
    if not {"symbol", "open", "high", "low", "close"} <= set(names) or not volumes or (time is None and date is None):
        return None
    values = (*(names.index(name) for name in OHLCV_COLUMNS[:-1]), volumes[0])
    return TextLayout(
        ImportFormat.CRYPTODATADOWNLOAD,
        len(names),
        values,
        time=time,
        date=date,
        symbol=names.index("symbol"),
        skipped_lines=skipped,
    )


def _positions(form: ImportFormat, columns: tuple[str, ...], skipped: int) -> TextLayout:
    return TextLayout(
        form,
        len(columns),
        tuple(columns.index(name) for name in OHLCV_COLUMNS),
        time=columns.index("open_time"),
        last=columns.index("close_time") if "close_time" in columns else None,
        skipped_lines=skipped,
        is_json=form is ImportFormat.FREQTRADE,
    )


def _json_layout(head: bytes) -> TextLayout:
    if b"".join(head.split()) in (b"[]", b"[[]]"):
        raise ImportRefused("holds no rows")
    match = _JSON_ROWS.match(head)
    if match is None:
        raise ImportRefused("the JSON is not a list of rows [time, open, high, low, close, volume]")
    width = match[1].count(b",") + 1
    if width != len(OHLCV_COLUMNS) + 1:
        raise ImportRefused(f"the JSON rows have {width} values, not 6: time, open, high, low, close, volume")
    return _positions(ImportFormat.FREQTRADE, FREQTRADE_COLUMNS, 0)
