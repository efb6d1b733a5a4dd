"""A book as the arrays that the kernel reads. Nothing here decides anything: it only says the rules in the kernel's terms."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest import layout
from fks_assets.quant.backtest.book import Book, Funding, Leg, MarketSeries
from fks_assets.quant.backtest.layout import read_only
from fks_assets.quant.backtest.pairs import pair
from fks_assets.quant.backtest.rules import Costs, LegRules
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.sizing import KINDS
from fks_assets.quant.strategies.base import SignalColumns

TIES = {"pessimistic": layout.PESSIMISTIC, "optimistic": layout.OPTIMISTIC, "finer": layout.FINER}
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """The rows that act, in the kernel's columns: row int64 (in the joined candles), side int8, confidence, stop, target."""

    row: np.ndarray
    side: np.ndarray
    confidence: np.ndarray
    stop: np.ndarray
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """What of a book the strategies do not change: candles, trading rules, funding, bars. All joined, all read-only."""

    series: tuple[MarketSeries, ...]
    columns: tuple[np.ndarray, ...]
    finer: tuple[np.ndarray, ...]
    records: np.ndarray
    terms: np.ndarray
    funding: np.ndarray
    bar_time: np.ndarray


def pack_market(all_series: Sequence[MarketSeries], costs: Costs) -> Market:
    """Join the series of a book, each once."""
    series = tuple(all_series)
    terms = [terms_of(each, each.costs or costs) for each in series]
    records = np.zeros(len(series), layout.SERIES)
    for name, lengths in (
        ("", [len(each.candles) for each in series]),
        ("terms_", [len(each) for each in terms]),
        ("finer_", [0 if each.finer is None else len(each.finer) for each in series]),
    ):
        ends = list(itertools.accumulate(lengths))
        records[f"{name}end"], records[f"{name}first"] = ends, [0, *ends[:-1]]
    for record, each in zip(records, series, strict=True):
        own = each.costs or costs
        record["step"] = each.timeframe.milliseconds
        record["slippage"], record["impact"], record["impact_limit"] = own.slippage + own.spread / 2, own.impact, own.impact_limit
    funding = np.empty(0, layout.FUNDING)
    if any(each.funding is not None for each in series):
        funding = np.concatenate([_funding_of(each) for each in series])
    return Market(
        series,
        _joined([each.candles for each in series], ("open_time", *OHLCV_COLUMNS)),
        _joined([each.finer for each in series if each.finer is not None], ("open_time", "open", "high", "low", "close")),
        read_only(records),
        read_only(np.concatenate(terms)),
        read_only(funding),
        _bar_times(series),
    )


def terms_of(series: MarketSeries, costs: Costs) -> np.ndarray:
    """Return one TERMS record a set of trading rules, or one that asks for nothing."""
    stated = series.stated_rules
    terms = np.zeros(max(1, len(stated)), layout.TERMS)
    terms["valid_from"], terms["max_quantity"] = layout.NEVER, np.inf
    for name in ("maker", "taker"):
        terms[name], terms[f"{name}_low"] = decimal_pair(getattr(costs, f"{name}_fee"))
    terms["tick_parts"] = terms["lot_parts"] = 1.0
    for record, rules in zip(terms, stated, strict=False):
        _write_rules(record, rules)
    return terms


def _write_rules(record: np.void, rules: MarketRules) -> None:
    if rules.valid_from is not None:
        record["valid_from"] = rules.valid_from
    for name, value in (("tick", rules.tick_size), ("lot", rules.lot_size)):
        if value is not None:
            record[name], record[f"{name}_parts"] = value.as_integer_ratio()
    for name, limit in (
        ("min_quantity", rules.min_quantity),
        ("max_quantity", rules.max_quantity),
        ("min_notional", rules.min_notional),
    ):
        if isinstance(limit, Decimal):
            record[name] = float(limit)
    for name, fee in (("maker", rules.maker_fee), ("taker", rules.taker_fee)):
        if fee is not None:
            record[name], record[f"{name}_low"] = pair(Fraction(fee))


def pack_signals(signals: SignalColumns, first_row: int = 0) -> Signals:
    """Return the rows that act; `first_row` is where the series begins in the joined candles."""
    rows = np.flatnonzero(signals.action != 0)
    side, confidence = signals.action[rows], signals.confidence[rows]
    if len(rows) and not (side.min() >= -1 and side.max() <= 1 and math.isfinite(confidence.sum())):
        _refuse_unclear(signals, rows)
    return Signals(
        rows + first_row if first_row else rows,
        side,
        confidence,
        signals.stop[rows],
        signals.target[rows],
    )


def _refuse_unclear(signals: SignalColumns, rows: np.ndarray) -> None:
    for name, clear in (("action", np.abs(signals.action[rows]) <= 1), ("confidence", np.isfinite(signals.confidence[rows]))):
        for row in rows[~clear][:1]:
            raise InvalidInput(f"signals: {name} is {getattr(signals, name)[row]} in row {row}; an action is -1, 0 or 1")


def join_signals(parts: Sequence[Signals]) -> Signals:
    """Return the signals of all legs one after another."""
    if len(parts) == 1:
        return parts[0]
    names = ("row", "side", "confidence", "stop", "target")
    return Signals(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def pack_legs(book: Book, places: Sequence[int], lengths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return (LEG records, PARTIAL_EXIT records), given the places of the legs' series and how many signals each leg has."""
    legs = np.zeros(len(book.legs), layout.LEG)
    strategies = {name: place for place, name in enumerate(book.strategies)}
    markets = {name: place for place, name in enumerate(book.markets)}
    partials: list[tuple[float, float]] = []
    signals_first = 0
    for record, leg, place, length in zip(legs, book.legs, places, lengths, strict=True):
        record["series"], record["market"], record["strategy"] = place, markets[leg.series.market], strategies[leg.strategy]
        record["signals_first"], record["signals_end"] = signals_first, signals_first + length
        signals_first += length
        record["partials_first"] = len(partials)
        partials += [(each.part, each.gain_percent / 100) for each in leg.rules.partial_exits]
        record["partials_end"] = len(partials)
        write_leg_rules(record, leg.rules, leg.series.timeframe.milliseconds)
    return legs, read_only(np.array(partials, layout.PARTIAL_EXIT))


def write_leg_rules(record: np.void, rules: LegRules, step_ms: int) -> None:
    """Write the rules of a leg into its record, but for its partial exits."""
    sizing = rules.sizing
    record["sizing"], record["size"], record["size_cap"] = KINDS[sizing.kind], sizing.value, sizing.cap
    record["largest_stake"], record["of_equity"] = sizing.largest_stake, sizing.base == "equity"
    record["long"], record["short"], record["exit_on_signal"] = rules.long, rules.short, rules.exit_on_signal
    record["from_fill"], record["tie"] = rules.levels_from == "fill", TIES[rules.tie_rule]
    for name, percent in (
        ("stop_fraction", rules.stop_percent),
        ("target_fraction", rules.target_percent),
        ("trailing", rules.trailing_percent),
    ):
        record[name] = 0.0 if percent is None else percent / 100
    margin = 1 / rules.leverage
    record["leverage"] = rules.leverage
    record["margin"], record["margin_low"] = part_pair(rules.leverage)
    # Where the margin left is the maintenance margin, as a multiple of the entry price; a long one without leverage has none.
    record["liquidation_of_long"] = (1 - margin) / (1 - rules.maintenance_margin)
    record["liquidation_of_short"] = (1 + margin) / (1 + rules.maintenance_margin)
    record["liquidation_fee"], record["liquidation_fee_low"] = decimal_pair(rules.liquidation_fee)
    record["cooldown"] = round(rules.cooldown_minutes * _MINUTE_MS)
    record["cooldown_after_exit"] = rules.cooldown_after == "exit"
    record["daily_trades"] = layout.NO_LIMIT if rules.daily_trades is None else rules.daily_trades
    oldest = rules.oldest_signal_candles
    record["oldest_signal"] = layout.NO_LIMIT if oldest is None else round(oldest * step_ms)


@lru_cache(maxsize=1024)
def decimal_pair(value: float) -> tuple[float, float]:
    """Return the decimal number that a float is written as, as a pair: 0.001 is a thousandth, which no float is."""
    return pair(Fraction(repr(value)))


@lru_cache(maxsize=1024)
def part_pair(value: float) -> tuple[float, float]:
    """Return 1 / the decimal number that a float is written as, as a pair."""
    return pair(1 / Fraction(repr(value)))


def series_of(legs: Sequence[Leg]) -> tuple[MarketSeries, ...]:
    """Return the different series of the legs in the order in which they first occur."""
    return tuple({id(leg.series): leg.series for leg in legs}.values())


def _joined(parts: Sequence[Candles], names: Sequence[str]) -> tuple[np.ndarray, ...]:
    if not parts:
        return tuple(read_only(np.empty(0, np.int64 if name == "open_time" else np.float64)) for name in names)
    columns = [[getattr(part, name) for part in parts] for name in names]
    return tuple(read_only(column[0] if len(column) == 1 else np.concatenate(column)) for column in columns)


def _bar_times(series: Sequence[MarketSeries]) -> np.ndarray:
    closes = [each.candles.open_time + each.timeframe.milliseconds for each in series]
    first = closes[0]
    if all(each is first or np.array_equal(each, first) for each in closes):
        return read_only(first)
    return read_only(np.unique(np.concatenate(closes)))


def _funding_of(series: MarketSeries) -> np.ndarray:
    """Return one FUNDING record a candle: what is due at its open, and after that until the next candle opens."""
    times, step = series.candles.open_time, series.timeframe.milliseconds
    records = np.zeros(len(times), layout.FUNDING)
    funding: Funding | None = series.funding
    if funding is None:
        return records
    first, end = int(times[0]), int(times[-1]) + step
    grid = np.arange(-(-first // funding.interval_ms) * funding.interval_ms, end, funding.interval_ms, dtype=np.int64)
    inside = (funding.time >= first) & (funding.time < end)
    given, rates = funding.time[inside], funding.rate[inside]
    due = np.union1d(grid, given)
    rate = np.full(len(due), np.nan)
    rate[np.searchsorted(due, given)] = rates
    unknown = np.isnan(rate)
    rows = np.searchsorted(times, due, side="right") - 1
    at_open = times[rows] == due
    for mask, place in ((at_open, "at_open"), (~at_open, "inside")):
        total: dict[int, Fraction] = {}
        for row, part in zip(rows[mask & ~unknown].tolist(), rate[mask & ~unknown].tolist(), strict=True):
            total[row] = total.get(row, Fraction(0)) + Fraction(repr(part))
        for row, exact in total.items():
            records[place][row], records[f"{place}_low"][row] = pair(exact)
        records[f"due_{place}"] = np.bincount(rows[mask], minlength=len(times))
        records[f"unknown_{place}"] = np.bincount(rows[mask & unknown], minlength=len(times))
    return records
