import json
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.simulator.bars import Bars
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.rendering import binance_rows, decimal_text, kraken_rows, rendered_lines

MARKET = Instrument("AAA", "USDT", 3, 2, 5.0, 0)
whole = st.integers(0, 10**15)
rows = st.lists(
    st.tuples(whole, whole, whole, whole, whole, st.integers(0, 10**17), st.integers(0, 10**7)), min_size=1, max_size=20
)


def bars(values: list[tuple[int, ...]]) -> Bars:
    columns = np.array(values, np.int64).T
    return Bars(1_700_000_000_000 + np.arange(len(values), dtype=np.int64) * 60_000, *columns)


@given(rows)
def test_klines_print_every_number_exactly_as_decimal_arithmetic_does(values: list[tuple[int, ...]]) -> None:
    given_bars = bars(values)
    rendered = binance_rows(given_bars, MARKET, given_bars.open_time + 60_000)
    printed = json.loads(b"[" + rendered.rows(0, len(values)) + b"]")
    for row, (open_, high, low, close, volume, quote, trades), time in zip(
        printed, values, given_bars.open_time.tolist(), strict=True
    ):
        expected = [f"{Decimal(price) / 1000:.8f}" for price in (open_, high, low, close)]
        assert row[:9] == [
            time,
            *expected,
            f"{Decimal(volume) / 100:.8f}",
            time + 59_999,
            f"{Decimal(quote) / 100_000:.8f}",
            trades,
        ]
        assert 0 <= Decimal(row[9]) <= Decimal(row[5]) and 0 <= Decimal(row[10]) <= Decimal(row[7]) and row[11] == "0"


@given(rows)
def test_kraken_rows_print_seconds_and_the_pairs_own_decimals(values: list[tuple[int, ...]]) -> None:
    given_bars = bars(values)
    printed = json.loads(b"[" + kraken_rows(given_bars, MARKET).rows(0, len(values)) + b"]")
    for row, (open_, _, _, close, volume, _, trades), time in zip(printed, values, given_bars.open_time.tolist(), strict=True):
        assert (row[0], row[1], row[4]) == (time // 1000, f"{Decimal(open_) / 1000:.3f}", f"{Decimal(close) / 1000:.3f}")
        assert (row[6], row[7], len(row)) == (f"{Decimal(volume) / 100:.8f}", trades, 8)


@given(rows, st.data())
def test_any_stretch_of_rows_can_be_cut_out(values: list[tuple[int, ...]], data: st.DataObject) -> None:
    rendered = kraken_rows(bars(values), MARKET)
    everything = json.loads(b"[" + rendered.rows(0, len(values)) + b"]")
    start = data.draw(st.integers(0, len(values)))
    stop = data.draw(st.integers(start, len(values)))
    assert json.loads(b"[" + rendered.rows(start, stop) + b"]") == everything[start:stop]


@given(st.integers(0, 10**18), st.integers(0, 8), st.integers(0, 4))
def test_a_single_number_prints_like_decimal(value: int, decimals: int, extra: int) -> None:
    assert decimal_text(value, decimals, decimals + extra) == f"{Decimal(value).scaleb(-decimals):.{decimals + extra}f}"


def test_lines_that_are_already_printed_keep_their_text() -> None:
    rendered = rendered_lines([b"[1]", b"[22]", b"[333]"])
    assert rendered.rows(1, 3) == b"[22],[333]"
    assert rendered.rows(2, 2) == b""
