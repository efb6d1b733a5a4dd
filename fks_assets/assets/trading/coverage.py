"""How much of a period the stored candles of each market cover, in sentences."""

from collections.abc import Iterable, Mapping

from fks_assets.clock import iso
from fks_assets.quant.candles import Candles
from fks_assets.quant.timeframes import Timeframe


def coverage_notes(candles: Mapping[str, Candles], timeframe: Timeframe, asked_ms: tuple[int, int]) -> list[str]:
    """Return a sentence for each way in which the candles of markets (none is empty) fall short of what was asked.

    Markets of which the same is said share it; where there is but one market it is not named.
    """
    said: dict[str, list[str]] = {}
    for market, each in candles.items():
        for words in _shortfalls(each, timeframe, *asked_ms):
            said.setdefault(words, []).append(market)
    return [words.format(of="" if len(candles) == 1 else f" of {', '.join(markets)}") for words, markets in said.items()]


def _shortfalls(candles: Candles, timeframe: Timeframe, start_ms: int, end_ms: int) -> Iterable[str]:
    step = timeframe.milliseconds
    first, end = int(candles.open_time[0]), int(candles.open_time[-1]) + step
    if first >= timeframe.ceil(start_ms) + step:
        yield f"The stored candles{{of}} begin at {iso(first)}, not at {iso(start_ms)}."
    if end <= timeframe.floor(end_ms) - step:
        yield f"The stored candles{{of}} end at {iso(end)}, not at {iso(end_ms)}."
    span = (end - first) // step
    if len(candles) < span:
        yield f"{span - len(candles):,} of {span:,} candles{{of}} are missing between the first and the last."
