"""The daily backtests of accounts: what is kept of each, and that one which fails stops no other."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from fks_assets import clock
from fks_assets.assets.trading.account_backtest import account_backtest
from fks_assets.clock import to_ms
from fks_assets.partitions import tags_of_today
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.strategies import remove_parameters, write_parameters
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.trading.desks import DAY, HOUR, store, walk

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
TODAY = "2026-03-02"
END = START + 60 * DAY
ASSET = "account_backtests"
ACCOUNTS = {
    "ACCOUNTS__main__mode": "paper",
    "ACCOUNTS__main__initial_cash": "10000",
    "ACCOUNTS__main__strategies__technical": "0.5",
    "ACCOUNTS__main__strategies__breakout": "0.5",
    "ACCOUNTS__quick__mode": "alert",
    "ACCOUNTS__quick__timeframe": "5m",
    "ACCOUNTS__quick__strategies__crosses": "1",
}


@pytest.fixture
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Sixty days of one market in hours, five of them in five minutes; an account of each. `crosses` is a stored set."""
    moment = END + 25 * 60_000
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: moment * 1_000_000))
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"], FIRST_MONTH="2026-01", **ACCOUNTS)
    [btc] = desk.settings.market_list()
    store(desk.stores.candles, btc, walk(START, 60 * 24, seed=5, drift=0.0008))
    store(desk.stores.candles, btc, walk(END - 5 * DAY, 5 * 288, seed=6, step_ms=HOUR // 12), "5m")
    with desk.stores.database.transaction() as connection:
        write_parameters(connection, "crosses", "breakout", {"ema_fast": 3}, by="Ada", note="", at_ms=END - DAY)
    return desk


def run(desk: Desk, *, scheduled: bool = True, day: str = TODAY, days: int | None = None) -> dg.ExecuteInProcessResult:
    wanted = {"dagster/partition": day} | ({"dagster/schedule_name": "backtest_accounts_schedule"} if scheduled else {})
    config = {} if days is None else {"ops": {ASSET: {"config": {"lookback_days": days}}}}
    return desk.definitions.resolve_job_def("backtest_accounts").execute_in_process(
        instance=desk.instance, tags=wanted, run_config=config, raise_on_error=False
    )


def summary(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    [closing] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in closing.event_specific_data.metadata.items()}


def test_each_day_every_account_is_backtested_over_the_days_of_the_settings(desk: Desk, home: Path) -> None:
    """C28; the window is that of `[backtests]`, and the candles are of each account's own timeframe."""
    assert tags_of_today("backtest_accounts", TODAY) == {"dagster/partition": TODAY}
    assert run(desk).success
    [event] = desk.events(ASSET)
    rows = {row.data["account"]: row.data for row in event.metadata["figures"].records}
    days = desk.settings.backtests.days
    tests = {name: account_backtest(desk.stores, name, END - days * DAY, END, at_ms=None) for name in ("main", "quick")}
    assert {name: (row["timeframe"], row["orders"]) for name, row in rows.items()} == {
        "main": ("1h", tests["main"].result.order_list_hash[:16]),
        "quick": ("5m", tests["quick"].result.order_list_hash[:16]),
    }
    assert tests["main"].end_ms - tests["main"].start_ms == days * DAY and all(
        len(each.result.trades) > 5 for each in tests.values()
    )
    shares = {row.data["strategy"]: row.data["share"] for row in event.metadata["strategies of main"].records}
    assert shares == {"technical": "50 %", "breakout": "50 %"}
    assert event.metadata["equity of quick"].value.startswith("![Account quick on BTC-USDT@simulated, 5m](data:image/svg+xml")
    assert "quick: The stored candles begin at" in event.metadata["notes"].value
    [record] = latest_inputs(desk.stores.database, ASSET, [TODAY]).values()
    assert record.inputs == tuple(sorted({*tests["main"].inputs, *tests["quick"].inputs}))
    for name in tests:
        page = (home / "reports" / ASSET / f"{TODAY}_{name}.html").read_text(encoding="utf-8")
        assert page.startswith("<!doctype html>") and "<h2>Strategies</h2>" in page
    assert run(desk).success and len(desk.events(ASSET)) == 1, "nothing changed, so no event"
    assert run(desk, scheduled=False, days=4).success
    assert len(desk.events(ASSET)) == 2, "a person gets an answer"
    assert "The stored candles begin" not in desk.events(ASSET)[0].metadata.get("notes", SimpleNamespace(value="")).value
    refused = run(desk, days=0)
    [failure] = [event for event in refused.all_events if event.event_type_value == "STEP_FAILURE"]
    assert "lookback_days must be at least 1, was 0" in str(failure.event_specific_data.error_display_string)


def test_an_account_that_fails_stops_no_other_and_one_that_is_gone_stays_in_its_days(desk: Desk, home: Path) -> None:
    """S3.4."""
    with desk.stores.database.transaction() as connection:
        remove_parameters(connection, "crosses", by="Ada", note="", at_ms=END)
    result = run(desk)
    assert result.success
    told = summary(result)
    words = "no strategy of account quick is in force: crosses: it is not in force"
    assert (told["status"], told["total_accounts"], told["processed"], told["errors"]) == ("completed_with_errors", 2, 1, 1)
    assert told["details"][f"{TODAY}|quick"] == words
    [event] = desk.events(ASSET)
    assert f"quick failed: {words}" in event.metadata["notes"].value
    by_person = run(desk, scheduled=False)
    assert not by_person.success, "a person is told"
    assert run(desk, scheduled=False, day="2026-03-01", days=3).success, "that day the set was in force"
    yesterday = home / "reports" / ASSET / "2026-03-01_quick.html"
    assert yesterday.is_file()
    desk.settings.accounts.pop("quick")
    assert run(desk, scheduled=False).success
    assert desk.materialised(ASSET) == {TODAY, "2026-03-01"} and yesterday.is_file()
    names = [name for name in desk.events(ASSET)[0].metadata if name.startswith("equity of ")]
    assert names == ["equity of main"]


def test_the_schedule_asks_for_its_day_and_for_nothing_where_there_is_no_account(desk: Desk) -> None:
    schedule = desk.definitions.resolve_schedule_def("backtest_accounts_schedule")
    with dg.build_schedule_context(resources={"stores": desk.stores}) as context:
        request = schedule(context)
        desk.settings.accounts.clear()
        skipped = schedule(context)
    assert (request.partition_key, request.run_key) == (TODAY, f"{ASSET}:{TODAY}")
    assert skipped.skip_message == "the settings have no account"
    assert summary(run(desk))["total_accounts"] == 0
