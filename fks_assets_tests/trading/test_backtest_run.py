"""A backtest reads the store and says what it read; against the engine run by hand on the same candles."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from fks_assets.assets.trading.backtest_run import backtest
from fks_assets.assets.trading.in_force import strategies_in_force, strategy_named
from fks_assets.assets.trading.presentation import html_of
from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.named_rules import DESK_RULES
from fks_assets.quant.lookahead import judgement
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.performance_series import daily_curve
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import month_window, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.market_rules import record_rules
from fks_assets.stores.strategies import remove_parameters, write_parameters
from fks_assets_tests.desk import build_desk
from fks_assets_tests.shared_data import SHARED, requires_shared
from fks_assets_tests.trading.desks import DAY, HOUR, recorded, store, twelfths, walk

START = month_window("2026-01")[0]
FROM = month_window("2026-02")[0]
H1, M5 = parse_timeframe("1h"), parse_timeframe("5m")
ROWS = walk(START, 2400, seed=1)
END = START + 2400 * HOUR


@pytest.fixture
def stores(home: Path, database_url: str) -> Stores:
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "ETH-USDT"])
    store(desk.stores.candles, desk.settings.market_list()[0], ROWS)
    return desk.stores


def named(stores: Stores, name: str, **overrides: object):
    return strategy_named(stores.database, stores.settings, name, overrides)


def test_signals_use_the_history_before_the_period_and_trades_are_the_engines(stores: Stores) -> None:
    """C8, F4: what the engine gives for the same candles, judged with their whole past, and cut by hand."""
    btc, _ = stores.settings.market_list()
    test = backtest(stores, named(stores, "breakout"), [btc], H1, FROM, END)
    first = int(np.searchsorted(ROWS.open_time, FROM))
    signals = judgement(create_strategy("breakout"), ROWS)
    cut = SignalColumns(
        *(getattr(signals, name)[first:] for name in ("action", "confidence", "stop", "target", "reason_codes")), signals.reasons
    )
    expected = run_backtest(Book((Leg("breakout", MarketSeries(btc.key, H1, ROWS.slice(first)), cut, DESK_RULES),)))
    assert len(expected.trades) > 20
    assert test.result.order_list_hash == expected.order_list_hash
    assert (test.start_ms, test.end_ms) == (FROM, END)
    assert not [note for note in test.notes if "stored candles" in note]
    longer = backtest(stores, named(stores, "breakout"), [btc], H1, START - DAY, END + DAY)
    assert longer.notes[:2] == [
        "The stored candles begin at 2026-01-01T00:00:00Z, not at 2025-12-31T00:00:00Z.",
        "The stored candles end at 2026-04-11T00:00:00Z, not at 2026-04-12T00:00:00Z.",
    ]
    assert test.performance.total_trades == len(expected.trades)
    assert test.performance.total_return_pct == pytest.approx((expected.final_equity / 10_000 - 1) * 100, abs=1e-9)
    assert test.performance.days == len(daily_curve(test.time, test.equity))
    held = (ROWS.close[-1] / ROWS.open[first] - 1) * 100
    assert test.performance.hold_return_pct == pytest.approx(held, rel=1e-12)


def test_the_inputs_name_every_partition_that_was_read_with_its_content(stores: Stores) -> None:
    btc, _ = stores.settings.market_list()
    test = backtest(stores, named(stores, "breakout"), [btc], H1, FROM, END)
    heads = stores.candles.heads("ohlcv", "1h", [btc])
    read = {ref.partition: ref.content_hash for ref in test.inputs if ref.asset == "ohlcv_1h"}
    assert read == {
        f"{btc}|2026-0{month}": heads[PartitionId("ohlcv", btc, "1h", f"2026-0{month}")].content_hash for month in (1, 2, 3, 4)
    }
    again = backtest(stores, named(stores, "breakout"), [btc], H1, FROM, END)
    assert (again.content_hash, again.inputs_hash) == (test.content_hash, test.inputs_hash)
    assert html_of(again) == html_of(test)


def test_a_book_over_two_markets_holds_both_and_one_without_candles_is_named(stores: Stores) -> None:
    """C28."""
    btc, eth = stores.settings.market_list()
    with pytest.raises(
        InsufficientData, match=r"no 1h candles of ETH-USDT@simulated are stored for 2026-02-01T00:00:00Z to .*fks sync"
    ):
        backtest(stores, named(stores, "breakout"), [btc, eth], H1, FROM, END)
    alone = backtest(stores, named(stores, "breakout"), [btc, eth], H1, FROM, END, skip_missing=True)
    assert alone.left_out == {eth.key: "no candles of that time are stored"} and alone.result.markets == (btc.key,)
    other = walk(START + 40 * DAY, 1200, seed=2)
    store(stores.candles, eth, other)
    both = backtest(stores, named(stores, "breakout"), [btc, eth], H1, FROM, END)
    assert both.result.markets == (btc.key, eth.key)
    assert set(both.result.trades.market) == {0, 1}
    first = int(np.searchsorted(ROWS.open_time, FROM))
    growth = (ROWS.close[-1] / ROWS.open[first] + other.close[other.open_time < END][-1] / other.open[0]) / 2
    assert both.performance.hold_return_pct == pytest.approx((growth - 1) * 100, rel=1e-12)
    with pytest.raises(InsufficientData, match="BTC-USDT@simulated"):
        backtest(stores, named(stores, "breakout"), [btc], H1, FROM + 3650 * DAY, END + 3650 * DAY, skip_missing=True)


def test_what_is_not_known_of_funding_is_counted_and_said_and_spot_owes_none(stores: Stores) -> None:
    """C23: fundings every eight hours, counted from the times of the trades themselves."""
    btc, _ = stores.settings.market_list()
    spot = backtest(stores, named(stores, "technical"), [btc], H1, FROM, END)
    assert spot.funding_known_pct is None and not [note for note in spot.notes if "funding" in note]
    test = backtest(stores, named(stores, "technical"), [btc], H1, FROM, END, rules=DESK_RULES.model_copy(update={"short": True}))
    trades, interval = test.result.trades, 8 * HOUR
    due = int((trades.exit_time // interval - trades.entry_time // interval).sum())
    assert due > 20 and test.funding_known_pct == 0 and test.outcome()["funding_known_pct"] == 0
    [note] = [note for note in test.notes if "funding" in note]
    assert note.startswith("0 % of the funding is known: ") and f"through {due:,} fundings" in note
    assert test.performance.funding_paid == 0


def test_trading_rules_are_those_of_the_time_of_each_fill(stores: Stores) -> None:
    btc, _ = stores.settings.market_list()
    change = FROM + 20 * DAY
    for at_ms, tick in ((FROM - DAY, "0.5"), (change, "0.25")):
        with stores.database.transaction() as connection:
            rules = MarketRules(btc, MarketStatus.TRADING, Decimal(tick), Decimal("0.001"), taker_fee=Decimal("0.002"))
            record_rules(connection, [rules], at_ms)
    test = backtest(stores, named(stores, "breakout"), [btc], H1, FROM, END)
    orders = test.result.orders
    early = orders.time < change
    assert early.any() and (~early).any()
    assert (orders.price[early] % 0.5 == 0).all()
    assert (orders.price[~early] % 0.25 == 0).all() and (orders.price[~early] % 0.5 != 0).any()
    assert [ref.asset for ref in test.inputs].count("market_rules") == 2
    assert test.without_rules == ()


def test_finer_candles_decide_ties_where_they_are_stored(stores: Stores) -> None:
    btc, _ = stores.settings.market_list()
    before = backtest(stores, named(stores, "breakout"), [btc], H1, FROM, END)
    assert before.result.ambiguous_candles > 0 and before.result.decided_by_finer == 0
    store(stores.candles, btc, twelfths(ROWS.between(FROM, END)), "5m")
    after = backtest(stores, named(stores, "breakout"), [btc], H1, FROM, END)
    assert after.result.decided_by_finer == after.result.ambiguous_candles > 0
    assert {ref.asset for ref in after.inputs} == {"ohlcv_1h", "ohlcv_5m"}
    assert after.inputs_hash != before.inputs_hash


def test_a_stored_parameter_set_goes_before_the_settings_until_it_is_removed(stores: Stores) -> None:
    """S4.23."""
    btc, _ = stores.settings.market_list()

    def change(strategy: str, name: str, **parameters: object) -> None:
        full = create_strategy(strategy, parameters).parameters.model_dump(mode="json")
        with stores.database.transaction() as connection:
            write_parameters(connection, name, strategy, full, by="Ada", note="", at_ms=START)

    assert {name: each.version for name, each in strategies_in_force(stores.database, stores.settings)[0].items()} == {
        "technical": 0,
        "breakout": 0,
    }
    plain = backtest(stores, named(stores, "breakout"), [btc], H1, FROM, END)
    change("breakout", "breakout", ema_fast=8)
    change("ema_crossover", "crosses")
    found, unusable = strategies_in_force(stores.database, stores.settings)
    assert {name: (each.strategy.name, each.version) for name, each in found.items()} == {
        "technical": ("technical", 0),
        "breakout": ("breakout", 1),
        "crosses": ("ema_crossover", 1),
    }
    assert not unusable
    assert found["breakout"].parameters["ema_fast"] == 8
    changed = backtest(stores, named(stores, "breakout"), [btc], H1, FROM, END)
    assert changed.subject.parameters_hash != plain.subject.parameters_hash
    assert changed.result.order_list_hash != plain.result.order_list_hash
    assert named(stores, "breakout", ema_slow=21).parameters["ema_fast"] == 8
    with stores.database.transaction() as connection:
        remove_parameters(connection, "breakout", by="Ada", note="", at_ms=START + 1)
    assert strategies_in_force(stores.database, stores.settings)[0]["breakout"].version == 0
    with stores.database.transaction() as connection:
        write_parameters(connection, "broken", "breakout", {"ema_fast": 99}, by="Ada", note="", at_ms=START)
    found, unusable = strategies_in_force(stores.database, stores.settings)
    assert "technical" in found and "ema_fast" in str(unusable["broken"])


def test_wrong_input_is_named_with_field_bound_and_value(stores: Stores) -> None:
    """S3.29, F16."""
    btc, _ = stores.settings.market_list()
    with pytest.raises(InvalidInput, match="Unknown strategy: 'brakeout'; known: technical, breakout, sma_atr"):
        named(stores, "brakeout")
    with pytest.raises(InvalidInput, match=r"strategy breakout: .*ema_fast.*was 40"):
        named(stores, "breakout", ema_fast=40, ema_slow=5)
    with pytest.raises(InvalidInput, match="must end later, was 2026-02-01T00:00:00Z"):
        backtest(stores, named(stores, "breakout"), [btc], H1, FROM, FROM)


@requires_shared
def test_recorded_hours_give_the_same_backtest_from_stored_indicators_and_from_none(home: Path, database_url: str) -> None:
    """The signals of the desk are made from stored indicators: a backtest must see exactly what they saw."""
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    (btc,) = desk.settings.market_list()
    hours = recorded(SHARED / "data" / "ohlcv" / "binance_1h_long" / "BTC_USDT-1h.json.gz")
    begin, end = month_window("2021-01")[0], month_window("2021-06")[0]
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"], FIRST_MONTH="2021-01")
    store(desk.stores.candles, btc, hours.between(begin, end))
    start = month_window("2021-03")[0]
    computed = backtest(desk.stores, named(desk.stores, "technical"), [btc], H1, start, end)
    months = [f"2021-0{month}" for month in range(1, 6)]
    assert desk.run(["indicators_1h", "signals_1h"], months).success
    stored = backtest(desk.stores, named(desk.stores, "technical"), [btc], H1, start, end)
    assert {ref.asset for ref in stored.inputs} == {"ohlcv_1h", "indicators_1h"}
    assert stored.result.order_list_hash == computed.result.order_list_hash
    signals = desk.stores.candles.read_table("signals.technical", btc, "1h", start, end)
    from fks_assets.assets.trading.backtest_run import judge
    from fks_assets.assets.trading.series import read_series

    strategy = named(desk.stores, "technical")
    found, _ = read_series(desk.stores, [btc], H1, start, end, lookback_rows=strategy.strategy.lookback_rows)
    judged = judge(strategy, found[btc])
    for name in ("action", "confidence", "stop", "target"):
        np.testing.assert_array_equal(signals[name].to_numpy(), getattr(judged, name))
    assert len(stored.result.trades) > 10
