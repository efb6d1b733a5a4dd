"""The cause of a difference between live and backtest (D7), worked out by hand for each combination of what may have changed."""

from dataclasses import replace
from math import nan

import pytest

from fks_assets.quant.difference import HOLD, Cause, Data, Decision, Recomputed, Recorded, Trade, explain, trade_mismatches

HOUR = 3_600_000
BUY = Decision(1, 0.8, 95.0, 110.0)
SELL = Decision(-1, 0.8, 105.0, 90.0)
IN_TIME = Recorded(BUY, 10 * HOUR, 11 * HOUR, code_version="c1", parameters_hash="p1")
NOW = Recomputed(SELL, "c1", "p1")


def judged(**answers):
    """A judge that answers by data and parameters, `then_old` being the candles of then with the parameters of then."""

    def judge(data: Data, parameters_then: bool) -> Decision | None:
        name = f"{data.name.lower()}_{'old' if parameters_then else 'new'}"
        assert name in answers, f"{name} was asked for"
        return answers[name]

    return judge


def never(data, parameters_then):
    raise AssertionError("nothing differs, so nobody may be asked")


@pytest.mark.parametrize(
    ("recorded", "recomputed"),
    [
        (IN_TIME, replace(NOW, decision=BUY)),
        (IN_TIME, replace(NOW, decision=Decision(1, 0.8, 95.0 * (1 + 1e-12), 110.0))),
        (replace(IN_TIME, decision=HOLD), replace(NOW, decision=Decision(0, 0.0, nan, nan))),
        (replace(IN_TIME, decision=HOLD), replace(NOW, decision=None)),
        (Recorded(HOLD, None, 11 * HOUR), replace(NOW, decision=HOLD)),
        (replace(IN_TIME, known_at=12 * HOUR), replace(NOW, decision=HOLD)),
        (replace(IN_TIME, decision=BUY, code_version="c0", parameters_hash="p0"), replace(NOW, decision=BUY)),
    ],
    ids=[
        "the same",
        "rounding",
        "both hold",
        "no candle and no trade",
        "nothing at all",
        "late and not missed",
        "other code, same word",
    ],
)
def test_what_agrees_is_no_difference(recorded, recomputed):
    assert explain(recorded, recomputed, never) is None


@pytest.mark.parametrize("other", [replace(BUY, stop=94.0), replace(BUY, target=111.0), replace(BUY, confidence=0.7), SELL, HOLD])
def test_another_action_confidence_stop_or_target_is_a_difference(other):
    cause, _ = explain(IN_TIME, replace(NOW, decision=other), judged(then_new=BUY, completed_new=BUY))
    assert cause is Cause.DATA_REVISION


CASES = {
    "never decided": (Recorded(HOLD, None, 11 * HOUR), NOW, {}, Cause.LATE_DATA),
    "decided a millisecond late": (replace(IN_TIME, known_at=11 * HOUR + 1), NOW, {}, Cause.LATE_DATA),
    "set not in force": (Recorded(HOLD, None, 11 * HOUR, in_force=False), NOW, {}, Cause.PARAMETER_CHANGE),
    "candle taken back": (IN_TIME, replace(NOW, decision=None), {}, Cause.DATA_REVISION),
    "candles restated": (IN_TIME, NOW, {"then_new": BUY, "completed_new": BUY}, Cause.DATA_REVISION),
    "candles came late": (IN_TIME, NOW, {"then_new": BUY, "completed_new": SELL}, Cause.LATE_DATA),
    "restated, and the code changed too": (
        replace(IN_TIME, code_version="c0"), NOW, {"then_new": BUY, "completed_new": BUY}, Cause.DATA_REVISION,
    ),
    "other parameters": (
        replace(IN_TIME, parameters_hash="p0"), NOW, {"then_new": SELL, "now_old": BUY}, Cause.PARAMETER_CHANGE,
    ),
    "other parameters and other candles": (
        replace(IN_TIME, parameters_hash="p0"), NOW, {"then_new": SELL, "now_old": SELL, "then_old": BUY}, Cause.PARAMETER_CHANGE,
    ),
    "other parameters that nobody knows any more": (
        replace(IN_TIME, parameters_hash="p0"),
        NOW,
        {"then_new": SELL, "now_old": None, "then_old": None},
        Cause.PARAMETER_CHANGE,
    ),
    "other code": (replace(IN_TIME, code_version="c0"), NOW, {"then_new": SELL}, Cause.CODE_CHANGE),
    "other code and other parameters, which would not have done it": (
        replace(IN_TIME, code_version="c0", parameters_hash="p0"),
        NOW,
        {"then_new": SELL, "now_old": SELL, "then_old": SELL},
        Cause.CODE_CHANGE,
    ),
    "nothing changed": (IN_TIME, NOW, {"then_new": SELL}, Cause.UNEXPLAINED),
    "other parameters, which say something else": (
        replace(IN_TIME, parameters_hash="p0"), NOW, {"then_new": SELL, "now_old": HOLD, "then_old": HOLD}, Cause.UNEXPLAINED,
    ),
    "no record": (replace(IN_TIME, code_version=None, parameters_hash=None), NOW, {"then_new": SELL}, Cause.UNEXPLAINED),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_difference_has_exactly_one_cause(case):
    recorded, recomputed, answers, cause = CASES[case]
    found, words = explain(recorded, recomputed, judged(**answers))
    assert found is cause
    assert words and "\n" not in words


TRADE = Trade("main", "BTC-USDT@simulated", "1h", 5 * HOUR, "entry", 1, 2.0, 100.0, 0.2)


def causes(done, due, explained=()):
    return [(each.cause, each.words) for each in trade_mismatches([(done, due)], explained)]


def test_a_trade_as_booked_is_no_difference():
    assert causes(TRADE, TRADE) == causes(replace(TRADE, fee=0.2 * (1 + 1e-9)), TRADE) == []


def test_another_price_is_a_matter_of_the_fill_alone():
    """The fee of 0.1 % is that of the dearer price."""
    assert causes(replace(TRADE, price=101.0, fee=0.202), TRADE) == [(Cause.FILL, "the price was 1.0000% worse")]
    sold = replace(TRADE, side=-1)
    assert causes(replace(sold, price=101.0, fee=0.202), sold) == [(Cause.FILL, "the price was 1.0000% better")]


def test_half_a_fill_is_a_matter_of_the_fill_alone():
    assert causes(replace(TRADE, quantity=1.0, fee=0.1), TRADE) == [(Cause.FILL, "50.00% of the quantity was filled")]
    assert causes(None, TRADE) == [(Cause.FILL, "it was decided and not filled")]


def test_another_fee_is_a_matter_of_the_fee_alone():
    assert causes(replace(TRADE, fee=0.15), TRADE) == [(Cause.FEE, "the fee was 0.0750% of the value, not 0.1000%")]
    assert causes(replace(TRADE, fee=None), TRADE) == [(Cause.FEE, "the fee was paid in another coin")]


def test_price_and_fee_are_two_differences_with_a_cause_each():
    assert [cause for cause, _ in causes(replace(TRADE, price=99.0, fee=0.1), TRADE)] == [Cause.FILL, Cause.FEE]


def test_a_trade_that_the_backtest_has_not_follows_its_decision_or_has_no_cause():
    assert causes(TRADE, None, {("BTC-USDT@simulated", "1h", 5 * HOUR)}) == []
    assert causes(TRADE, None, {("BTC-USDT@simulated", "1h", 6 * HOUR)}) == [
        (Cause.UNEXPLAINED, "the backtest has no such trade")
    ]
