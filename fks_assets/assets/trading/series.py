"""What a backtest reads: candles with enough history, indicators, finer candles, trading rules, funding; the hashes of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fks_assets.assets.trading.finer_candles import read_finer, timeframes_inside
from fks_assets.assets.trading.funding_read import NO_RATES, stored_funding
from fks_assets.errors import InsufficientData
from fks_assets.quant.backtest.book import Funding
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, month_of, months_between
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
    end, or the first one ever seen. `funding` has the rates that are stored, none where they were not asked for. `inputs` name
    the content of all that was read.
    """

    market: Market
    candles: Candles
    first: int
    indicators: Mapping[str, np.ndarray]
    warm: np.ndarray
    finer: Candles | None
    rules: tuple[MarketRules, ...]
    funding: Funding
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
    finer: bool = False,
    funding: bool = False,
) -> tuple[dict[Market, SeriesRead], dict[Market, str]]:
    """Return (what there is of each market with candles in [start_ms, end_ms), why a market has none).

    With `finer` also finer candles, with `funding` also funding rates. The heads are taken once, and exactly their objects are
    read, so the hashes are of what was used. Stored indicators count where they were made from the candles as they are;
    elsewhere, and for rows stored with too little history, the same are computed from the candles. Raises InsufficientData when
    months keep changing while they are read.
    """
    for _ in range(READ_ATTEMPTS):
        try:
            return _read(stores, markets, timeframe, start_ms, end_ms, lookback_rows, finer, funding)
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
    finer: bool,
    funding: bool,
) -> tuple[dict[Market, SeriesRead], dict[Market, str]]:
    candle_heads = _heads(stores, "ohlcv", timeframe, markets)
    indicator_heads = _heads(stores, "indicators", timeframe, markets)
    shorter = timeframes_inside(timeframe) if finer else []
    finer_heads = {each: _heads(stores, "ohlcv", each, markets, months_between(start_ms, end_ms)) for each in shorter}
    stored_rates = stored_funding(stores, markets, start_ms, end_ms) if funding else {}
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
        stored = ((each, finer_heads[each].get(market, {})) for each in shorter)
        within = read_finer(stores, stored, timeframe, candles.open_time[first:])
        rules, rules_input = known_rules(stores, market, end_ms)
        rates, rates_input = stored_rates.get(market, (NO_RATES, ()))
        found[market] = SeriesRead(
            market,
            candles,
            first,
            indicators,
            warm,
            within.candles,
            rules,
            rates,
            (*_refs((*used, *made, *within.heads)), *rules_input, *rates_input),
        )
    return found, missing


def _heads(
    stores: Stores, dataset: str, timeframe: Timeframe, markets: Sequence[Market], months: Sequence[str] | None = None
) -> Heads:
    found: Heads = {}
    for partition, head in stores.candles.heads(dataset, timeframe.name, markets, months).items():
        if head.row_count:
            found.setdefault(partition.market, {})[partition.month] = head
    return found


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


def known_rules(stores: Stores, market: Market, end_ms: int) -> tuple[tuple[MarketRules, ...], list[InputRef]]:
    """Return every version of a market's trading rules that was known by a time, or the first one, and what was read."""
    versions = rules_history(stores.database, market)
    known = tuple(each for each in versions if (each.valid_from or 0) < end_ms) or tuple(versions[:1])
    return known, [InputRef("market_rules", f"{market}|{each.valid_from}", each.content_hash) for each in known]


def _refs(heads: Sequence[PartitionHead]) -> list[InputRef]:
    return [
        InputRef(f"{head.partition.dataset}_{head.partition.timeframe}", head.partition.key, head.content_hash) for head in heads
    ]
