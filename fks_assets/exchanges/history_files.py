"""Names of the files in which exchanges offer the candles that their API no longer gives."""

from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe


def required_csv_file(market: Market, timeframe: Timeframe) -> str:
    """Return the name of Kraken's OHLCVT file of a market, for example XBTUSD_60.csv."""
    pair = DIALECTS["kraken"].pair_id(f"{market.base}/{market.quote}")
    return f"{pair}_{timeframe.seconds // 60}.csv"
