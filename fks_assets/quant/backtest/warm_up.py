"""Compile all that a backtest and a sweep need, once: `python -m fks_assets.quant.backtest.warm_up`, as the installation does."""

import numpy as np

from fks_assets.quant.backtest.book import MarketSeries
from fks_assets.quant.backtest.sweep import sweep
from fks_assets.quant.candles import Candles
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.timeframes import parse_timeframe


def warm_up() -> None:
    """Run the smallest sweep there is; what it compiles is kept on disk for every later process."""
    hour = parse_timeframe("1h")
    price, times = np.full(3, 100.0), np.arange(3, dtype=np.int64) * hour.milliseconds
    candles = Candles(times, price, price, price, price, price)
    nothing = SignalColumns(np.zeros(3, np.int8), price, price, price, np.zeros(3, np.int16), ("nothing",))
    sweep(MarketSeries("BTC-USDT@none", hour, candles), ["once"], lambda _: nothing)


if __name__ == "__main__":
    warm_up()
