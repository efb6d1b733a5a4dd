"""Ask another exchange whether it saw the same spike."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from fks_assets.errors import ExchangeError, TradingError
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.quant.candles import Candles, Fault, QuarantinedRow
from fks_assets.quant.markets import Market
from fks_assets.quant.quality import confirm_spikes
from fks_assets.quant.ranges import joined
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.stores.quarantine import UNREMARKABLE, read_quarantined

_LOG = logging.getLogger(__name__)


def show_too(
    stores: Stores, market_data: MarketData, timeframe: Timeframe, spikes: Mapping[Market, Sequence[QuarantinedRow]]
) -> dict[Market, frozenset[int]]:
    """Return the open times of those spikes that `quality.spike_exchange` shows too; without one, or if it cannot say, of none.

    Spikes that have been settled for good are not asked about again.
    """
    quality = stores.settings.quality
    name = quality.spike_exchange
    if name is None or timeframe.name not in DIALECTS[stores.settings.exchanges[name].dialect].timeframes:
        return {}
    from fks_assets.exchanges.download import CandleRequest

    settled = {
        (entry.market, entry.row.open_time, entry.row.values)
        for entry in read_quarantined(stores.database, list(spikes), [timeframe], kinds=[Fault.SPIKE], resolved=True)
        if entry.resolution not in (None, UNREMARKABLE)
    }
    asked = {
        market: [row for row in rows if (market, row.open_time, row.values) not in settled] for market, rows in spikes.items()
    }
    step = timeframe.milliseconds
    requests = {
        CandleRequest(market, market.ccxt_symbol, timeframe, start, end): market
        for market, rows in asked.items()
        for start, end in joined((row.open_time, row.open_time + step) for row in rows)
    }
    if not requests:
        return {}
    shown: dict[Market, set[int]] = {}
    try:
        answers = market_data.download(list(requests), exchange=name)
    except TradingError as error:
        _LOG.warning("%s could not be asked about spikes: %s", name, error)
        return {}
    for request, answer in answers.items():
        if isinstance(answer, ExchangeError):
            _LOG.warning("%s could not be asked about a spike of %s %s: %s", name, request.market, timeframe, answer)
            continue
        candles = _candles(asked[request.market])
        confirmed = confirm_spikes(candles, np.ones(len(candles), np.bool_), answer.candles, quality.spike_tolerance)
        shown.setdefault(request.market, set()).update(candles.open_time[confirmed].tolist())
    return {market: frozenset(times) for market, times in shown.items()}


def _candles(rows: Sequence[QuarantinedRow]) -> Candles:
    values = np.array([row.values for row in rows], np.float64)
    return Candles(np.array([row.open_time for row in rows], np.int64), *(values[:, column] for column in range(values.shape[1])))
