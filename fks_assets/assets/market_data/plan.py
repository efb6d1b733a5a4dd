"""What to ask the exchange for, to bring months of candles up to date."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from fks_assets.assets.market_data.history import trading_time
from fks_assets.assets.market_data.missing import missing_ranges
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.download import CandleRequest
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range, clipped
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candles import PartitionHead, PartitionId

OVERLAP_CANDLES = 3


class SyncMode(StrEnum):
    """FOLLOW: the schedules' history window while the market trades, and the newest candles once more. REPAIR: every hole of the
    months asked for. VERIFY: fetch those months whole again and compare."""

    FOLLOW = "follow"
    REPAIR = "repair"
    VERIFY = "verify"


def plan_requests(
    stores: Stores,
    market: Market,
    timeframe: Timeframe,
    windows: Mapping[str, tuple[int, int]],
    heads: Mapping[PartitionId, PartitionHead],
    mode: SyncMode,
    only: Sequence[Range] | None = None,
) -> Iterator[tuple[CandleRequest, str]]:
    """Yield the requests that one market needs and the source that their candles are marked with, oldest first.

    `only`: what is missing is known already, and nothing else is asked for.
    """
    page = DIALECTS[stores.settings.exchange_profile().dialect].page_rows
    following = mode is SyncMode.FOLLOW
    ranges: list[Range] = []
    first, last = trading_time(stores.settings, market, timeframe)
    for month, (start, end) in windows.items():
        if only is not None:
            ranges += clipped(only, start, end)
            continue
        if following:
            # The candle in which trading ended is asked for too, though none is expected.
            start, end = max(start, first), min(end, last + timeframe.milliseconds)
        partition = PartitionId("ohlcv", market, timeframe.name, month)
        if mode is SyncMode.VERIFY:
            ranges.append((start, end))
            continue
        ranges += missing_ranges(
            stores.candles,
            heads.get(partition),
            timeframe,
            start,
            end,
            skip_confirmed=following,
            overlap=OVERLAP_CANDLES if following else 0,
        )
    for start, end in _joined(sorted(ranges), page * timeframe.milliseconds):
        for segment in stores.settings.history_segments(market, start, end):
            yield CandleRequest(market, segment.symbol, timeframe, segment.start_ms, segment.end_ms), segment.source


def _joined(ranges: Iterable[Range], page_ms: int) -> Iterator[Range]:
    """Join touching ranges, and neighbours that one page can answer together."""
    current: Range | None = None
    for start, end in ranges:
        if current is not None and (start <= current[1] or end - current[0] <= page_ms):
            current = current[0], max(current[1], end)
            continue
        if current is not None:
            yield current
        current = start, end
    if current is not None:
        yield current
