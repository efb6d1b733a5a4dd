"""Signals are those of the parameter sets in force, through the real assets at a desk with stored candles.

Expected rows are what the strategy says of the same candles when it is asked directly.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from fks_assets.assets.analysis import derive
from fks_assets.assets.freshness import _derived_behind
from fks_assets.assets.trading.in_force import PARAMETER_SETS, STRATEGIES, read_in_force
from fks_assets.cli import app
from fks_assets.clock import now_ms, to_ms
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.strategies.registry import create_strategy, register_folder
from fks_assets.quant.timeframes import month_window, parse_timeframe
from fks_assets.settings import load_settings
from fks_assets.stores.canonical import same_rows, times_of
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.strategies import remove_parameters, write_parameters
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.trading.desks import store, walk

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
MONTHS = ("2026-01", "2026-02")
ROWS = 59 * 24
CANDLES = walk(START, ROWS, seed=7)
H1 = parse_timeframe("1h")


@pytest.fixture
def desk(home: Path, database_url: str) -> Iterator[Desk]:
    """Two months of one market, with its indicators; the settings name technical and breakout."""
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"], TIMEFRAMES="1h", FIRST_MONTH="2026-01")
    store(desk.stores.candles, desk.settings.market_list()[0], CANDLES)
    assert desk.run(["indicators_1h"], MONTHS, scheduled=True).success
    yield desk
    register_folder(None)


def put(desk: Desk, name: str, **values: Any) -> None:
    full = create_strategy("breakout", values).parameters.model_dump(mode="json")
    with desk.stores.database.transaction() as connection:
        write_parameters(connection, name, "breakout", full, by="Ada", note="", at_ms=now_ms())


def remove(desk: Desk, name: str) -> None:
    with desk.stores.database.transaction() as connection:
        remove_parameters(connection, name, by="Ada", note="", at_ms=now_ms())


def derive_signals(desk: Desk, months: Sequence[str] = MONTHS, *, scheduled: bool = True) -> Any:
    return desk.run(["signals_1h"], months, scheduled=scheduled)


def said(desk: Desk, name: str) -> pa.Table:
    return desk.stores.candles.read_table(f"signals.{name}", desk.settings.market_list()[0], "1h")


def asked(**values: Any) -> np.ndarray:
    return create_strategy("breakout", values).evaluate(CANDLES, compute_indicators(CANDLES), warm_rows(ROWS)).action


def stale_since(desk: Desk) -> int | None:
    return _derived_behind(desk.stores, H1, now_ms(), derived=True, signals=True)


def warnings(result: Any, desk: Desk) -> list[str]:
    records = desk.instance.get_records_for_run(result.run_id).records
    return [record.event_log_entry.user_message for record in records if record.event_log_entry.level == 30]


def record(desk: Desk, month: str) -> Any:
    [found] = latest_inputs(desk.stores.database, "signals_1h", [f"BTC-USDT@simulated|{month}"]).values()
    return found


def test_each_set_in_force_has_a_dataset_of_its_name_with_what_its_parameters_say(desk: Desk) -> None:
    """S4.23: a set beside the settings, and one that replaces them."""
    put(desk, "quick", ema_fast=3, lookback=10)
    put(desk, "breakout", ema_fast=8)
    assert derive_signals(desk).success
    for name, values in (("quick", {"ema_fast": 3, "lookback": 10}), ("breakout", {"ema_fast": 8})):
        table = said(desk, name)
        assert times_of(table).tolist() == CANDLES.open_time.tolist()
        assert table["action"].to_pylist() == asked(**values).tolist()
    assert (asked(ema_fast=3, lookback=10) != asked(ema_fast=8)).any()
    assert said(desk, "technical").num_rows == ROWS
    [event] = [each for each in desk.events("signals_1h") if each.partition.endswith("2026-01")]
    assert {row.data["strategy"] for row in event.metadata["signals"].records} == {"technical", "breakout", "quick"}
    used = read_in_force(desk.stores.database, desk.settings)
    made_from = {(ref.asset, ref.partition): ref.content_hash for ref in record(desk, "2026-02").inputs}
    assert made_from[PARAMETER_SETS, "quick"] == "version 1"
    quick = used.subjects["quick"]
    assert made_from[STRATEGIES, "quick"] == f"{quick.code_version} {quick.parameters_hash}"
    assert record(desk, "2026-02").settings_hash == used.settings_hash


def test_a_changed_set_makes_every_month_stale_until_it_is_judged_anew(desk: Desk) -> None:
    """S4.23, C30: the tick sees it, the next run rewrites only the rows that differ, and a run after that does nothing."""
    put(desk, "quick", ema_fast=3)
    assert derive_signals(desk).success
    assert stale_since(desk) is None
    before, events = said(desk, "technical"), len(desk.events("signals_1h"))
    put(desk, "quick", ema_fast=4)
    assert stale_since(desk) == START
    assert derive_signals(desk).success
    assert said(desk, "quick")["action"].to_pylist() == asked(ema_fast=4).tolist()
    assert same_rows(said(desk, "technical"), before), "not a row of another set is written again"
    assert stale_since(desk) is None
    told = len(desk.events("signals_1h"))
    assert events < told
    assert derive_signals(desk).success
    assert len(desk.events("signals_1h")) == told


def test_one_month_that_a_person_asks_for_is_judged_with_todays_sets_and_the_other_stays_stale(desk: Desk) -> None:
    assert derive_signals(desk).success
    put(desk, "breakout", ema_fast=8)
    assert derive_signals(desk, ["2026-01"], scheduled=False).success
    inside = CANDLES.open_time < month_window("2026-01")[1]
    assert said(desk, "breakout")["action"].to_numpy()[inside].tolist() == asked(ema_fast=8)[inside].tolist()
    assert said(desk, "breakout")["action"].to_numpy()[~inside].tolist() == asked()[~inside].tolist()
    assert stale_since(desk) == month_window("2026-02")[0]


def test_a_removed_set_is_not_written_any_more_and_what_it_said_stays(desk: Desk) -> None:
    put(desk, "quick", ema_fast=3)
    assert derive_signals(desk).success
    kept = said(desk, "quick")
    remove(desk, "quick")
    assert stale_since(desk) == START
    assert derive_signals(desk).success
    assert same_rows(said(desk, "quick"), kept)
    assert not [ref for ref in record(desk, "2026-02").inputs if (ref.asset, ref.partition) == (STRATEGIES, "quick")]
    assert stale_since(desk) is None
    [event, *_] = desk.events("signals_1h")
    assert {row.data["strategy"] for row in event.metadata["signals"].records} == {"technical", "breakout"}


def test_the_signals_of_a_set_are_shown_by_its_name_also_after_it_was_removed(
    desk: Desk, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers show what is stored; only the writer asks what is in force."""
    put(desk, "quick", ema_fast=3)
    assert derive_signals(desk).success
    remove(desk, "quick")
    for name, value in (("HOME", str(home)), ("DATABASE_URL", database_url), ("EXCHANGE", "simulated")):
        monkeypatch.setenv(f"FKS_{name}", value)
    load_settings.cache_clear()
    shown = CliRunner().invoke(app, ["signals", "BTC-USDT", "1h", "--strategy", "quick", "--limit", "3", "--json"])
    unknown = CliRunner().invoke(app, ["signals", "BTC-USDT", "1h", "--strategy", "quik"])
    load_settings.cache_clear()
    assert shown.exit_code == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert (document["dataset"], [row["action"] for row in document["rows"]]) == (
        "signals.quick",
        asked(ema_fast=3)[-3:].tolist(),
    )
    assert (unknown.exit_code, unknown.stderr) == (
        2,
        "fks: strategy 'quik' is not on this desk; it has technical, breakout, quick\n",
    )


def test_a_set_that_cannot_be_used_is_a_warning_and_stops_no_other(desk: Desk) -> None:
    with desk.stores.database.transaction() as connection:
        write_parameters(connection, "old", "breakout", {"gone": 1}, by="Ada", note="", at_ms=now_ms())
    result = derive_signals(desk)
    assert result.success
    assert "parameter set old gives no signals: strategy breakout: gone: unknown parameter, was 1" in warnings(result, desk)
    assert said(desk, "breakout").num_rows == ROWS and said(desk, "old").num_rows == 0
    assert stale_since(desk) is None, "it is not tried again before something changes"


def test_a_strategy_that_breaks_is_one_warning_and_stops_no_other(
    desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3.4, C28: one that spoils what it is lent harms nobody else either."""
    from fks_assets.quant.strategies.technical import Technical

    def spoil(self: Technical, candles: Any, indicators: Any) -> None:
        for column in indicators.values():
            column[:] = 0
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Technical, "judge", spoil)
    result = derive_signals(desk)
    assert result.success
    [told] = [words for words in warnings(result, desk) if "technical" in words]
    assert told == ("parameter set technical gives no signals from BTC-USDT@simulated|2026-01 on: RuntimeError: out of luck")
    assert said(desk, "breakout")["action"].to_pylist() == asked().tolist()
    assert said(desk, "technical").num_rows == 0


def test_a_set_that_changes_while_a_run_goes_on_is_recorded_as_it_was_used(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people at once: the run keeps to what it began with, says so, and the next tick sees the change."""
    put(desk, "quick", ema_fast=3)
    began = read_in_force(desk.stores.database, desk.settings)
    real = derive.plan_derivations

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        put(desk, "quick", ema_fast=4)
        return real(*arguments, **options)

    monkeypatch.setattr(derive, "plan_derivations", meanwhile)
    assert derive_signals(desk).success
    monkeypatch.undo()
    assert said(desk, "quick")["action"].to_pylist() == asked(ema_fast=3).tolist()
    assert record(desk, "2026-01").settings_hash == began.settings_hash
    assert {ref.content_hash for ref in record(desk, "2026-01").inputs if ref.asset == PARAMETER_SETS} == {"version 1"}
    assert stale_since(desk) == START
    assert derive_signals(desk).success
    assert said(desk, "quick")["action"].to_pylist() == asked(ema_fast=4).tolist()
