"""The figures of an account's report, by numbers worked out by hand and by fractions."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.account_report import (
    NOT_LOOKED,
    OF_RETURNS,
    OF_TRADES,
    UnitCurve,
    equity_figures,
    level_seconds,
    metrics,
    shares,
    sums_by_currency,
    unit_curve,
)
from fks_assets.quant.account_trades import Trade, trade_sums
from fks_assets.quant.performance import FIGURES

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_767_571_200_000  # 2026-01-05T00:00Z
END = START + 7 * DAY


@dataclass(frozen=True)
class Sample:
    at: int
    equity: Decimal
    net_deposits: Decimal
    realised_pnl: Decimal = Decimal(0)
    unrealised_pnl: Decimal = Decimal(0)
    time_weighted_return: Decimal = Decimal(0)

    @property
    def cumulative_pnl(self) -> Decimal:
        return self.equity - self.net_deposits


@dataclass(frozen=True)
class Flow:
    at: int
    kind: str
    amount: Decimal
    currency: str = "USDT"


def sample(at: int, equity: str, deposits: str, realised: str = "0", unrealised: str = "0", made: str = "0") -> Sample:
    return Sample(at, *(Decimal(each) for each in (equity, deposits, realised, unrealised, made)))


def trade(number: int, pnl: str, market: str = "BTC-USDT@binance", strategy: str = "technical") -> Trade:
    return Trade(number, strategy, market, 1, START, END - 1, *(Decimal(each) for each in ("1", "100", "101", "0", pnl, "100")))


def test_money_between_a_balance_and_its_moment_counts_on_the_right_side() -> None:
    """By hand: 1,000 at 23:45; 200 come at 23:50, before the week: it begins with 1,200. 50 come after its last balance.

    The last balance has 1,210 with 200 of them paid in since: 1,210 + 50 at the end, of which 10 are profit.
    """
    samples = [sample(START - 15 * 60_000, "1000", "1000"), sample(END - HOUR, "1210", "1200", "4", "6", "0.01")]
    flows = [
        Flow(START - DAY, "deposit", Decimal(1000)),
        Flow(START - 10 * 60_000, "deposit", Decimal(200)),
        Flow(END - 60_000, "deposit", Decimal(50)),
        Flow(END - 60_000, "deposit", Decimal(7), "BTC"),
    ]
    found = equity_figures(samples, flows, "USDT", START, END).values
    names = ("start", "end", "change", "net_deposits", "profit", "realised", "unrealised_change", "other", "profit_percent")
    assert [found[name] for name in names] == ["1200", "1260", "60", "50", "10", "4", "6", "0", "1"]


def test_what_was_booked_late_is_no_profit_of_a_balance_that_did_not_know_it() -> None:
    """A deposit of Monday that is booked on Friday: Tuesday's balance knew of neither the coins nor the booking."""
    samples = [sample(START - 1, "1000", "1000"), sample(START + DAY, "1000", "1000")]
    flows = [Flow(START - DAY, "deposit", Decimal(1000)), Flow(START + HOUR, "deposit", Decimal(300))]
    found = equity_figures(samples, flows, "USDT", START, END).values
    assert (found["end"], found["net_deposits"], found["profit"]) == ("1300", "300", "0")


def test_the_rest_of_the_profit_is_named() -> None:
    """Funding, dust, fees in a third coin: 30 earned, 20 realised, 15 unrealised, so 5 went elsewhere."""
    samples = [sample(START, "100", "100", "1", "2"), sample(END - 1, "130", "100", "21", "17", "0.3")]
    found = equity_figures(samples, [Flow(START - 1, "deposit", Decimal(100))], "USDT", START, END).values
    assert (found["profit"], found["realised"], found["unrealised_change"], found["other"]) == ("30", "20", "15", "-5")
    assert (found["unrealised"], found["profit_percent"]) == ("17", "30")


def test_nothing_known_is_null_and_says_why() -> None:
    found = equity_figures([], [Flow(START + 1, "deposit", Decimal(5))], "USDT", START, END)
    assert found.values["net_deposits"] == "5"
    assert {name for name, value in found.values.items() if value is None} == set(found.undefined)
    assert found.undefined["profit"] == "the account has no balance before the end of the period"
    lost = equity_figures([sample(START, "0", "100", made="-1"), sample(END - 1, "10", "110", made="-1")], [], "USDT", START, END)
    assert (
        lost.values["profit_percent"] is None
        and lost.undefined["profit_percent"] == "all of the account was lost before the period"
    )


def test_the_curve_begins_with_the_period_or_with_the_money() -> None:
    """A balance at or before the beginning is the value then; without one 1 was there when money came."""
    later = [sample(START + HOUR, "0", "0", made="0.02"), sample(START + DAY, "0", "0", made="-0.01")]
    known = unit_curve([sample(START - HOUR, "0", "0", made="0.1"), *later], START, START - DAY)
    assert known.time.tolist() == [START, START + HOUR, START + DAY] and known.value.tolist() == [1.1, 1.02, 0.99]
    at_start = unit_curve([sample(START, "0", "0", made="0.1"), *later], START, START - DAY)
    assert at_start.time.tolist() == known.time.tolist() and at_start.value.tolist() == known.value.tolist()
    young = unit_curve(later, START, START + HOUR // 2)
    assert (young.time.tolist()[0], young.value.tolist()[0]) == (START + HOUR // 2, 1.0)
    assert unit_curve(later, START, None).time.tolist() == [START + HOUR, START + DAY]
    assert not len(unit_curve([], START, START).time)


def test_every_metric_that_is_null_has_a_reason_and_no_other_has() -> None:
    """None of them is ever 0 for want of data; the names are those of the one metrics module."""
    assert {*OF_RETURNS, *OF_TRADES} <= FIGURES.keys()
    nothing = UnitCurve(np.array([], np.int64), np.array([]))
    flat = UnitCurve(START + DAY * np.arange(5, dtype=np.int64), np.ones(5))
    gone = UnitCurve(START + DAY * np.arange(3, dtype=np.int64), np.array([1.0, 0.5, 0.0]))
    one = UnitCurve(START + DAY * np.arange(2, dtype=np.int64), np.array([1.0, 1.1]))
    up = UnitCurve(START + DAY * np.arange(4, dtype=np.int64), np.array([1.0, 1.1, 1.2, 1.4]))
    whys = {}
    for name, curve in {"nothing": nothing, "flat": flat, "gone": gone, "one": one, "up": up}.items():
        for trades in ([], [trade(1, "5")], [trade(1, "-5")], [trade(1, "0")]):
            found = metrics(curve, trades)
            assert set(found.values) == {*OF_RETURNS, *OF_TRADES}
            assert {each for each, value in found.values.items() if value is None} == set(found.undefined)
        whys[name] = metrics(curve, [trade(1, "5")]).undefined
    assert whys["nothing"]["sharpe"] == "there is no balance in the period"
    assert whys["flat"]["sharpe"] == "the daily returns do not vary" and whys["flat"]["sortino"] == "no day lost"
    assert "value 0.0 at row 2" in whys["gone"]["total_return_pct"]
    assert whys["one"]["volatility_pct"] == "one day of returns is too few, 2 are needed"
    assert set(whys["up"]) == {"sortino", "profit_factor", "average_loss"} and whys["up"]["profit_factor"] == "no trade lost"
    assert metrics(up, [trade(1, "-5")]).undefined["average_win"] == "no trade won"
    assert metrics(up, []).undefined["average_win"] == "no trade was closed"


def test_trades_of_one_moment_stay_apart_and_groups_are_in_the_order_of_profit() -> None:
    """By hand: three deals of the same second are three trades."""
    trades = [trade(1, "5"), trade(2, "-2"), trade(3, "0.5", "ETH-USDT@binance", "breakout")]
    assert metrics(unit_curve([], START, None), trades).values["total_trades"] == 3
    found = trade_sums(trades)
    assert (found["closed"], found["won"], found["lost"], found["win_rate_percent"], found["profit"]) == (
        3,
        2,
        1,
        "66.6667",
        "3.5",
    )
    assert [(row["market"], row["profit"]) for row in found["by_market"]] == [
        ("BTC-USDT@binance", "3"),
        ("ETH-USDT@binance", "0.5"),
    ]
    assert [row["strategy"] for row in found["by_strategy"]] == ["technical", "breakout"]
    assert trade_sums([])["win_rate_percent"] is None and trade_sums([])["by_market"] == []


def test_sums_are_exact_and_zeros_are_left_out() -> None:
    tiny = Decimal("0.000000000000000001")
    assert sums_by_currency(
        [("USDT", Decimal("0.1")), ("BNB", tiny), ("USDT", Decimal("0.2")), ("BTC", tiny), ("BTC", -tiny)]
    ) == {
        "BNB": "0.000000000000000001",
        "USDT": "0.3",
    }


@given(st.lists(st.tuples(st.integers(-3 * HOUR, 30 * HOUR), st.sampled_from(["LOW", "HIGH", "NONE"])), max_size=12))
def test_each_second_has_one_level_or_none(looks: list[tuple[int, str]]) -> None:
    """The seconds add up to the period, and each level to what a walk through the minutes finds."""
    minute = 60_000
    known = dict(sorted((START + at // minute * minute, level) for at, level in looks))
    end = START + DAY
    found = level_seconds(list(known.items()), START, end)
    assert sum(found.values()) == DAY // 1000
    walked = dict.fromkeys(found, 0)
    for now in range(START, end, minute):
        before = [at for at in known if at <= now < at + HOUR]
        walked[known[max(before)] if before else NOT_LOOKED] += 60
    assert found == walked
    total = sum(Fraction(share) for share in shares(found).values() if share is not None)
    assert float(total) == pytest.approx(100, abs=1e-3)
