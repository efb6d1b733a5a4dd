"""A machine that slept: whatever was missed, the next tick leaves no hole. Expected are the rows of the simulator's oracle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fks_assets.assets.schedules import behind_request
from fks_assets.quant.timeframes import month_window, months_between
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.sync_status import SyncState
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, SYMBOLS, StoppedDesk, database_of_a_module, stopped_desk

START_MS = parse_time("start", "now", "2025-02-20T09:00:30Z")
CHAIN = ("ohlcv", "indicators", "signals")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    """A desk that the tests of this module use one after another; its clocks only go forward."""
    with (
        database_of_a_module(postgres_home, "ticks") as url,
        stopped_desk(tmp_path_factory.mktemp("desk"), url, START_MS, history_days=60) as desk,
    ):
        assert desk.tick(CHAIN).success
        yield desk


def _assert_whole(desk: StoppedDesk) -> None:
    for symbol in SYMBOLS:
        truth = desk.truth(symbol)
        assert max(truth) == desk.now_ms - desk.now_ms % HOUR_MS - HOUR_MS
        assert desk.stored(symbol) == truth, symbol
        assert desk.status(symbol).state is SyncState.COMPLETED


@pytest.mark.parametrize("hours", [6, 3 * 24, 40 * 24])
def test_one_tick_after_a_sleep_leaves_no_hole_in_candles_indicators_and_signals(desk: StoppedDesk, hours: int) -> None:
    asleep_from = desk.now_ms
    desk.advance(hours)
    request = behind_request(desk.desk.stores, CHAIN)
    assert request is not None
    assert set(months_between(asleep_from, desk.now_ms)) <= set(request[0])
    assert desk.tick(CHAIN).success
    _assert_whole(desk)
    stores = desk.desk.stores.candles
    for market in desk.desk.settings.market_list():
        times = stores.read_table("ohlcv", market, "1h", columns=["open_time"])["open_time"]
        for dataset in ("indicators", *(f"signals.{strategy}" for strategy in desk.desk.settings.strategies)):
            assert stores.read_table(dataset, market, "1h", columns=["open_time"])["open_time"].equals(times), dataset
    assert behind_request(desk.desk.stores, CHAIN) is None


def test_just_after_midnight_of_the_first_both_months_are_covered(desk: StoppedDesk) -> None:
    turn = month_window(months_between(desk.now_ms, desk.now_ms + 1)[0])[1]
    desk.set_clock(turn - HOUR_MS + 30_000)
    assert desk.tick().success
    desk.set_clock(turn + 30_000)
    request = behind_request(desk.desk.stores, ("ohlcv",))
    assert request is not None
    assert list(request[0]) == months_between(turn - 1, turn + 1)
    assert desk.tick().success
    _assert_whole(desk)
    assert all(max(desk.stored(symbol)) == turn - HOUR_MS for symbol in SYMBOLS)
    desk.advance(1)
    assert desk.tick().success
    _assert_whole(desk)
    assert all(max(desk.stored(symbol)) == turn for symbol in SYMBOLS)


def test_a_person_who_loads_only_the_newest_month_does_not_hide_what_was_slept_through(desk: StoppedDesk) -> None:
    asleep_from = desk.now_ms
    desk.advance(35 * 24)
    newest = months_between(asleep_from, desk.now_ms)[-1]
    assert desk.desk.run(["ohlcv_1h"], [newest]).success
    assert desk.stored("BTC-USDT") != desk.truth("BTC-USDT")
    assert desk.tick().success
    _assert_whole(desk)


def test_a_sync_that_was_killed_is_gone_through_again(desk: StoppedDesk) -> None:
    from fks_assets.stores.sync_status import record_sync

    with desk.desk.stores.database.transaction() as connection:
        for market in desk.desk.settings.market_list():
            record_sync(connection, market, "1h", state=SyncState.SYNCING, at_ms=desk.now_ms)
    assert desk.tick().success
    _assert_whole(desk)
    assert behind_request(desk.desk.stores, ("ohlcv",)) is None
