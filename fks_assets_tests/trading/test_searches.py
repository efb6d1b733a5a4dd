"""Searches and walk-forward windows at a desk: they are shown and recorded, and change nothing that is in force."""

import inspect
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import pytest
import sqlalchemy as sa

from fks_assets import clock
from fks_assets.assets.trading.backtest_run import backtest
from fks_assets.assets.trading.backtest_tables import equity_csv, trades_csv
from fks_assets.assets.trading.evidence import evidence_for, outcome_of
from fks_assets.assets.trading.forward_months import Plan
from fks_assets.assets.trading.in_force import strategies_in_force, strategy_named
from fks_assets.assets.trading.presentation import html_of
from fks_assets.assets.trading.search_run import ground_of, keep_search, search_parameters
from fks_assets.assets.trading.standard import rules_of_markets, standard_plan
from fks_assets.assets.trading.validation import validate_strategies
from fks_assets.assets.trading.walk_forward import _plan
from fks_assets.clock import to_ms
from fks_assets.partitions import last_month, strategy_month_range, tags_of_today
from fks_assets.quant.backtest.named_rules import DESK_RULES
from fks_assets.quant.backtest.rules import Sizing
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.optimisation import SearchRules
from fks_assets.quant.search_trials import Stretch, Track
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import month_window, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.searches import (
    SearchRecord,
    WindowRecord,
    count_other_windows,
    read_windows,
    record_search,
    record_window,
    search_of,
)
from fks_assets.stores.strategies import read_parameters, write_parameters
from fks_assets.stores.strategy_records import BacktestRecord, record_result
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.trading.desks import DAY, HOUR, store, walk

START = to_ms(datetime(2025, 11, 1, tzinfo=UTC))
TODAY = "2026-04-12"
END = START + 162 * DAY
H1 = parse_timeframe("1h")
ROWS = walk(START, 162 * 24, seed=5, drift=0.0004)
QUICK = {"trials": 12, "least_trades": 3}


@pytest.fixture
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk of one market on the day of its newest candle, with the strategies technical and breakout."""
    moment = to_ms(datetime.fromisoformat(f"{TODAY}T00:10").replace(tzinfo=UTC))
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: moment * 1_000_000))
    made = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    store(made.stores.candles, made.settings.market_list()[0], ROWS)
    return made


def run(desk: Desk, job: str, asset: str, config: dict[str, Any], tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    return desk.definitions.resolve_job_def(job).execute_in_process(
        instance=desk.instance, tags=tags, run_config={"ops": {asset: {"config": config}}}, raise_on_error=False
    )


def one_window(month: str) -> dict[str, str]:
    return dict.fromkeys(("dagster/asset_partition_range_start", "dagster/asset_partition_range_end"), f"{month}|breakout")


def searches(desk: Desk, name: str) -> list[SearchRecord]:
    """Return every recorded search for a set with all its trials, oldest first."""
    columns = "name, strategy, document, code_version, parameters_hash, content_hash, run_id"
    with desk.stores.database.transaction() as connection:
        rows = connection.execute(
            sa.text(f"SELECT {columns} FROM parameter_searches WHERE name = :name ORDER BY id"), {"name": name}
        )
        return [SearchRecord(*row) for row in rows]


def said(result: dg.ExecuteInProcessResult) -> str:
    [failure] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    return str(failure.event_specific_data.error_display_string)


def in_force(stores: Stores) -> dict[str, Any]:
    found, _ = strategies_in_force(stores.database, stores.settings)
    return {name: subject.document() for name, subject in found.items()}


def test_optimize_finds_parameters_records_them_and_leaves_what_is_in_force_alone(desk: Desk) -> None:
    """S2.8, F4: the original ignored `optimize`."""
    before = in_force(desk.stores)
    assert run(desk, "backtest", "backtests", {"optimize": True, **QUICK}, tags_of_today("backtest", TODAY)).success
    assert in_force(desk.stores) == before and not read_parameters(desk.stores.database)
    subject = strategy_named(desk.stores.database, desk.settings, "breakout")
    [record] = searches(desk, "breakout")
    ground = ground_of(desk.stores, subject, desk.settings.market_list(), H1, END - 30 * DAY, END)
    alone = search_parameters(ground, SearchRules(**QUICK))
    assert record.content_hash == alone.content_hash
    assert record.document["tried"][0]["parameters"] == subject.parameters, "what is in force is the first trial"
    assert len(record.document["tried"]) == record.document["trials"] == 12
    best = alone.found.best
    assert best is not None and alone.best is not None and record.parameters_hash == alone.best.parameters_hash
    assert record.document["best"]["score"] == max(trial.score for trial in alone.found.trials if trial.score is not None)
    event = next(event for event in desk.events("backtests") if event.partition == f"{TODAY}|breakout")
    [row] = event.metadata["found parameters"].records
    assert row.data["trials"] == 12 and row.data["score"] == round(best.score or 0, 3)
    assert row.data["to put them in force"].startswith("fks strategies set breakout ema_fast=")
    assert event.metadata["trials of breakout"].value.startswith("![breakout: sharpe of 12 trials](data:image/svg+xml")
    [inputs] = latest_inputs(desk.stores.database, "backtests", [f"{TODAY}|breakout"]).values()
    assert set(ground.inputs) <= set(inputs.inputs)


def test_without_optimize_nothing_is_searched_and_bad_values_end_the_run_with_their_words(desk: Desk) -> None:
    tags = tags_of_today("backtest", TODAY)
    assert run(desk, "backtest", "backtests", {}, tags).success
    assert not searches(desk, "breakout")
    refused = run(desk, "backtest", "backtests", {"optimize": True, "trials": 1}, tags)
    assert not refused.success and "trials: Input should be greater than or equal to 2, was 1" in said(refused)
    refused = run(desk, "backtest", "backtests", {"optimize": True, "objective": "luck"}, tags)
    assert not refused.success and "objective: Input should be 'sharpe', 'calmar' or 'return', was 'luck'" in said(refused)


def test_each_month_is_a_window_whose_parameters_are_of_the_days_before_it(desk: Desk) -> None:
    """C24: windows are partitions, one run may fill many, and each says what it was made from."""
    tags = {
        "dagster/asset_partition_range_start": "2026-02|breakout",
        "dagster/asset_partition_range_end": "2026-03|breakout",
    }
    config = {"in_days": 30, **QUICK}
    assert run(desk, "walk_forward_windows", "walk_forward", config, tags).success
    assert desk.materialised("walk_forward") == {"2026-02|breakout", "2026-03|breakout"}
    subject = strategy_named(desk.stores.database, desk.settings, "breakout")
    february, march = read_windows(desk.stores.database, "breakout", subject.code_version)
    for record in (february, march):
        begin, end = month_window(record.month)
        ground = ground_of(desk.stores, subject, desk.settings.market_list(), H1, begin - 30 * DAY, end)
        known = [market.until(begin) for market in ground.markets]
        assert all(int(each.series.candles.open_time[-1]) == begin - HOUR for each in known if each is not None)
        track = Track(ground.markets, Stretch(begin, end), ground.terms)
        outcome = outcome_of(record)
        assert outcome.values is not None
        np.testing.assert_array_equal(outcome.outside, track.run(create_strategy("breakout", outcome.values)).returns)
        [inputs] = latest_inputs(desk.stores.database, "walk_forward", [f"{record.month}|breakout"]).values()
        assert inputs.content_hash == record.content_hash and inputs.inputs == ground.inputs
        assert {ref.asset for ref in inputs.inputs} == {"ohlcv_1h"}
    event = desk.events("walk_forward")[0]
    assert event.partition == "2026-03|breakout"
    assert [row.data["month"] for row in event.metadata["windows"].records] == ["2026-03", "2026-02"]
    assert event.metadata["out of sample"].value.startswith("![breakout, out of sample, 2026-02 to 2026-03](data:image/svg+xml")
    again = run(desk, "walk_forward_windows", "walk_forward", config, tags | {"dagster/schedule_name": "walk_forward_schedule"})
    assert again.success and len(desk.events("walk_forward")) == 2, "nothing changed, so no event"


def test_later_candles_do_not_change_a_window(desk: Desk) -> None:
    """D6: the same month with every later candle restated, and those of the month as well, chooses the same."""
    (market,) = desk.settings.market_list()
    tags = one_window("2026-02")
    subject = strategy_named(desk.stores.database, desk.settings, "breakout")
    found = []
    for _ in range(2):
        assert run(desk, "walk_forward_windows", "walk_forward", {"in_days": 30, **QUICK}, tags).success
        found += read_windows(desk.stores.database, "breakout", subject.code_version)
        later = ROWS.between(month_window("2026-02")[0], END)
        prices = (getattr(later, name) * 3 for name in ("open", "high", "low", "close"))
        store(desk.stores.candles, market, Candles(later.open_time, *prices, later.volume))
    first, second = found
    assert first.document["parameters"] == second.document["parameters"]
    assert first.document["in_sample"] == second.document["in_sample"]
    assert first.document["out_of_sample"] != second.document["out_of_sample"]


def test_a_month_without_enough_candles_before_it_says_what_is_missing(desk: Desk) -> None:
    result = run(desk, "walk_forward_windows", "walk_forward", {"in_days": 120, **QUICK}, strategy_month_range("2026-02"))
    assert not result.success and "2 of 2 partitions failed" in said(result)
    assert (
        "the window 2026-02 needs candles from 2025-10-04T00:00:00Z to 2026-03-01T00:00:00Z; those stored begin at "
        "2025-11-01T00:00:00Z, not at 2025-10-04T00:00:00Z: `fks backfill --from` loads older ones"
    ) in said(result)
    refused = run(desk, "walk_forward_windows", "walk_forward", {"in_days": 3}, strategy_month_range("2026-02"))
    assert "in_days: Input should be greater than or equal to 7, was 3" in said(refused)


def test_the_clock_asks_for_the_month_that_has_ended(desk: Desk) -> None:
    assert last_month(to_ms(datetime(2026, 4, 1, tzinfo=UTC))) == "2026-03"
    assert last_month(to_ms(datetime(2026, 1, 1, 0, 40, tzinfo=UTC))) == "2025-12"
    assert tags_of_today("walk_forward_windows", TODAY) == strategy_month_range("2026-03")
    [schedule] = [each for each in desk.definitions.schedules or [] if each.name == "walk_forward_schedule"]
    [request] = schedule.evaluate_tick(dg.build_schedule_context(desk.instance)).run_requests or []
    assert (
        request.tags["dagster/asset_partition_range_start"].startswith("2026-03|") and request.run_key == "walk_forward:2026-03"
    )
    keys = desk.definitions.resolve_asset_graph().get(dg.AssetKey("walk_forward")).partitions_def.get_partition_keys()
    assert "2026-03|breakout" in keys


def test_validation_shows_what_is_known_of_a_strategy_and_judges_by_its_rules_alone(desk: Desk) -> None:
    """C24: the efficiency stands in the verdict and on the tear sheet; it fails nobody."""
    database = desk.stores.database
    (market,) = desk.settings.market_list()
    subject = strategy_named(database, desk.settings, "breakout")
    assert evidence_for(database, subject).document() == {
        "deflated_sharpe": None, "overfitting_probability": None, "parameter_stability": None, "searched_at": None,
        "search_in_force": False, "out_of_sample_efficiency": None, "walk_forward_windows": 0,
        "walk_forward_windows_left_out": 0,
    }  # fmt: skip
    ground = ground_of(desk.stores, subject, [market], H1, START + 25 * DAY, END)
    searched = search_parameters(ground, SearchRules(**QUICK))
    assert searched.best is not None
    assert searched.best.version_words.startswith("version of the settings with changes: ")
    with database.transaction() as connection:
        keep_search(connection, searched, "breakout", run_id="r")
        keep_search(connection, searched, "breakout", run_id="again")
    assert len(searches(desk, "breakout")) == 1, "the same search is recorded once"
    with database.transaction() as connection:
        for _ in range(2):
            keep_search(connection, searched, "breakout", run_id="walked", walked={"efficiency": 0.25})
    assert [each.document["walk_forward"] for each in searches(desk, "breakout")] == [None, {"efficiency": 0.25}]
    assert evidence_for(database, subject).efficiency == 0.25, "a walk-forward test that was made later is not lost"
    verdict = validate_strategies(desk.stores, ["breakout"])[0].document()
    figures = searched.evidence.document()
    assert not verdict["search_in_force"] and verdict["deflated_sharpe"] == figures["deflated_sharpe"] is not None
    with database.transaction() as connection:
        full = searched.best.parameters
        write_parameters(connection, "breakout", "breakout", full, by="Ada", note="", at_ms=END)
    tags = one_window("2026-03")
    assert run(desk, "walk_forward_windows", "walk_forward", {"in_days": 30, **QUICK}, tags).success
    assert run(desk, "backtest", "backtests", {}, tags_of_today("backtest", TODAY)).success
    verdict = validate_strategies(desk.stores, ["breakout"])[0].document()
    changed = strategy_named(database, desk.settings, "breakout")
    evidence = evidence_for(database, changed)
    assert verdict["search_in_force"] and verdict["walk_forward_windows"] == 1
    assert verdict["out_of_sample_efficiency"] == evidence.efficiency
    page = (desk.settings.home / "reports" / "backtests" / f"{TODAY}_breakout.html").read_text(encoding="utf-8")
    assert "Out-of-sample efficiency" in page and "over 1 walk-forward window, 2026-03 to 2026-03" in page
    assert "These parameters are the best of 12 trials: deflated Sharpe" in page
    event = next(event for event in desk.events("backtests") if event.partition == f"{TODAY}|breakout")
    [row] = event.metadata["figures"].records
    assert row.data["out-of-sample efficiency"] == round(evidence.efficiency or 0, 3)
    result = run(desk, "validation", "strategy_validation", {}, {"dagster/partition": TODAY})
    assert result.success
    [inputs] = latest_inputs(database, "strategy_validation", [TODAY]).values()
    assert {"backtests", "parameter_searches", "walk_forward"} == {ref.asset for ref in inputs.inputs}


def test_windows_of_another_way_to_search_or_of_other_code_do_not_mix(desk: Desk) -> None:
    database = desk.stores.database

    def add(month: str, code: str, settings: str, mark: int) -> None:
        with database.transaction() as connection:
            record_window(connection, WindowRecord("breakout", month, {"mark": mark}, code, settings, f"{mark:064x}", "r"))

    for mark, (month, code, settings) in enumerate(
        [
            ("2026-01", "c1", "s1"),
            ("2026-02", "c1", "s2"),
            ("2026-01", "c1", "s2"),
            ("2026-01", "c1", "s2"),
            ("2026-03", "c2", "s2"),
        ]
    ):
        add(month, code, settings, mark)
    assert [each.document["mark"] for each in read_windows(database, "breakout", "c1")] == [3, 1], "the newest, by month"
    assert read_windows(database, "breakout", "c3") == []
    assert count_other_windows(database, "breakout", "c1", "s2") == 1
    with database.transaction() as connection:
        empty = SearchRecord("breakout", "breakout", {}, "c1", None, "0" * 64, "r")
        assert record_search(connection, empty) and not record_search(connection, empty)
        for mark, found in enumerate(("p1", "p2"), start=1):
            record_search(connection, SearchRecord("breakout", "breakout", {"tried": [1]}, "c1", found, f"{mark:064x}", "r"))
        chosen = [search_of(connection, "breakout", "c1", found) for found in ("p1", "p2", "p3")]
        assert [each.parameters_hash for each in chosen if each is not None] == ["p1", "p2", "p2"]
        assert chosen[0] is not None and chosen[0].document == {} and search_of(connection, "breakout", "c2", "p1") is None


def test_the_windows_of_the_schedule_count_and_a_month_that_a_person_searched_otherwise_does_not(desk: Desk) -> None:
    """C24: one manual month with other trials, or one market more, does not take the earlier months away."""
    database, subject = desk.stores.database, strategy_named(desk.stores.database, desk.settings, "breakout")
    returns = {"daily_returns": [0.01, 0.0]}
    outcome = {"in_sample": returns, "out_of_sample": returns, "in_days": 2, "trades": 1, "ruined": False, "parameters": None}

    def add(month: str, settings: str, **marks: object) -> None:
        document = {**outcome, **marks}
        with database.transaction() as connection:
            found = WindowRecord("breakout", month, document, subject.code_version, settings, "0" * 64, "r")
            record_window(connection, found)

    for month in ("2026-01", "2026-02"):
        add(month, "usual", standard=True)
    for month in ("2026-02", "2026-03", "2026-03"):
        add(month, "by hand", standard=False)
    evidence = evidence_for(database, subject)
    assert [(each.month, each.settings_hash) for each in evidence.windows] == [("2026-01", "usual"), ("2026-02", "usual")]
    assert evidence.document()["walk_forward_windows_left_out"] == 2
    assert evidence.notes[0].endswith("2 windows that were searched in another way do not count.")
    assert len(read_windows(database, "breakout", subject.code_version, "by hand")) == 2
    one, two = ((parse_market(name), parse_market("ETH-USDT@simulated")) for name in ("BTC-USDT@simulated", "XRP-USDT@simulated"))
    book = rules_of_markets(desk.settings, one)

    def hash_of(markets: tuple[Market, ...], *, standard: bool) -> str:
        return Plan(180, H1, markets, *book, SearchRules(), standard=standard).settings_hash

    assert hash_of(one, standard=True) == hash_of(one[:1], standard=True) != hash_of(one, standard=False)
    assert hash_of(one, standard=False) != hash_of(two, standard=False)


def test_what_the_schedule_would_search_is_marked_as_such(desk: Desk) -> None:
    """The number of workers changes nothing but the time."""
    function = desk.definitions.resolve_assets_def("walk_forward").op.compute_fn.decorated_fn
    config = inspect.signature(function).parameters["config"].annotation
    usual, quicker, longer = (_plan(desk.stores, config(**changed)) for changed in ({}, {"workers": 2}, {"in_days": 90}))
    assert usual.standard and quicker.standard and not longer.standard
    assert usual.settings_hash == quicker.settings_hash != longer.settings_hash


def test_every_trade_and_the_equity_curve_lie_beside_the_page_which_links_them(desk: Desk) -> None:
    """Build 3: the page shows the newest hundred; the files hold all, and the partition's metadata leads to them."""
    assert run(desk, "backtest", "backtests", {}, tags_of_today("backtest", TODAY)).success
    folder = desk.settings.home / "reports" / "backtests"
    subject = strategy_named(desk.stores.database, desk.settings, "breakout")
    test = backtest(desk.stores, subject, desk.settings.market_list(), H1, END - 30 * DAY, END)
    trades, equity = (folder / f"{TODAY}_breakout_{kind}.csv" for kind in ("trades", "equity"))
    assert trades.read_text(encoding="utf-8") == trades_csv(test.result)
    assert equity.read_text(encoding="utf-8") == equity_csv(test.time, test.equity, test.exposure)
    page = (folder / f"{TODAY}_breakout.html").read_text(encoding="utf-8")
    assert f'href="{trades.name}"' in page and f'href="{equity.name}"' in page
    event = next(event for event in desk.events("backtests") if event.partition == f"{TODAY}|breakout")
    assert event.metadata["trades of breakout"].value.endswith(trades.name)
    assert event.metadata["equity curve of breakout"].value.endswith(equity.name)
    [row] = event.metadata["figures"].records
    assert row.data["exits"] == len(test.result.trades) == len(trades.read_text(encoding="utf-8").splitlines()) - 1


def crash() -> Candles:
    """Return quiet hours that begin to rise steeply after 40 days: whoever is short with leverage loses everything."""
    quiet = walk(START, 162 * 24, seed=7)
    lift = np.exp(np.maximum(0, np.arange(162 * 24) - 40 * 24) * 0.004)
    prices = (getattr(quiet, name) * lift for name in ("open", "high", "low", "close"))
    return Candles(quiet.open_time, *prices, quiet.volume)


def test_a_ruined_account_fails_validation_in_words_and_not_with_an_error(desk: Desk) -> None:
    (market,) = desk.settings.market_list()
    store(desk.stores.candles, market, crash())
    subject = strategy_named(desk.stores.database, desk.settings, "technical", {"stop_atr": 19.0, "target_atr": 45.0})
    rules = DESK_RULES.model_copy(update={"short": True, "long": False, "sizing": Sizing(kind="notional", size=60_000.0)})
    rules = rules.model_copy(update={"exit_on_signal": False, "leverage": 20.0, "maintenance_margin": 0.0})
    test = backtest(desk.stores, subject, [market], H1, START + 25 * DAY, END, rules=rules)
    lowest = float(test.result.equity.equity.min())
    assert lowest <= 0 and test.ruined_ms is not None
    assert test.notes[0].startswith("The account was ruined at 202") and "it counts as lost from there" in test.notes[0]
    assert test.performance.total_return_pct == pytest.approx(-100, abs=1e-6)
    assert test.performance.max_drawdown_intraday_pct == pytest.approx(100, abs=1e-6)
    assert html_of(test).startswith("<!doctype html>") and "The account was ruined" in html_of(test)
    own = strategy_named(desk.stores.database, desk.settings, "technical")
    with desk.stores.database.transaction() as connection:
        record_result(
            connection,
            BacktestRecord(
                "technical", TODAY, test.document(), test.result.order_list_hash, own.code_version, own.parameters_hash,
                test.content_hash, "r", standard_plan(desk.settings).settings_hash(desk.settings),
            ),
        )  # fmt: skip
    [verdict] = validate_strategies(desk.stores, ["technical"])
    assert verdict.words.startswith("The account was ruined: it lost all of its equity; Sharpe ratio was -")
    assert not verdict.passed and verdict.disabled_now and not verdict.enabled
    [told] = read_notifications(desk.stores.database, ["strategy_disabled"])
    assert "The account was ruined" in told.message
