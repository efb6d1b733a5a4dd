"""Until when what was said of a candle could be followed (D7)."""

from collections.abc import Sequence
from typing import Any

import pytest

from fks_assets.assets.trading.decided import NEVER, FirstWord, deadline_of, replaced_times
from fks_assets.quant.backtest.rules import LegRules
from fks_assets.quant.difference import HOLD
from fks_assets.quant.strategies.base import BUY, SELL
from fks_assets.quant.timeframes import TIMEFRAMES

MINUTE = 60_000
H1, M5 = TIMEFRAMES["1h"], TIMEFRAMES["5m"]
LEG = LegRules()


@pytest.mark.parametrize(
    ("timeframe", "action", "legs", "replaced_at", "minutes"),
    [
        (M5, BUY, [LEG], NEVER, 10),
        (H1, BUY, [LEG], NEVER, 120),
        (H1, BUY, [LEG], 75 * MINUTE, 75 - 1 / MINUTE),
        (H1, BUY, [LEG, LegRules(oldest_signal_candles=3.0)], NEVER, 180),
        (H1, BUY, [], 5 * MINUTE, 30),
        (H1, SELL, [], NEVER, 30),
        (H1, SELL, [LEG], 600 * MINUTE, 600 - 1 / MINUTE),
    ],
)
def test_a_word_can_be_followed_for_as_long_as_the_desk_takes_it(
    timeframe: Any, action: int, legs: Sequence[LegRules], replaced_at: int, minutes: float
) -> None:
    """T4: a BUY of two candles at most, and no word once the next one is there; without an account two ticks of the signals."""
    closed = -timeframe.milliseconds
    assert deadline_of(closed, action, timeframe, legs, replaced_at) == round(minutes * MINUTE)


def test_a_sell_that_nothing_replaced_can_always_be_followed() -> None:
    assert deadline_of(0, SELL, H1, [LEG], NEVER) == NEVER - 1


def test_a_word_is_replaced_by_the_first_that_comes_of_any_later_candle() -> None:
    words = {candle: FirstWord(HOLD, known_at) for candle, known_at in {1: 50, 2: 90, 3: 70}.items()}
    assert replaced_times(words, [0, 1, 2, 3]) == {0: 50, 1: 70, 2: 70, 3: NEVER}
