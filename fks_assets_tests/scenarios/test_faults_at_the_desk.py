"""Every fault of the simulated exchange against a scheduled run: what is stored is true, what is not is said, the next run heals.

The expected rows are those of the simulator's oracle, which no fault touches.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fks_assets.assets.market_data.plan import SyncMode
from fks_assets.assets.market_data.sync import sync_candles
from fks_assets.errors import ExchangeError, StoreError
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import TIMEFRAMES, months_between
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.sync_status import SyncState
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, SYMBOLS, StoppedDesk, database_of_a_module, stopped_desk

START_MS = parse_time("start", "now", "2025-06-10T09:00:30Z")
FAULTED = "ETH-USDT"
OTHERS = [symbol for symbol in SYMBOLS if symbol != FAULTED]
CHAIN = ("ohlcv", "indicators", "signals")

UNREACHABLE: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "too many requests": ({"action": "status", "status": 429, "retry_after": 1}, "429"),
    "banned": ({"action": "status", "status": 418, "retry_after": 1}, "418"),
    "internal error": ({"action": "status", "status": 500}, "500"),
    "unavailable, in HTML": ({"action": "status", "status": 503, "html": True}, "503"),
    "hanging": ({"action": "hang", "seconds": 60}, "no complete answer within"),
    "dripping": ({"action": "drip", "bytes_per_second": 50}, "no complete answer within"),
    "reset": ({"action": "reset"}, "connection|broke off"),
    "torn": ({"action": "torn"}, "broke off"),
    "torn, with an honest length": ({"action": "torn", "honest_length": True}, "not JSON"),
    "garbage": ({"action": "garbage"}, "not JSON"),
    "empty body": ({"action": "empty"}, "not JSON"),
    "oversize": ({"action": "oversize", "bytes": 25_000_000}, "more than 20971520 bytes|no complete answer within"),
}
UNUSABLE: Mapping[str, Mapping[str, Any]] = {
    **{
        f"{value} as a close": {"action": "values", "values": value, "where": "middle"}
        for value in ("nan", "inf", "negative", "null", "text", "high_below_low")
    },
    "nan as the newest close": {"action": "values", "values": "nan", "where": "last_closed"},
    "off the grid": {"action": "off_grid", "where": "middle"},
}
HARMLESS: Mapping[str, Mapping[str, Any]] = {
    "unfinished": {"action": "unfinished"},
    "duplicates": {"action": "duplicate", "where": "all"},
    "reversed": {"action": "reorder", "how": "reverse"},
    "shuffled": {"action": "reorder"},
    "bad values in the running candle": {"action": "values", "values": "nan", "where": "last"},
}


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    with (
        database_of_a_module(postgres_home, "faults_at_the_desk") as url,
        stopped_desk(tmp_path_factory.mktemp("desk"), url, START_MS, history_days=20) as desk,
    ):
        assert desk.tick(CHAIN).success
        yield desk


@pytest.fixture
def desk(shared_desk: StoppedDesk) -> Iterator[StoppedDesk]:
    """The shared desk, thirty hours after it was last complete."""
    shared_desk.clear()
    shared_desk.advance(30)
    yield shared_desk
    shared_desk.clear()


def _fault(desk: StoppedDesk, rule: Mapping[str, Any], **where: Any) -> None:
    desk.simulator.add_faults({**rule, "endpoint": "candles", "symbol": FAULTED, **where})


def _assert_applied(desk: StoppedDesk) -> None:
    rules = desk.simulator.faults()
    assert rules and all(rule["applied"] for rule in rules), rules


def _assert_all_true_and_others_whole(desk: StoppedDesk) -> None:
    assert desk.stored(FAULTED).items() <= desk.truth(FAULTED).items()
    for symbol in OTHERS:
        assert desk.stored(symbol) == desk.truth(symbol), symbol
        assert desk.status(symbol).state is SyncState.COMPLETED


def _assert_the_next_tick_heals(desk: StoppedDesk) -> None:
    desk.simulator.remove_faults()
    desk.simulator.set_clock(skew_seconds=0)
    desk.set_deadline(15)
    desk.advance(1)
    assert desk.tick().success
    for symbol in SYMBOLS:
        assert desk.stored(symbol) == desk.truth(symbol), symbol
        assert desk.status(symbol).state is SyncState.COMPLETED, symbol
        assert desk.status(symbol).newest_open == desk.now_ms - desk.now_ms % HOUR_MS - HOUR_MS


def _synced_check(result: Any) -> tuple[bool, dict[str, str]]:
    check = next(each for each in result.get_asset_check_evaluations() if each.check_name == "synced")
    return check.passed, check.metadata["failing"].data


@pytest.mark.parametrize("name", UNREACHABLE)
def test_a_market_that_cannot_be_read_says_why_and_stops_no_other(desk: StoppedDesk, name: str) -> None:
    rule, words = UNREACHABLE[name]
    _fault(desk, rule)
    desk.set_deadline(2)
    before = desk.stored(FAULTED)
    result = desk.tick()
    _assert_applied(desk)
    assert result.success
    _assert_all_true_and_others_whole(desk)
    assert desk.stored(FAULTED) == before
    status = desk.status(FAULTED)
    assert status.state is SyncState.ERROR
    assert re.search(words, status.error_message or ""), status.error_message
    passed, errors = _synced_check(result)
    assert not passed and errors == {f"{FAULTED}@simulated": status.error_message}
    _assert_the_next_tick_heals(desk)


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_row_is_set_aside_in_sight_and_asked_for_again(desk: StoppedDesk, name: str) -> None:
    _fault(desk, UNUSABLE[name])
    result = desk.tick()
    _assert_applied(desk)
    assert result.success
    _assert_all_true_and_others_whole(desk)
    assert len(desk.truth(FAULTED)) - len(desk.stored(FAULTED)) == 1
    status = desk.status(FAULTED)
    assert status.state is SyncState.ERROR
    assert "1 unusable rows were not stored" in (status.error_message or "")
    assert _synced_check(result) == (False, {f"{FAULTED}@simulated": status.error_message})
    newest = next(each for each in desk.desk.events("ohlcv_1h") if each.partition.startswith(FAULTED))
    assert newest.metadata["quarantined rows"].value == 1
    _assert_the_next_tick_heals(desk)


@pytest.mark.parametrize("name", HARMLESS)
def test_an_odd_answer_that_holds_every_candle_is_stored_whole(desk: StoppedDesk, name: str) -> None:
    _fault(desk, HARMLESS[name])
    assert desk.tick().success
    _assert_applied(desk)
    _assert_all_true_and_others_whole(desk)
    assert desk.stored(FAULTED) == desk.truth(FAULTED)
    assert desk.status(FAULTED).state is SyncState.COMPLETED
    _assert_the_next_tick_heals(desk)


def test_rows_from_the_future_are_never_stored(desk: StoppedDesk) -> None:
    _fault(desk, {"action": "future", "count": 3})
    assert desk.tick().success
    _assert_applied(desk)
    _assert_all_true_and_others_whole(desk)
    assert desk.stored(FAULTED) == desk.truth(FAULTED)
    _assert_the_next_tick_heals(desk)


def test_a_clock_an_hour_ahead_closes_no_candle_early(desk: StoppedDesk) -> None:
    desk.simulator.set_clock(skew_seconds=3600)
    assert desk.tick().success
    for symbol in SYMBOLS:
        assert desk.stored(symbol) == desk.truth(symbol), symbol
    _assert_the_next_tick_heals(desk)


def test_a_clock_an_hour_behind_delays_the_newest_candle_only(desk: StoppedDesk) -> None:
    desk.simulator.set_clock(skew_seconds=-3600)
    assert desk.tick().success
    for symbol in SYMBOLS:
        assert list(desk.stored(symbol).items()) == list(desk.truth(symbol).items())[:-1], symbol
    _assert_the_next_tick_heals(desk)


@pytest.mark.parametrize("rule", [{"action": "missing", "where": "last_closed", "count": 2}, {"action": "garbage", "body": "[]"}])
def test_newest_candles_that_the_exchange_leaves_out_are_late_and_no_holes(desk: StoppedDesk, rule: Mapping[str, Any]) -> None:
    _fault(desk, rule)
    assert desk.tick().success
    _assert_applied(desk)
    _assert_all_true_and_others_whole(desk)
    status = desk.status(FAULTED)
    assert status.state is not SyncState.SYNCING
    assert status.newest_open == max(desk.stored(FAULTED)) <= desk.now_ms - 3 * HOUR_MS
    _assert_the_next_tick_heals(desk)


def test_a_candle_left_out_between_others_is_a_hole_in_sight_that_a_person_can_have_filled(desk: StoppedDesk) -> None:
    _fault(desk, {"action": "missing", "where": "middle"})
    assert desk.tick().success
    _assert_applied(desk)
    _assert_all_true_and_others_whole(desk)
    assert len(desk.truth(FAULTED)) - len(desk.stored(FAULTED)) == 1
    newest = next(each for each in desk.desk.events("ohlcv_1h") if each.partition.startswith(FAULTED))
    assert newest.metadata["holes confirmed by the exchange"].value == 1
    desk.simulator.remove_faults()
    months = months_between(desk.now_ms - 10 * 24 * HOUR_MS, desk.now_ms)
    assert desk.desk.run(["ohlcv_1h"], months, markets=[f"{FAULTED}@simulated"]).success
    _assert_the_next_tick_heals(desk)


def test_a_candle_published_too_early_is_replaced_by_the_next_tick(desk: StoppedDesk) -> None:
    _fault(desk, {"action": "partial", "fraction": 0.5})
    assert desk.tick().success
    _assert_applied(desk)
    stored, truth = desk.stored(FAULTED), desk.truth(FAULTED)
    newest = max(truth)
    assert stored.keys() == truth.keys()
    assert [time for time in truth if stored[time] != truth[time]] == [newest]
    _assert_the_next_tick_heals(desk)


def test_a_restated_candle_is_replaced_and_only_what_derives_from_it_is_made_again(desk: StoppedDesk) -> None:
    assert desk.tick(CHAIN).success
    stores, market = desk.desk.stores, parse_market(f"{FAULTED}@simulated")
    assert _asked_again(desk) == {}
    restated = max(desk.stored(FAULTED))
    old, known_by = desk.stored(FAULTED)[restated], desk.now_ms
    _fault(desk, {"action": "revise", "open_time": restated, "price_factor": 1.01})
    desk.set_clock(desk.now_ms + 60_000)
    changed = _asked_again(desk)
    _assert_applied(desk)
    month = months_between(restated, restated + 1)[0]
    assert changed == {f"{prefix}_1h": {f"{market.key}|{month}"} for prefix in CHAIN}
    now = desk.stored(FAULTED)[restated]
    assert now[3] == pytest.approx(old[3] * 1.01, rel=1e-3)
    window = {"start_ms": restated, "end_ms": restated + HOUR_MS}
    then = stores.candles.read_table("ohlcv", market, "1h", **window, as_of_ms=known_by)
    assert [then[name][0].as_py() for name in ("open", "high", "low", "close", "volume")] == list(old)
    desk.simulator.remove_faults()
    desk.advance(1)
    assert desk.tick(CHAIN).success
    assert desk.stored(FAULTED)[restated] == desk.truth(FAULTED)[restated]


def _asked_again(desk: StoppedDesk) -> dict[str, set[str]]:
    """Run the whole chain as a schedule does; return the partitions with a new event, which must be those with a new record."""
    counted = {f"{prefix}_1h": len(desk.desk.events(f"{prefix}_1h")) for prefix in CHAIN}
    first = _newest_record(desk)
    months = months_between(desk.now_ms - 24 * HOUR_MS, desk.now_ms)
    assert desk.desk.run(list(counted), months, scheduled=True).success
    events = {asset: desk.desk.events(asset)[: len(desk.desk.events(asset)) - count] for asset, count in counted.items()}
    changed = {asset: {each.partition for each in new} for asset, new in events.items() if new}
    with desk.desk.stores.database.transaction() as connection:
        rows = connection.execute(sa.text("SELECT asset, partition FROM partition_inputs WHERE id > :first"), {"first": first})
        recorded: dict[str, set[str]] = {}
        for asset, partition in rows:
            recorded.setdefault(asset, set()).add(partition)
    assert recorded == changed
    return changed


def _newest_record(desk: StoppedDesk) -> int:
    with desk.desk.stores.database.transaction() as connection:
        return int(connection.execute(sa.text("SELECT coalesce(max(id), 0) FROM partition_inputs")).scalar_one())


def test_when_every_market_fails_the_run_fails_and_each_market_says_why(desk: StoppedDesk) -> None:
    desk.simulator.add_faults({"action": "error", "code": -1121, "message": "Invalid symbol.", "endpoint": "candles"})
    result = desk.tick()
    _assert_applied(desk)
    assert not result.success
    for symbol in SYMBOLS:
        assert desk.status(symbol).state is SyncState.ERROR
        assert "Invalid symbol." in (desk.status(symbol).error_message or "")
    _assert_the_next_tick_heals(desk)


@pytest.mark.parametrize("name", ["internal error", "hanging", "reset", "torn", "garbage", "empty body"])
def test_without_the_exchanges_clock_nothing_is_stored_and_every_market_says_why(desk: StoppedDesk, name: str) -> None:
    rule, words = UNREACHABLE[name]
    desk.simulator.add_faults({**rule, "endpoint": "clock"})
    desk.set_deadline(2)
    before = {symbol: desk.stored(symbol) for symbol in SYMBOLS}
    results = list(_sync(desk))
    _assert_applied(desk)
    assert results and all(isinstance(result.error, ExchangeError) for result in results)
    for symbol in SYMBOLS:
        assert desk.stored(symbol) == before[symbol]
        assert desk.status(symbol).state is SyncState.ERROR
        assert re.search(words, desk.status(symbol).error_message or "")
    _assert_the_next_tick_heals(desk)


def test_a_sync_that_breaks_off_leaves_no_market_syncing(desk: StoppedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise StoreError("the request budget of simulated cannot be read")

    monkeypatch.setattr(desk.desk.market_data, "download", broken)
    with pytest.raises(StoreError, match="budget"):
        list(_sync(desk))
    for symbol in SYMBOLS:
        assert desk.status(symbol).state is SyncState.ERROR
        assert desk.status(symbol).error_message == "the request budget of simulated cannot be read"
    monkeypatch.undo()
    _assert_the_next_tick_heals(desk)


def _sync(desk: StoppedDesk) -> Iterator[Any]:
    months = months_between(desk.now_ms - 5 * 24 * HOUR_MS, desk.now_ms)
    return sync_candles(
        desk.desk.stores,
        desk.desk.market_data,
        desk.desk.settings.market_list(),
        months,
        TIMEFRAMES["1h"],
        mode=SyncMode.FOLLOW,
        run_id="test",
    )
