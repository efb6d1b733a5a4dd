"""Files with every oddity that dumps are known for: each is counted and resolved by its rule, or the file is refused."""

import gzip
import json
import random
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fks_assets.imports import sources
from fks_assets.imports.report import ImportedSeries, RefusedFile
from fks_assets.quant.candles import OHLCV_COLUMNS, Fault
from fks_assets_tests.amounts import tries
from fks_assets_tests.imports.reading import (
    HOUR,
    NOW,
    START,
    binance_lines,
    candle,
    hours_of,
    kraken_lines,
    read_all,
    read_one,
    refusal,
    write,
    zipped,
)

BINANCE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
CDD_HEADER = "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount"


def joined(lines: Iterable[str]) -> bytes:
    return "\n".join(lines).encode()


def json_rows(hours: range) -> str:
    return json.dumps([[START + hour * HOUR, *candle(hour)] for hour in hours])


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    plain = read_one(write(tmp_path, "XBTUSD_60.csv", kraken_lines(range(5))))
    marked = read_one(write(tmp_path, "XBTUSD_60 (1).csv", kraken_lines(range(5)), "\r\n", b"\xef\xbb\xbf"))
    header = read_one(
        write(tmp_path, "BTCUSD-1h-2025-01.csv", [BINANCE_HEADER, *binance_lines(range(5))], "\r\n", b"\xef\xbb\xbf")
    )
    for series in (plain, marked, header):
        assert hours_of(series) == [0, 1, 2, 3, 4]
        assert series.report.rows_read == series.report.usable == 5
        assert series.report.resolved == {}


def test_a_header_changes_nothing_and_compression_is_told_by_the_content(tmp_path: Path) -> None:
    lines = binance_lines(range(24))
    bare = read_one(write(tmp_path, "BTCUSDT-1h-2025-01-01.csv", lines))
    headed = read_one(write(tmp_path, "BTCUSDT-1h-2025-01-01.csv.gz", [BINANCE_HEADER, *lines]))
    inside = read_one(zipped(tmp_path, "BTCUSDT-1h-2025-01-01.zip", {"BTCUSDT-1h-2025-01-01.csv": lines}))
    misnamed = tmp_path / "BTCUSDT-1h-2025-01-01 (2).csv"
    misnamed.write_bytes(gzip.compress("\n".join(lines).encode()))
    for series in (bare, headed, inside, read_one(misnamed)):
        assert (series.market.key, series.timeframe.name, series.source) == ("BTC-USDT@binance", "1h", "import:binance-dump")
        assert series.candles.close.tolist() == [10.0] * 24
        assert series.report.notes == ()
    assert inside.label == "BTCUSDT-1h-2025-01-01.zip/BTCUSDT-1h-2025-01-01.csv"


def test_milliseconds_become_microseconds_at_the_turn_of_a_month(tmp_path: Path) -> None:
    """Binance's dumps count in microseconds since 2025: a file that was put together across that month has both."""
    lines = [*binance_lines(range(-5, 0)), *binance_lines(range(5), unit=1000)]
    series = read_one(write(tmp_path, "BTCUSDT-1h-2025-01.csv", lines))
    assert hours_of(series) == list(range(-5, 5))
    assert series.report.time_units == {"ms": 5, "us": 5}
    assert series.report.resolved["mixed_time_units"] == (5, "each row's unit (s, ms, us, ns) was told by its size")
    assert series.report.notes == ("the name says 2025-01, the rows are of 2024-12 to 2025-01",)


def test_a_part_of_a_millisecond_is_off_the_grid_and_not_rounded_away(tmp_path: Path) -> None:
    lines = binance_lines(range(6), unit=1000)
    lines[2] = lines[2].replace(f"{(START + 2 * HOUR) * 1000}", f"{(START + 2 * HOUR) * 1000 + 1}")
    (row,) = read_one(write(tmp_path, "BTCUSDT-1h-2025-01.csv", lines)).report.quarantined
    assert (row.kind, row.open_time) == (Fault.OFF_GRID, START + 2 * HOUR + 1)


@pytest.mark.parametrize("scale", [1, 1000, 1_000_000, 1_000_000_000])
def test_seconds_to_nanoseconds_are_told_apart(tmp_path: Path, scale: int) -> None:
    table = {"open_time": [(START // 1000 + hour * 3600) * scale for hour in range(5)]}
    table |= {name: [candle(hour)[place] for hour in range(5)] for place, name in enumerate(OHLCV_COLUMNS)}
    path = tmp_path / "BTC_USDT-1h.parquet"
    pq.write_table(pa.table(table), path)
    assert hours_of(read_one(path, exchange="binance")) == [0, 1, 2, 3, 4]


def test_rows_in_any_order_are_sorted_and_those_against_the_order_counted(tmp_path: Path) -> None:
    hours = [9, 8, 7, 3, 6, 5, 4, 2, 1, 0]
    report = read_one(write(tmp_path, "XBTUSD_60.csv", kraken_lines(hours))).report
    assert (report.order, report.out_of_order, len(report.holes)) == ("descending", 1, 0)


@pytest.mark.parametrize(
    ("rule", "volume"), [("precise", 5.123), ("first", 5.1), ("last", 5.0)], ids=["precise", "first", "last"]
)
def test_of_conflicting_rows_one_is_taken_by_the_rule(tmp_path: Path, rule: str, volume: float) -> None:
    lines = kraken_lines([0, 1])
    doubled = [*kraken_lines([2], volume=5.1), *kraken_lines([2], volume=5.123), *kraken_lines([2])]
    path = write(tmp_path, "XBTUSD_60.csv", [*lines, *doubled, *kraken_lines([3, 4, 4])])
    series = read_one(path, conflicts=rule)
    report = series.report
    assert hours_of(series) == [0, 1, 2, 3, 4]
    assert series.candles.volume[2] == volume
    assert (report.conflicting_duplicates, report.exact_duplicates) == (2, 1)
    assert {conflict.left_out[-1] for conflict in report.conflicts} == {5.1, 5.123, 5.0} - {volume}
    assert report.resolved["conflicting_duplicates"][0] == 2


def test_conflicting_rows_refuse_the_file_when_that_is_asked_for_and_exact_ones_do_not(tmp_path: Path) -> None:
    exact = write(tmp_path, "XBTUSD_60.csv", kraken_lines([0, 1, 2, 2, 3]))
    assert read_one(exact, conflicts="refuse").report.exact_duplicates == 1
    disputed = write(tmp_path, "ETHUSD_60.csv", [*kraken_lines([0, 1, 2]), *kraken_lines([2], close=11.0), *kraken_lines([3])])
    assert refusal(disputed, conflicts="refuse") == (
        "1 rows repeat an open time with other values; first 2025-01-01T02:00:00Z: "
        "(10.0, 13.0, 9.0, 10.0, 5.0) and (11.0, 14.0, 10.0, 11.0, 5.0)"
    )


UNUSABLE = {
    "NaN": ("nan,12,9,10,5", Fault.NOT_A_NUMBER),
    "nothing": (",12,9,10,5", Fault.NOT_A_NUMBER),
    "NULL": ("10,12,9,10,NULL", Fault.NOT_A_NUMBER),
    "words": ("10,12,9,ten,5", Fault.MALFORMED),
    "a decimal comma's rest": ('"1,0",12,9,10,5', Fault.MALFORMED),
    "digits of another script": ("١٠,12,9,10,5", Fault.MALFORMED),
    "more than a float holds": ("10,1e400,9,10,5", Fault.NOT_FINITE),
    "infinity": ("10,12,9,10,inf", Fault.NOT_FINITE),
    "zero": ("10,12,0,10,5", Fault.NOT_POSITIVE),
    "a negative price": ("10,12,-9,10,5", Fault.NOT_POSITIVE),
    "a negative volume": ("10,12,9,10,-5", Fault.NOT_POSITIVE),
    "high below low": ("10,8,9,10,5", Fault.CROSSED),
    "low above open": ("10,12,11,12,5", Fault.CROSSED),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_row_is_set_aside_with_its_reason(tmp_path: Path, case: str) -> None:
    values, kind = UNUSABLE[case]
    lines = kraken_lines(range(6))
    lines[3] = f"{START // 1000 + 3 * 3600},{values},3"
    series = read_one(write(tmp_path, "XBTUSD_60.csv", lines))
    (row,) = series.report.quarantined
    assert (row.kind, row.open_time) == (kind, START + 3 * HOUR)
    assert row.reason
    assert hours_of(series) == [0, 1, 2, 4, 5]
    assert series.report.holes == ((START + 3 * HOUR, START + 4 * HOUR),)


def test_candles_of_the_future_open_ones_and_impossible_times_are_set_aside(tmp_path: Path) -> None:
    now_hour = (NOW - START) // HOUR
    lines = kraken_lines([*range(now_hour - 5, now_hour + 1), now_hour + 7])
    lines += ["0,10,12,9,10,5,3", f"{START // 1000 + 1800},10,12,9,10,5,3"]
    report = read_one(write(tmp_path, "XBTUSD_60.csv", lines)).report
    assert report.usable == 5
    assert {(row.kind, row.reason) for row in report.quarantined} == {
        (Fault.FUTURE, "the candle is not closed yet"),
        (Fault.MALFORMED, "the open time is before 2009: no coin existed"),
        (Fault.OFF_GRID, "the open time is off the 1h grid"),
        (Fault.FUTURE, "the open time is in the future"),
    }
    assert len(report.quarantined) == 4


def test_lines_that_are_no_rows_are_counted_and_shown(tmp_path: Path) -> None:
    lines = [*kraken_lines(range(4)), "yesterday,10,12,9,10,5,3", "1,2,3", "", *kraken_lines([4])]
    report = read_one(write(tmp_path, "XBTUSD_60.csv", lines)).report
    assert (report.rows_read, report.usable, report.unreadable) == (7, 5, 2)
    assert sorted(report.unreadable_lines) == ["3 columns instead of 7: 1,2,3", "the open time is 'yesterday'"]


def test_dates_of_two_kinds_and_midnight_in_twelve_hour_form(tmp_path: Path) -> None:
    header = "Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT"
    dates = [
        "2020-06-15 02:00:00",
        "2020-06-15 01-AM",
        "2020-06-15 12-AM",
        "2020-06-14 11-PM",
        "2020-06-14 12-PM",
        "2020-02-30 01-AM",
    ]
    lines = ["https://www.CryptoDataDownload.com", header, *(f"{date},BTCUSDT,10,12,9,10,5,50" for date in dates)]
    series = read_one(write(tmp_path, "Binance_BTCUSDT_1h.csv", lines))
    midnight = 1_592_179_200_000  # 2020-06-15T00:00Z
    assert [(time - midnight) // HOUR for time in series.candles.open_time.tolist()] == [-12, -1, 0, 1, 2]
    assert series.report.mixed_date_formats == 1
    assert series.report.unreadable_lines == ("the open time is '2020-02-30 01-AM'",)


def cdd_lines(hours: range, shift_hours: int = 0, symbol: str = "BTC/USDT") -> list[str]:
    dates = np.datetime_as_string(np.datetime64("2025-01-01T00") + np.array(hours) + shift_hours, unit="s")
    times = [START + hour * HOUR for hour in hours]
    return [f"{time},{date.replace('T', ' ')},{symbol},10,12,9,10,5,50,7" for time, date in zip(times, dates, strict=True)]


def test_dates_in_local_time_refuse_the_file_and_a_few_of_them_are_counted(tmp_path: Path) -> None:
    local = write(tmp_path, "Binance_BTCUSDT_1h.csv", [CDD_HEADER, *cdd_lines(range(10), shift_hours=-4)])
    assert refusal(local) == "the unix and the date column lie 14400 s apart in 10 of 10 rows: one is not UTC"
    few = [CDD_HEADER, *cdd_lines(range(8)), *cdd_lines(range(8, 10), shift_hours=-4)]
    series = read_one(write(tmp_path, "Binance_BTCUSDT_1h.csv", few))
    assert (series.report.disagreeing_dates, hours_of(series)) == (2, list(range(10)))


def test_json_in_one_line_or_many_is_the_same_and_feather_and_parquet_too(tmp_path: Path) -> None:
    rows = [[START + hour * HOUR, *candle(hour)] for hour in range(5)]
    texts = [json.dumps(rows), json.dumps(rows, indent=1), json.dumps(rows, separators=(",", ":")) + "\n"]
    found = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}" / "ETH_USDT-1h.json"
        path.parent.mkdir()
        path.write_text(text)
        found.append(read_one(path, exchange="kraken"))
    times = pa.array([row[0] for row in rows], pa.timestamp("ms", "UTC"))
    table = pa.table({"date": times} | {name: [row[place + 1] for row in rows] for place, name in enumerate(OHLCV_COLUMNS)})
    pyarrow.feather.write_feather(table, str(tmp_path / "ETH_USDT-1h.feather"))
    pq.write_table(table.set_column(0, "open_time", times.cast(pa.timestamp("ns"))), tmp_path / "ETH_USDT-1h.parquet")
    found += [read_one(tmp_path / f"ETH_USDT-1h.{ending}", exchange="kraken") for ending in ("feather", "parquet")]
    for series in found:
        assert (series.market.key, series.timeframe.name, hours_of(series)) == ("ETH-USDT@kraken", "1h", [0, 1, 2, 3, 4])
        assert series.candles.values(1) == candle(1)
    assert {series.source for series in found} == {"import:freqtrade", "import:parquet"}


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "nothing": ("XBTUSD_60.csv", b"", "is empty"),
    "blanks": ("XBTUSD_60.csv", b" \n\n", "is empty"),
    "a header alone": ("BTCUSDT-1h-2025-01.csv", BINANCE_HEADER.encode() + b"\n", "holds no rows"),
    "an empty JSON list": ("BTC_USDT-1h.json", b"[]", "holds no rows"),
    "JSON cut short": ("BTC_USDT-1h.json", json_rows(range(5))[:-40].encode(), "ends in the middle: the JSON list"),
    "JSON cut at a row": ("BTC_USDT-1h.json", json_rows(range(5))[:-1].encode(), "ends in the middle: the JSON list"),
    "JSON of objects": ("BTC_USDT-1h.json", b'[{"open": 1}]', "the JSON is not a list of rows"),
    "JSON of other rows": ("BTC_USDT-1h.json", b"[[1,2,3]]", "the JSON rows have 3 values, not 6"),
    "gzip cut short": ("XBTUSD_60.csv.gz", gzip.compress(joined(kraken_lines(range(999))))[:-200], "ends in the middle"),
    "an archive cut short": ("Kraken_OHLCVT.zip", b"PK\x03\x04" + bytes(90), "cannot be read: File is not a zip file"),
    "Parquet cut short": ("BTC_USDT-1h.parquet", b"PAR1" + bytes(90), "cannot be read: "),
    "a picture": ("XBTUSD_60.csv", b"\x89PNG\r\n\x1a\n\x00\xff", "is neither text nor a known binary format"),
    "prose": ("XBTUSD_60.csv", b"Dear reader,\n", "the format is unknown; the first line is 'Dear reader,'"),
    "a table without a symbol": ("x.csv", b"time,open,high,low,close,volume\n1,2,3,4,5,6\n", "the format is unknown"),
    "weeks": ("XBTUSD_10080.csv", joined(kraken_lines(range(0, 999, 168))), "holds candles of 10080 minutes"),
    "rows 7 minutes apart": (
        "Binance_BTCUSDT_x.csv",
        "\n".join([CDD_HEADER, *(f"{START + i * 420_000},x,BTC/USDT,1,1,1,1,1,1,1" for i in range(9))]).encode(),
        "100% of its rows are 420 s apart, which is no timeframe",
    ),
    "two pairs": (
        "Binance_1h.csv",
        "\n".join([CDD_HEADER, *cdd_lines(range(5)), *cdd_lines(range(5, 9), symbol="ETH/USDT")]).encode(),
        "holds rows of several pairs: BTC/USDT, ETH/USDT",
    ),
    "another pair than the name's": (
        "Binance_ETHUSDT_1h.csv",
        "\n".join([CDD_HEADER, *cdd_lines(range(5))]).encode(),
        "its name says ETHUSDT, its rows say BTCUSDT",
    ),
    "hours half an hour off": (
        "XBTUSD_60.csv",
        "\n".join(f"{START // 1000 + 1800 + i * 3600},1,1,1,1,1,1" for i in range(9)).encode(),
        "more than half of its 9 rows are unusable; first 2025-01-01T00:30:00Z: the open time is off the 1h grid",
    ),
    "minutes named hours": (
        "XBTUSD_60.csv",
        "\n".join(f"{START // 1000 + i * 60},1,1,1,1,1,1" for i in range(9)).encode(),
        "its name, which says 1h, contradicts its rows, which are 1m apart",
    ),
    "a pair that cannot be divided": ("ABCDEF_60.csv", joined(kraken_lines(range(5))), "cannot tell base and quote of 'ABCDEF'"),
    "funding rates": ("BTC_USDT_USDT-8h-funding_rate.json", json_rows(range(0, 80, 8)).encode(), "holds funding_rate prices"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    name, content, reason = REFUSED[case]
    path = tmp_path / name
    path.write_bytes(content)
    assert refusal(path, exchange="binance").startswith(reason)


def test_options_that_contradict_the_file_refuse_it(tmp_path: Path) -> None:
    path = write(tmp_path, "XBTUSD_60.csv", kraken_lines(range(9)))
    assert refusal(path, timeframe="5m") == "--timeframe 5m contradicts the file's name, which says 1h"
    assert refusal(path, pair=("ETH", "USD")) == "--market ETH-USD contradicts the file, which holds XBTUSD"
    assert refusal(path, format="freqtrade") == "--format freqtrade contradicts its content, which is kraken-ohlcvt"
    nameless = write(tmp_path, "download.csv", kraken_lines(range(9)))
    assert refusal(nameless, timeframe="5m", pair=("BTC", "USD")) == "--timeframe 5m contradicts its rows, which are 1h apart"
    assert refusal(nameless) == "neither its name nor its rows name the pair: give --market BASE-QUOTE"


def test_options_say_what_the_file_does_not(tmp_path: Path) -> None:
    nameless = write(tmp_path, "download.csv", kraken_lines(range(9)))
    told = read_one(nameless, pair=("BTC", "USD"))
    assert (told.market.key, told.timeframe.name, told.source) == ("BTC-USD@kraken", "1h", "import:kraken-ohlcvt")
    elsewhere = read_one(nameless, pair=("BTC", "USD"), exchange="simulated")
    assert (elsewhere.market.key, elsewhere.source) == ("BTC-USD@simulated", "import:kraken-ohlcvt/kraken")
    rows = tmp_path / "BTC_USDT-1h.json"
    rows.write_text(json_rows(range(9)))
    assert read_one(rows, pair=("BTC", "USDT"), fallback="simulated").market.key == "BTC-USDT@simulated"
    assert "give --exchange" in refusal(rows, fallback="simulated")
    few = write(tmp_path, "few.csv", kraken_lines([0, 5]))
    assert refusal(few, pair=("BTC", "USD")) == "has too few rows to tell the timeframe from: give --timeframe"
    assert read_one(few, pair=("BTC", "USD"), timeframe="1h").report.missing == 4


def test_a_day_of_one_row_goes_by_the_length_that_the_row_states(tmp_path: Path) -> None:
    day = f"{START},10,12,9,10,5,{START + 24 * HOUR - 1},50,7,2,20,0"
    assert read_one(write(tmp_path, "BTCUSDT-1d-2025-01-01.csv", [day])).timeframe.name == "1d"
    assert refusal(write(tmp_path, "BTCUSDT-1h-2025-01-01.csv", [day])) == (
        "its name, which says 1h, contradicts its rows, which are 1d apart"
    )


def test_futures_in_spot_names_are_told_by_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "futures" / "um" / "monthly"
    folder.mkdir(parents=True)
    path = write(folder, "BTCUSDT-1h-2025-01.csv", binance_lines(range(5)))
    assert refusal(path).startswith("holds futures candles of BTC-USDT, and binance is a spot exchange here")
    assert read_one(path, exchange="binanceusdm").market.key == "BTC-USDT@binanceusdm"


def test_an_archive_yields_each_of_its_series_and_the_options_choose_among_them(tmp_path: Path) -> None:
    minutes = [f"{START // 1000 + minute * 60},10,12,9,10,5,1" for minute in range(9)]
    members = {
        "Kraken_OHLCVT/XBTUSD_60.csv": kraken_lines(range(4)),
        "Kraken_OHLCVT/XBTUSD_1.csv": minutes,
        "Kraken_OHLCVT/XDGEUR_60.csv": kraken_lines(range(5)),
        "Kraken_OHLCVT/ADAUSD_60.csv": [],
        "__MACOSX/._XBTUSD_60.csv": ["x"],
        "README.txt": ["x"],
    }
    path = zipped(tmp_path, "Kraken_OHLCVT_Q1_2025.zip", members)
    found = read_all(path)
    assert [(each.market.key, each.timeframe.name) if isinstance(each, ImportedSeries) else each.reason for each in found] == [
        ("BTC-USD@kraken", "1h"),
        ("BTC-USD@kraken", "1m"),
        ("DOGE-EUR@kraken", "1h"),
        "is empty",
    ]
    (chosen,) = read_all(path, pair=("BTC", "USD"), timeframe="1m")
    assert (chosen.label, len(chosen.candles)) == ("Kraken_OHLCVT_Q1_2025.zip/Kraken_OHLCVT/XBTUSD_1.csv", 9)
    (nothing,) = read_all(path, pair=("SOL", "USD"))
    assert nothing == RefusedFile(path.name, "no file in the archive has the market and timeframe that were asked for")
    assert refusal(zipped(tmp_path, "empty.zip", {"README.txt": ["x"]})) == "the archive holds no candle file"


def test_a_damaged_member_is_refused_alone(tmp_path: Path) -> None:
    path = zipped(tmp_path, "Kraken.zip", {"XBTUSD_60.csv": kraken_lines(range(50)), "ETHUSD_60.csv": kraken_lines(range(60))})
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("XBTUSD_60.csv").header_offset + 60
    content = bytearray(path.read_bytes())
    content[start : start + 20] = bytes(20)
    path.write_bytes(bytes(content))
    damaged, whole = read_all(path)
    assert isinstance(damaged, RefusedFile)
    assert damaged.reason.startswith("cannot be read: ")
    assert isinstance(whole, ImportedSeries)


@pytest.mark.parametrize("name", ["XBTUSD_60.zip", "XBTUSD_60.csv.gz", "XBTUSD_60.csv"])
def test_more_bytes_than_a_series_may_have_are_not_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 100_000)
    lines = kraken_lines(range(5000))
    path = zipped(tmp_path, name, {"XBTUSD_60.csv": lines}) if name.endswith("zip") else write(tmp_path, name, lines)
    assert "more than the 100,000" in refusal(path)


def test_an_archive_that_understates_its_size_is_counted_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path, "XBTUSD_60.zip", {"XBTUSD_60.csv": kraken_lines(range(5000))})
    size = sum(len(line) + 1 for line in kraken_lines(range(5000)))
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (90_000).to_bytes(4, "little")))
    monkeypatch.setattr(sources, "MOST_BYTES", 100_000)
    (found,) = read_all(path)
    assert isinstance(found, RefusedFile)


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "XBTUSD_60.csv.gz"
    path.write_bytes(gzip.compress(kraken_lines([0])[0].encode() + b"\n" + b"1" * 30_000_000, compresslevel=1))
    assert refusal(path).startswith("is no kraken-ohlcvt file: ")


def test_more_rows_than_fifteen_years_of_minutes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fks_assets.imports.rows.MOST_ROWS", 1000)
    assert refusal(write(tmp_path, "XBTUSD_60.csv", kraken_lines(range(1001)))) == "holds more than 1,000 rows"


def test_what_is_mostly_unreadable_was_misunderstood(tmp_path: Path) -> None:
    lines = [*kraken_lines(range(3)), "a,b", "c,d", "e,f", "g,h"]
    assert refusal(write(tmp_path, "XBTUSD_60.csv", lines)) == ("4 of 7 lines cannot be read; first: 2 columns instead of 7: a,b")


CELLS = st.one_of(st.just("10"), st.just("10.5"), st.sampled_from(["nan", "", "0", "-1", "1e400", "ten", "10.25", "9"]))
ROWS = st.lists(st.tuples(st.integers(-3, 12), st.sampled_from([1, 1000]), CELLS, CELLS), min_size=1, max_size=40)


@settings(max_examples=tries(30, 120), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, rule=st.sampled_from(["first", "last"]))
def test_every_row_is_accounted_for_and_the_candles_are_those_of_a_plain_reading(
    tmp_path: Path, rows: list[tuple[int, int, str, str]], rule: str
) -> None:
    filler = kraken_lines(range(20, 120))
    random.Random(len(rows)).shuffle(filler)
    lines = [f"{(START // 1000 + hour * 3600) * unit},{first},{last},{first},{last},7,1" for hour, unit, first, last in rows]
    series = read_one(write(tmp_path, "XBTUSD_60.csv", [*lines, *filler]), conflicts=rule)
    expected: dict[int, list[float]] = {}
    bad = repeated = 0
    for hour, _, first, last in rows:
        values = [_plain(first), _plain(last), _plain(first), _plain(last), 7.0]
        if not all(0 < value < float("inf") for value in values) or values[0] > values[1]:
            bad += 1
            continue
        repeated += hour in expected
        if rule == "last" or hour not in expected:
            expected[hour] = values
    report = series.report
    got = {hour: list(series.candles.values(row)) for row, hour in enumerate(hours_of(series)) if hour < 20}
    assert got == expected
    assert len(report.quarantined) == bad
    assert report.exact_duplicates + report.conflicting_duplicates == repeated
    assert report.rows_read == len(rows) + len(filler)
    assert report.rows_read == report.usable + repeated + bad + report.unreadable


def _plain(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


@settings(max_examples=tries(30, 120), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=400), st.text('0123456789.,[]{}"\n -eunixdate/', max_size=400).map(str.encode)))
@pytest.mark.parametrize("name", ["XBTUSD_60.csv", "BTC_USDT-1h.json.gz", "x.parquet", "x.zip"])
def test_no_content_ends_in_anything_but_a_series_or_a_reason(tmp_path: Path, name: str, content: bytes) -> None:
    prefixes: list[Callable[[bytes], bytes]] = [
        lambda data: data,
        lambda data: b"\x1f\x8b" + data,
        lambda data: gzip.compress(data),
        lambda data: b"PK\x03\x04" + data,
        lambda data: b"PAR1" + data,
        lambda data: b"ARROW1\x00\x00" + data,
        lambda data: b"[[" + data,
    ]
    for place, prefix in enumerate(prefixes):
        path = tmp_path / f"{place}{name}"
        path.write_bytes(prefix(content))
        for found in read_all(path, exchange="binance", pair=("BTC", "USD"), timeframe="1h"):
            assert isinstance(found, ImportedSeries) or found.reason
