"""The universe as of a day (C22): dynamic, by listing, delisting, trading rules and volume, and nobody is forgotten for failing.

Volumes are worked out by hand: a candle of price 10 and volume 300 a day is 3,000 a day; ten such days of thirty are 1,000.
"""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from fks_assets.partitions import day_of, day_window
from fks_assets.quant.candles import Candles
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import month_window, months_between
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.desk import Desk, build_desk

DAY_MS = 86_400_000
DAY, LATER = "2025-03-11", "2025-06-01"
AT = day_window(DAY)[0]
AAA, BBB, CCC, GONE, NEW = (parse_market(f"{name}-USDT@simulated") for name in ("AAA", "BBB", "CCC", "GONE", "NEW"))
WITH_DATES = """
[[markets]]
symbol = "CCC-USDT"
group = "alts"
tier = "TIER1"
delisted = 2025-05-01T00:00:00Z

[[markets]]
symbol = "NEW-USDT"
group = "alts"
tier = "TIER1"
listed = 2025-04-01T00:00:00Z
"""


@pytest.fixture
def desk(home: Path, database_url: str) -> Desk:
    """A desk of four markets that begins in January 2025. GONE was one of them once: its candles and rules are still stored."""
    build_desk(home, database_url, "http://127.0.0.1:9", symbols=["AAA-USDT", "BBB-USDT"])
    toml = home / "desk.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("[exchanges.simulated]", f"{WITH_DATES}\n[exchanges.simulated]"))
    values = {"DESK": str(toml), "TIMEFRAMES": "1h,1d", "FIRST_MONTH": "2025-01"}
    return build_desk(home, database_url, "http://127.0.0.1:9", **values)


def traded(desk: Desk, market: Market, price: float, volume: float, first: str, days: int) -> None:
    """Store daily candles from a day on, as downloaded today."""
    times = day_window(first)[0] + DAY_MS * np.arange(days, dtype=np.int64)
    prices = np.full(days, price)
    candles = Candles(times, prices, prices, prices, prices, np.full(days, volume))
    for month in months_between(int(times[0]), int(times[-1]) + 1):
        partition = PartitionId("ohlcv", market, "1d", month)
        with desk.stores.candles.begin([partition]) as transaction:
            part = candles.between(*month_window(month))
            transaction.merge(partition, candles_table([(part, "exchange")]), known_at_ms=day_window("2025-07-01")[0])


def rules(desk: Desk, market: Market, status: MarketStatus, day: str) -> None:
    found = MarketRules(market, status, tick_size=Decimal("0.01"), lot_size=Decimal("0.01"))
    with desk.stores.database.transaction() as connection:
        record_rules(connection, [found], day_window(day)[0])


def made(desk: Desk, day: str) -> list[tuple[str, int | None, float, str]]:
    """Return what the asset says of a day: market, rank, volume a day, why not."""
    from fks_assets.assets.market_data.universe import universe_of

    result = desk.definitions.resolve_job_def("daily_universe").execute_in_process(
        instance=desk.instance, tags={"dagster/partition": day}
    )
    assert result.success
    event = desk.events("universe")[0]
    assert event.partition == day
    told = [(each.market.base, each.rank, each.quote_volume, each.why) for each in universe_of(desk.stores, day)]
    shown = event.metadata["markets"].records
    assert [(row.data["market"].split("-")[0], row.data["rank"]) for row in shown] == [
        (name, rank or "–") for name, rank, *_ in told
    ]
    return told


@pytest.fixture
def market_of_all_kinds(desk: Desk) -> Desk:
    traded(desk, AAA, 10.0, 300.0, "2025-03-01", 10)
    traded(desk, BBB, 5.0, 900.0, "2025-01-15", 120)
    traded(desk, CCC, 1.0, 90.0, "2025-02-20", 60)
    traded(desk, GONE, 2.0, 3000.0, "2025-01-10", 90)
    traded(desk, NEW, 2.0, 3000.0, "2025-04-01", 60)
    rules(desk, GONE, MarketStatus.TRADING, "2025-01-05")
    rules(desk, GONE, MarketStatus.DELISTED, "2025-04-20")
    rules(desk, BBB, MarketStatus.TRADING, "2025-01-05")
    rules(desk, BBB, MarketStatus.HALTED, "2025-05-20")
    return desk


def test_a_day_has_the_markets_of_that_day_by_their_volume(market_of_all_kinds: Desk) -> None:
    """C22 (freqtrade#12383): GONE is not on the desk any more and leads the list; NEW was not there yet."""
    assert made(market_of_all_kinds, DAY) == [
        ("GONE", 1, 6000.0, ""),
        ("BBB", 2, 4500.0, ""),
        ("AAA", 3, 1000.0, ""),
        ("CCC", 4, 57.0, ""),
        ("NEW", None, 0.0, "listed on 2025-04-01T00:00:00Z"),
    ]


def test_a_later_day_says_why_each_of_them_is_no_member_any_more(market_of_all_kinds: Desk) -> None:
    found = {name: (rank, why) for name, rank, _, why in made(market_of_all_kinds, LATER)}
    assert found == {
        "NEW": (1, ""),
        "AAA": (None, "nothing was traded in the 30 days before"),
        "BBB": (None, "its trading rules said halted"),
        "CCC": (None, "delisted on 2025-05-01T00:00:00Z"),
        "GONE": (None, "its trading rules said delisted"),
    }


def test_what_comes_after_a_day_changes_nothing_of_it(market_of_all_kinds: Desk) -> None:
    """No look-ahead: neither the day's own candle, nor rules that were seen on it or later."""
    before = made(market_of_all_kinds, DAY)
    traded(market_of_all_kinds, AAA, 1000.0, 1e6, DAY, 5)
    rules(market_of_all_kinds, AAA, MarketStatus.DELISTED, DAY.replace("-11", "-12"))
    traded(market_of_all_kinds, replace(NEW, exchange="kraken"), 9.0, 1e9, "2025-02-20", 30)
    assert made(market_of_all_kinds, DAY) == before
    assert day_of(AT - 1) == "2025-03-10"
