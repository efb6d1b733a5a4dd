"""The engine equals the slow Decimal reference trade by trade (issue: parity; C22-C25, F4)."""

import gzip
import json
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings

from fks_assets.quant.backtest.book import single
from fks_assets.quant.backtest.rules import BookRules
from fks_assets.quant.candles import Candles
from fks_assets_tests.quant.backtest.books import free, judged, series
from fks_assets_tests.quant.backtest.comparing import assert_equals_reference
from fks_assets_tests.quant.backtest.drawing import books
from fks_assets_tests.quant.series import recorded
from fks_assets_tests.shared_data import SHARED, requires_shared


@lru_cache(maxsize=1)
def recorded_5m(base: str) -> Candles:
    assert SHARED is not None
    with gzip.open(SHARED / "data" / "ohlcv" / "binance_5m" / f"{base}_USDT-5m.json.gz") as file:
        rows = np.array(json.load(file), np.float64)
    return Candles(rows[:, 0].astype(np.int64), *(np.ascontiguousarray(rows[:, place]) for place in range(1, 6)))


@requires_shared
@pytest.mark.parametrize("shorts", [False, True], ids=["long only", "long and short"])
@pytest.mark.parametrize("momentum", [False, True], ids=["breakouts", "breakouts and momentum"])
def test_breakout_on_the_whole_btc_1h_series(momentum, shorts):
    of = recorded("BTC")
    rules = free(short=shorts)
    book = single("breakout", series(of), judged("breakout", of, momentum_signals=momentum), rules, BookRules(initial_cash=1e5))
    result = assert_equals_reference(book)
    assert len(result.trades) > 1000


@given(books())
@settings(max_examples=150)
def test_any_book_over_all_features(book):
    assert_equals_reference(book)
