"""What a backtest reads of stored funding rates: who owes funding, the rates of its months, and the hashes of those."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np

from fks_assets.assets.market_data.funding_rates import ASSET
from fks_assets.partitions import partition_key
from fks_assets.quant.backtest.book import Funding
from fks_assets.quant.backtest.rules import LegRules
from fks_assets.quant.funding import FUNDING_GRID
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import month_of, month_window
from fks_assets.resources.stores import Stores
from fks_assets.stores.funding import StoredRate, funding_hash, read_funding
from fks_assets.stores.lineage import InputRef

NO_RATES = Funding(FUNDING_GRID.milliseconds, np.empty(0, np.int64), np.empty(0))
"""Of no funding that falls due the rate is known."""


def owes_funding(rules: LegRules) -> bool:
    """Return whether positions by these rules are those of perpetual markets: short ones, or with leverage."""
    return rules.short or rules.leverage != 1


def stored_funding(
    stores: Stores, markets: Sequence[Market], start_ms: int, end_ms: int
) -> Mapping[Market, tuple[Funding, list[InputRef]]]:
    """Return the stored rates of the months of [start_ms, end_ms) as a backtest charges them, and what was read of each month."""
    first, last = month_window(month_of(start_ms))[0], month_window(month_of(end_ms - 1))[1]
    stored = read_funding(stores.database, markets, first, last)
    return {market: (funding_of(rates), _refs(market, rates)) for market, rates in stored.items()}


def funding_of(rates: Sequence[StoredRate]) -> Funding:
    """Return rates in ascending order as a backtest charges them."""
    times = np.array([each.rate.time_ms for each in rates], np.int64)
    return Funding(FUNDING_GRID.milliseconds, times, np.array([float(each.rate.rate) for each in rates], np.float64))


def _refs(market: Market, rates: Iterable[StoredRate]) -> list[InputRef]:
    months = groupby(rates, key=lambda each: month_of(each.rate.time_ms))
    return [InputRef(ASSET, partition_key(market, month), funding_hash(list(held))) for month, held in months]
