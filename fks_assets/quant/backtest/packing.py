"""A book as the arrays that the kernel reads. Nothing here decides anything: it only says the rules in the kernel's terms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from struct import Struct

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest import layout
from fks_assets.quant.backtest.book import Book, Funding, Leg, MarketSeries
from fks_assets.quant.backtest.layout import read_only
from fks_assets.quant.backtest.pairs import pair
from fks_assets.quant.backtest.rules import Costs, LegRules
from fks_assets.quant.candles import OHLCV_COLUMNS
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.sizing import KINDS
from fks_assets.quant.strategies.base import SignalColumns

TIES = {"pessimistic": layout.PESSIMISTIC, "optimistic": layout.OPTIMISTIC, "finer": layout.FINER}
_MINUTE_MS = 60_000
_LEG = Struct("".join({"i": "q", "f": "d"}[layout.LEG[name].kind] for name in layout.LEG.names or ()))
_NO_CANDLES = tuple(read_only(np.empty(0, kind)) for kind in (np.int64, *(np.float64 for _ in OHLCV_COLUMNS)))


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
    terms = [terms_of(each, costs) for each in series]
    slippage = costs.slippage + costs.spread / 2
    records, row, term, finer = [], 0, 0, 0
    for each, own_terms in zip(series, terms, strict=True):
        ends = row + len(each.candles), term + len(own_terms), finer + (0 if each.finer is None else len(each.finer))
        bounds = row, ends[0], term, ends[1], finer, ends[2]
        records.append((each.timeframe.milliseconds, *bounds, slippage, costs.impact, costs.impact_limit))
        row, term, finer = ends
    funding = np.empty(0, layout.FUNDING)
    if any(each.funding is not None for each in series):
        funding = np.concatenate([_funding_of(each) for each in series])
    return Market(
        series,
        _joined([each.columns for each in series]),
        _joined([each.finer_columns for each in series if each.finer_columns] or [_NO_CANDLES])[:-1],
        read_only(np.array(records, layout.SERIES)),
        terms[0] if len(terms) == 1 else read_only(np.concatenate(terms)),
        read_only(funding),
        _bar_times(series),
    )


def terms_of(series: MarketSeries, costs: Costs) -> np.ndarray:
    """Return one TERMS record a set of trading rules, or one that asks for nothing; read-only."""
    stated = series.stated_rules
    bare = _bare_terms(costs)
    if not stated:
        return bare
    terms = np.repeat(bare, len(stated))
    for record, rules in zip(terms, stated, strict=True):
        _write_rules(record, rules, costs)
    return read_only(terms)


@lru_cache(maxsize=1024)
def _bare_terms(costs: Costs) -> np.ndarray:
    terms = np.zeros(1, layout.TERMS)
    terms["valid_from"], terms["max_quantity"] = layout.NEVER, np.inf
    for name, rests in (("maker", True), ("taker", False)):
        terms[name], terms[f"{name}_low"] = pair(Fraction(costs.fee_rate(None, rests=rests)))
    terms["tick_parts"] = terms["lot_parts"] = 1.0
    return read_only(terms)


def _write_rules(record: np.void, rules: MarketRules, costs: Costs) -> None:
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
    for name, stated, rests in (("maker", rules.maker_fee, True), ("taker", rules.taker_fee, False)):
        if stated is not None:
            record[name], record[f"{name}_low"] = pair(Fraction(costs.fee_rate(stated, rests=rests)))


def pack_signals(signals: SignalColumns, first_row: int = 0) -> Signals:
    """Return the rows that act; `first_row` is where the series begins in the joined candles."""
    from fks_assets.quant.backtest.gathering import gather

    rows = np.flatnonzero(signals.action != 0)
    if signals.action.dtype != np.int8:
        _refuse_unclear(signals, rows)
    packed = Signals(rows, np.empty(len(rows), np.int8), *np.empty((3, len(rows))))
    given = map(read_only, (signals.action.astype(np.int8, copy=False), signals.confidence, signals.stop, signals.target))
    if not gather(*given, rows, packed.side, packed.confidence, packed.stop, packed.target):
        _refuse_unclear(signals, rows)
    if first_row:
        rows += first_row
    return packed


def _refuse_unclear(signals: SignalColumns, rows: np.ndarray) -> None:
    for name, clear in (("action", np.abs(signals.action[rows]) == 1), ("confidence", np.isfinite(signals.confidence[rows]))):
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
    strategies = {name: place for place, name in enumerate(book.strategies)}
    markets = {name: place for place, name in enumerate(book.markets)}
    records, partials, signals, first = [], [], 0, 0
    for leg, place, length in zip(book.legs, places, lengths, strict=True):
        exits = leg.rules.partial_exits
        partials += [(each.part, each.gain_percent / 100, leg.rules.takes_all and each is exits[-1]) for each in exits]
        names = place, markets[leg.series.market], strategies[leg.strategy]
        bounds = signals, signals + length, first, len(partials)
        records.append((*names, *bounds, *rule_values(leg.rules, leg.series.timeframe.milliseconds)))
        signals, first = signals + length, len(partials)
    return leg_records(records), read_only(np.array(partials, layout.PARTIAL_EXIT))


def leg_records(rows: Iterable[tuple[float, ...]]) -> np.ndarray:
    """Return LEG records of their values, in a quarter of the time that numpy takes from tuples."""
    return np.frombuffer(bytearray().join(_LEG.pack(*row) for row in rows), layout.LEG)


@lru_cache(maxsize=1024)
def rule_values(rules: LegRules, step_ms: int) -> tuple[float, ...]:
    """Return the values of layout.LEG_RULES."""
    sizing, margin, oldest = rules.sizing, 1 / rules.leverage, rules.oldest_signal_candles
    percents = (rules.stop_percent, rules.target_percent, rules.trailing_percent)
    return (
        *(KINDS[sizing.kind], sizing.value, sizing.cap, sizing.largest_stake, sizing.base == "equity"),
        *(rules.long, rules.short, rules.exit_on_signal, rules.levels_from == "fill", TIES[rules.tie_rule]),
        *(0.0 if percent is None else percent / 100 for percent in percents),
        *(rules.leverage, *part_pair(rules.leverage)),
        # Where the margin left is the maintenance margin, as a multiple of the entry price; a long one without leverage has none.
        (1 - margin) / (1 - rules.maintenance_margin),
        (1 + margin) / (1 + rules.maintenance_margin),
        *decimal_pair(rules.liquidation_rate),
        round(rules.cooldown_minutes * _MINUTE_MS),
        rules.cooldown_after == "exit",
        limit(rules.daily_trades),
        layout.NO_LIMIT if oldest is None else round(oldest * step_ms),
    )


def limit(most: int | None) -> int:
    """Return a number of times as the kernel reads it: there is always one."""
    return layout.NO_LIMIT if most is None else most


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


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    if len(parts) == 1:
        return parts[0]
    return tuple(read_only(np.concatenate(columns)) for columns in zip(*parts, strict=True))


def _bar_times(series: Sequence[MarketSeries]) -> np.ndarray:
    closes = [each.close_time for each in series]
    first = closes[0]
    if all(each is first or np.array_equal(each, first) for each in closes):
        return read_only(first)
    return read_only(np.unique(np.concatenate(closes)))


@lru_cache(maxsize=1 << 16)
def _sum_pair(rates: tuple[float, ...]) -> tuple[float, float]:
    """Return the sum of the decimal numbers that floats are written as, as a pair; a search asks for the same ones every time."""
    return pair(sum((Fraction(repr(rate)) for rate in rates), Fraction(0)))


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
        parts: dict[int, tuple[float, ...]] = {}
        for row, part in zip(rows[mask & ~unknown].tolist(), rate[mask & ~unknown].tolist(), strict=True):
            parts[row] = (*parts.get(row, ()), part)
        exact = np.array([_sum_pair(each) for each in parts.values()]).reshape(len(parts), 2)
        records[place][list(parts)], records[f"{place}_low"][list(parts)] = exact.T
        records[f"due_{place}"] = np.bincount(rows[mask], minlength=len(times))
        records[f"unknown_{place}"] = np.bincount(rows[mask & unknown], minlength=len(times))
    return records
