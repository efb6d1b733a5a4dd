"""What an import does to the candle store: what is stored stays, nothing comes twice, gaps that are filled are noted."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fks_assets.assets.market_data.gap_ledger import update_gaps
from fks_assets.assets.market_data.import_candles import StoredImport, judge_gaps, store_series
from fks_assets.clock import now_ms
from fks_assets.imports.report import ImportedSeries
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets.quant.gaps import GapStatus
from fks_assets.quant.timeframes import month_of
from fks_assets.resources.stores import Stores
from fks_assets.settings import read_settings
from fks_assets.stores.candle_tables import candles_from_table, candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.gap_records import read_gaps
from fks_assets.stores.lineage import InputRef, inputs_history
from fks_assets_tests.imports.manifest import DATA
from fks_assets_tests.imports.reading import HOUR, START, candle, kraken_lines, read_one, write
from fks_assets_tests.shared_data import requires_shared
from fks_assets_tests.stores.tables import object_names, times

MARKET = "BTC-USD@kraken"
KNOWN_AT = START + 100 * HOUR


@pytest.fixture
def stores(home: Path, database_url: str) -> Stores:
    """The stores of a desk that does not trade the imported market."""
    return Stores(read_settings({"FKS_HOME": str(home), "FKS_DATABASE_URL": database_url}, home))


def series_of(folder: Path, hours: object, **values: float) -> ImportedSeries:
    return read_one(write(folder, "XBTUSD_60.csv", kraken_lines(hours, **values)))


def store(stores: Stores, series: ImportedSeries, **options: bool) -> StoredImport:
    return store_series(stores, series, run_id="test", **options)


def counts(outcome: StoredImport) -> tuple[int, int, int, int]:
    return outcome.inserted, outcome.equal, outcome.kept, outcome.replaced


def stored_rows(stores: Stores, series: ImportedSeries) -> dict[int, tuple[float, str]]:
    """Return close and source by hour."""
    table = stores.candles.read_table("ohlcv", series.market, "1h")
    rows = zip(times(table), table["close"].to_pylist(), table["source"].to_pylist(), strict=True)
    return {(time - START) // HOUR: (close, source) for time, close, source in rows}


def from_exchange(stores: Stores, series: ImportedSeries, hours: list[int], close: float = 10.0) -> None:
    """Store hours of January 2025 as a sync would."""
    rows = np.array([candle(hour, close) for hour in hours])
    candles = Candles(np.array([START + hour * HOUR for hour in hours]), *rows.T.copy())
    with stores.candles.begin([january(series)]) as transaction:
        transaction.merge(january(series), candles_table([(candles, "exchange")]), known_at_ms=KNOWN_AT)


def january(series: ImportedSeries) -> PartitionId:
    return PartitionId("ohlcv", series.market, "1h", "2025-01")


def test_months_are_stored_with_their_origin_and_the_file_as_their_input(stores: Stores, tmp_path: Path) -> None:
    series = series_of(tmp_path, range(-30, 60))
    outcome = store(stores, series)
    assert counts(outcome) == (90, 0, 0, 0)
    assert outcome.months == ["2024-12", "2025-01"]
    assert stored_rows(stores, series) == dict.fromkeys(range(-30, 60), (10.0, "import:kraken-ohlcvt"))
    digest = hashlib.sha256((tmp_path / "XBTUSD_60.csv").read_bytes()).hexdigest()
    heads = stores.candles.heads("ohlcv", "1h")
    for month, rows in (("2024-12", 30), ("2025-01", 60)):
        (record,) = inputs_history(stores.database, "ohlcv_1h", f"{MARKET}|{month}")
        assert record.inputs == (InputRef("import:kraken-ohlcvt", "XBTUSD_60.csv", digest),)
        assert record.row_count == rows
        assert record.content_hash == heads[PartitionId("ohlcv", series.market, "1h", month)].content_hash


def test_the_same_import_again_changes_nothing(stores: Stores, tmp_path: Path) -> None:
    series = series_of(tmp_path, range(-30, 60))
    store(stores, series)
    before = stores.candles.heads("ohlcv", "1h"), object_names(stores.candles)
    for again in (store(stores, series), store(stores, series, replace=True)):
        assert (counts(again), again.months, again.changed) == ((0, 90, 0, 0), [], False)
    assert (stores.candles.heads("ohlcv", "1h"), object_names(stores.candles)) == before
    assert len(inputs_history(stores.database, "ohlcv_1h", f"{MARKET}|2025-01")) == 1


def test_candles_from_the_exchange_stay_and_those_that_differ_are_counted(stores: Stores, tmp_path: Path) -> None:
    series = series_of(tmp_path, range(6))
    from_exchange(stores, series, [1, 2])
    from_exchange(stores, series, [3], close=11.0)
    outcome = store(stores, series)
    assert counts(outcome) == (3, 2, 1, 0)
    (conflict,) = outcome.conflicts
    assert (conflict.open_time, conflict.taken, conflict.left_out) == (START + 3 * HOUR, candle(3, 11.0), candle(3))
    imported, exchange = (10.0, "import:kraken-ohlcvt"), (10.0, "exchange")
    assert stored_rows(stores, series) == {
        0: imported, 1: exchange, 2: exchange, 3: (11.0, "exchange"), 4: imported, 5: imported
    }  # fmt: skip
    assert stores.candles.revisions(january(series)).num_rows == 0


def test_replacing_keeps_what_was_stored_as_a_revision(stores: Stores, tmp_path: Path) -> None:
    series = series_of(tmp_path, range(6))
    from_exchange(stores, series, [1, 2])
    from_exchange(stores, series, [3], close=11.0)
    outcome = store(stores, series, replace=True)
    assert counts(outcome) == (3, 2, 0, 1)
    assert (outcome.conflicts[0].taken, outcome.conflicts[0].left_out) == (candle(3), candle(3, 11.0))
    rows = stored_rows(stores, series)
    assert rows[3] == (10.0, "import:kraken-ohlcvt")
    assert rows[1] == (10.0, "exchange")
    revisions = stores.candles.revisions(january(series))
    assert (revisions["close"].to_pylist(), revisions["source"].to_pylist()) == ([11.0], ["exchange"])
    as_of = stores.candles.read_table("ohlcv", series.market, "1h", as_of_ms=KNOWN_AT)
    assert as_of["close"].to_pylist() == [10.0, 10.0, 11.0]


def test_an_earlier_import_stays_as_well(stores: Stores, tmp_path: Path) -> None:
    store(stores, series_of(tmp_path, range(6)))
    other = series_of(tmp_path, range(8), close=12.0)
    assert counts(store(stores, other)) == (2, 0, 6, 0)
    assert [close for close, _ in stored_rows(stores, other).values()] == [10.0] * 6 + [12.0] * 2


@pytest.mark.parametrize("replacing", [False, True])
def test_a_dry_run_foretells_the_import_and_changes_nothing(stores: Stores, tmp_path: Path, replacing: bool) -> None:
    series = series_of(tmp_path, range(-30, 60))
    from_exchange(stores, series, [1, 2])
    from_exchange(stores, series, [3], close=11.0)
    before = stores.candles.heads("ohlcv", "1h"), object_names(stores.candles)
    foretold = store(stores, series, dry_run=True, replace=replacing)
    assert (stores.candles.heads("ohlcv", "1h"), object_names(stores.candles)) == before
    assert inputs_history(stores.database, "ohlcv_1h", f"{MARKET}|2025-01") == []
    assert foretold == store(stores, series, replace=replacing)


def test_a_failing_write_changes_nothing_at_all(stores: Stores, tmp_path: Path) -> None:
    series = series_of(tmp_path, range(-30, 60))
    times = series.candles.open_time.copy()
    times[70] += 1
    broken = replace(series, candles=Candles(times, *(getattr(series.candles, name) for name in OHLCV_COLUMNS)))
    with pytest.raises(Exception, match="off the grid"):
        store(stores, broken)
    assert stores.candles.heads("ohlcv", "1h") == {}
    assert object_names(stores.candles) == []


def test_a_gap_is_filled_only_when_its_candles_are_there(stores: Stores, tmp_path: Path) -> None:
    """F18, S5.8: an import that brings nothing for a gap leaves it open; one that brings a part shrinks it."""
    whole = series_of(tmp_path, range(50))
    from_exchange(stores, whole, [*range(10), *range(20, 30), *range(40, 50)])
    update_gaps(stores, [whole.market], whole.timeframe)
    series = [(whole.market, whole.timeframe)]
    for hours, filled, left in (
        (range(3), 0, [(10, 20), (30, 40)]),
        (range(12, 20), 0, [(10, 12), (30, 40)]),
        ([10, 11], 1, [(30, 40)]),
        (range(50), 1, []),
    ):
        store(stores, series_of(tmp_path, hours))
        (outcome,) = judge_gaps(stores, series)
        assert (outcome.filled, outcome.open) == (filled, len(left))
        records = read_gaps(stores.database, [whole.market])
        still = [record for record in records if record.status is not GapStatus.FILLED]
        assert [((each.start_ms - START) // HOUR, (each.end_ms - START) // HOUR) for each in still] == left
    assert {record.status for record in read_gaps(stores.database, [whole.market])} == {GapStatus.FILLED}


def test_what_the_exchange_was_known_to_lack_is_no_longer_when_it_was_imported(stores: Stores, tmp_path: Path) -> None:
    series = series_of(tmp_path, range(12, 15))
    partition = january(series)
    from_exchange(stores, series, [*range(10), *range(20, 30)])
    with stores.candles.begin([partition]) as transaction:
        nothing = transaction.read(partition).slice(0, 0).drop_columns(["known_at"])
        holes = [(START + 10 * HOUR, START + 20 * HOUR)]
        transaction.merge(partition, nothing, known_at_ms=now_ms(), confirmed_holes=holes)
    store(stores, series)
    holes = stores.candles.heads("ohlcv", "1h")[partition].confirmed_holes
    assert [((start - START) // HOUR, (end - START) // HOUR) for start, end in holes] == [(10, 12), (15, 20)]


@requires_shared
def test_recorded_years_are_stored_row_by_row_and_only_the_restated_candles_differ(stores: Stores) -> None:
    """The list of the files names the two hours that the exchange restated between the two recordings."""
    half = read_one(DATA / "ohlcv/binance_1h_2021h1/BTC_USDT-1h.json", now=now_ms())
    years = read_one(DATA / "ohlcv/binance_1h_long/BTC_USDT-1h.json.gz", now=now_ms())
    store(stores, half)
    outcome = store(stores, years)
    assert counts(outcome) == (45024 - 4090, 4088, 2, 0)
    restated = [1_610_352_000_000, 1_619_139_600_000]  # 2021-01-11 08:00 and 2021-04-23 01:00
    assert [conflict.open_time for conflict in outcome.conflicts] == restated
    replaced = store(stores, years, replace=True)
    assert (counts(replaced), replaced.months) == ((0, 45022, 0, 2), [month_of(time) for time in restated])
    stored = candles_from_table(stores.candles.read_table("ohlcv", years.market, "1h"))
    for name in ("open_time", *OHLCV_COLUMNS):
        assert (getattr(stored, name) == getattr(years.candles, name)).all()
    # The list says 27 holes of 127 candles.
    (judged,) = judge_gaps(stores, [(years.market, years.timeframe)])
    assert judged.open == 27
    assert sum(record.missing_candles for record in read_gaps(stores.database, [years.market])) == 127
