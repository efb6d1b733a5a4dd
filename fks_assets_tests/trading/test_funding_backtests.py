"""Backtests, searches and sweeps charge the stored funding rates; by hand in Decimal from trades, candles and rates."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from fks_assets.assets.trading.backtest_run import Backtest, backtest
from fks_assets.assets.trading.in_force import strategy_named
from fks_assets.assets.trading.presentation import html_of
from fks_assets.assets.trading.search_run import ground_of
from fks_assets.assets.trading.sweep_run import axes_of, sweep_grid
from fks_assets.quant.backtest.rules import LegRules, Sizing
from fks_assets.quant.funding import FundingRate
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.search_trials import Track
from fks_assets.quant.sweep_grid import GridRules
from fks_assets.quant.timeframes import month_window, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.funding import funding_hash, read_funding, record_funding
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.desk import build_desk
from fks_assets_tests.trading.desks import HOUR, store, walk

START, FROM = month_window("2026-01")[0], month_window("2026-02")[0]
ROWS = walk(START, 1800, seed=1)
END = START + 1800 * HOUR
EIGHT = 8 * HOUR
H1 = parse_timeframe("1h")
SHORT = LegRules(sizing=Sizing(kind="fraction"), short=True)
DRAWN = np.random.default_rng(5).integers(-40_000, 60_000, 300)
RATES = [FundingRate(START + place * EIGHT, Decimal(int(drawn)).scaleb(-8)) for place, drawn in enumerate(DRAWN)]


@pytest.fixture
def stores(home: Path, database_url: str) -> Stores:
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    (btc,) = desk.settings.market_list()
    store(desk.stores.candles, btc, ROWS)
    with desk.stores.database.transaction() as connection:
        rules = MarketRules(btc, MarketStatus.TRADING, Decimal("0.01"), Decimal("0.001"), taker_fee=Decimal("0.001"))
        record_rules(connection, [rules], START)
    return desk.stores


def known(stores: Stores, rates: Sequence[FundingRate], at_ms: int = END) -> None:
    with stores.database.transaction() as connection:
        record_funding(connection, stores.settings.market_list()[0], rates, at_ms)


def tried(stores: Stores, rules: LegRules = SHORT) -> Backtest:
    subject = strategy_named(stores.database, stores.settings, "technical", {})
    return backtest(stores, subject, stores.settings.market_list(), H1, FROM, END, rules=rules)


def by_hand(test: Backtest, rates: Sequence[FundingRate]) -> list[Decimal]:
    """What each trade paid: rate x open x quantity at each due time after its entry, up to its exit; a short one receives it."""
    opens = {int(time): Decimal(repr(float(price))) for time, price in zip(ROWS.open_time, ROWS.open, strict=True)}
    trades, paid = test.result.trades, []
    for row in range(len(trades)):
        held = [each for each in rates if trades.entry_time[row] < each.time_ms <= trades.exit_time[row]]
        amount = Decimal(repr(float(trades.quantity[row]))) * int(trades.side[row])
        paid.append(sum((each.rate * opens[each.time_ms] * amount for each in held), Decimal(0)))
    return paid


def test_a_backtest_pays_exactly_what_hand_arithmetic_says(stores: Stores) -> None:
    """C23."""
    known(stores, RATES)
    test = tried(stores)
    trades = test.result.trades
    expected = by_hand(test, RATES)
    assert set(trades.side.tolist()) == {1, -1} and sum(map(bool, expected)) > 10
    np.testing.assert_allclose(trades.funding, [float(each) for each in expected], rtol=1e-14, atol=0)
    due = sum(each.funding_due for each in test.result.legs)
    assert test.funding_known_pct == 100 and due > 20
    [note] = [note for note in test.notes if "funding" in note]
    assert note == (
        f"100 % of the funding is known: positions short or with leverage were held through {due} fundings "
        f"and paid {sum(expected):,.2f}."
    )
    assert test.performance.funding_paid == pytest.approx(float(sum(expected)), rel=1e-12)
    assert note in html_of(test)
    free = tried(stores, SHORT.model_copy(update={"short": False}))
    assert free.funding_known_pct is None and not free.result.trades.funding.any()


def test_each_rate_that_is_not_known_lowers_the_coverage_and_is_named(stores: Stores) -> None:
    """C23: a rate that is missing counts as 0 and is never passed over; 100 % is said of all alone."""
    nothing = tried(stores)
    due = sum(each.funding_due for each in nothing.result.legs)
    assert nothing.funding_known_pct == 0 and f"as the {due:,} without a stored rate count as 0." in " ".join(nothing.notes)
    held = [int(time) for time in (FROM + place * EIGHT for place in range(250)) if _held(nothing, time)]
    left_out = held[len(held) // 2]
    known(stores, [each for each in RATES if each.time_ms != left_out])
    most = tried(stores)
    assert sum(each.funding_unknown for each in most.result.legs) == 1 and 0 < most.funding_known_pct < 100
    [note] = [note for note in most.notes if "funding" in note]
    assert note.startswith(f"{100 * (due - 1) // due} % of the funding is known: ")
    assert note.endswith(", as the 1 without a stored rate count as 0.")
    known(stores, [each for each in RATES if each.time_ms == left_out])
    assert tried(stores).funding_known_pct == 100


def _held(test: Backtest, time: int) -> bool:
    trades = test.result.trades
    return bool(((trades.entry_time < time) & (time <= trades.exit_time)).any())


def test_the_months_of_rates_that_were_read_are_inputs_with_their_content(stores: Stores) -> None:
    """F4: a rate that changes changes the hash of the inputs; what is spot reads none."""
    known(stores, RATES)
    test, (btc,) = tried(stores), stores.settings.market_list()
    read = {ref.partition: ref.content_hash for ref in test.inputs if ref.asset == "funding_rates"}
    months = {f"{btc}|2026-0{month}": month_window(f"2026-0{month}") for month in (2, 3)}
    assert read == {key: funding_hash(read_funding(stores.database, [btc], *window)[btc]) for key, window in months.items()}
    assert tried(stores).inputs_hash == test.inputs_hash
    free = SHORT.model_copy(update={"short": False})
    assert not [ref for ref in tried(stores, free).inputs if ref.asset == "funding_rates"]
    known(stores, [FundingRate(FROM + EIGHT, Decimal("0.002"))], END + 1)
    changed = tried(stores)
    differing = {ref.partition for ref in {*changed.inputs} ^ {*test.inputs}}
    assert changed.inputs_hash != test.inputs_hash and differing == {f"{btc}|2026-02"}


def test_a_search_is_on_the_same_rates(stores: Stores) -> None:
    """The other source of what a trial gives is the backtest with the same parameters."""
    known(stores, RATES)
    subject = strategy_named(stores.database, stores.settings, "technical", {})
    ground = ground_of(stores, subject, stores.settings.market_list(), H1, FROM, END, rules=SHORT)
    [market] = ground.markets
    assert market.series.funding is not None and len(market.series.funding.rate) == 3 * 59
    assert [ref for ref in ground.inputs if ref.asset == "funding_rates"]
    passed = Track(ground.markets, ground.stretch, ground.terms).run(subject.strategy)
    test = tried(stores)
    assert np.prod(1 + passed.returns) * 10_000 == pytest.approx(float(test.equity[-1]), rel=1e-12)
    free = ground_of(
        stores, subject, stores.settings.market_list(), H1, FROM, END, rules=SHORT.model_copy(update={"short": False})
    )
    assert free.markets[0].series.funding is None


def test_in_a_sweep_the_rows_that_owe_funding_pay_it_and_the_others_do_not(stores: Stores) -> None:
    """The other source of every row is the backtest of that combination alone."""
    known(stores, RATES)
    subject = strategy_named(stores.database, stores.settings, "technical", {})
    held = {"sizing.kind": "fraction"}
    axes = axes_of({"rules.short": "false,true", "rules.stop_percent": "none,2"}, subject.strategy)
    found = sweep_grid(
        stores, subject, stores.settings.market_list(), H1, FROM, END, axes, GridRules(least_trades=1), held_rules=held
    )
    [swept] = found.markets
    paid = []
    for row, combination in enumerate(found.grid.combinations):
        test = tried(stores, found.grid.rules[combination.rules])
        assert swept.figures["end_equity"][row] == pytest.approx(float(test.equity[-1]), rel=1e-12)
        paid.append(test.performance.funding_paid)
    assert sum(map(bool, paid)) == 2
