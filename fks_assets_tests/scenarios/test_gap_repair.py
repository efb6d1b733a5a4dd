"""Rows are taken out of the store at random; what is found is what was taken, and repairs put everything back as it was."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from fks_assets.assets.market_data.gap_ledger import TAIL_GRACE_MS, update_gaps
from fks_assets.assets.market_data.repair import RepairOrder, RepairReport, repair_gaps
from fks_assets.clock import now_ms
from fks_assets.quant.gaps import GapCause, GapStatus
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import month_of, parse_timeframe
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.gap_records import GapRecord, read_gaps
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, SYMBOLS, StoppedDesk, database_of_a_module, stopped_desk

START_MS = parse_time("start", "now", "2025-06-20T09:00:30Z")
HOUR = parse_timeframe("1h")
BTC, ETH = (parse_market(f"{symbol}@simulated") for symbol in SYMBOLS[:2])
Hashes = dict[PartitionId, str]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    """A desk with sixty days of candles, used by the tests of this module one after another."""
    with (
        database_of_a_module(postgres_home, "gap_repair") as url,
        stopped_desk(tmp_path_factory.mktemp("desk"), url, START_MS, history_days=60) as desk,
    ):
        assert desk.tick(("ohlcv",)).success
        yield desk


def _hashes(desk: StoppedDesk) -> Hashes:
    return {partition: head.content_hash for partition, head in desk.desk.stores.candles.heads("ohlcv", "1h").items()}


def _take_out(desk: StoppedDesk, market: Market, times: set[int]) -> None:
    """Remove stored rows, as if they had never been fetched."""
    for month in sorted({month_of(time) for time in times}):
        partition = PartitionId("ohlcv", market, "1h", month)
        with desk.desk.stores.candles.begin([partition]) as transaction:
            rows = transaction.read(partition).drop_columns(["known_at"])
            keep = ~np.isin(times_from_arrow(rows["open_time"]), list(times))
            transaction.merge(partition, rows.filter(pa.array(keep)), known_at_ms=now_ms(), replace=True)


def _open(desk: StoppedDesk, market: Market) -> list[GapRecord]:
    return [gap for gap in update_gaps(desk.desk.stores, [market], HOUR) if gap.is_api_fillable]


def _missing(gaps: list[GapRecord]) -> set[int]:
    return {time for gap in gaps for time in range(gap.start_ms, gap.end_ms, HOUR_MS)}


def _repair(desk: StoppedDesk, **options: object) -> RepairReport:
    report = RepairReport("test", "ALL", [60])
    order = RepairOrder("ALL", (HOUR,), 3650, 100_000, **options)
    list(repair_gaps(desk.desk.stores, desk.desk.market_data, order, report))
    return report


@pytest.mark.parametrize("seed", range(6))
def test_what_was_taken_out_is_found_exactly_and_a_repair_restores_it_byte_for_byte(desk: StoppedDesk, seed: int) -> None:
    """C3, S5.8, Q1: zero to thirty per cent of the rows, anywhere; three repairs in a row change nothing after the first."""
    chance = random.Random(seed)
    before = _hashes(desk)
    assert _open(desk, BTC) == []
    stored = sorted(desk.stored("BTC-USDT"))
    newest_expected = (desk.now_ms - TAIL_GRACE_MS) // HOUR_MS * HOUR_MS
    share = (0.0, 0.01, 0.05, 0.3, 0.3, 0.3)[seed]
    taken = {time for time in stored if time < newest_expected and chance.random() < share}
    if seed >= 3:
        taken |= {stored[0], stored[len(stored) // 2]}
    if seed == 5:
        taken |= set(stored[:30]) | set(stored[-20:-1])
    _take_out(desk, BTC, taken)

    found = _open(desk, BTC)
    assert _missing(found) == taken
    assert sum(gap.missing_candles for gap in found) == len(taken)

    report = _repair(desk)
    assert (report.gaps_detected, report.gaps_filled, report.gaps_failed) == (len(found), len(found), 0)
    assert report.total_candles_filled == len(taken)
    assert _hashes(desk) == before
    assert _open(desk, BTC) == []
    objects = {partition: head.object_name for partition, head in desk.desk.stores.candles.heads("ohlcv", "1h").items()}
    for _ in range(2):
        again = _repair(desk)
        assert (again.gaps_detected, again.total_candles_filled) == (0, 0)
    assert objects == {partition: head.object_name for partition, head in desk.desk.stores.candles.heads("ohlcv", "1h").items()}


def test_a_hole_is_one_record_however_often_it_is_looked_at_and_filled_only_by_candles(desk: StoppedDesk) -> None:
    """F18: no new row each day, FILLED never for zero candles, the documented retry retries."""
    times = sorted(desk.stored("ETH-USDT"))
    taken = set(times[100:110])
    _take_out(desk, ETH, taken)
    first = _open(desk, ETH)
    assert [gap.status for gap in first] == [GapStatus.DETECTED]
    desk.simulator.add_faults({"action": "status", "status": 500, "endpoint": "candles", "symbol": "ETH-USDT"})

    failed = _repair(desk)
    assert (failed.gaps_filled, failed.gaps_failed, failed.total_candles_filled) == (0, 1, 0)
    assert "500" in failed.errors[0]
    (record,) = _open(desk, ETH)
    assert (record.id, record.status, record.attempts, record.cause) == (first[0].id, GapStatus.FAILED, 1, GapCause.FETCH_FAILED)
    assert record.next_attempt_at == desk.now_ms + 5 * 60_000 and "500" in (record.error_message or "")

    untried = _repair(desk)
    assert untried.gaps_failed == 1 and not untried.errors, "a repair before the pause is over asks for nothing"
    retried = _repair(desk, retry=True)
    assert retried.gaps_failed == 1 and retried.errors
    (record,) = _open(desk, ETH)
    assert (record.id, record.attempts, record.next_attempt_at) == (first[0].id, 2, desk.now_ms + 10 * 60_000)

    desk.clear()
    desk.advance(0.5)
    healed = _repair(desk)
    assert (healed.gaps_filled, healed.gaps_failed, healed.total_candles_filled) == (1, 0, 10)
    (filled,) = [gap for gap in read_gaps(desk.desk.stores.database, [ETH]) if gap.id == first[0].id]
    assert (filled.status, filled.filled_candles, filled.error_message) == (GapStatus.FILLED, 10, None)
    assert _open(desk, ETH) == []


def test_a_repair_that_died_is_taken_up_by_the_next_one(desk: StoppedDesk) -> None:
    """Resumable: the gaps that it was fetching are not left behind."""
    times = sorted(desk.stored("BTC-USDT"))
    _take_out(desk, BTC, set(times[300:310]))
    order = RepairOrder("ALL", (HOUR,), 3650, 100_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.desk.market_data, "download", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            list(repair_gaps(desk.desk.stores, desk.desk.market_data, order, RepairReport("died", "ALL", [60])))
    assert [gap.status for gap in _open(desk, BTC)] == [GapStatus.BACKFILLING]
    assert _repair(desk).gaps_filled == 1
    assert _open(desk, BTC) == []


def test_two_repairs_of_the_same_months_at_once_lose_nothing_and_double_nothing(desk: StoppedDesk) -> None:
    before = _hashes(desk)
    times = sorted(desk.stored("BTC-USDT"))
    _take_out(desk, BTC, set(times[50:400:3]))
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: _repair(desk), range(2)))
    assert _hashes(desk) == before
    assert sum(report.total_candles_filled for report in reports) == len(times[50:400:3])
    assert _open(desk, BTC) == []
    gaps = [gap for gap in read_gaps(desk.desk.stores.database, [BTC]) if gap.start_ms == times[50]]
    assert [gap.status for gap in gaps][-1] is GapStatus.FILLED


def test_a_tick_fills_a_hole_too_and_its_record_says_so(desk: StoppedDesk) -> None:
    times = sorted(desk.stored("BTC-USDT"))
    desk.advance(1)
    assert desk.tick(("ohlcv",)).success
    _take_out(desk, BTC, {times[-1]})
    assert _missing(_open(desk, BTC)) <= {times[-1]}
    desk.advance(2)
    assert desk.tick(("ohlcv",)).success
    report = _repair(desk)
    assert report.gaps_failed == 0
    assert _open(desk, BTC) == []
    assert desk.stored("BTC-USDT") == desk.truth("BTC-USDT")


def test_the_job_repairs_a_tier_and_reports_with_the_promised_names(desk: StoppedDesk) -> None:
    """S5.1: the run's configuration and its report."""
    times = sorted(desk.stored("BTC-USDT"))
    _take_out(desk, BTC, set(times[-40:-30]))
    result = desk.desk.definitions.resolve_job_def("backfill_tier1").execute_in_process(instance=desk.desk.instance)
    assert result.success
    (event,) = [
        event for event in result.all_events if event.is_step_materialization and event.asset_key == dg.AssetKey("gap_repair")
    ]
    report = event.materialization.metadata["report"].value
    assert set(report) >= {
        "task_id", "tier", "intervals", "assets_processed", "gaps_detected", "gaps_filled", "gaps_unfillable", "gaps_failed",
        "total_candles_filled", "errors",
    }  # fmt: skip
    assert (report["tier"], report["assets_processed"], report["gaps_filled"], report["total_candles_filled"]) == (
        "TIER1",
        4,
        1,
        10,
    )
    candles = [
        event for event in result.all_events if event.is_step_materialization and event.asset_key == dg.AssetKey("ohlcv_1h")
    ]
    assert [event.partition for event in candles] == [f"{BTC.key}|{month_of(times[-40])}"]
    assert _open(desk, BTC) == []


def test_the_sensor_asks_for_a_repair_when_a_gap_is_due_and_waits_longer_when_none_is(desk: StoppedDesk) -> None:
    """S5.17, S5.18."""
    sensor = desk.desk.definitions.resolve_sensor_def("gap_sensor")

    def look(cursor: str | None) -> tuple[object, str | None]:
        with dg.build_sensor_context(
            desk.desk.instance, cursor=cursor, resources={"stores": desk.desk.stores}, definitions=desk.desk.definitions
        ) as context:
            return sensor(context), context.cursor

    outcome, cursor = look(None)
    assert isinstance(outcome, dg.SkipReason) and "no gap is due" in (outcome.skip_message or "")
    outcome, cursor = look(cursor)
    assert isinstance(outcome, dg.SkipReason) and "the next look" in (outcome.skip_message or "")
    times = sorted(desk.stored("BTC-USDT"))
    _take_out(desk, BTC, set(times[200:203]))
    outcome, _ = look(None)
    assert isinstance(outcome, dg.RunRequest)
    assert outcome.run_config["ops"]["gap_repair"]["config"]["tier"] == "TIER1"
    assert _repair(desk).gaps_filled == 1
