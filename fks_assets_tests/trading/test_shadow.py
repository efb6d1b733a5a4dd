"""Counterfactual branches (D10): production is untouched, byte for byte; what differs is what two direct backtests say."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from fks_assets.assets.trading.account_backtest import Change, account_backtest
from fks_assets.assets.trading.backtest_run import Backtest, backtest
from fks_assets.assets.trading.in_force import strategy_named
from fks_assets.cli import app
from fks_assets.clock import iso, now_ms, to_ms
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.backtest.named_rules import rules_from
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import load_settings
from fks_assets.stores.canonical import times_of
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.strategies import remove_parameters, write_parameters
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.trading.desks import store, walk

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
MONTHS = ("2026-01", "2026-02")
H1 = parse_timeframe("1h")
FROM, TO = to_ms(datetime(2026, 1, 25, tzinfo=UTC)), to_ms(datetime(2026, 2, 26, tzinfo=UTC))
PERIOD = ("--from", "2026-01-25", "--to", "2026-02-26")
SERIES = {"BTC-USDT@simulated": walk(START, 58 * 24, seed=7), "ETH-USDT@simulated": walk(START, 58 * 24, seed=8)}


@pytest.fixture
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Two months of two markets with indicators and signals, and a backtest of the strategies on record."""
    values = {"TIMEFRAMES": "1h", "FIRST_MONTH": "2026-01"}
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "ETH-USDT"], **values)
    for market in desk.settings.market_list():
        store(desk.stores.candles, market, SERIES[market.key])
    assert desk.run(["indicators_1h", "signals_1h"], MONTHS, scheduled=True).success
    environment = {
        "DESK": str(home / "desk.toml"), "HOME": str(home), "DATABASE_URL": database_url, "EXCHANGE": "simulated", **values,
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(f"FKS_{name}", value)
    load_settings.cache_clear()
    yield desk
    load_settings.cache_clear()


def fks(*arguments: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, ["strategies", *arguments, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def production_of(desk: Desk) -> dict[str, Any]:
    """Every row of the database that is not of a shadow, and the bytes of every object that was there."""
    with desk.stores.database.transaction() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = {
            table: sorted(str(tuple(row)) for row in connection.execute(sa.text(f'SELECT * FROM "{table}"'))) for table in tables
        }
    root = desk.settings.home / "candles"
    rows["dataset_heads"] = [row for row in rows["dataset_heads"] if not row.startswith("('shadow.")]
    rows["partition_inputs"] = [row for row in rows["partition_inputs"] if "'shadow." not in row]
    objects = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.parquet"))
        if not path.relative_to(root).parts[0].startswith("shadow.")
    }
    assert objects and rows["dataset_heads"] and rows["partition_inputs"]
    return {**rows, "objects": objects}


def direct(desk: Desk, rules: dict[str, Any] | None = None, **values: Any) -> Backtest:
    subject = strategy_named(desk.stores.database, desk.settings, "breakout", values)
    leg, book = rules_from(rules or {})
    return backtest(desk.stores, subject, desk.settings.market_list(), H1, FROM, TO, rules=leg, book=book)


def entries(test: Backtest) -> dict[tuple[str, str], list[float]]:
    """Gain of the trades by market and time of entry, read from the columns of the result."""
    found: dict[tuple[str, str], list[float]] = {}
    trades = test.result.trades
    for market, time, pnl in zip(trades.market, trades.entry_time, trades.pnl, strict=True):
        found.setdefault((test.result.markets[market], str(iso(int(time)))), []).append(float(pnl))
    return found


def test_a_branch_is_the_difference_of_two_direct_backtests_and_production_is_untouched(desk: Desk) -> None:
    """D10."""
    before = production_of(desk)
    document = fks("shadow", "breakout", "BTC-USDT", "ETH-USDT", *PERIOD, "--set", "ema_fast=3", "--set", "lookback=10")
    assert production_of(desk) == before
    page = Path(document["html"]).read_text(encoding="utf-8")
    assert "Out-of-sample efficiency: not known" in page
    assert f"<title>breakout on 2 markets, 1h, branch {document['branch']}</title>" in page
    assert "breakout, version of the settings with changes: ema_fast=3, lookback=10<" in page
    old, new = direct(desk), direct(desk, ema_fast=3, lookback=10)
    assert (document["production"]["content_hash"], document["shadow"]["content_hash"]) == (old.content_hash, new.content_hash)
    for name, row in document["diff"]["metrics"].items():
        was, would_be = getattr(old.performance, name), getattr(new.performance, name)
        assert (row["production"], row["shadow"]) == (was, would_be), name
        if isinstance(was, float) and isinstance(would_be, float):
            assert row["difference"] == would_be - was
    mine, theirs = entries(old), entries(new)
    differing = {key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key)}
    rows = {(row["market"], row["entry_time"]): row for row in document["diff"]["trades"]}
    assert differing and differing <= rows.keys()
    assert {key for key, row in rows.items() if row["change"] == "added"} == theirs.keys() - mine.keys()
    assert {key for key, row in rows.items() if row["change"] == "removed"} == mine.keys() - theirs.keys()
    for key, row in rows.items():
        assert [row[side]["pnl"] for side in ("production", "shadow") if row[side]] == [
            each[key][0] for each in (mine, theirs) if key in each
        ]


def test_the_signals_of_a_branch_are_what_its_parameters_say_with_their_provenance(desk: Desk) -> None:
    document = fks("shadow", "breakout", "BTC-USDT", *PERIOD, "--set", "ema_fast=3", "--branch", "quick")
    (btc, _) = desk.settings.market_list()
    stored = desk.stores.candles.read_table("shadow.quick", btc, "1h")
    candles = SERIES[btc.key]
    inside = (candles.open_time >= FROM) & (candles.open_time < TO)
    indicators, warm = compute_indicators(candles), warm_rows(len(candles))
    said, asked = (
        create_strategy("breakout", values).evaluate(candles, indicators, warm).action[inside] for values in ({"ema_fast": 3}, {})
    )
    assert times_of(stored).tolist() == candles.open_time[inside].tolist()
    assert stored["action"].to_numpy().tolist() == said.tolist()
    changed = {row["candle"]: (row["production"]["action"], row["shadow"]["action"]) for row in document["diff"]["signals"]}
    words = {1: "BUY", -1: "SELL", 0: "HOLD"}
    assert changed == {
        iso(int(opened)): (words[int(old)], words[int(new)])
        for opened, old, new in zip(candles.open_time[inside], asked, said, strict=True)
        if old != new
    }
    assert document["signals_changed"] == len(changed) > 5
    records = latest_inputs(desk.stores.database, "shadow.quick_1h", [f"{btc.key}|{month}" for month in MONTHS])
    record = records[f"{btc.key}|2026-02"]
    assert record.settings_hash == document["shadow"]["parameters_hash"]
    heads = desk.stores.candles.heads("ohlcv", "1h", [btc])
    assert {ref.content_hash for ref in record.inputs if ref.asset == "ohlcv_1h"} == {
        head.content_hash for head in heads.values()
    }


def test_a_rule_of_the_trade_is_a_counterfactual_too(desk: Desk) -> None:
    """D10: signals → risk → metrics; here the signals stay as they are."""
    document = fks("shadow", "breakout", "BTC-USDT", "ETH-USDT", *PERIOD, "--rule", "sizing.size=0.1")
    assert document["signals_changed"] == 0 and document["diff"]["signals"] == []
    assert document["trades_changed"] == len(document["diff"]["trades"]) > 0
    assert document["shadow"]["content_hash"] == direct(desk, {"sizing.size": 0.1}).content_hash
    quantities = [(row["production"]["quantity"], row["shadow"]["quantity"]) for row in document["diff"]["trades"]]
    assert all(after < before for before, after in quantities)


def test_branches_are_listed_replaced_and_dropped_without_a_trace_in_production(desk: Desk) -> None:
    before = production_of(desk)
    fks("shadow", "breakout", "BTC-USDT", "ETH-USDT", *PERIOD, "--set", "ema_fast=3", "--branch", "quick")
    fks("shadow", "technical", "BTC-USDT", *PERIOD, "--rule", "short=true")
    listed = {row["branch"]: row for row in fks("shadows")["shadows"]}
    assert len(listed) == 2 and listed["quick"]["changed_parameters"] == {"ema_fast": 3}
    assert listed["quick"]["markets"] == list(SERIES)
    fks("shadow", "breakout", "ETH-USDT", *PERIOD, "--set", "ema_fast=4", "--branch", "quick")
    stored = desk.stores.candles.heads("shadow.quick", "1h")
    assert {partition.market.key for partition in stored} == {"ETH-USDT@simulated"}, "nothing is left of the branch before"
    assert all(head.revision_count == 0 for head in stored.values())
    (desk.settings.home / "reports" / "shadows" / "quick.json").unlink()
    assert {"branch": "quick"} in fks("shadows")["shadows"], "one whose writer was killed is named too, and can be dropped"
    for branch in listed:
        assert fks("drop-shadow", branch)["branch"] == branch
    assert fks("shadows") == {"shadows": []}
    assert desk.stores.candles.heads("shadow.quick", "1h") == {}
    assert list((desk.settings.home / "reports" / "shadows").iterdir()) == []
    assert production_of(desk) == before


def test_the_asset_makes_the_same_branch_and_shows_the_differences(desk: Desk) -> None:
    by_hand = fks("shadow", "breakout", "BTC-USDT", *PERIOD, "--set", "ema_fast=3", "--branch", "by_hand")
    before = production_of(desk)
    config = {
        "strategy": "breakout",
        "parameters": ["ema_fast=3"],
        "markets": ["BTC-USDT@simulated"],
        "start": "2026-01-25",
        "end": "2026-02-26",
        "branch": "by_asset",
    }
    job = desk.definitions.resolve_job_def("shadow")
    result = job.execute_in_process(
        instance=desk.instance, run_config={"ops": {"shadow_branch": {"config": config}}}, raise_on_error=False
    )
    assert result.success
    assert production_of(desk) == before
    [event] = desk.events("shadow_branch")
    assert event.tags["dagster/data_version"] == by_hand["shadow"]["content_hash"]
    rows = {row.data["figure"]: row.data for row in event.metadata["metrics"].records}
    assert rows["total_trades"]["shadow"] == by_hand["shadow"]["metrics"]["total_trades"]
    assert len(event.metadata["trades that differ"].records) == len(by_hand["diff"]["trades"])
    assert {row["branch"] for row in fks("shadows")["shadows"]} == {"by_hand", "by_asset"}
    wrong = job.execute_in_process(
        instance=desk.instance,
        run_config={"ops": {"shadow_branch": {"config": {**config, "start": "yesterday"}}}},
        raise_on_error=False,
    )
    [failure] = [event for event in wrong.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "start 'yesterday' is not a day such as 2026-11-01" in str(failure.event_specific_data.error_display_string)


def test_the_asset_shows_the_book_of_an_account_beside_the_one_with_the_change(desk: Desk) -> None:
    """D10, C28."""
    desk.settings.accounts["main"] = AccountRules.model_validate(
        {"mode": "paper", "initial_cash": "10000", "strategies": {"technical": 0.5, "breakout": 0.5}}
    )
    config = {"strategy": "breakout", "rules": ["short=true"], "start": "2026-01-25", "end": "2026-02-26", "account": "main"}
    job = desk.definitions.resolve_job_def("shadow")
    assert job.execute_in_process(instance=desk.instance, run_config={"ops": {"shadow_branch": {"config": config}}}).success
    [event] = desk.events("shadow_branch")
    change = Change(strategy_named(desk.stores.database, desk.settings, "breakout"), {"short": True})
    old, new = (account_backtest(desk.stores, "main", FROM, TO, change=each) for each in (None, change))
    rows = {row.data["figure"]: row.data for row in event.metadata["metrics of account main"].records}
    assert (rows["total_trades"]["production"], rows["total_trades"]["shadow"]) == (
        old.performance.total_trades,
        new.performance.total_trades,
    )
    assert set(new.result.trades.side.tolist()) == {1, -1} and set(old.result.trades.side.tolist()) == {1}
    short = {new.result.strategies[code] for code in new.result.trades.strategy[new.result.trades.side < 0]}
    assert short == {"breakout"}, "the other strategy of the account trades as before"
    parts = {(row.data["strategy"], row.data["figure"]): row.data for row in event.metadata["strategies of account main"].records}
    assert parts["breakout", "trades"]["shadow"] == new.strategies[1].trades
    assert len(event.metadata["trades of account main that differ"].records) > 5


def test_signals_and_corrections_of_production_do_not_see_a_branch(desk: Desk) -> None:
    """C28: after a branch the ticks have nothing to do, and a correction does not wait for it."""
    from fks_assets.assets.freshness import _derived_behind

    fks("shadow", "breakout", "BTC-USDT", *PERIOD, "--set", "ema_fast=3", "--branch", "quick")
    assert _derived_behind(desk.stores, H1, now_ms(), derived=True, signals=True) is None
    rows = desk.stores.candles.heads("signals.breakout", "1h")
    assert desk.run(["signals_1h"], MONTHS, scheduled=True).success
    assert desk.stores.candles.heads("signals.breakout", "1h") == rows


def test_a_branch_of_an_account_is_the_difference_of_two_books_and_production_is_untouched(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D10, C28: signals → risk → figures of the whole account; the change is read from a book with the changed set in force."""
    monkeypatch.setenv("FKS_ACCOUNTS__main__mode", "paper")
    monkeypatch.setenv("FKS_ACCOUNTS__main__initial_cash", "10000")
    monkeypatch.setenv("FKS_ACCOUNTS__main__limits__max_positions", "2")
    for name in ("technical", "breakout"):
        monkeypatch.setenv(f"FKS_ACCOUNTS__main__strategies__{name}", "0.5")
    load_settings.cache_clear()
    stores = Stores(load_settings())
    before = production_of(desk)
    asked = ("shadow", "breakout", "BTC-USDT", *PERIOD, "--account", "main", "--branch", "quick")
    book = fks(*asked, "--set", "ema_fast=3", "--set", "lookback=10")["book"]
    assert production_of(desk) == before
    old = account_backtest(stores, "main", FROM, TO)
    values = {**old.subjects["breakout"].parameters, "ema_fast": 3, "lookback": 10}
    with desk.stores.database.transaction() as connection:
        write_parameters(connection, "breakout", "breakout", values, by="Ada", note="", at_ms=TO)
    new = account_backtest(stores, "main", FROM, TO)
    assert (book["production"]["content_hash"], book["shadow"]["order_list_hash"]) == (
        old.content_hash,
        new.result.order_list_hash,
    )
    assert book["production"]["order_list_hash"] != book["shadow"]["order_list_hash"]
    for name, row in book["diff"]["metrics"].items():
        assert (row["production"], row["shadow"]) == (getattr(old.performance, name), getattr(new.performance, name)), name
    for was, would_be in zip(old.strategies, new.strategies, strict=True):
        pnl = book["diff"]["strategies"][was.name]["pnl"]
        assert (pnl["production"], pnl["shadow"], pnl["difference"]) == (was.pnl, would_be.pnl, would_be.pnl - was.pnl)
    differing = {row["strategy"] for row in book["diff"]["trades"]}
    assert differing == {"breakout", "technical"}, "the two share places and cash, so the other one trades otherwise too"
    with desk.stores.database.transaction() as connection:
        remove_parameters(connection, "breakout", by="Ada", note="", at_ms=TO + 1)
    ruled = fks(*asked, "--rule", "sizing.size=0.1", "--rule", "max_positions=1")["book"]["shadow"]
    assert ruled["book"]["max_positions"] == 1
    assert {row["name"]: row["rules"]["sizing"]["size"] for row in ruled["strategies"]} == {"technical": 0.5, "breakout": 0.1}
    wrong = CliRunner().invoke(
        app, ["strategies", "shadow", "ema_crossover", *PERIOD, "--account", "main", "--set", "ema_fast=3"]
    )
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        "fks: strategy 'ema_crossover' is not in account main; it has technical, breakout\n",
    )
    shown = CliRunner().invoke(app, ["strategies", *asked, "--set", "ema_fast=3"])
    assert shown.exit_code == 0 and "Account main" in shown.stdout and "budget used %" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["breakout"], "a branch changes something: give a parameter or a rule another value, was none"),
        (["breakout", "--set", "ema_fast=99"], "ema_fast: Input should be less than or equal to 50, was 99"),
        (["brakeout", "--set", "ema_fast=3"], "Unknown strategy: 'brakeout'"),
        (["breakout", "--set", "ema_fast=3", "--branch", "No!"], "the name of a branch is of small letters"),
        (["breakout", "--rule", "sizing.knid=risk"], "rule 'sizing.knid' is unknown"),
    ],
)
def test_wrong_questions_are_refused_in_one_line_and_leave_no_branch(desk: Desk, arguments: list[str], words: str) -> None:
    answer = CliRunner().invoke(app, ["strategies", "shadow", *arguments, "BTC-USDT", *PERIOD])
    assert answer.exit_code == 2 and words in answer.stderr and answer.stderr.count("\n") == 1, answer.stderr
    assert fks("shadows") == {"shadows": []}
    missing = CliRunner().invoke(app, ["strategies", "drop-shadow", "quick"])
    assert (missing.exit_code, missing.stderr) == (2, "fks: branch 'quick' is unknown; known: none\n")


def test_people_get_the_figures_side_by_side(desk: Desk) -> None:
    answer = CliRunner().invoke(app, ["strategies", "shadow", "breakout", "BTC-USDT", *PERIOD, "--set", "ema_fast=3"])
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("breakout_") and "(SIMULATED)" in lines[0]
    [figure] = [line.split() for line in lines if line.startswith("Trades ") and not line.startswith("Trades that differ")]
    assert [float(value) for value in figure[1:3]] == [
        backtest(
            desk.stores,
            strategy_named(desk.stores.database, desk.settings, "breakout", values),
            desk.settings.market_list()[:1],
            H1,
            FROM,
            TO,
        ).performance.total_trades
        for values in ({}, {"ema_fast": 3})
    ]
    listed = CliRunner().invoke(app, ["strategies", "shadows"])
    assert listed.exit_code == 0 and "ema_fast" in listed.stdout
