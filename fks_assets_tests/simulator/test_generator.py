import os
import subprocess
import sys

import numpy as np
import pytest

from fks_assets.simulator.bars import Bars, aggregate, part_of
from fks_assets.simulator.generator import GeneratedMarkets
from fks_assets.simulator.instruments import DEFAULT_MARKETS
from fks_assets.simulator.intervals import BINANCE_INTERVALS, DAY_MS, HOUR_MS, KRAKEN_INTERVALS, MINUTE_MS
from fks_assets.simulator.paths import Regime
from fks_assets.simulator.seasons import outage
from fks_assets.simulator.source import last_price, read_page, recent

NOW = 1_763_697_600_000  # 2025-11-21T04:00Z
COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "trades")
DIGEST = """
import hashlib
from fks_assets.simulator.generator import GeneratedMarkets
from fks_assets.simulator.intervals import BINANCE_INTERVALS
from fks_assets.simulator.source import read_page
markets = GeneratedMarkets(11)
digest = hashlib.sha256()
for symbol in ("BTC-USDT", "ATOM-USDT"):
    for name in ("1m", "5m", "1h", "1d", "1w"):
        page = read_page(markets, markets.instruments[symbol], BINANCE_INTERVALS[name], first_ms=1_700_000_000_000, last_ms=2**53,
                         now_ms=1_763_697_712_345, limit=300, newest=name == "1m")
        digest.update(page.body("binance") + page.body("kraken"))
print(digest.hexdigest())
"""


@pytest.fixture(scope="module")
def markets() -> GeneratedMarkets:
    return GeneratedMarkets(7)


@pytest.fixture(scope="module")
def hours(markets: GeneratedMarkets) -> dict[str, Bars]:
    """Five years of hours of every market."""
    return {symbol: markets.hours(one, NOW - 1825 * DAY_MS, NOW) for symbol, one in markets.instruments.items()}


def returns(bars: Bars) -> np.ndarray:
    return np.diff(np.log(bars.close))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def test_the_same_seed_gives_the_same_bytes_in_every_process_and_hash_seed() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "77")
    }
    assert len(printed) == 1
    assert len(printed.pop().strip()) == 64


def test_another_seed_gives_another_market() -> None:
    first, second = (GeneratedMarkets(seed) for seed in (1, 2))
    one = first.instruments["BTC-USDT"]
    assert (first.hours(one, NOW - DAY_MS, NOW).close != second.hours(one, NOW - DAY_MS, NOW).close).any()


def test_a_candle_does_not_depend_on_what_was_asked_before(markets: GeneratedMarkets) -> None:
    fresh = GeneratedMarkets(7)
    one = fresh.instruments["SOL-USDT"]
    alone = fresh.minutes(one, NOW - HOUR_MS, NOW)
    markets.minutes(one, NOW - 40 * DAY_MS, NOW - 30 * DAY_MS)
    for column in COLUMNS:
        assert (getattr(alone, column) == getattr(markets.minutes(one, NOW - HOUR_MS, NOW), column)).all()


@pytest.mark.parametrize("symbol", ["BTC-USDT", "ADA-USDT", "ATOM-USDT"])
def test_sixty_minutes_add_up_to_their_hour_exactly(markets: GeneratedMarkets, symbol: str) -> None:
    one = markets.instruments[symbol]
    start = NOW - 60 * DAY_MS
    summed = aggregate(markets.minutes(one, start, NOW), BINANCE_INTERVALS["1h"])
    whole = markets.hours(one, start, NOW)
    for column in COLUMNS:
        assert (getattr(summed, column) == getattr(whole, column)).all(), column
    assert len(whole) > 1400


@pytest.mark.parametrize(
    ("longer", "shorter"), [("5m", "1m"), ("15m", "5m"), ("1h", "15m"), ("4h", "1h"), ("1d", "4h"), ("1w", "1d"), ("1M", "1d")]
)
def test_every_interval_is_the_sum_of_the_shorter_one(markets: GeneratedMarkets, longer: str, shorter: str) -> None:
    import orjson

    def rows(name: str, start: int, end: int) -> list[list[float]]:
        one = markets.instruments["ETH-USDT"]
        page = read_page(
            markets,
            one,
            BINANCE_INTERVALS[name],
            first_ms=start,
            last_ms=end - 1,
            now_ms=NOW,
            limit=10**6,
            newest=False,
            with_running=False,
        )
        return [[row[0], *map(float, row[1:6]), row[8]] for row in orjson.loads(page.body("binance"))]

    interval = BINANCE_INTERVALS[longer]
    end = interval.floor(NOW)
    start = interval.floor(end - 20 * (interval.milliseconds or 31 * DAY_MS))
    parts: dict[int, list[list[float]]] = {}
    for row in rows(shorter, start, end):
        parts.setdefault(interval.floor(int(row[0])), []).append(row)
    whole = rows(longer, start, end)
    assert [row[0] for row in whole] == list(parts)
    for row in whole:
        inside = parts[int(row[0])]
        assert row[1] == inside[0][1]
        assert row[2] == max(part[2] for part in inside)
        assert row[3] == min(part[3] for part in inside)
        assert row[4] == inside[-1][4]
        assert row[5] == pytest.approx(sum(part[5] for part in inside), rel=1e-12)
        assert row[6] == sum(part[6] for part in inside)


def test_prices_stay_sane_and_candles_are_well_formed(hours: dict[str, Bars], markets: GeneratedMarkets) -> None:
    characters = {one.symbol: character for one, character in DEFAULT_MARKETS.items()}
    for symbol, bars in hours.items():
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()
        assert (bars.low > 0).all()
        assert (bars.volume > 0).all()
        assert (bars.quote >= bars.volume * bars.low).all() and (bars.quote <= bars.volume * bars.high).all()
        level = characters[symbol].level * 10 ** markets.instruments[symbol].price_decimals
        assert level / 12 < bars.low.min() and bars.high.max() < level * 12


def test_minutes_are_well_formed_and_some_pass_without_a_trade(markets: GeneratedMarkets) -> None:
    bars = markets.minutes(markets.instruments["ATOM-USDT"], NOW - 30 * DAY_MS, NOW)
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    silent = bars.volume == 0
    assert 0.001 < silent.mean() < 0.1
    assert (bars.high[silent] == bars.low[silent]).all() and (bars.trades[silent] == 0).all()
    assert (bars.trades[~silent] > 0).all()


def test_hourly_returns_have_fat_tails_and_clustered_volatility(hours: dict[str, Bars]) -> None:
    found = returns(hours["BTC-USDT"])
    size = np.abs(found)
    assert float(((found - found.mean()) ** 4).mean() / found.var() ** 2) > 5  # a normal distribution has 3
    assert correlation(size[1:], size[:-1]) > 0.1
    assert correlation(size[24:], size[:-24]) > 0.05
    assert abs(correlation(found[1:], found[:-1])) < 0.05
    assert 0.3 < found.std() * np.sqrt(24 * 365) < 1.2


def test_markets_move_together_through_the_common_factor(hours: dict[str, Bars]) -> None:
    bitcoin = hours["BTC-USDT"]
    for symbol in ("ETH-USDT", "SOL-USDT", "ATOM-USDT"):
        assert (hours[symbol].open_time == bitcoin.open_time).all()
        assert 0.5 < correlation(returns(bitcoin), returns(hours[symbol])) < 0.99


def test_turnover_follows_the_hour_of_day_and_the_weekday(hours: dict[str, Bars]) -> None:
    bars = hours["ETH-USDT"]
    number = bars.open_time // HOUR_MS
    afternoon, night = ((number % 24) == 15), ((number % 24) == 4)
    weekday = (number // 24 + 3) % 7
    assert bars.quote[afternoon].mean() > 1.5 * bars.quote[night].mean()
    assert bars.quote[weekday < 5].mean() > 1.2 * bars.quote[weekday >= 5].mean()


def test_every_regime_occurs_and_a_crash_falls_hard(hours: dict[str, Bars], markets: GeneratedMarkets) -> None:
    bars = hours["BTC-USDT"]
    regimes = np.array([markets.regime(int(time)) for time in bars.open_time])
    assert set(regimes.tolist()) == set(Regime)
    change = np.log(bars.close / bars.open)
    assert change[regimes == Regime.CRASH].mean() < -0.004
    assert change[regimes == Regime.BULL].mean() > 0 > change[regimes == Regime.BEAR].mean()
    assert change[regimes == Regime.RANGE].std() < change[regimes == Regime.CRASH].std()


def test_an_outage_leaves_the_same_hole_in_every_market(markets: GeneratedMarkets) -> None:
    cells = range((NOW - 1000 * DAY_MS) // (8 * DAY_MS), NOW // (8 * DAY_MS))
    start, end = next(down for cell in cells if (down := outage(7, cell)) is not None and down[1] - down[0] > 2 * HOUR_MS)
    for symbol in ("BTC-USDT", "LINK-USDT"):
        around = markets.minutes(markets.instruments[symbol], start - HOUR_MS, end + HOUR_MS).open_time
        assert around.tolist() == [*range(start - HOUR_MS, start, MINUTE_MS), *range(end, end + HOUR_MS, MINUTE_MS)]
        kept = markets.hours(markets.instruments[symbol], start - DAY_MS, end + DAY_MS).open_time
        assert not ((kept >= start) & (kept + HOUR_MS <= end)).any()


def test_matic_ends_where_pol_begins(markets: GeneratedMarkets) -> None:
    old, new = markets.instruments["MATIC-USDT"], markets.instruments["POL-USDT"]
    before = markets.hours(old, 1_725_000_000_000, 1_730_000_000_000)
    after = markets.hours(new, 1_725_000_000_000, 1_730_000_000_000)
    assert int(before.open_time[-1]) == 1_725_933_600_000  # 2024-09-10T02:00Z, the last whole hour
    assert int(after.open_time[0]) == 1_726_221_600_000  # 2024-09-13T10:00Z
    assert after.open[0] / before.close[-1] == pytest.approx(1, abs=0.35)
    assert last_price(markets, old, NOW) == int(before.close[-1])


@pytest.mark.parametrize("name", ["1m", "5m", "1h", "1d", "1w", "1M"])
def test_a_running_candle_never_goes_beyond_what_it_becomes(markets: GeneratedMarkets, name: str) -> None:
    import orjson

    interval, one = BINANCE_INTERVALS[name], markets.instruments["BNB-USDT"]
    start = interval.floor(NOW)
    end = interval.close(start)

    def row(now: int) -> list[float]:
        page = read_page(markets, one, interval, first_ms=start, last_ms=start, now_ms=now, limit=1, newest=False)
        return [*map(float, orjson.loads(page.body("binance"))[0])]

    final = row(end)
    seen = [row(start + int((end - start) * share)) for share in (0.0005, 0.1, 0.4, 0.8, 0.9999)]
    for earlier, later in zip(seen, [*seen[1:], final], strict=True):
        assert earlier[1] == later[1]
        assert earlier[2] <= later[2] and earlier[3] >= later[3]
        assert earlier[5] <= later[5] and earlier[8] <= later[8]
        assert earlier[3] <= earlier[4] <= earlier[2]
    assert seen[0][5] < final[5]


def test_part_of_a_candle_is_bounded_by_it() -> None:
    bar = Bars(*(np.array([value]) for value in (0, 100, 130, 90, 110, 1000, 110_000, 50)))
    whole = part_of(bar, 1.0)
    assert [int(column[0]) for column in (whole.open, whole.high, whole.low, whole.close, whole.volume)] == [
        100,
        130,
        90,
        110,
        1000,
    ]
    early = part_of(bar, 0.2)
    assert int(early.low[0]) >= 90 and int(early.high[0]) == 100 and int(early.volume[0]) == 200


def test_the_last_price_is_the_close_of_the_running_minute(markets: GeneratedMarkets) -> None:
    one = markets.instruments["BTC-USDT"]
    moment = NOW + 23_456
    assert last_price(markets, one, moment) == int(recent(markets, one, moment - HOUR_MS, moment).close[-1])


def test_long_intervals_start_where_the_exchanges_start_them() -> None:
    monday, thursday = 1_763_337_600_000, 1_763_596_800_000  # 2025-11-17 and 2025-11-20, both 00:00Z
    assert BINANCE_INTERVALS["1w"].floor(NOW) == monday
    assert KRAKEN_INTERVALS[10_080].floor(NOW) == thursday
    assert BINANCE_INTERVALS["1M"].floor(NOW) == 1_761_955_200_000  # 2025-11-01
    assert BINANCE_INTERVALS["1M"].close(1_761_955_200_000) == 1_764_547_200_000  # 2025-12-01
    for interval in BINANCE_INTERVALS.values():
        start, end = interval.chunk_window(interval.chunk_of(NOW))
        assert start <= interval.floor(NOW) < end and interval.floor(start) == start and interval.floor(end) == end
