"""Random books over everything that can be set, for hypothesis."""

from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fks_assets.quant.backtest.book import Book, Funding, Leg, MarketSeries
from fks_assets.quant.backtest.rules import BookRules, Budget, Costs, LegRules, PartialExit, Sizing
from fks_assets.quant.candles import Candles
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.quant.series import START_MS

MARKETS = ("BTC-USDT@binance", "ETH-USDT@binance", "XRP-USDT@kraken")
MINUTE_MS = 60_000
FINE_TICKS = (Decimal("0.01"), Decimal("1e-8"))


def walk(random: np.random.Generator, rows: int, step_ms: int, *, decimals: int | None, jumps: bool, holes: bool) -> Candles:
    """Return candles of a random walk; jumps leave gaps between close and open, holes leave candles out."""
    steps = random.normal(0, 0.01, rows)
    if jumps:
        steps += random.normal(0, 0.1, rows) * (random.random(rows) < 0.05)
    close = 100 * np.exp(np.cumsum(steps))
    open_ = np.append(100.0, close[:-1]) * (np.exp(random.normal(0, 0.01, rows)) if jumps else 1.0)
    high = np.maximum(open_, close) * np.exp(np.abs(random.normal(0, 0.006, rows)))
    low = np.minimum(open_, close) * np.exp(-np.abs(random.normal(0, 0.006, rows)))
    columns = [open_, high, low, close]
    if decimals is not None:
        columns = [np.maximum(np.round(column, decimals), 10.0**-decimals) for column in columns]
    volume = np.round(random.gamma(2.0, 50.0, rows) * (random.random(rows) > 0.05), 3)
    kept = random.random(rows) > (0.08 if holes else 0.0)
    kept[0] = True
    times = START_MS + step_ms * np.arange(rows, dtype=np.int64)
    return Candles(times[kept], *(np.ascontiguousarray(column[kept]) for column in (*columns, volume)))


def finer_of(random: np.random.Generator, coarse: Candles, step_ms: int, parts: int) -> Candles:
    """Return candles inside the coarse ones, each path going through both extremes in a random order; some are missing."""
    times, rows = [], []
    for row in range(len(coarse)):
        open_, high, low, close = (float(getattr(coarse, name)[row]) for name in ("open", "high", "low", "close"))
        points = [open_, *random.permutation([high, low]), *random.uniform(low, high, parts - 3), close]
        for part in range(parts):
            if random.random() < 0.1:
                continue
            times.append(int(coarse.open_time[row]) + part * step_ms // parts)
            a, b = points[part], points[part + 1]
            rows.append((a, max(a, b), min(a, b), b, 1.0))
    columns = np.array(rows, np.float64).reshape(-1, 5)
    return Candles(np.array(times, np.int64), *(np.ascontiguousarray(columns[:, place]) for place in range(5)))


def drawn_signals(random: np.random.Generator, of: Candles, *, often: float, wide: float, levels: bool) -> SignalColumns:
    """Return random signals; their levels lie around the close, some on the wrong side of the next open, some are not set."""
    rows = len(of)
    action = np.where(random.random(rows) < often, random.choice([-1, 1], rows), 0).astype(np.int8)
    stop = of.close * (1 - action * random.uniform(0.001, wide, rows))
    target = of.close * (1 + action * random.uniform(0.001, wide, rows))
    stop[random.random(rows) < (0.15 if levels else 1.0)] = np.nan
    target[random.random(rows) < (0.15 if levels else 1.0)] = np.nan
    hold = action == 0
    stop[hold] = target[hold] = np.nan
    confidence = np.where(hold, 0.0, np.round(random.random(rows), 4))
    return SignalColumns(action, confidence, stop, target, np.zeros(rows, np.int16), ("drawn",))


@st.composite
def costs(draw: st.DrawFn) -> Costs:
    impact = draw(st.sampled_from([0.0, 0.0, 0.1, 0.5]))
    return Costs(
        maker_fee=draw(st.sampled_from([None, 0.0, 0.0005, -0.0001])),
        taker_fee=draw(st.sampled_from([None, 0.0, 0.001, 0.0075])),
        slippage=draw(st.sampled_from([0.0, 0.0005, 0.003])),
        spread=draw(st.sampled_from([0.0, 0.001])),
        impact=impact,
        impact_limit=draw(st.sampled_from([0.025, 0.3, 1.0])),
    )


@st.composite
def sizings(draw: st.DrawFn) -> Sizing:
    kind = draw(st.sampled_from(["fraction", "notional", "risk", "confidence"]))
    size: Any = {"fraction": [None, 0.1, 0.37], "notional": [50.0, 700.0], "risk": [None, 0.005], "confidence": [None, 0.2]}[kind]
    return Sizing(
        kind=kind,
        size=draw(st.sampled_from(size)),
        cap=draw(st.sampled_from([0.5, 0.1])),
        base=draw(st.sampled_from(["cash", "equity"])),
        largest_stake=draw(st.sampled_from([1.0, 0.4])),
    )


@st.composite
def leg_rules(draw: st.DrawFn) -> LegRules:
    partial_exits: tuple[PartialExit, ...] = draw(
        st.sampled_from(
            [
                (),
                (PartialExit(part=0.5, gain_percent=1.0),),
                (PartialExit(part=0.3, gain_percent=0.5), PartialExit(part=0.3, gain_percent=1.5)),
                (PartialExit(part=0.6, gain_percent=0.8), PartialExit(part=0.4, gain_percent=2.0)),
                tuple(PartialExit(part=1 / 3, gain_percent=0.7 * place) for place in (1, 2, 3)),
            ]
        )
    )
    long, short = draw(st.sampled_from([(True, True), (True, True), (True, False), (False, True)]))
    leverage = draw(st.sampled_from([1.0, 1.0, 3.0, 20.0, 75.0]))
    return LegRules(
        sizing=draw(sizings()),
        long=long,
        short=short,
        exit_on_signal=draw(st.booleans()),
        stop_percent=draw(st.sampled_from([None, None, 0.7])),
        target_percent=draw(st.sampled_from([None, None, 1.1])),
        levels_from=draw(st.sampled_from(["signal", "fill"])),
        trailing_percent=draw(st.sampled_from([None, None, 0.8, 3.0])),
        tie_rule=draw(st.sampled_from(["pessimistic", "optimistic", "finer"])),
        partial_exits=partial_exits,
        cooldown_minutes=draw(st.sampled_from([0, 0, 30, 200])),
        cooldown_after=draw(st.sampled_from(["entry", "exit"])),
        daily_trades=draw(st.sampled_from([None, None, 2])),
        oldest_signal_candles=draw(st.sampled_from([None, 0.0, 2.0])),
        leverage=leverage,
        maintenance_margin=draw(st.sampled_from([0.0, 0.005, 0.01])),
        liquidation_fee=draw(st.sampled_from([None, 0.0, 0.01])),
    )


@st.composite
def market_rules(draw: st.DrawFn, market: str, on_tick: bool) -> tuple[MarketRules, ...]:
    """Return no rules, or one or two sets; on_tick asks for ticks that candles with two decimals lie on."""

    def one(valid_from: int | None) -> MarketRules:
        fee = draw(st.sampled_from([None, Decimal("0.0004")]))
        return MarketRules(
            parse_market(market),
            MarketStatus.TRADING,
            draw(st.sampled_from(FINE_TICKS if on_tick else (*FINE_TICKS, Decimal("0.05"), Decimal("0.3")))),
            draw(st.sampled_from([Decimal("0.001"), Decimal("0.1"), Decimal("1e-8")])),
            draw(st.sampled_from([None, Decimal("0.01"), Decimal(1)])),
            draw(st.sampled_from([None, Decimal(5)])),
            draw(st.sampled_from([None, Decimal(10), Decimal(100)])),
            fee,
            fee,
            valid_from=valid_from,
        )

    starts = [(None,), (START_MS,), (START_MS + 30 * 3_600_000, START_MS + 60 * 3_600_000)]
    starts = draw(st.sampled_from(starts if on_tick else [(), *starts]))
    return tuple(one(start) for start in starts)


@st.composite
def books(draw: st.DrawFn, *, ruled: bool = False) -> Book:
    """Return a book of one to three series and one to three strategies; ruled: every market has a tick and a lot, and its
    candles lie on cents.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    all_series: list[MarketSeries] = []
    for market in MARKETS[: draw(st.integers(1, 3))]:
        # Prices with decimals meet computed levels exactly; a tick says which decimals those levels have.
        decimals = 2 if ruled else draw(st.sampled_from([None, 2]))
        timeframe = parse_timeframe(draw(st.sampled_from(["1h", "1h", "1h", "15m", "4h"])))
        of = walk(
            random,
            draw(st.integers(2, 120)),
            timeframe.milliseconds,
            decimals=decimals,
            jumps=draw(st.booleans()),
            holes=draw(st.booleans()),
        )
        funding = None
        if draw(st.integers(0, 3)) == 0:
            interval = draw(st.sampled_from([8 * 3_600_000, 90 * MINUTE_MS]))
            times = np.arange(0, 400) * 2 * 3_600_000 + START_MS
            rates = random.normal(0, 0.0005, 400).round(6)
            rates[random.random(400) < 0.2] = np.nan
            some = random.random(400) < 0.7
            funding = Funding(interval, times[some].astype(np.int64), rates[some])
        all_series.append(
            MarketSeries(
                market,
                timeframe,
                of,
                draw(market_rules(market, decimals is not None)),
                funding,
                finer_of(random, of, timeframe.milliseconds, 5) if draw(st.booleans()) else None,
            )
        )
    names = [f"strategy {place}" for place in range(draw(st.integers(1, 3)))]
    legs = []
    for name in names:
        for each in all_series:
            signals = drawn_signals(
                random,
                each.candles,
                often=draw(st.sampled_from([0.1, 0.4, 0.9])),
                wide=draw(st.sampled_from([0.01, 0.03, 0.1])),
                levels=draw(st.integers(0, 4)) > 0,
            )
            legs.append(Leg(name, each, signals, draw(leg_rules())))
    budgets = {
        name: Budget(share=draw(st.sampled_from([1.0, 0.5, 0.2])), max_positions=draw(st.sampled_from([None, 1, 2])))
        for name in names
        if draw(st.booleans())
    }
    return Book(
        tuple(legs),
        BookRules(
            initial_cash=draw(st.sampled_from([1000.0, 10_000.0])),
            max_positions=draw(st.sampled_from([None, None, 1, 2])),
            costs=draw(costs()),
            budgets=budgets,
        ),
    )
