"""Kraken's Trades: its candles can be built again from them, at any age. The candles expected are the rows that OHLC serves (or
would serve, were it not for its wall), the rebuilt ones come from a plain loop over the trades with Decimal."""

import csv
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.generator import GeneratedMarkets
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import DAY_MS, HOUR_MS, KRAKEN_INTERVALS, MINUTE_MS
from fks_assets.simulator.replay import ReplayedMarkets
from fks_assets.simulator.seasons import outage
from fks_assets.simulator.source import CandleSource, read_page
from fks_assets.simulator.tape import last_trades, oldest_trades, trade_counts
from fks_assets_tests.quant.slow_candles import Row, slow_candles
from fks_assets_tests.shared_data import SHARED, requires_shared
from fks_assets_tests.simulator.plain_http import get

NOW = 1_763_697_723_456  # 2025-11-21T04:02:03.456Z
HOUR_NOW = NOW - NOW % HOUR_MS
LIMITS = {"kraken": {"burst": 10**6}}
KRAKEN_FILES = Path() if SHARED is None else SHARED / "data/ohlcv/kraken_ohlcvt"


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits=LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def recordings() -> ReplayedMarkets:
    return ReplayedMarkets(KRAKEN_FILES)


def pages(url: str, pair: str, since: int, count: int = 1000) -> Iterator[tuple[list[list[Any]], int]]:
    """Yield (rows, last) of page after page until an empty one, as a client that follows `last` sees them."""
    while True:
        result = get(url, f"/0/public/Trades?pair={pair}&since={since}&count={count}").json["result"]
        rows, last = (result[key] for key in (next(key for key in result if key != "last"), "last"))
        yield rows, int(last)
        if not rows:
            return
        since = int(last)


def told(rows: list[list[Any]]) -> list[tuple[int, str, str]]:
    return [(round(row[2] * 10**9), row[0], row[1]) for row in rows]


def served(source: CandleSource, instrument: Instrument, minutes: int, start_ms: int, end_ms: int) -> dict[int, Row]:
    """Return the OHLC rows with trades of any age, without the wall, by open time."""
    interval = KRAKEN_INTERVALS[minutes]
    page = read_page(
        source, instrument, interval, first_ms=start_ms, last_ms=end_ms - 1, now_ms=end_ms, limit=10**9, newest=False,
        with_running=False,
    )  # fmt: skip
    rows = json.loads(f"[{page.rows('kraken').decode()}]")
    return {row[0] * 1000: (*map(Decimal, row[1:5]), Decimal(row[6]), row[7]) for row in rows if row[7]}


@pytest.mark.parametrize(("pair", "symbol"), [("ATOMUSDT", "ATOM-USDT"), ("POLUSDT", "POL-USDT"), ("XBTUSDT", "BTC-USDT")])
@pytest.mark.parametrize("days", [0, 60, 430])
def test_candles_rebuilt_from_served_trades_are_those_of_ohlc_long_beyond_its_wall(
    simulator: SimulatorClient, pair: str, symbol: str, days: int
) -> None:
    markets = GeneratedMarkets(7)
    length = 10 * MINUTE_MS if pair == "XBTUSDT" else HOUR_MS
    start = HOUR_NOW - days * DAY_MS - HOUR_MS
    rows: list[list[Any]] = []
    for page, last in pages(simulator.url, pair, start * 10**6 - 1):
        rows += page
        if last >= (start + length) * 10**6:
            break
    trades = [trade for trade in told(rows) if trade[0] < (start + length) * 10**6]
    for minutes in (1, 5) if pair == "XBTUSDT" else (1, 15, 60):
        expected = served(markets, markets.instruments[symbol], minutes, start, start + length)
        assert slow_candles(trades, minutes * MINUTE_MS) == expected
    assert len(expected) >= 1


def test_the_newest_ohlc_rows_are_built_of_the_newest_trades(simulator: SimulatorClient) -> None:
    ohlc = get(simulator.url, "/0/public/OHLC?pair=ATOMUSDT&interval=15").json["result"]["ATOMUSDT"][-5:-1]
    rows = [row for page, _ in pages(simulator.url, "ATOMUSDT", ohlc[0][0] * 10**9 - 1) for row in page]
    found = slow_candles(told(rows), 15 * MINUTE_MS)
    for time, open_, high, low, close, _, volume, count in ohlc:
        assert found[time * 1000] == (*map(Decimal, (open_, high, low, close, volume)), count)


@pytest.mark.parametrize("symbol", ["ATOM-USDT", "DOT-USDT", "MATIC-USDT", "POL-USDT", "LINK-USDT"])
def test_every_generated_minute_and_hour_consists_of_its_trades(symbol: str) -> None:
    """A day with an outage, quiet minutes and a listing among them; sums and extremes by numpy over the whole tape."""
    markets = GeneratedMarkets(7)
    one = markets.instruments[symbol]
    end = one.delisted_ms or HOUR_NOW
    down = next(down for cell in range(end // (8 * DAY_MS) - 2, 0, -1) if (down := outage(7, cell)) is not None)
    for start in (max(down[0] - down[0] % DAY_MS, one.listed_ms), one.listed_ms, end - DAY_MS):
        tape = oldest_trades(markets, one, start * 10**6, start + DAY_MS - 1, 10**9)
        assert (np.diff(tape.time_ns) > 0).all() and (np.diff(tape.number) > 0).all() and (tape.size > 0).all()
        for bars, length in (
            (markets.minutes(one, start, start + DAY_MS), MINUTE_MS),
            (markets.hours(one, start, start + DAY_MS), HOUR_MS),
        ):
            bars = bars.take(bars.volume > 0)
            owner = tape.time_ns // (length * 10**6) * length
            opens, first, counts = np.unique(owner, return_index=True, return_counts=True)
            assert np.array_equal(opens, bars.open_time) and np.array_equal(counts, bars.trades)
            assert np.array_equal(tape.price[first], bars.open) and np.array_equal(tape.price[first + counts - 1], bars.close)
            assert np.array_equal(np.maximum.reduceat(tape.price, first), bars.high)
            assert np.array_equal(np.minimum.reduceat(tape.price, first), bars.low)
            assert np.array_equal(np.add.reduceat(tape.size, first), bars.volume)


def test_pages_are_full_until_the_last_and_hold_every_trade_once(simulator: SimulatorClient) -> None:
    found = list(pages(simulator.url, "ATOMUSDT", (NOW - HOUR_MS) * 10**6))
    sizes = [len(rows) for rows, _ in found]
    assert len(sizes) > 3 and set(sizes[:-2]) == {1000} and sizes[-1] == 0
    numbers = [row[6] for rows, _ in found for row in rows]
    assert numbers == sorted(set(numbers))
    for rows, last in found[:-1]:
        assert len(str(last)) == 19 and abs(last - rows[-1][2] * 10**9) < 1000
    assert found[-1][1] == found[-2][1]
    small = [row for rows, _ in pages(simulator.url, "ATOMUSDT", (NOW - HOUR_MS) * 10**6, count=333) for row in rows]
    assert small == [row for rows, _ in found for row in rows]


def test_since_is_exclusive_to_the_nanosecond_and_may_be_given_in_seconds(simulator: SimulatorClient) -> None:
    def ask(since: str) -> Any:
        return get(simulator.url, f"/0/public/Trades?pair=ATOMUSDT&since={since}&count=2").json["result"]

    first = ask(str((HOUR_NOW - HOUR_MS) * 10**6))
    following = ask(first["last"])["ATOMUSDT"]
    assert ask(str(int(first["last"]) - 1))["ATOMUSDT"] == [first["ATOMUSDT"][1], following[0]]
    assert ask(str((HOUR_NOW - HOUR_MS) // 1000)) == first
    assert ask(f"{(HOUR_NOW - HOUR_MS) // 1000}.0") == first
    assert ask("0")["ATOMUSDT"][0][2] * 1000 >= Instrument("ATOM", "USDT", 3, 2, 5.0, 1_556_337_600_000).listed_ms


def test_without_since_the_newest_trades_come(simulator: SimulatorClient) -> None:
    newest = get(simulator.url, "/0/public/Trades?pair=ATOMUSDT").json["result"]
    since = int(newest["ATOMUSDT"][0][2] * 10**9) - 1000
    followed = [row for rows, _ in pages(simulator.url, "ATOMUSDT", since) for row in rows]
    assert len(newest["ATOMUSDT"]) == 1000 and followed[-1000:] == newest["ATOMUSDT"]


def replayed(directory: Path, lines: dict[str, list[str]]) -> ReplayedMarkets:
    for name, content in lines.items():
        (directory / name).write_text("\n".join(content) + "\n")
    return ReplayedMarkets(directory)


def tape_rows(source: ReplayedMarkets, instrument: Instrument, start_ms: int, end_ms: int) -> list[tuple[int, str, str]]:
    tape = oldest_trades(source, instrument, start_ms * 10**6, end_ms - 1, 10**9)
    prices, sizes = (Decimal(10) ** -decimals for decimals in (instrument.price_decimals, instrument.size_decimals))
    return [(time, str(price * prices), str(size * sizes)) for _, time, price, size, _ in tape.rows()]


def recorded(path: Path) -> dict[int, Row]:
    with path.open(newline="") as file:
        return {
            int(time) * 1000: (*map(Decimal, values[:4]), round(Decimal(values[4]), 8), int(count))
            for time, *values, count in csv.reader(file)
        }


def test_recorded_candles_of_few_trades_are_hit_exactly(tmp_path: Path) -> None:
    hours = [
        ("1.5", "1.5", "1.5", "1.5", "0.00000001", 1),
        ("1.5", "2.5", "1.5", "2.5", "0.3", 2),
        ("2.5", "2.5", "1.25", "1.25", "0.00000001", 2),
        ("2.0", "2.5", "2.0", "2.25", "7.00000001", 3),
        ("2.0", "2.0", "1.5", "1.75", "7", 3),
        ("2.0", "2.0", "1.5", "2.0", "7", 3),
        ("2.0", "2.5", "1.5", "1.75", "0.1", 4),
        ("2.0", "2.5", "1.5", "2.25", "0.1", 5),
        ("2.0", "2.0", "2.0", "2.0", "0.1", 77),
    ]
    start = HOUR_NOW - 10 * HOUR_MS
    lines = [",".join(map(str, (start // 1000 + i * 3600, *hour))) for i, hour in enumerate(hours)]
    source = replayed(tmp_path, {"XBTUSD_60.csv": lines})
    rows = tape_rows(source, source.instruments["BTC-USD"], start, HOUR_NOW)
    assert slow_candles(rows, HOUR_MS) == recorded(tmp_path / "XBTUSD_60.csv")


def test_candles_whose_trades_were_not_counted_are_hit_in_price_and_volume(tmp_path: Path) -> None:
    start = HOUR_NOW - 10 * HOUR_MS
    hours = [[start + i * HOUR_MS, 2.0, 2.5 + i, 1.5, 1.75 + i / 4, volume] for i, volume in enumerate((1e-8, 0.0, 12.5, 3e-8))]
    (tmp_path / "ABC_USDT-1h.json").write_text(json.dumps(hours))
    source = ReplayedMarkets(tmp_path)
    found = slow_candles(tape_rows(source, source.instruments["ABC-USDT"], start, HOUR_NOW), HOUR_MS)
    assert {time: [float(value) for value in row[:5]] for time, row in found.items()} == {
        hour[0]: hour[1:] for hour in hours if hour[5]
    }


def test_where_only_longer_candles_were_recorded_the_trades_are_theirs(tmp_path: Path) -> None:
    """Hours of one day, and day candles of that day and the next: the first day's trades are the hours'."""
    day = HOUR_NOW - HOUR_NOW % DAY_MS - 5 * DAY_MS
    hours = [f"{(day + i * HOUR_MS) // 1000},{i + 1},{i + 2},{i + 1},{i + 2},1.5,{i + 3}" for i in (0, 5, 23)]
    days = [f"{day // 1000},1,25,1,25,4.5,{3 + 8 + 26}", f"{(day + DAY_MS) // 1000},20,40,10,30,9.25,12"]
    source = replayed(tmp_path, {"XBTUSD_60.csv": hours, "XBTUSD_1440.csv": days})
    instrument = source.instruments["BTC-USD"]
    rows = tape_rows(source, instrument, day, day + 2 * DAY_MS)
    assert slow_candles(rows, DAY_MS) == recorded(tmp_path / "XBTUSD_1440.csv")
    first = slow_candles([row for row in rows if row[0] < (day + DAY_MS) * 10**6], HOUR_MS)
    assert first == recorded(tmp_path / "XBTUSD_60.csv")
    newest, interval = source.newest(instrument, day + 3 * DAY_MS)
    assert (int(newest.open_time[0]), interval.name) == (day + DAY_MS, "1d")
    assert len(last_trades(source, instrument, day + 2 * DAY_MS, 1000)) == 3 + 8 + 26 + 12


@requires_shared
def test_every_recorded_hour_of_a_thin_market_is_built_of_its_trades(recordings: ReplayedMarkets) -> None:
    one = recordings.instruments["STORJ-USD"]
    rows = tape_rows(recordings, one, recordings.first_ms, recordings.end_ms)
    assert slow_candles(rows, HOUR_MS) == recorded(KRAKEN_FILES / "STORJUSD_60.csv")


@requires_shared
@pytest.mark.parametrize("day", ["2013-10-07", "2017-12-22", "2018-01-12", "2022-12-31"])
def test_recorded_days_of_bitcoin_give_back_hours_half_days_and_days(recordings: ReplayedMarkets, day: str) -> None:
    start = int(np.datetime64(day, "ms").astype(np.int64))
    rows = tape_rows(recordings, recordings.instruments["BTC-USD"], start, start + DAY_MS)
    for minutes in (60, 720, 1440):
        truth = recorded(KRAKEN_FILES / f"XBTUSD_{minutes}.csv")
        inside = {time: row for time, row in truth.items() if start <= time < start + DAY_MS}
        assert inside and slow_candles(rows, minutes * MINUTE_MS) == inside


@requires_shared
def test_recorded_trades_come_over_http_after_the_hours_end_and_only_half_days_go_on() -> None:
    start = int(np.datetime64("2024-08-05", "ms").astype(np.int64))
    with running_simulator(replay=KRAKEN_FILES, speed=0, limits=LIMITS) as simulator:
        rows: list[list[Any]] = []
        for page, last in pages(simulator.url, "XBTUSD", start * 10**6 - 1):
            rows += page
            if last >= (start + DAY_MS // 2) * 10**6:
                break
    trades = [trade for trade in told(rows) if trade[0] < (start + DAY_MS // 2) * 10**6]
    assert slow_candles(trades, DAY_MS // 2) == {start: recorded(KRAKEN_FILES / "XBTUSD_720.csv")[start]}


def test_counts_are_as_recorded_unless_the_price_needs_more(tmp_path: Path) -> None:
    source = replayed(
        tmp_path, {"XBTUSD_60.csv": [f"{HOUR_NOW // 1000},1,3,0.5,2,9,1", f"{HOUR_NOW // 1000 + 3600},1,1,1,1,9,9"]}
    )
    bars, lengths = source.tape(source.instruments["BTC-USD"], HOUR_NOW, HOUR_NOW + 2 * HOUR_MS)
    assert trade_counts(bars).tolist() == [4, 9] and lengths.tolist() == [HOUR_MS, HOUR_MS]
