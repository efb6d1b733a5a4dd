import csv
import gzip
import json
from pathlib import Path
from typing import Any

import ccxt
import pytest

from fks_assets.errors import InvalidInput
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.simulator.recordings import read_recordings
from fks_assets.simulator.server import REPLAY_MARGIN_MS
from fks_assets_tests.shared_data import SHARED, requires_shared
from fks_assets_tests.simulator.plain_http import get

HOUR = 3_600_000
START = 1_514_764_800_000  # 2018-01-01
LOOSE = {"binance": {"weight": 10**6}}


def made_rows(count: int = 30, hole: int = 7) -> list[list[float]]:
    return [
        [START + i * HOUR, 100.5 + i, 101.25 + i, 99.875 + i, 100.5 + i / 4, 12.000001 * (i + 1)]
        for i in range(count)
        if i != hole
    ]


def series(url: str, symbol: str, timeframe: str, page: int = 1000) -> list[list[Any]]:
    """Return every row through ccxt, page after page from the beginning."""
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    exchange = ccxt.binance({"urls": {"api": {"public": f"{url}/api/v3"}}, "options": options, "enableRateLimit": False})
    since, found = 0, []
    while True:
        rows = exchange.fetch_ohlcv(symbol, timeframe, since=since, limit=page)
        found += rows
        if len(rows) < page:
            return found
        since = rows[-1][0] + 1


def test_a_json_recording_comes_back_row_for_row_with_its_hole(tmp_path: Path) -> None:
    rows = made_rows()
    (tmp_path / "ABC_USDT-1h.json").write_text(json.dumps(rows))
    (tmp_path / "NOTES.md").write_text("no candles")
    with running_simulator(replay=tmp_path, speed=0) as simulator:
        status = simulator.status()
        assert (
            status["data"] == f"replayed from {tmp_path.name}"
            and status["kind"] == "replayed"
            and status["markets"] == ["ABC-USDT"]
        )
        assert status["clock"]["now_ms"] == START + 30 * HOUR + REPLAY_MARGIN_MS
        assert series(simulator.url, "ABC/USDT", "1h", page=10) == rows
        assert get(simulator.url, "/api/v3/klines?symbol=ABCUSDT&interval=1d&startTime=0").json == []
        assert get(simulator.url, "/api/v3/klines?symbol=ABCUSDT&interval=5m").json == []
        assert get(simulator.url, "/api/v3/klines?symbol=BTCUSDT&interval=1h").json["code"] == -1121
        assert get(simulator.url, "/api/v3/exchangeInfo").json["simulator"]["kind"] == "replayed"
        assert simulator.candles("ABC-USDT", "1h").open_time.tolist() == [row[0] for row in rows]


def test_the_candle_that_contains_the_clock_is_served_unfinished_and_later_ones_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "ABC_USDT-1h.json.gz").write_bytes(gzip.compress(json.dumps(made_rows()).encode()))
    with running_simulator(replay=tmp_path, speed=0, start_ms=START + 3 * HOUR + HOUR // 2) as simulator:
        rows = get(simulator.url, "/api/v3/klines?symbol=ABCUSDT&interval=1h").json
        assert [row[0] for row in rows] == [START + i * HOUR for i in range(4)]
        full = made_rows()[3]
        assert (
            float(rows[-1][2]) <= full[2]
            and float(rows[-1][3]) >= full[3]
            and float(rows[-1][5]) == pytest.approx(full[5] / 2, abs=1e-6)
        )
        simulator.set_clock(now=START + 7 * HOUR + 1)
        assert [row[0] for row in get(simulator.url, "/api/v3/klines?symbol=ABCUSDT&interval=1h").json] == [
            START + i * HOUR for i in range(7)
        ]


def test_vision_files_of_two_months_are_one_series_in_their_own_digits(tmp_path: Path) -> None:
    header = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
    first = f"{START},1.50000000,2.0,1.00000000,1.25,10.10,{START + HOUR - 1},15.15,7,5.05,7.5,0\n"
    micro = (START + HOUR) * 1000
    second = f"{micro},1.25000000,1.5,1.25,1.50000000,1.00,{micro + HOUR * 1000 - 1},1.5,2,0.5,0.75,0\n"
    (tmp_path / "ABCUSDT-1h-2017-12.csv").write_text(header + first)
    (tmp_path / "ABCUSDT-1h-2018-01.csv").write_text(second)
    with running_simulator(replay=tmp_path, speed=0) as simulator:
        body = get(simulator.url, "/api/v3/klines?symbol=ABCUSDT&interval=1h").body.decode()
    one = f'[{START},"1.50000000","2.0","1.00000000","1.25","10.10",{START + HOUR - 1},"15.15",7,"5.05","7.5","0"]'
    two = f'[{START + HOUR},"1.25000000","1.5","1.25","1.50000000","1.00",{START + 2 * HOUR - 1},"1.5",2,"0.5","0.75","0"]'
    assert body == f"[{one},{two}]"


def test_a_kraken_dump_is_served_under_krakens_names(tmp_path: Path) -> None:
    lines = [f"{START // 1000 + i * 3600},1{i}.5,1{i}.9,1{i}.1,1{i}.2,0.{i + 1}0000000,{i + 3}" for i in range(5) if i != 2]
    (tmp_path / "XBTUSD_60.csv").write_text("\n".join(lines) + "\n")
    with running_simulator(replay=tmp_path, speed=0) as simulator:
        result = get(simulator.url, "/0/public/OHLC?pair=XBTUSD&interval=60").json["result"]
        assert result["last"] == START // 1000 + 4 * 3600
        assert result["XXBTZUSD"][-1] == [START // 1000 + 4 * 3600, "14.5", "14.9", "14.1", "14.2", "0.0", "0.50000000", 7]
        assert [row[0] for row in result["XXBTZUSD"]] == [START // 1000 + i * 3600 for i in (0, 1, 3, 4)]
        assert get(simulator.url, "/0/public/OHLC?pair=XBTUSD&interval=1440").json["result"]["XXBTZUSD"] == []
        exchange = ccxt.kraken({"urls": {"api": {"public": simulator.url, "private": simulator.url}}, "enableRateLimit": False})
        assert [row[4] for row in exchange.fetch_ohlcv("BTC/USD", "1h", since=START)] == [10.2, 11.2, 13.2, 14.2]


def test_numbers_with_exponents_in_the_file_are_served_without(tmp_path: Path) -> None:
    (tmp_path / "SHIB_USDT-1h.json").write_text(f"[[{START},1.2e-05,1.3e-05,1e-05,1.25e-05,1.5e+16]]")
    with running_simulator(replay=tmp_path, speed=0) as simulator:
        row = get(simulator.url, "/api/v3/klines?symbol=SHIBUSDT&interval=1h").json[0]
    assert row[1:6] == ["0.000012", "0.000013", "0.00001", "0.0000125", "15000000000000000"]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({}, "holds no recorded candles"),
        ({"A_USDT-1h.json": "[[1,2"}, "cannot be read as recorded candles"),
        ({"A_USDT-1h.json": "[]"}, "cannot be read|holds no candle"),
        ({"A_USDT-1h.json": f"[[{START + 1},1,1,1,1,1]]"}, "is not an open time of 1h candles"),
        ({"A_USDT-1h.json": f"[[{START},1,1,1,null,1]]"}, "holds a value that is no number"),
        ({"A_USDT-7h.json": "[]"}, "'7h' is no candle length"),
        ({"XBTUSD_7.csv": "1,1,1,1,1,1,1"}, "7 minutes is no candle length"),
        ({"WHAT-1h-2020-01.csv": "1"}, "cannot tell base and quote"),
        (
            {"ABCUSDT-1h-2020-01.csv": f"{START},1,1,1,1,1,0,0,0,0,0,0", "ABC_USDT-1h.json": f"[[{START},1,1,1,2,1]]"},
            "hold different candles",
        ),
        ({"A_USDT-1h.json.gz": "not gzip"}, "cannot be read as recorded candles"),
    ],
)
def test_a_directory_that_cannot_be_replayed_is_refused_in_one_line(tmp_path: Path, files: dict[str, str], text: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput, match=text) as refusal:
        read_recordings(tmp_path)
    assert "\n" not in str(refusal.value)


@requires_shared
def test_recorded_binance_series_come_through_ccxt_exactly(tmp_path: Path) -> None:
    assert SHARED is not None
    recorded = {}
    for name in ("binance_1h_long/SOL_USDT", "binance_1h_2022/BIFI_USDT"):
        file = Path(SHARED) / "data" / "ohlcv" / f"{name}-1h.json.gz"
        (tmp_path / file.name).symlink_to(file)
        recorded[file.name.partition("-")[0].replace("_", "/")] = json.loads(gzip.decompress(file.read_bytes()))
    assert {symbol: len(rows) for symbol, rows in recorded.items()} == {
        "SOL/USDT": 18_970,
        "BIFI/USDT": 7999,
    }  # as MANIFEST.md says
    with running_simulator(replay=tmp_path, speed=0, limits=LOOSE) as simulator:
        for symbol, rows in recorded.items():
            assert series(simulator.url, symbol, "1h") == rows


@requires_shared
def test_a_recorded_kraken_dump_gives_its_last_720_rows(tmp_path: Path) -> None:
    assert SHARED is not None
    dump = Path(SHARED) / "data" / "ohlcv" / "kraken_ohlcvt" / "ADAUSD_1440.csv"
    (tmp_path / dump.name).symlink_to(dump)
    with dump.open() as file:
        recorded = [[int(row[0]), *row[1:5], "0.0", row[5], int(row[6])] for row in csv.reader(file)]
    last = recorded[-1][0] * 1000
    with running_simulator(replay=tmp_path, speed=0, start_ms=last + 24 * HOUR) as simulator:
        assert get(simulator.url, "/0/public/OHLC?pair=ADAUSD&interval=1440&since=0").json["result"]["ADAUSD"] == recorded[-720:]


@requires_shared
def test_recorded_vision_files_are_served_in_all_twelve_columns() -> None:
    assert SHARED is not None
    folder = Path(SHARED) / "data" / "ohlcv" / "binance_vision"
    lines = (folder / "BTCUSDT-1h-2025-01.csv").read_text().splitlines()
    with running_simulator(replay=folder, speed=0) as simulator:
        rows = get(simulator.url, "/api/v3/klines?symbol=BTCUSDT&interval=1h&startTime=1735689600000&limit=1000").json
    assert len(rows) == len(lines) == 744
    for row, line in zip(rows, lines, strict=True):
        fields = line.split(",")
        assert row[0] == int(fields[0]) // 1000 and row[6] == int(fields[6]) // 1000 and str(row[8]) == fields[8]
        assert [row[i] for i in (1, 2, 3, 4, 5, 7, 9, 10)] == [fields[i] for i in (1, 2, 3, 4, 5, 7, 9, 10)]
