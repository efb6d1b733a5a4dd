"""Five years of recorded Binance candles of eight markets, served by the simulator, through ccxt into the store and on.

The expected rows are the recorded files, read by gzip and json; the expected indicators are TA-Lib over each whole series.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import talib

from fks_assets.quant.indicators import INDICATOR_COLUMNS, WARMUP_ROWS
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import months_between
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.shared_data import SHARED, requires_shared

pytestmark = requires_shared
FOLDER = Path() if SHARED is None else SHARED / "data/ohlcv/binance_1h_long"
SYMBOLS = [path.name.split("-")[0].replace("_", "-") for path in sorted(FOLDER.glob("*-1h.json.gz"))]
MONTHS = months_between(1_502_928_000_000, 1_665_532_800_000)


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    return {
        symbol: np.array(json.loads(gzip.decompress((FOLDER / f"{symbol.replace('-', '_')}-1h.json.gz").read_bytes())))
        for symbol in SYMBOLS
    }


def test_recorded_years_arrive_exactly_and_indicators_do_not_depend_on_the_order_of_months(home, database_url, recorded) -> None:
    assert len(SYMBOLS) == 8
    with running_simulator(replay=FOLDER) as simulator:
        desk = build_desk(
            home,
            database_url,
            simulator.url,
            symbols=SYMBOLS,
            TIMEFRAMES="1h",
            FIRST_MONTH="2017-08",
            SIMULATOR__REPLAY=str(FOLDER),
        )
        recent, middle, old = MONTHS[40:], MONTHS[20:40], MONTHS[:20]
        for months in (middle, recent, old):
            assert desk.run(["ohlcv_1h"], months).success
            # Derived too early for the months whose look-back is not there yet: the last run has to notice and repeat those.
            assert desk.run(["indicators_1h"], months[::-1], scheduled=True).success
        assert desk.run(["indicators_1h"], MONTHS, scheduled=True).success
    for symbol in SYMBOLS:
        _assert_rows_are_the_recorded_ones(desk, symbol, recorded[symbol])
        _assert_indicators_equal_those_of_the_whole_series(desk, symbol, recorded[symbol])


def _assert_rows_are_the_recorded_ones(desk: Desk, symbol: str, rows: np.ndarray) -> None:
    table = desk.stores.candles.read_table("ohlcv", parse_market(f"{symbol}@simulated"), "1h")
    stored = np.column_stack(
        [times_from_arrow(table["open_time"]), *(table[name].to_numpy() for name in table.column_names[1:6])]
    )
    np.testing.assert_array_equal(stored, rows)


def _assert_indicators_equal_those_of_the_whole_series(desk: Desk, symbol: str, rows: np.ndarray) -> None:
    _, _, high, low, close, volume = (np.ascontiguousarray(column) for column in rows.T)
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    mean = talib.SMA(volume, 5)
    expected = dict(
        zip(
            INDICATOR_COLUMNS,
            (
                talib.RSI(close, 14), macd, signal, histogram, upper, middle, lower, talib.ATR(high, low, close, 14),
                talib.SMA(close, 20), talib.SMA(close, 50), talib.SMA(close, 200), talib.EMA(close, 12), talib.EMA(close, 26),
                talib.EMA(close, 5), talib.EMA(close, 13), mean, volume / mean,
                np.append(np.nan, talib.MAX(high, 20)[:-1]), np.append(np.nan, talib.MIN(low, 20)[:-1]), talib.ROCP(close, 3),
            ),
            strict=True,
        )
    )  # fmt: skip
    table = desk.stores.candles.read_table("indicators", parse_market(f"{symbol}@simulated"), "1h")
    assert table.num_rows == len(rows)
    warm = table["is_warm"].to_numpy(zero_copy_only=False)
    assert warm[WARMUP_ROWS:].all() and not warm[:WARMUP_ROWS].any()
    for name, values in expected.items():
        np.testing.assert_allclose(
            table[name].to_numpy()[WARMUP_ROWS:], values[WARMUP_ROWS:], rtol=1e-9, atol=0, err_msg=f"{symbol} {name}"
        )
