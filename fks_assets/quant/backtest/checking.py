"""One look over candles before they are traded on: five columns and the times at once, as fast as memory can be read."""

import numpy as np

from fks_assets.quant.backtest.compiled import compiled_on_disk


@compiled_on_disk
def broken(time, open_, high, low, close, volume, step, least, most, closes):
    """Return whether a candle has a price outside `least` to `most`, an open or close outside its low to high, a negative or an
    endless volume, or opens less than `step` after the one before. Writes the open times and a step into `closes`.

    Several rows are compared at once: places are unsigned, as in write_bars of kernel.py, and one comparison tells of a row.
    """
    wrong = 0
    for row in range(np.uint64(len(time))):
        wrong |= not (
            (least <= low[row]) & (low[row] <= open_[row]) & (open_[row] <= high[row])
            & (low[row] <= close[row]) & (close[row] <= high[row]) & (high[row] <= most)
            & (volume[row] >= 0.0) & (volume[row] <= most)
        )  # fmt: skip
    closes[0] = time[0] + step
    for row in range(np.uint64(1), np.uint64(len(time))):
        wrong |= time[row] < time[row - np.uint64(1)] + step
        closes[row] = time[row] + step
    return wrong != 0
