"""When the schedules keep candles complete: how far back, and while a market trades."""

from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms, to_ms
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range
from fks_assets.quant.timeframes import Timeframe, month_window
from fks_assets.settings import Settings

_EARLIEST_MS, _LATEST_MS = 0, 253_402_300_800_000


def history_start(settings: Settings, timeframe: Timeframe) -> int:
    """Return the UTC midnight, in milliseconds, from which the schedules keep this timeframe complete."""
    days_back = now_ms() - settings.history_days[timeframe.name] * MILLISECONDS_PER_DAY
    return max(days_back - days_back % MILLISECONDS_PER_DAY, month_window(settings.first_month)[0])


def trading_time(settings: Settings, market: Market, timeframe: Timeframe) -> Range:
    """Return [start, end) of the candles that a market may have, by `listed` and `delisted` of the settings."""
    known = settings.market_settings(market) if settings.is_desk_market(market) else None
    listed, delisted = (None, None) if known is None else (known.listed, known.delisted)
    return (
        _EARLIEST_MS if listed is None else timeframe.floor(to_ms(listed)),
        timeframe.floor(_LATEST_MS if delisted is None else to_ms(delisted)),
    )
