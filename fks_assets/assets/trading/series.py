"""What a backtest reads: candles with enough history, indicators, finer candles, trading rules; and the hashes of it all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fks_assets.errors import InsufficientData
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, month_of
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table, times_from_arrow
from fks_assets.stores.candles import PartitionHead
from fks_assets.stores.lineage import InputRef, latest_inputs
from fks_assets.stores.market_rules import rules_history
from fks_assets.stores.objects import MissingObject

READ_ATTEMPTS = 3
Heads = dict[Market, dict[str, PartitionHead]]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesRead:
    """One market's candles up to the end of the period; row `first` is the first one inside, those before are history.

    `indicators` and `warm` are aligned with them. `rules` are every version of the market's trading rules that was known by the
    end, or the first one ever seen. `inputs` name the content of all that was read.
    """

    market: Market
    candles: Candles
    first: int
    indicators: Mapping[str, np.ndarray]
    warm: np.ndarray
    finer: Candles | None
    rules: tuple[MarketRules, ...]
    inputs: tuple[InputRef, ...]

    @property
    def period(self) -> Candles:
        """The candles inside the period."""
        return self.candles.slice(self.first)


def read_series(
    stores: Stores,
    markets: Sequence[Market],
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    *,
    lookback_rows: int,
    finer: Timeframe | None = None,
) -> tuple[dict[Market, SeriesRead], dict[Market, str]]:
    """Return (what there is of each market with candles in [start_ms, end_ms), why a market has none).

    The heads are taken once, and exactly their objects are read, so the hashes are of what was used. Stored indicators count
    where they were made from the candles as they are; elsewhere, and for rows stored with too little history, the same are
    computed from the candles. Raises InsufficientData when months keep changing while they are read.
    """
    for _ in range(READ_ATTEMPTS):
        try:
            return _read(stores, markets, timeframe, start_ms, end_ms, lookback_rows, finer)
        except MissingObject as error:
            missing = error
    raise InsufficientData(f"the candles changed while they were read, {READ_ATTEMPTS} times: try again") from missing


def _read(
    stores: Stores,
    markets: Sequence[Market],
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    lookback_rows: int,
    finer: Timeframe | None,
) -> tuple[dict[Market, SeriesRead], dict[Market, str]]:
    candle_heads = _heads(stores, "ohlcv", timeframe, markets)
    indicator_heads = _heads(stores, "indicators", timeframe, markets)
    finer_heads = {} if finer is None else _heads(stores, "ohlcv", finer, markets)
    found: dict[Market, SeriesRead] = {}
    missing: dict[Market, str] = {}
    for market in markets:
        mine = candle_heads.get(market, {})
        inside = [mine[month] for month in sorted(mine) if month_of(start_ms) <= month <= month_of(end_ms - 1)]
        if not inside:
            missing[market] = "no candles of that time are stored"
            continue
        used = [*_reach(mine, inside[0].partition.month, lookback_rows), *inside]
        candles = candles_from_table(stores.candles.read_heads(used)).between(0, end_ms)
        first = int(np.searchsorted(candles.open_time, start_ms))
        if first == len(candles):
            missing[market] = "no candles of that time are stored"
            continue
        made = _up_to_date(stores, timeframe, used, indicator_heads.get(market, {}))
        indicators, warm = _indicators(stores, candles, made)
        smaller = _between(finer_heads.get(market, {}), start_ms, end_ms)
        rules, rules_input = _rules(stores, market, end_ms)
        found[market] = SeriesRead(
            market,
            candles,
            first,
            indicators,
            warm,
            candles_from_table(stores.candles.read_heads(smaller)).between(start_ms, end_ms) if smaller else None,
            rules,
            (*_refs(timeframe, (*used, *made)), *([] if finer is None else _refs(finer, smaller)), *rules_input),
        )
    return found, missing


def _heads(stores: Stores, dataset: str, timeframe: Timeframe, markets: Sequence[Market]) -> Heads:
    found: Heads = {}
    for partition, head in stores.candles.heads(dataset, timeframe.name, markets).items():
        if head.row_count:
            found.setdefault(partition.market, {})[partition.month] = head
    return found


def _between(months: Mapping[str, PartitionHead], start_ms: int, end_ms: int) -> list[PartitionHead]:
    chosen = [months[month] for month in sorted(months) if month_of(start_ms) <= month <= month_of(end_ms - 1)]
    return [head for head in chosen if (head.last_open or 0) >= start_ms and (head.first_open or end_ms) < end_ms]


def _reach(months: Mapping[str, PartitionHead], month: str, rows: int) -> list[PartitionHead]:
    """Return the months before one, oldest first, that together hold at least so many rows."""
    reached: list[PartitionHead] = []
    for each in sorted((each for each in months if each < month), reverse=True):
        if sum(head.row_count for head in reached) >= rows:
            break
        reached.insert(0, months[each])
    return reached


def _up_to_date(
    stores: Stores, timeframe: Timeframe, candles: Sequence[PartitionHead], indicators: Mapping[str, PartitionHead]
) -> list[PartitionHead]:
    """Return the stored indicators that were made from just these candles."""
    heads = [(head, indicators[head.partition.month]) for head in candles if head.partition.month in indicators]
    recorded = latest_inputs(stores.database, f"indicators_{timeframe}", [head.partition.key for head, _ in heads])
    chosen = []
    for head, made in heads:
        record = recorded.get(head.partition.key)
        source = InputRef(f"ohlcv_{timeframe}", head.partition.key, head.content_hash)
        if record is not None and record.content_hash == made.content_hash and source in record.inputs:
            chosen.append(made)
    return chosen


def _indicators(stores: Stores, candles: Candles, stored: Sequence[PartitionHead]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    indicators, warm = compute_indicators(candles), warm_rows(len(candles))
    if stored:
        table = stores.candles.read_heads(stored)
        times = times_from_arrow(table["open_time"])
        usable = np.asarray(table["is_warm"].to_numpy(), np.bool_) & np.isin(times, candles.open_time)
        rows = np.searchsorted(candles.open_time, times[usable])
        for name, column in indicators.items():
            if name in table.column_names:
                column[rows] = table[name].to_numpy()[usable]
        warm[rows] = True
    return indicators, warm


def _rules(stores: Stores, market: Market, end_ms: int) -> tuple[tuple[MarketRules, ...], list[InputRef]]:
    versions = rules_history(stores.database, market)
    known = tuple(each for each in versions if (each.valid_from or 0) < end_ms) or tuple(versions[:1])
    return known, [InputRef("market_rules", f"{market}|{each.valid_from}", each.content_hash) for each in known]


def _refs(timeframe: Timeframe, heads: Sequence[PartitionHead]) -> list[InputRef]:
    return [InputRef(f"{head.partition.dataset}_{timeframe}", head.partition.key, head.content_hash) for head in heads]
