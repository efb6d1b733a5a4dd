"""Prices of the desk: of now from the exchange, closed candles from the store, the shortest ones there are, and none made up."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from fks_assets.desk.prices import LivePrices, quote_of
from fks_assets.errors import ExchangeError
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import TIMEFRAMES, month_window
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.candles import CandleStore
from fks_assets_tests.trading.desks import HOUR, store

BTC = parse_market("BTC-USDT@simulated")
NOON = month_window("2026-03")[0] + 12 * HOUR
FIVE = 300_000


@pytest.fixture
def now() -> list[int]:
    return [NOON]


@pytest.fixture
def feed(candle_store: CandleStore, now: list[int]) -> LivePrices:
    """A feed whose exchange cannot be reached, over an hour of 5m candles until noon and a day of 1h ones."""
    for timeframe, rows in (("5m", 12), ("1h", 24)):
        step = TIMEFRAMES[timeframe].milliseconds
        times = NOON - step * np.arange(rows, 0, -1, dtype=np.int64)
        close = 100 + np.arange(rows, dtype=float)
        store(candle_store, BTC, Candles(times, close, close + 1, close - 1, close, np.ones(rows)), timeframe)
    profile = ExchangeProfile("simulated", "binance", "http://127.0.0.1:9", deadline_seconds=0.2)
    budget = DatabaseBudget.for_profile(candle_store.database.engine, profile)
    return LivePrices(profile, budget, candle_store, [TIMEFRAMES["1h"], TIMEFRAMES["5m"]], lambda: now[0])


def test_the_shortest_candles_since_a_time_are_given_once_each(feed: LivePrices) -> None:
    moments = asyncio.run(feed.since(BTC, NOON - 2 * FIVE - 1))
    assert [(each.began_ms, each.quote.close, each.quote.high, each.is_over) for each in moments] == [
        (NOON - 2 * FIVE, 110, 111, True),
        (NOON - FIVE, 111, 112, True),
    ]
    assert moments[-1].quote.at_ms == NOON - 1, "its last millisecond"
    assert [each.began_ms for each in asyncio.run(feed.since(BTC, NOON - FIVE + 1))] == []


def test_the_last_close_is_of_a_fresh_candle_or_of_a_longer_one_or_there_is_none(feed: LivePrices, now: list[int]) -> None:
    """Q3: nothing older than two candles says what the market is now."""
    found = feed.last_close(BTC)
    assert found is not None and (found.close, found.at_ms) == (111, NOON - 1)
    now[0] = NOON + HOUR
    later = feed.last_close(BTC)
    assert later is not None and later.close == 123, "the newest 5m candle is an hour old, the newest 1h candle is not"
    now[0] = NOON + 3 * HOUR
    assert feed.last_close(BTC) is None


def test_without_an_exchange_there_is_no_price_of_now(feed: LivePrices) -> None:
    """F15."""
    with pytest.raises(ExchangeError):
        asyncio.run(quote_of(feed, BTC))
    assert asyncio.run(feed.quotes([])) == {}


def test_a_price_is_asked_for_once_in_two_seconds(candle_store: CandleStore, now: list[int], home: Path) -> None:
    with running_simulator(speed=0) as simulator:
        profile = ExchangeProfile("simulated", "binance", simulator.url)
        budget = DatabaseBudget.for_profile(candle_store.database.engine, profile)
        feed = LivePrices(profile, budget, candle_store, [TIMEFRAMES["5m"]], lambda: now[0])
        first = asyncio.run(feed.quotes([BTC]))
        simulator.set_clock(advance_seconds=86_400)
        assert asyncio.run(feed.quotes([BTC])) == first
        now[0] += 2001
        assert asyncio.run(feed.quotes([BTC]))[BTC].close != first[BTC].close
        [moment] = asyncio.run(feed.since(BTC, now[0]))
        assert not moment.is_over
