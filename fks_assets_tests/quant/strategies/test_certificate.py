"""Certificates (D6, C7): every planted cheat is caught, no honest strategy is accused, and both say why."""

import json
from functools import cache

import numpy as np
import pytest

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.candles import Candles
from fks_assets.quant.certificate import NOTHING_SHOWN, Certificate, certify, certify_all, data_hash
from fks_assets.quant.strategies.base import Parameters, Strategy
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy
from fks_assets_tests.quant.series import of_closes, recorded, synthetic
from fks_assets_tests.quant.strategies import planted
from fks_assets_tests.quant.strategies.series import rough
from fks_assets_tests.shared_data import SHARED

OWN_LENGTHS = {
    "breakout": {"ema_fast": 3, "ema_slow": 40, "rsi_period": 9, "lookback": 33, "volume_period": 7},
    "sma_atr": {"sma_period": 33, "atr_period": 9},
    "ema_crossover": {"ema_fast": 4, "ema_slow": 50, "atr_period": 3},
    "macd_trend": {"macd_fast": 6, "macd_slow": 19, "macd_signal": 14, "trend_period": 77},
    "bollinger_reversion": {"band_period": 33, "deviations": 1.5, "least_reward_to_risk": 0.2},
    "momentum": {"period": 7, "threshold_percent": 2.0},
}
OTHER_CHEATS = {
    planted.Remembers: "future",
    planted.FitsOnce: "process",
    planted.Counts: "repetition",
    planted.Clock: "clock",
    planted.NumpyClock: "clock",
    planted.Dice: "repetition",
    planted.Seeded: "randomness",
    planted.Hashes: "process",
    planted.Overwrites: "inputs",
    planted.Adds: "inputs",
    planted.ReadsFile: "outside",
    planted.ShortLookback: "warm_up",
    planted.AllTime: "warm_up",
    planted.Breaks: "error",
    planted.AlwaysBreaks: "error",
}


def short() -> Candles:
    return synthetic(1200, volatility=0.01, seed=11)


def long() -> Candles:
    return synthetic(10_000, volatility=0.01, seed=12)


def recorded_and_rough() -> Candles:
    return rough(usual=recorded("CHZ").slice(0, 900) if SHARED else None)


def honest_runs() -> dict[str, tuple[Strategy, Candles]]:
    return {
        **{name: (create_strategy(name), recorded_and_rough()) for name in STRATEGIES},
        **{f"{name}, other lengths": (create_strategy(name, lengths), rough()) for name, lengths in OWN_LENGTHS.items()},
        **{cls.__name__: (cls(Parameters()), rough()) for cls in planted.HONEST},
        "LongMean": (planted.LongMean(planted.LongMeanParameters(length=60)), rough()),
    }


GROUPS = {
    "honest": honest_runs,
    "cheats": lambda: {cls.__name__: (cls(Parameters()), short()) for cls in planted.CHEATS},
    "rare": lambda: {cls.__name__: (cls(Parameters()), long()) for cls in planted.RARE_CHEATS},
    "others": lambda: {cls.__name__: (cls(Parameters()), short()) for cls in OTHER_CHEATS},
}


@cache
def certificates(group: str) -> dict[str, Certificate]:
    """Return the certificates of a group by the name of the strategy: one process starts for all of them."""
    runs = GROUPS[group]()
    return dict(zip(runs, certify_all(list(runs.values()), seed=5), strict=True))


@pytest.mark.parametrize("cheat", planted.CHEATS, ids=lambda cheat: cheat.__name__)
def test_each_of_the_eight_planted_cheats_is_caught_with_what_it_said_with_and_without_the_future(cheat):
    certificate = certificates("cheats")[cheat.__name__]
    first = certificate.findings[0]
    assert not certificate.passed
    assert (first.kind, first.column) == ("future", "action")
    assert first.row is not None and first.row >= certificate.lookback_rows
    assert first.open_time == short().open_time[first.row]
    assert first.said is not None and first.said[0] != first.said[1]
    assert set(first.said) <= {"BUY", "SELL", "HOLD"}
    assert all(part in first.words for part in (f"row {first.row} (", "action is ", *first.said, " with "))


@pytest.mark.nightly
@pytest.mark.parametrize("cheat", planted.RARE_CHEATS, ids=lambda cheat: cheat.__name__)
def test_a_cheat_that_acts_in_a_few_of_ten_thousand_candles_is_caught(cheat):
    certificate = certificates("rare")[cheat.__name__]
    assert not certificate.passed
    assert certificate.findings[0].kind == "future"
    assert certificate.findings[0].column == ("stop" if cheat is planted.NextLowStop else "action")


def test_the_rare_cheats_are_rare():
    closes = long().close
    falls = np.flatnonzero(np.abs(closes[1:] / closes[:-1] - 1) > 0.03)
    assert len(falls) < 50
    assert len(np.flatnonzero(long().open_time // 3_600_000 % 2000 == 7)) == 5


@pytest.mark.parametrize(("cheat", "kind"), OTHER_CHEATS.items(), ids=lambda each: getattr(each, "__name__", each))
def test_what_else_a_strategy_may_not_do_is_named(cheat, kind):
    certificate = certificates("others")[cheat.__name__]
    found = {finding.kind for finding in certificate.findings}
    assert not certificate.passed
    assert kind in found, certificate.findings
    assert kind == "future" or "future" not in found


@pytest.mark.parametrize("name", honest_runs())
def test_no_honest_strategy_is_accused(name):
    """On recorded candles, and on synthetic ones with holes, a standstill, a jump and prices on a coarse grid."""
    certificate = certificates("honest")[name]
    assert certificate.findings == ()
    assert certificate.passed
    assert certificate.signals > 0


def test_an_error_is_named_with_its_message_once_for_each_number_of_candles():
    words = [finding.words for finding in certificates("others")["AlwaysBreaks"].findings]
    assert words == [f"with {rows} candles it raised KeyError: 'ema_21'" for rows in (502, 1200)]


def test_a_market_of_short_standstills_gives_a_note_and_no_accusation():
    close = np.repeat(synthetic(300, volatility=0.01, seed=3).close.round(1), 6)
    certificate = certify(planted.BareMean(Parameters()), of_closes(close))
    assert certificate.findings == ()
    assert certificate.passed
    assert certificate.notes[0].startswith("rounding decides in ")
    assert certificates("honest")["sma_atr"].notes == ()


def test_the_look_back_that_is_too_short_is_named_with_both_words():
    finding = certificates("others")["ShortLookback"].findings[0]
    assert finding.kind == "warm_up"
    assert "with 501 candles before it" in finding.words


def test_the_certificate_says_what_it_is_of_and_is_json():
    certificate = certificates("honest")["sma_atr, other lengths"]
    document = json.loads(json.dumps(certificate.as_dict()))
    assert document["passed"] is True
    assert document["strategy"] == "sma_atr"
    assert document["parameters"] == {"sma_period": 33, "atr_period": 9, "sl_multiplier": 2.0, "tp_multiplier": 3.0}
    assert document["code_version"] == code_version(STRATEGIES["sma_atr"])
    assert document["data_hash"] == data_hash(rough())
    assert (document["rows"], document["lookback_rows"], document["seed"]) == (len(rough()), 501, 5)
    assert document["checks"][0].startswith(f"{len(rough()) - 501} of {len(rough()) - 501} candles judged from 501 candles")
    failed = json.loads(json.dumps(certificates("cheats")["NextClose"].as_dict()))
    assert failed["passed"] is False
    assert failed["findings"][0]["words"].startswith("row ")


def test_the_data_hash_is_of_every_value():
    candles = synthetic(50)
    later = Candles(
        candles.open_time, candles.open, candles.high, candles.low, candles.close, np.append(candles.volume[:-1], 0.0)
    )
    assert data_hash(candles) == data_hash(synthetic(50)) != data_hash(later)
    assert len(data_hash(candles)) == 64


def test_the_same_seed_gives_the_same_certificate():
    run = create_strategy("momentum"), short()
    assert certify(*run, cuts=10, seed=1).as_dict() == certify(*run, cuts=10, seed=1).as_dict()


def test_candles_on_which_nothing_is_said_prove_nothing_and_accuse_nobody():
    certificate = certify(create_strategy("technical"), of_closes(np.full(700, 20.0)))
    assert (certificate.passed, certificate.findings, certificate.signals) == (False, (), 0)
    assert certificate.notes == (NOTHING_SHOWN,)


def test_cuts_limit_the_candles_that_are_judged_alone():
    certificate = certify(create_strategy("momentum"), long(), cuts=50)
    assert certificate.passed
    assert certificate.checks[0].startswith("1050 of 9499 candles judged from 501 candles")


def test_too_few_candles_and_no_cuts_are_refused_with_the_bound():
    with pytest.raises(InsufficientData, match=r"a certificate of momentum needs at least 601 candles, 501 of them .* was 600"):
        certify(create_strategy("momentum"), synthetic(600))
    with pytest.raises(InvalidInput, match="cuts must be at least 1, was 0"):
        certify(create_strategy("momentum"), short(), cuts=0)


def test_a_class_that_no_other_process_can_import_is_refused_in_one_line():
    class Local(planted.NextClose):
        name = "local"

    with pytest.raises(
        InvalidInput,
        match=r"^strategy local: another process cannot examine it: .* has no class .*Local: define it at the top of a module$",
    ):
        certify(Local(Parameters()), short())


def test_certifying_leaves_the_candles_as_they_were():
    candles = short()
    certify(planted.Overwrites(Parameters()), candles, cuts=1)
    assert data_hash(candles) == data_hash(short())


def test_one_that_cannot_be_examined_is_named_among_many_and_an_exit_is_not_mistaken_for_an_answer():
    runs = [(create_strategy("momentum"), short()), (planted.Leaves(Parameters()), short())]
    with pytest.raises(InvalidInput, match="strategy planted: another process cannot examine it: it ended without a word"):
        certify_all(runs)
