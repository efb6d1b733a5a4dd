"""Every recorded file is read, and what is found equals the figures of the list that came with the files (issue 3, C1, C6).

The list was made by other means than ours. The values are compared with the Parquet copies, and for the file whose rows
contradict each other with the text itself, read by csv.
"""

import csv
import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest

from fks_assets.clock import now_ms
from fks_assets.imports.report import RefusedFile
from fks_assets.quant.candles import OHLCV_COLUMNS
from fks_assets_tests.imports.manifest import DATA, Listed, listed_files
from fks_assets_tests.imports.reading import read_all, read_one, refusal
from fks_assets_tests.shared_data import SHARED, requires_shared

pytestmark = requires_shared
LISTED = listed_files()
DOUBLED = "Binance_BTCUSDT_1h.csv.gz"
# What cannot be told without help, why, and the help that settles it.
REFUSED = {
    "BTCUSDT_Binance_futures_data_hour.csv": ("holds futures candles of BTC-USDT", {"exchange": "binancefutures"}),
    "UNITTEST_BTC-1m.json.gz": ("neither its name nor its folder names the exchange", {"exchange": "binance"}),
    "XRP_ETH-1m.feather": ("neither its name nor its folder names the exchange", {"exchange": "binance"}),
}
MARKETS = {"XBTUSD_60.csv": "BTC-USD@kraken", "STORJUSD_60.csv": "STORJ-USD@kraken", "BTCUSDT-1h-2025-01.csv": "BTC-USDT@binance"}
SOURCES = {
    "binance_vision": "import:binance-dump",
    "cryptodatadownload": "import:cryptodatadownload",
    "kraken_ohlcvt": "import:kraken-ohlcvt",
}


def test_the_list_names_every_file() -> None:
    assert SHARED is not None
    assert len(LISTED) > 40
    assert {each.path for each in LISTED} == {path for path in (DATA / "ohlcv").rglob("*") if path.is_file()}


@pytest.mark.parametrize("listed", LISTED, ids=lambda listed: f"{listed.path.parent.name}/{listed.path.name}")
def test_what_is_found_equals_the_listed_figures(listed: Listed) -> None:
    reason, help_given = REFUSED.get(listed.path.name, (None, {}))
    if reason is not None:
        assert refusal(listed.path, now=now_ms()).startswith(reason)
    series = read_one(listed.path, now=now_ms(), **help_given)
    report = series.report
    step = series.timeframe.milliseconds
    assert (series.timeframe.name, report.rows_read) == (listed.interval, listed.rows)
    assert series.candles.open_time[[0, -1]].tolist() == [listed.first, listed.last]
    assert (len(report.holes), report.missing) == (listed.holes, listed.missing)
    sizes = {start: (end - start) // step for start, end in report.holes}
    assert sorted(sizes.values(), reverse=True)[: len(listed.largest)] == [size for size, _ in listed.largest]
    assert all(sizes[start] == size for size, start in listed.largest)
    assert report.exact_duplicates + report.conflicting_duplicates == listed.duplicates
    assert report.conflicting_duplicates == listed.conflicting
    assert report.usable == len(series.candles) == listed.rows - listed.duplicates
    assert report.zero_volume == listed.zero_volume
    assert (report.quarantined, report.unreadable, report.notes) == ((), 0, ())
    order = {"asc": ("ascending", 0), "desc": ("descending", 0), "mixed(4 reversals)": ("descending", 4)}
    assert (report.order, report.out_of_order) == order[listed.order]
    assert series.market.key == MARKETS.get(listed.path.name, series.market.key)
    assert series.source.split("/")[0] == SOURCES.get(listed.path.parent.name, "import:freqtrade")


@pytest.mark.parametrize("listed", LISTED, ids=lambda listed: f"{listed.path.parent.name}/{listed.path.name}")
def test_the_values_are_those_of_the_copy_and_the_copy_itself_imports(listed: Listed) -> None:
    _, help_given = REFUSED.get(listed.path.name, (None, {}))
    series = read_one(listed.path, now=now_ms(), **help_given)
    copied = read_one(listed.parquet, now=now_ms(), **help_given)
    assert (copied.market, copied.timeframe, copied.report.holes) == (series.market, series.timeframe, series.report.holes)
    table = pq.read_table(listed.parquet)
    times, first = np.unique(table["ts_ms"].to_numpy(), return_index=True)
    assert series.candles.open_time.tolist() == copied.candles.open_time.tolist() == times.tolist()
    for name in OHLCV_COLUMNS:
        assert (getattr(series.candles, name) == getattr(copied.candles, name)).all(), name
        if not listed.conflicting:
            assert (getattr(series.candles, name) == table[name].to_numpy()[first]).all(), name


def test_of_doubled_hours_the_row_with_the_exchanges_own_digits_is_taken_and_each_oddity_is_counted() -> None:
    path = DATA / "ohlcv/cryptodatadownload" / DOUBLED
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    exact = {int(row["unix"]): row for row in rows if "." not in row["unix"]}
    rounded = {round(float(row["unix"]) * 1000): row for row in rows if "." in row["unix"]}
    expected = rounded | exact
    series = read_one(path, now=now_ms())
    assert series.candles.open_time.tolist() == sorted(expected)
    names = ("open", "high", "low", "close", "Volume BTC")
    for column, name in zip(OHLCV_COLUMNS, names, strict=True):
        assert getattr(series.candles, column).tolist() == [float(expected[time][name]) for time in sorted(expected)], name
    report = series.report
    assert report.time_units == {"ms": len(exact), "s": len(rounded)}
    assert report.mixed_time_units == report.mixed_date_formats == min(len(exact), len(rounded))
    dated = [row for row in rows if row["date"][11:13] == "12" and row["date"].endswith("M")]
    assert dated, "noon and midnight in twelve-hour form are part of this file"
    assert set(report.resolved) >= {"conflicting_duplicates", "mixed_time_units", "mixed_date_formats", "disagreeing_dates"}


def test_where_its_two_time_columns_disagree_the_unix_column_is_right() -> None:
    """91 rows of September 2017 have a date four hours early; Binance's own candles of those hours tell which is right."""
    report = read_one(DATA / "ohlcv/cryptodatadownload" / DOUBLED, now=now_ms()).report
    assert report.disagreeing_dates == 91
    ours = read_one(DATA / "ohlcv/cryptodatadownload" / DOUBLED, now=now_ms()).candles
    exchange = read_one(DATA / "ohlcv/binance_1h_long/BTC_USDT-1h.json.gz", now=now_ms()).candles
    start, end = 1_506_124_800_000, 1_506_452_400_000  # 2017-09-23T00:00Z to 2017-09-26T19:00Z
    mine, theirs = ours.between(start, end), exchange.between(start, end)
    assert len(mine) == 91
    same = np.isin(mine.open_time, theirs.open_time)
    close = dict(zip(theirs.open_time.tolist(), theirs.close.tolist(), strict=True))
    apart = [abs(close[time] / value - 1) for time, value in zip(mine.open_time[same].tolist(), mine.close[same], strict=True)]
    assert np.median(apart) < 1e-3


def test_a_file_whose_digits_disagree_is_refused_when_that_is_asked_for() -> None:
    words = refusal(DATA / "ohlcv/cryptodatadownload" / DOUBLED, conflicts="refuse", now=now_ms())
    assert words.startswith("2,649 rows repeat an open time with other values; first ")


def test_no_recorded_file_is_read_as_another_format() -> None:
    for listed in LISTED:
        if listed.path.parent.name == "kraken_ohlcvt":
            (found,) = read_all(listed.path, format="binance-dump", now=now_ms())
            assert isinstance(found, RefusedFile)
            assert found.reason == "--format binance-dump contradicts its content, which is kraken-ohlcvt"
