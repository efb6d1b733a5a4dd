import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.simulator.instruments import Instrument
from fks_assets_tests.shared_data import SHARED, requires_shared
from fks_assets_tests.simulator.plain_http import get
from fks_assets_tests.simulator.test_binance_api import shape

NOW = 1_763_697_723_456  # 2025-11-21T04:02:03.456Z
MARKER = {"simulator": "fks-simulator", "data": "generated from seed 7", "kind": "generated", "seed": 7}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits={"kraken": {"burst": 10**6}}) as client:
        yield client


def ask(simulator: SimulatorClient, path: str) -> Any:
    seen = get(simulator.url, f"/0/public/{path}")
    assert seen.status == 200
    return seen.json


def recorded(name: str) -> Any:
    assert SHARED is not None
    return json.loads((Path(SHARED) / "data" / "api" / "kraken" / "recorded" / name).read_text())


@requires_shared
@pytest.mark.parametrize(
    ("path", "body"),
    [("Time", "Time.json"), ("Ticker?pair=XBTUSDT", "Ticker_XBTUSDT.json"), ("Depth?pair=XBTUSDT&count=5", "Depth.json")],
)
def test_an_answer_has_the_shape_of_the_recorded_one(simulator: SimulatorClient, path: str, body: str) -> None:
    def types(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: types(entry) for name, entry in value.items()}
        return [types(entry) for entry in value] if isinstance(value, list) else type(value)

    assert types(ask(simulator, path)) == types(recorded(body))


@requires_shared
def test_ohlc_has_the_shape_and_the_row_count_of_the_recorded_body(simulator: SimulatorClient) -> None:
    ours, theirs = ask(simulator, "OHLC?pair=XBTUSDT&interval=1"), recorded("OHLC_XBTUSDT_1m_2025-11.json")
    assert list(ours) == list(theirs) and list(ours["result"]) == list(theirs["result"])
    mine, real = ours["result"]["XBTUSDT"], theirs["result"]["XBTUSDT"]
    assert len(mine) == len(real) == 721
    assert [type(value) for value in mine[0]] == [type(value) for value in real[0]]
    assert ours["result"]["last"] == mine[-2][0] and theirs["result"]["last"] == real[-2][0]
    assert shape(mine[0][6]) == shape(real[0][6])


@requires_shared
def test_asset_pairs_have_every_recorded_field_and_a_marker(simulator: SimulatorClient) -> None:
    ours, theirs = ask(simulator, "AssetPairs"), recorded("AssetPairs_2025-11_subset.json")["result"]["XBTUSDT"]
    assert ours["simulator"] == MARKER
    mine = ours["result"]["XBTUSDT"]
    assert {name: type(value) for name, value in mine.items()} == {name: type(value) for name, value in theirs.items()}
    for name in ("altname", "wsname", "base", "quote", "aclass_base", "lot", "status", "fee_volume_currency"):
        assert mine[name] == theirs[name]
    assert "POLUSDT" in ours["result"] and "MATICUSDT" not in ours["result"]


@requires_shared
def test_system_status_has_the_recorded_fields_and_a_marker(simulator: SimulatorClient) -> None:
    ours = ask(simulator, "SystemStatus")
    assert ours.pop("simulator") == MARKER
    assert shape(ours) == shape(recorded("SystemStatus.json"))
    assert ours["result"] == {"status": "online", "timestamp": "2025-11-21T04:02:03Z"}


@requires_shared
def test_pairs_are_named_as_the_full_recording_of_2021_names_them() -> None:
    real = recorded("AssetPairs_2021-04_full.json")["result"]
    for base, quote in (
        ("BTC", "USD"),
        ("ETH", "USD"),
        ("DOGE", "USD"),
        ("BTC", "USDT"),
        ("XRP", "USD"),
        ("ADA", "USDT"),
        ("LTC", "USDT"),
    ):
        one = Instrument(base, quote, 2, 8, 5.0, 0)
        assert one.kraken_altname == real[one.kraken_id]["altname"]
    assert Instrument("BTC", "USD", 1, 8, 5.0, 0).kraken_id == "XXBTZUSD"


def test_time_is_told_in_seconds_and_words(simulator: SimulatorClient) -> None:
    assert ask(simulator, "Time")["result"] == {"unixtime": NOW // 1000, "rfc1123": "Fri, 21 Nov 25 04:02:03 +0000"}


@pytest.mark.parametrize("interval", [1, 5, 15, 30, 60, 240, 1440, 10080, 21600])
def test_only_the_last_720_closed_candles_and_the_running_one_can_be_had(simulator: SimulatorClient, interval: int) -> None:
    rows = ask(simulator, f"OHLC?pair=XBTUSDT&interval={interval}&since=0")["result"]["XBTUSDT"]
    assert len(rows) <= 721 and (interval > 1440 or len(rows) == 721)
    running = NOW // 1000 // (interval * 60) * interval * 60
    assert rows[-1][0] == running
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})


def test_since_leaves_out_what_is_not_newer(simulator: SimulatorClient) -> None:
    everything = ask(simulator, "OHLC?pair=XBTUSDT&interval=60")["result"]
    since = everything["XBTUSDT"][-4][0]
    newer = ask(simulator, f"OHLC?pair=XBTUSDT&interval=60&since={since}")["result"]
    assert newer["XBTUSDT"] == everything["XBTUSDT"][-3:] and newer["last"] == everything["last"]
    assert (
        ask(simulator, f"OHLC?pair=XBTUSDT&interval=60&since={everything['last']}")["result"]["XBTUSDT"]
        == everything["XBTUSDT"][-1:]
    )


def test_both_dialects_tell_the_same_candles(simulator: SimulatorClient) -> None:
    rows = ask(simulator, "OHLC?pair=ETH/USDT&interval=240")["result"]["ETHUSDT"][:-1]
    truth = simulator.candles("ETH-USDT", "4h", rows[0][0] * 1000)
    assert [row[0] * 1000 for row in rows] == truth.open_time.tolist()
    assert [float(row[4]) for row in rows] == truth.close.tolist()
    assert [float(row[6]) for row in rows] == truth.volume.tolist()
    assert all(float(row[3]) <= float(row[5]) <= float(row[2]) for row in rows)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("OHLC?pair=NOPE", "EQuery:Unknown asset pair"),
        ("OHLC?pair=MATICUSDT", "EQuery:Unknown asset pair"),
        ("OHLC", "EGeneral:Invalid arguments"),
        ("OHLC?pair=XBTUSDT&interval=7", "EGeneral:Invalid arguments"),
        ("Depth?pair=XBTUSDT&count=x", "EGeneral:Invalid arguments:count"),
        ("Nothing", "EGeneral:Unknown method"),
    ],
)
def test_a_failure_comes_inside_http_200(simulator: SimulatorClient, path: str, error: str) -> None:
    assert ask(simulator, path) == {"error": [error]}


def test_trades_since_a_moment_are_the_oldest_after_it(simulator: SimulatorClient) -> None:
    since = NOW - 60_000
    result = ask(simulator, f"Trades?pair=XBTUSDT&since={since * 1_000_000}&count=5")["result"]
    times = [trade[2] for trade in result["XBTUSDT"]]
    assert len(times) == 5 and times == sorted(times) and times[0] > since / 1000
    assert len(result["last"]) == 19 and abs(int(result["last"]) / 10**9 - times[-1]) < 1e-6
    assert times[0] - since / 1000 < 5


def test_the_running_candle_is_present_even_before_its_first_trade(simulator: SimulatorClient) -> None:
    from fks_assets.simulator.seasons import outage

    start = next(down[0] for cell in range(2500, 2600) if (down := outage(7, cell)) is not None and down[1] - down[0] > 600_000)
    simulator.set_clock(now=start + 90_000)
    rows = ask(simulator, "OHLC?pair=XBTUSDT&interval=1")["result"]["XBTUSDT"]
    simulator.set_clock(now=NOW)
    assert rows[-2][0] == (start - 60_000) // 1000
    assert rows[-1][0] == (start + 60_000) // 1000 and rows[-1][5:] == ["0.0", "0.00000000", 0]
    assert rows[-1][1] == rows[-1][4] == rows[-2][4]
