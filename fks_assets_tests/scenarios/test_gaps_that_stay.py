"""Gaps that no fetch closes, and writers that cross: no repair is repeated for ever, no record says what is not so (F18)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fks_assets.assets.freshness import behind
from fks_assets.assets.market_data import repair
from fks_assets.assets.market_data.due_gaps import due_tier
from fks_assets.assets.market_data.gap_ledger import expected_window, update_gaps
from fks_assets.assets.market_data.plan import SyncMode
from fks_assets.assets.market_data.repair import RepairOrder, RepairReport, repair_gaps
from fks_assets.assets.market_data.sync import sync_candles
from fks_assets.clock import now_ms
from fks_assets.quant.gaps import GapCause, GapStatus
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import month_of, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.gap_records import GapRecord, read_gaps
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, SYMBOLS, StoppedDesk, database_of_a_module, stopped_desk

START_MS = parse_time("start", "now", "2025-06-20T09:00:30Z")
HOUR = parse_timeframe("1h")
BTC, ETH, SOL, ADA = (parse_market(f"{symbol}@simulated") for symbol in SYMBOLS)
MINUTE = 60_000


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    """A desk with sixty days of candles, used by the tests of this module one after another."""
    with (
        database_of_a_module(postgres_home, "gaps_that_stay") as url,
        stopped_desk(tmp_path_factory.mktemp("desk"), url, START_MS, history_days=60) as desk,
    ):
        assert desk.tick(("ohlcv",)).success
        yield desk


def _take_out(desk: StoppedDesk, market: Market, times: set[int], *, confirmed: bool = False) -> None:
    """Remove stored rows, as if they had never been fetched, or as if the exchange had said that it has none."""
    for month in sorted({month_of(time) for time in times}):
        partition = PartitionId("ohlcv", market, "1h", month)
        with desk.desk.stores.candles.begin([partition]) as transaction:
            rows = transaction.read(partition).drop_columns(["known_at"])
            keep = ~np.isin(times_from_arrow(rows["open_time"]), list(times))
            holes = [(time, time + HOUR_MS) for time in sorted(times)] if confirmed else None
            transaction.merge(partition, rows.filter(pa.array(keep)), known_at_ms=now_ms(), confirmed_holes=holes, replace=True)


def _open(stores: Stores, *markets: Market) -> list[GapRecord]:
    return [gap for gap in update_gaps(stores, markets, HOUR) if gap.is_api_fillable]


def _repair(desk: StoppedDesk, **options: object) -> RepairReport:
    report = RepairReport("test", "ALL", [60])
    list(repair_gaps(desk.desk.stores, desk.desk.market_data, RepairOrder("ALL", (HOUR,), 3650, 100_000, **options), report))
    return report


@contextmanager
def _market_with(desk: StoppedDesk, market: Market, **known: object) -> Iterator[Stores]:
    """Give the stores of a desk whose settings say more of one market."""
    settings = desk.desk.settings
    markets = [each.model_copy(update=known) if each.symbol == market.key.split("@")[0] else each for each in settings.markets]
    told = settings.model_copy(update={"markets": markets})
    told.__dict__.pop("_by_market", None)
    yield Stores(told)


def test_a_candle_that_the_exchange_gives_only_unusable_is_asked_for_less_and_less_often(desk: StoppedDesk) -> None:
    """S5.18: the sensor does not start a repair a minute for ever."""
    hole = sorted(desk.stored("BTC-USDT"))[300]
    _take_out(desk, BTC, {hole})
    fault = {"action": "values", "values": "nan", "where": "first", "endpoint": "candles", "symbol": "BTC-USDT"}
    desk.simulator.add_faults(fault)
    pauses = []
    for _ in range(3):
        assert due_tier(desk.desk.stores, desk.now_ms) is not None
        _repair(desk)
        (record,) = _open(desk.desk.stores, BTC)
        assert (record.status, record.cause) == (GapStatus.DETECTED, None)
        assert "nothing shows yet" in (record.error_message or "")
        assert due_tier(desk.desk.stores, desk.now_ms) is None
        assert _repair(desk).total_candles_filled == 0 and _open(desk.desk.stores, BTC) == [record], "it waits"
        pauses.append((record.next_attempt_at or 0) - desk.now_ms)
        desk.set_clock(record.next_attempt_at or 0)
    assert pauses == [5 * MINUTE, 10 * MINUTE, 20 * MINUTE]

    _repair(desk)
    desk.clear()
    assert _repair(desk, retry=True).gaps_filled == 1, "a person does not have to wait"
    assert _open(desk.desk.stores, BTC) == []


def test_settings_that_tell_of_a_delisting_close_the_gaps_that_were_noted_after_it(desk: StoppedDesk) -> None:
    newest = max(desk.stored("ADA-USDT"))
    gone = newest - 20 * HOUR_MS
    _take_out(desk, ADA, set(range(gone, newest + HOUR_MS, HOUR_MS)))
    (before,) = _open(desk.desk.stores, ADA)
    with _market_with(desk, ADA, delisted=datetime.fromtimestamp(gone / 1000, UTC)) as stores:
        assert _open(stores, ADA) == [] and due_tier(stores, desk.now_ms) is None
        (record,) = [gap for gap in read_gaps(stores.database, [ADA]) if gap.id == before.id]
        assert (record.status, record.cause) == (GapStatus.UNFILLABLE, GapCause.NEVER_LISTED)
        assert (record.start_ms, record.end_ms) == (before.start_ms, before.end_ms)
    assert [gap.id for gap in _open(desk.desk.stores, ADA)] == [before.id], "settings that say otherwise again open it again"
    assert _repair(desk).gaps_filled == 1


def test_settings_that_tell_of_a_listing_close_the_gaps_that_were_noted_before_it(desk: StoppedDesk) -> None:
    oldest = min(desk.stored("ADA-USDT"))
    listed = oldest + 20 * HOUR_MS
    _take_out(desk, ADA, set(range(oldest, listed, HOUR_MS)))
    (before,) = _open(desk.desk.stores, ADA)
    with _market_with(desk, ADA, listed=datetime.fromtimestamp(listed / 1000, UTC)) as stores:
        assert _open(stores, ADA) == []
        (record,) = [gap for gap in read_gaps(stores.database, [ADA]) if gap.id == before.id]
        assert (record.status, record.cause) == (GapStatus.UNFILLABLE, GapCause.NEVER_LISTED)
    assert _repair(desk).gaps_filled == 1


def test_a_delisted_market_does_not_keep_the_ticks_busy(desk: StoppedDesk) -> None:
    """Nothing is behind, nothing is asked for: not even when it was delisted before the history that is kept."""
    market_data = desk.desk.market_data
    desk.advance(1)
    assert desk.tick(("ohlcv",)).success
    newest = max(desk.stored("ADA-USDT"))
    desk.advance(3)
    with _market_with(desk, ADA, delisted=datetime.fromtimestamp(newest / 1000 + 3600, UTC)) as stores:
        months = [month_of(newest)]
        list(sync_candles(stores, market_data, [BTC, ETH, SOL, ADA], months, HOUR, mode=SyncMode.FOLLOW, run_id="test"))
        assert max(desk.stored("BTC-USDT")) == newest + 3 * HOUR_MS
        assert max(desk.stored("ADA-USDT")) <= newest + HOUR_MS
        assert behind(stores, derived=False, signals=False) is None
    with _market_with(desk, ADA, delisted=datetime(2021, 1, 1, tzinfo=UTC)) as stores:
        assert behind(stores, derived=False, signals=False) is None
    with _market_with(desk, ADA, listed=datetime(2030, 1, 1, tzinfo=UTC)) as stores:
        assert behind(stores, derived=False, signals=False) is None
    assert behind(desk.desk.stores, derived=False, signals=False) is not None
    assert desk.tick(("ohlcv",)).success


def test_a_fetch_that_fails_says_nothing_of_gaps_that_it_did_not_ask_for(desk: StoppedDesk) -> None:
    stored = sorted(desk.stored("ETH-USDT"))
    _take_out(desk, ETH, {stored[100], stored[-30]})
    desk.simulator.add_faults({"action": "status", "status": 500, "endpoint": "candles", "symbol": "ETH-USDT"})
    stores, market_data = desk.desk.stores, desk.desk.market_data
    for _ in range(3):
        list(sync_candles(stores, market_data, [ETH], [month_of(stored[-30])], HOUR, mode=SyncMode.REPAIR, run_id="test"))
    old, new = _open(stores, ETH)
    assert (old.status, old.attempts, old.error_message) == (GapStatus.DETECTED, 0, None)
    assert (new.status, new.attempts) == (GapStatus.FAILED, 1), "failures within the pause do not make it longer"
    assert new.next_attempt_at == desk.now_ms + 5 * MINUTE
    desk.clear()
    assert _repair(desk, retry=True).gaps_filled == 2


def test_a_gap_that_another_writer_fills_during_a_fetch_is_not_noted_again(desk: StoppedDesk) -> None:
    stored = sorted(desk.stored("BTC-USDT"))
    _take_out(desk, BTC, {stored[100], stored[-30]})
    (first, _) = _open(desk.desk.stores, BTC)
    download = desk.desk.market_data.download

    def slow(requests: list[object]) -> object:
        outcomes = download(requests)
        with pytest.MonkeyPatch.context() as back:
            back.setattr(desk.desk.market_data, "download", download)
            months = [month_of(stored[100])]
            list(sync_candles(stores, market_data, [BTC], months, HOUR, mode=SyncMode.REPAIR, run_id="other"))
        return outcomes

    stores, market_data = desk.desk.stores, desk.desk.market_data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(market_data, "download", slow)
        list(sync_candles(stores, market_data, [BTC], [month_of(stored[-30])], HOUR, mode=SyncMode.REPAIR, run_id="test"))
    of_hole = [gap for gap in read_gaps(stores.database, [BTC]) if gap.start_ms == stored[100]]
    assert [(gap.id, gap.status, gap.filled_candles) for gap in of_hole] == [(first.id, GapStatus.FILLED, 1)]
    assert _open(stores, BTC) == []


def test_a_gap_that_is_filled_between_the_look_and_the_repair_stays_filled(
    desk: StoppedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hole = sorted(desk.stored("BTC-USDT"))[-50]
    _take_out(desk, BTC, {hole})
    stores, market_data = desk.desk.stores, desk.desk.market_data
    begin = repair._Batch._begin

    def late(batch: object, chosen: list[GapRecord], at: int) -> object:
        list(sync_candles(stores, market_data, [BTC], [month_of(hole)], HOUR, mode=SyncMode.REPAIR, run_id="other"))
        return begin(batch, chosen, at)

    monkeypatch.setattr(repair._Batch, "_begin", late)
    _repair(desk)
    (record,) = [gap for gap in read_gaps(stores.database, [BTC]) if gap.start_ms == hole]
    assert (record.status, record.filled_candles, record.attempts) == (GapStatus.FILLED, 1, 0)


def test_markets_that_are_silent_together_are_no_outage_when_another_of_the_desk_trades(desk: StoppedDesk) -> None:
    """The fourth market is not looked at: a repair takes a tier, an import one market."""
    hour = sorted(desk.stored("BTC-USDT"))[700]
    for market in (BTC, ETH, SOL):
        _take_out(desk, market, {hour}, confirmed=True)
    causes = {gap.cause for gap in update_gaps(desk.desk.stores, [BTC, ETH, SOL], HOUR) if gap.start_ms == hour}
    assert causes == {GapCause.NO_TRADES}
    _take_out(desk, ADA, {hour}, confirmed=True)
    causes = {gap.cause for gap in update_gaps(desk.desk.stores, [BTC, ETH, SOL], HOUR) if gap.start_ms == hour}
    assert causes == {GapCause.VENUE_DOWN}


def test_a_stretch_given_by_a_person_is_all_that_is_rebuilt_from_trades(
    desk: StoppedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wall of three years is not read for a day that was asked for."""
    oldest = min(desk.stored("BTC-USDT"))
    wall = GapRecord(
        id=1,
        market=BTC,
        timeframe="1h",
        start_ms=oldest,
        end_ms=oldest + 900 * HOUR_MS,
        missing_candles=900,
        is_api_fillable=False,
        overflow_candles=900,
        candles_from_today=2000,
        status=GapStatus.UNFILLABLE,
        cause=GapCause.BEYOND_API_LIMIT,
        detected_at=desk.now_ms,
    )
    asked: list[tuple[int, int]] = []

    def rebuilt(*arguments: object, run_id: str) -> object:
        asked.append(arguments[-2:])
        return type("Rebuilt", (), {"partitions": ()})

    monkeypatch.setattr("fks_assets.assets.market_data.rebuild.rebuild_from_trades", rebuilt)
    monkeypatch.setattr(type(desk.desk.market_data), "gives_trades", property(lambda _: True))
    between = (oldest + 100 * HOUR_MS, oldest + 124 * HOUR_MS)
    order = RepairOrder("ALL", (HOUR,), 3650, 10, between=between)
    report = RepairReport("test", "ALL", [60])
    batch = repair._Batch(desk.desk.stores, desk.desk.market_data, order, report, HOUR, [BTC], True)
    list(batch._rebuild([wall], {}))
    assert asked == [between]


def test_a_replay_is_not_held_to_lack_what_came_after_its_recordings(desk: StoppedDesk, tmp_path: Path) -> None:
    settings = desk.desk.settings
    simulator = settings.simulator.model_copy(update={"replay": tmp_path})
    stores = Stores(settings.model_copy(update={"simulator": simulator}))
    heads = stores.candles.heads("ohlcv", "1h", [BTC])
    newest = max(head.last_open or 0 for head in heads.values())
    later = desk.now_ms + 1000 * HOUR_MS
    assert expected_window(stores, BTC, HOUR, heads, later)[1] == newest + HOUR_MS
    assert expected_window(desk.desk.stores, BTC, HOUR, heads, later)[1] > newest + 900 * HOUR_MS
