"""Stop and target on the simulated exchange against the desk's one rule for them, quant/stops.py: price and end of every case."""

import random
from decimal import Decimal
from pathlib import Path

import pytest

from fks_assets.quant.stops import HELD, REACHED, STOPPED, evaluate_candle
from fks_assets.simulator.trading.orders import OrderType, Side, Status
from fks_assets_tests.simulator.trading_bench import HOUR, Bench

CASES = 400


@pytest.mark.parametrize(("way", "optimistic"), [("low_first", False), ("high_first", True)])
def test_a_list_ends_where_the_backtest_says(tmp_path: Path, way: str, optimistic: bool) -> None:
    """A desk on the simulator ends its positions at the very prices of the backtest, gaps and doubtful candles included."""
    seed = 21
    source = random.Random(seed)
    # Every second candle stands still at 100, there the list is placed; the one after it decides.
    candles = []
    for _ in range(CASES):
        prices = [round(source.uniform(90, 110), 2) for _ in range(4)]
        opened, closed = source.sample(prices, 2)
        candles += [(100.0, 100.0, 100.0, 100.0), (opened, max(prices), min(prices), closed)]
    bench = Bench(tmp_path, candles, way=way)
    ends = set()
    for number in range(CASES):
        opened, high, low, closed = candles[2 * number + 1]
        stop, target = round(source.uniform(88, 99.5), 2), round(source.uniform(100.5, 112), 2)
        expected, price, _ = evaluate_candle(1, opened, high, low, closed, stop, stop, target, optimistic)
        bench.to((2 * number + 1) * HOUR - 1)
        both = bench.core.place_list(
            bench.account,
            bench.order(Side.SELL, OrderType.LIMIT_MAKER, "1", price=str(target)),
            bench.order(Side.SELL, OrderType.STOP_LOSS, "1", stop_price=str(stop)),
        )
        bench.to((2 * number + 2) * HOUR - 1)
        guard, goal = bench.core.registry.orders[both.first], bench.core.registry.orders[both.second]
        statuses = {HELD: (Status.NEW,) * 2, STOPPED: (Status.FILLED, Status.EXPIRED), REACHED: (Status.EXPIRED, Status.FILLED)}
        assert (guard.status, goal.status) == statuses[expected], (seed, number)
        if expected == HELD:
            bench.core.cancel(bench.account, guard)
        else:
            filled = guard if expected == STOPPED else goal
            assert filled.fills[0].price == Decimal(str(price)), (seed, number)
        bench.core.accounts.bring(bench.account, "ABC", Decimal(1 if expected != HELD else 0))
        ends.add(expected)
    assert ends == {HELD, STOPPED, REACHED} and bench.core.accounts.differences() == {}
