"""What a source of candles gives the exchange: chunks of rows that never change, and the candle that is still running."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from fks_assets.clock import iso
from fks_assets.errors import InsufficientData
from fks_assets.simulator.bars import Bars, join, part_of, price_at
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import Interval
from fks_assets.simulator.rendering import RenderedRows

Dialect = Literal["binance", "kraken"]


class Chunk(Protocol):
    """Some consecutive candles of one market and interval, oldest first."""

    open_time: np.ndarray

    def rendered(self, dialect: Dialect) -> RenderedRows:
        """Return the rows as the dialect's JSON rows."""


class CandleSource(Protocol):
    """Candles of a set of markets by symbol (`BTC-USDT`), readable from any time on; `description` says where they come from."""

    instruments: Mapping[str, Instrument]
    description: str
    kind: Literal["generated", "replayed"]
    seed: int

    def chunk_range(self, instrument: Instrument, interval: Interval, first_ms: int, last_ms: int) -> range:
        """Return the numbers of the chunks that can hold candles opening in [first_ms, last_ms]; empty if not kept."""

    def chunk(self, instrument: Instrument, interval: Interval, number: int) -> Chunk:
        """Return a chunk; it may also hold candles that lie in the future."""

    def running(self, instrument: Instrument, interval: Interval, now_ms: int) -> Chunk | None:
        """Return the unfinished candle that contains `now_ms` as one row, None if nothing happened in it yet."""

    def finest(self, instrument: Instrument, start_ms: int, now_ms: int) -> tuple[Bars, Interval]:
        """Return the finest candles that open in [start_ms, now_ms], the last one as it will be when it closes."""

    def tape(self, instrument: Instrument, start_ms: int, end_ms: int) -> tuple[Bars, np.ndarray]:
        """Return the candles whose trades make up all others, those that overlap [start_ms, end_ms), and their lengths in ms.

        The last ones are as they will be when they close.
        """

    def newest(self, instrument: Instrument, now_ms: int) -> tuple[Bars, Interval]:
        """Return the newest of the finest candles that open by `now_ms`, as it will be when it closes; none before the first."""


def recent(source: CandleSource, instrument: Instrument, start_ms: int, now_ms: int) -> Bars:
    """Return the finest candles that open in [start_ms, now_ms], the last one as it stands at `now_ms`."""
    bars, interval = source.finest(instrument, start_ms, now_ms)
    if len(bars) == 0:
        return bars
    last = int(bars.open_time[-1])
    end = interval.close(last)
    if end <= now_ms:
        return bars
    return join([bars.take(slice(0, -1)), part_of(bars.take(slice(-1, None)), (now_ms - last) / (end - last))])


def last_price(source: CandleSource, instrument: Instrument, now_ms: int) -> int:
    """Return the newest traded price in ticks at `now_ms`; raise InsufficientData before the first trade."""
    bar, interval = source.newest(instrument, now_ms)
    if len(bar) == 0:
        raise InsufficientData(f"{instrument.symbol} has not traded by {iso(now_ms)}")
    start = int(bar.open_time[0])
    return price_at(bar, min((now_ms - start) / (interval.close(start) - start), 1.0))


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows start..stop of a chunk."""

    chunk: Chunk
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one answer, oldest first, and whether the last of them is still running."""

    pieces: tuple[Piece, ...]
    is_last_running: bool

    def __len__(self) -> int:
        return sum(piece.stop - piece.start for piece in self.pieces)

    def body(self, dialect: Dialect) -> bytes:
        """Return the rows as a JSON array."""
        return b"[" + self.rows(dialect) + b"]"

    def rows(self, dialect: Dialect) -> bytes:
        """Return the JSON rows with commas between them."""
        return b",".join(piece.chunk.rendered(dialect).rows(piece.start, piece.stop) for piece in self.pieces)

    def open_times(self) -> np.ndarray:
        """Return the open times in ms."""
        parts = [piece.chunk.open_time[piece.start : piece.stop] for piece in self.pieces]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


def read_page(
    source: CandleSource,
    instrument: Instrument,
    interval: Interval,
    *,
    first_ms: int,
    last_ms: int,
    now_ms: int,
    limit: int,
    newest: bool,
    with_running: bool = True,
) -> Page:
    """Return at most `limit` candles that open in [first_ms, last_ms] and not after `now_ms`.

    The oldest of them, or with `newest` the newest. Closed candles come from chunks, the running one as it stands.
    """
    current = interval.floor(now_ms)
    with_running = with_running and first_ms <= current <= last_ms
    running = source.running(instrument, interval, now_ms) if with_running and newest else None
    wanted = limit - (running is not None)
    end = min(last_ms, current - 1)
    numbers = source.chunk_range(instrument, interval, first_ms, end) if end >= first_ms else range(0)
    pieces: list[Piece] = []
    for number in reversed(numbers) if newest else numbers:
        if wanted <= 0:
            break
        chunk = source.chunk(instrument, interval, number)
        start = int(np.searchsorted(chunk.open_time, first_ms))
        stop = int(np.searchsorted(chunk.open_time, end, side="right"))
        start, stop = (max(start, stop - wanted), stop) if newest else (start, min(stop, start + wanted))
        if stop > start:
            pieces.append(Piece(chunk, start, stop))
            wanted -= stop - start
    if newest:
        pieces.reverse()
    elif with_running and wanted > 0:
        running = source.running(instrument, interval, now_ms)
    if running is None:
        return Page(tuple(pieces), False)
    return Page((*pieces, Piece(running, 0, 1)), True)
