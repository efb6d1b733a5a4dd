"""The verdict on each market's candles: which check fails, since when it is noted, and what ends it."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from fks_assets.assets.market_data.quality import AGE_GRACE_MS, MarketVerdict, judge_markets
from fks_assets.clock import MILLISECONDS_PER_DAY, iso, to_ms
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles, Fault, QuarantinedRow, empty_candles
from fks_assets.quant.gaps import GapCause, GapStatus
from fks_assets.quant.timeframes import TIMEFRAMES, months_between
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.gap_records import GapRecord, write_gaps
from fks_assets.stores.market_checks import CHECKS, read_checks
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.quarantine import REPLACED, UNREMARKABLE, WITHDRAWN, SeenRow, read_quarantined, record_quarantined
from fks_assets.stores.sync_status import SyncState, record_sync
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.quant.series import synthetic

HOUR = TIMEFRAMES["1h"]
STEP = HOUR.milliseconds
NOW = to_ms(datetime(2025, 6, 20, 9, 0, 30, tzinfo=UTC))
ROWS = 800
START = NOW - NOW % STEP - ROWS * STEP
LOOKBACK = 500


@pytest.fixture
def desk(home: Path, database_url: str) -> Desk:
    return _desk(home, database_url)


def _desk(home: Path, database_url: str, **values: str) -> Desk:
    return build_desk(
        home,
        database_url,
        "http://127.0.0.1:9",
        symbols=["BTC-USDT", "ETH-USDT"],
        TIMEFRAMES="1h",
        FIRST_MONTH="2025-03",
        **values,
    )


def _walk(rows: int = ROWS) -> Candles:
    candles = synthetic(rows)
    return Candles(START + STEP * np.arange(rows), *(getattr(candles, name) for name in OHLCV_COLUMNS))


def _with(candles: Candles, row: int, factor: float) -> Candles:
    columns = {name: getattr(candles, name).copy() for name in OHLCV_COLUMNS}
    for name in ("open", "high", "low", "close"):
        columns[name][row] *= factor
    return Candles(candles.open_time, *columns.values())


def _store(desk: Desk, candles: Candles, market: int = 0, known_at_ms: int = NOW, *, synthetic_from: int | None = None) -> None:
    """Store candles as a sync that went through the whole history does."""
    chosen = desk.settings.market_list()[market]
    table = candles_table([(candles, "exchange")])
    if synthetic_from is not None:
        flags = pa.array(candles.open_time >= synthetic_from)
        table = table.set_column(table.schema.get_field_index("is_synthetic"), "is_synthetic", flags)
    months = months_between(int(candles.open_time[0]), int(candles.open_time[-1]) + 1)
    partitions = [PartitionId("ohlcv", chosen, "1h", month) for month in months]
    with desk.stores.candles.begin(partitions) as transaction:
        for partition in partitions:
            grid = partition.grid
            inside = (candles.open_time >= grid.start_ms) & (candles.open_time < grid.end_ms)
            transaction.merge(partition, table.filter(pa.array(inside)), known_at_ms=known_at_ms)
        record_sync(
            transaction.connection,
            chosen,
            HOUR,
            state=SyncState.COMPLETED,
            newest_open=int(candles.open_time[-1]),
            at_ms=known_at_ms,
        )


def _judge(desk: Desk, now_ms: int = NOW, market: int = 0, **options: Any) -> MarketVerdict:
    [verdict] = judge_markets(desk.stores, HOUR, [desk.settings.market_list()[market]], now_ms, **options)
    return verdict


def _alerts(desk: Desk) -> list[str]:
    return [each.message for each in read_notifications(desk.stores.database)]


def test_a_market_that_is_well_passes_every_check(desk: Desk) -> None:
    _store(desk, _walk())
    verdict = _judge(desk)
    assert verdict.passed and verdict.restated == 0
    checks = read_checks(desk.stores.database)
    assert {check.name for check in checks} == set(CHECKS) and all(check.passed for check in checks)
    assert _alerts(desk) == []


def test_a_market_whose_history_was_never_loaded_is_judged_and_not_noted(desk: Desk) -> None:
    assert dict(_judge(desk).failures) == {"fresh": "there are no candles"}
    assert read_checks(desk.stores.database) == [] and _alerts(desk) == []
    assert judge_markets(desk.stores, HOUR, [], NOW) == []


def test_a_spike_fails_its_market_stays_readable_and_is_resolved_when_it_is_restated(desk: Desk) -> None:
    """Q2 and E8."""
    market, row = desk.settings.market_list()[0], ROWS - 100
    _store(desk, _with(_walk(), row, 2.0))
    _store(desk, _walk(), market=1)
    verdicts = judge_markets(desk.stores, HOUR, desk.settings.market_list(), NOW)
    assert [set(verdict.failures) for verdict in verdicts] == [{"sane"}, set()]
    [entry] = read_quarantined(desk.stores.database)
    opened = START + row * STEP
    assert (entry.market, entry.row.open_time, entry.row.kind) == (market, opened, Fault.SPIKE)
    assert verdicts[0].failures["sane"] == f"1 suspect candles, the first at {iso(opened)}: {entry.row.reason}"
    stored = desk.stores.candles.read_table("ohlcv", market, "1h", opened, opened + 1)
    assert tuple(stored[name][0].as_py() for name in OHLCV_COLUMNS) == entry.row.values
    assert _alerts(desk) == [f"{market} 1h gives no signals: sane: {verdicts[0].failures['sane']}"]

    later = NOW + 60_000
    _store(desk, _walk(), known_at_ms=later)
    assert _judge(desk, later).passed
    [entry] = read_quarantined(desk.stores.database, resolved=True)
    assert (entry.resolved_at, entry.resolution) == (later, UNREMARKABLE)
    assert len(_alerts(desk)) == 1


def test_a_spike_before_the_look_back_is_no_concern(desk: Desk) -> None:
    _store(desk, _with(_walk(), ROWS - LOOKBACK - 1, 2.0))
    assert _judge(desk).passed and read_quarantined(desk.stores.database) == []
    _store(desk, _with(_walk(), ROWS - LOOKBACK, 2.0), known_at_ms=NOW + 1)
    assert set(_judge(desk, NOW + 1).failures) == {"sane"}


def test_candles_that_have_not_changed_are_not_read_again(desk: Desk, home: Path) -> None:
    _store(desk, _with(_walk(), ROWS - 100, 2.0))
    assert set(_judge(desk).failures) == {"sane"}
    shutil.rmtree(home / "candles")
    assert set(_judge(desk, NOW + 1).failures) == {"sane"}
    [entry] = read_quarantined(desk.stores.database)
    assert entry.times_seen == 1


def test_candles_that_cannot_be_read_are_searched_at_the_next_judgement(desk: Desk, home: Path) -> None:
    _store(desk, _with(_walk(), ROWS - 100, 2.0))
    (home / "candles").rename(home / "away")
    assert _judge(desk).passed
    (home / "away").rename(home / "candles")
    assert set(_judge(desk).failures) == {"sane"}


def test_a_feed_that_repeats_itself_fails_and_synthetic_candles_do_not(desk: Desk) -> None:
    """Q2 and C2."""
    candles = _walk()
    for name in OHLCV_COLUMNS:
        getattr(candles, name)[-12:] = candles.close[-13]
    _store(desk, candles)
    assert _judge(desk).failures["sane"].startswith("12 suspect candles")
    assert {entry.row.kind for entry in read_quarantined(desk.stores.database)} == {Fault.STUCK}
    _store(desk, candles, market=1, synthetic_from=int(candles.open_time[-12]))
    assert _judge(desk, market=1).passed


def _gap(desk: Desk, status: GapStatus, end_ms: int, cause: GapCause | None = None) -> GapRecord:
    return GapRecord(
        None, desk.settings.market_list()[0], "1h", end_ms - 3 * STEP, end_ms, 3, True, 0, 10, status, cause, NOW,
        error_message="exchange down" if status is GapStatus.FAILED else None,
    )  # fmt: skip


@pytest.mark.parametrize("status", [GapStatus.DETECTED, GapStatus.BACKFILLING, GapStatus.FAILED])
def test_a_gap_in_the_look_back_fails_until_it_is_filled_or_explained(desk: Desk, status: GapStatus) -> None:
    _store(desk, _walk())
    start = START + (ROWS - LOOKBACK) * STEP
    with desk.stores.database.transaction() as connection:
        write_gaps(connection, [_gap(desk, status, start)])
    assert _judge(desk).passed
    with desk.stores.database.transaction() as connection:
        write_gaps(connection, [_gap(desk, status, start + 100 * STEP)])
    assert _judge(desk).failures == {"complete": f"3 candles are missing, the first at {iso(start + 97 * STEP)}"}
    with desk.stores.database.transaction() as connection:
        connection.execute(sa.text("UPDATE gap_records SET status = 'UNFILLABLE', cause = 'no_trades'"))
    assert _judge(desk).passed


def test_the_newest_candle_may_be_two_timeframes_and_five_minutes_old(desk: Desk) -> None:
    _store(desk, _walk())
    closed = START + ROWS * STEP
    limit = 2 * STEP + AGE_GRACE_MS
    assert _judge(desk, closed + limit).passed
    for too_old in (1, 60_000):
        failures = _judge(desk, closed + limit + too_old).failures
        assert dict(failures) == {"fresh": "the newest candle closed 126 min ago, 125 are allowed"}


def test_a_market_that_does_not_trade_any_more_is_not_late(home: Path, database_url: str) -> None:
    desk = _desk(home, database_url)
    text = (home / "desk.toml").read_text(encoding="utf-8")
    end = iso(START + ROWS * STEP)
    (home / "desk.toml").write_text(
        text.replace('symbol = "BTC-USDT"\n', f'symbol = "BTC-USDT"\ndelisted = {end}\n'), encoding="utf-8"
    )
    from fks_assets.settings import read_settings

    environment = {"FKS_DESK": str(home / "desk.toml"), "FKS_HOME": str(home), "FKS_DATABASE_URL": database_url}
    desk.stores.settings = read_settings({**environment, "FKS_TIMEFRAMES": "1h", "FKS_FIRST_MONTH": "2025-03"}, home)
    for market in (0, 1):
        _store(desk, _walk(), market)
    later = NOW + 30 * MILLISECONDS_PER_DAY
    assert _judge(desk, later).passed
    assert set(_judge(desk, later, market=1).failures) == {"fresh"}


def test_a_replay_of_the_past_is_never_late(home: Path, database_url: str) -> None:
    desk = _desk(home, database_url, SIMULATOR__REPLAY=str(home))
    _store(desk, _walk())
    assert _judge(desk, NOW + 1000 * MILLISECONDS_PER_DAY).passed


def test_too_many_restated_candles_in_a_day_fail_and_pass_again_a_day_later(desk: Desk) -> None:
    """C6."""
    _store(desk, _walk(), known_at_ms=NOW - 10)
    candles = _walk()
    for count in range(1, 7):
        candles.volume[-count] += 1
        _store(desk, candles, known_at_ms=NOW + count)
        verdict = _judge(desk, NOW + count)
        assert verdict.restated == count
        assert set(verdict.failures) == ({"revisions"} if count > 5 else set())
    assert verdict.failures["revisions"] == "6 candles were restated in 24 hours, 5 are allowed"
    assert "revisions" not in _judge(desk, NOW + 1 + MILLISECONDS_PER_DAY + 1).failures


def test_candles_after_the_newest_one_are_late_and_not_missing(desk: Desk) -> None:
    """An outage fails one check and so alerts once; a replay, which is never late, lacks nothing either."""
    _store(desk, _walk())
    closed = START + ROWS * STEP
    with desk.stores.database.transaction() as connection:
        write_gaps(connection, [_gap(desk, GapStatus.DETECTED, closed + 3 * STEP)])
    assert _judge(desk, closed + 2 * STEP).passed
    assert set(_judge(desk, closed + 3 * STEP).failures) == {"fresh"}
    assert len(_alerts(desk)) == 1


def test_a_month_that_was_restated_before_the_look_back_concerns_no_signal(desk: Desk) -> None:
    _store(desk, _walk(), known_at_ms=NOW - 10)
    candles = _walk()
    candles.volume[: ROWS - LOOKBACK] += 1
    _store(desk, candles, known_at_ms=NOW)
    assert _judge(desk).passed


def test_suspect_candles_that_were_corrected_are_no_restatements_to_wonder_at(desk: Desk) -> None:
    """The repair of a stuck feed restates at least as many candles as were stuck, and frees the market at once."""
    candles = _walk()
    for name in OHLCV_COLUMNS:
        getattr(candles, name)[-12:] = candles.close[-13]
    _store(desk, candles, known_at_ms=NOW - 10)
    assert set(_judge(desk, NOW - 10).failures) == {"sane"}
    _store(desk, _walk(), known_at_ms=NOW)
    verdict = _judge(desk)
    assert verdict.passed and verdict.restated == 0


def test_a_row_from_the_future_fails_nothing_while_its_candle_is_not_closed(desk: Desk) -> None:
    candles = _walk(ROWS + 1)
    _store(desk, candles.slice(0, ROWS))
    row = QuarantinedRow(START + ROWS * STEP, (1.0,) * 5, "the open time is in the future", Fault.FUTURE)
    with desk.stores.database.transaction() as connection:
        record_quarantined(connection, [SeenRow(desk.settings.market_list()[0], "1h", row, "exchange")], NOW - STEP)
    assert _judge(desk, row.open_time + STEP - 1).passed
    assert set(_judge(desk, row.open_time + STEP).failures) == {"quarantine"}
    _store(desk, candles, known_at_ms=row.open_time + STEP)
    assert _judge(desk, row.open_time + STEP).passed


def test_an_unusable_row_that_the_exchange_takes_back_is_over(desk: Desk) -> None:
    candles, market = _walk(), desk.settings.market_list()[0]
    opened = int(candles.open_time[-20])
    _store(desk, Candles(*(np.delete(getattr(candles, name), ROWS - 20) for name in ("open_time", *OHLCV_COLUMNS))))
    row = QuarantinedRow(opened, (1.0, 1.0, 1.0, float("nan"), 1.0), "a value is not a finite number", Fault.NOT_A_NUMBER)
    with desk.stores.database.transaction() as connection:
        record_quarantined(connection, [SeenRow(market, "1h", row, "exchange")], NOW)
    assert set(_judge(desk).failures) == {"quarantine"}
    partition = PartitionId("ohlcv", market, "1h", months_between(opened, opened + 1)[0])
    with desk.stores.candles.begin([partition]) as transaction:
        nothing = candles_table([(empty_candles(), "exchange")])
        transaction.merge(partition, nothing, known_at_ms=NOW + 1, confirmed_holes=[(opened, opened + STEP)])
    assert _judge(desk, NOW + 1).passed
    assert [entry.resolution for entry in read_quarantined(desk.stores.database, resolved=True)] == [WITHDRAWN]


def test_an_unusable_row_fails_until_a_candle_is_stored_at_its_time(desk: Desk) -> None:
    candles = _walk()
    without = Candles(*(np.delete(getattr(candles, name), ROWS - 20) for name in ("open_time", *OHLCV_COLUMNS)))
    _store(desk, without)
    row = QuarantinedRow(START + (ROWS - 20) * STEP + 1000, (1.0,) * 5, "the open time is off the 1h grid", Fault.OFF_GRID)
    early, future = replace(row, open_time=START + STEP), replace(row, open_time=NOW + 5 * STEP, kind=Fault.FUTURE)
    with desk.stores.database.transaction() as connection:
        market = desk.settings.market_list()[0]
        record_quarantined(connection, [SeenRow(market, "1h", each, "exchange") for each in (row, early, future)], NOW)
    words = f"1 unusable rows, the first at {iso(row.open_time)}: the open time is off the 1h grid"
    assert _judge(desk).failures == {"quarantine": words}
    _store(desk, candles, known_at_ms=NOW + 1)
    assert _judge(desk, NOW + 1).passed
    resolved = [each for each in read_quarantined(desk.stores.database, resolved=True) if each.resolution == REPLACED]
    assert [each.row.open_time for each in resolved] == [row.open_time]


def test_one_alert_for_all_that_turned_none_while_it_lasts_and_another_after_it_was_well(desk: Desk) -> None:
    _store(desk, _with(_walk(), ROWS - 100, 2.0))
    late = NOW + 5 * STEP
    assert set(_judge(desk, late).failures) == {"fresh", "sane"}
    assert len(_alerts(desk)) == 1 and "fresh: the newest" in _alerts(desk)[0] and "sane: 1 suspect" in _alerts(desk)[0]
    for minutes in range(1, 4):
        _judge(desk, late + minutes * 60_000)
    assert len(_alerts(desk)) == 1
    _store(desk, _walk(), known_at_ms=late + 400_000)
    assert set(_judge(desk, late + 400_000).failures) == {"fresh"}
    _store(desk, _with(_walk(), ROWS - 100, 2.0), known_at_ms=late + 500_000)
    _judge(desk, late + 500_000)
    assert len(_alerts(desk)) == 2 and "sane" in _alerts(desk)[1] and "fresh" not in _alerts(desk)[1]


def test_judging_many_markets_that_have_not_changed_takes_as_many_statements_as_judging_one(desk: Desk) -> None:
    markets = desk.settings.market_list()
    for market in range(len(markets)):
        _store(desk, _walk(), market)
    judge_markets(desk.stores, HOUR, markets, NOW)
    statements: list[str] = []
    sa.event.listen(desk.stores.database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    counts = []
    for chosen in (markets[:1], markets):
        statements.clear()
        judge_markets(desk.stores, HOUR, chosen, NOW + 1)
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 10


@pytest.fixture
def second(home: Path, database_url: str) -> Iterator[tuple[Desk, SimulatorClient]]:
    """A desk whose second exchange is a simulator that shows the same candles as the desk has stored, but for one spike."""
    with running_simulator(speed=0, start_ms=NOW) as simulator:
        desk = _desk(
            home,
            database_url,
            QUALITY__SPIKE_EXCHANGE="second",
            EXCHANGES__second__dialect="binance",
            EXCHANGES__second__url=simulator.url,
        )
        candles = simulator.candles("BTC-USDT", "1h", START, START + ROWS * STEP)
        columns = [np.asarray(getattr(candles, name)) for name in ("open_time", *OHLCV_COLUMNS)]
        _store(desk, _with(Candles(*columns), ROWS - 50, 1.5))
        yield desk, simulator


def test_a_spike_that_the_second_exchange_does_not_show_stays(second: tuple[Desk, SimulatorClient]) -> None:
    desk, _ = second
    assert set(_judge(desk, market_data=desk.market_data).failures) == {"sane"}


def test_a_spike_that_the_second_exchange_shows_too_is_real(second: tuple[Desk, SimulatorClient]) -> None:
    desk, simulator = second
    simulator.add_faults({"action": "revise", "open_time": START + (ROWS - 50) * STEP, "price_factor": 1.51})
    assert _judge(desk, market_data=desk.market_data).passed
    [entry] = read_quarantined(desk.stores.database, resolved=True)
    assert entry.resolution == "second shows it too"
    assert _alerts(desk) == []


def test_a_second_exchange_that_cannot_be_asked_confirms_nothing(second: tuple[Desk, SimulatorClient]) -> None:
    desk, simulator = second
    simulator.add_faults({"action": "error", "code": -1121, "message": "Invalid symbol.", "endpoint": "candles"})
    assert set(_judge(desk, market_data=desk.market_data).failures) == {"sane"}
