"""How far back the schedules keep candles complete."""

from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms
from fks_assets.quant.timeframes import Timeframe, month_window
from fks_assets.settings import Settings


def history_start(settings: Settings, timeframe: Timeframe) -> int:
    """Return the UTC midnight, in milliseconds, from which the schedules keep this timeframe complete."""
    days_back = now_ms() - settings.history_days[timeframe.name] * MILLISECONDS_PER_DAY
    return max(days_back - days_back % MILLISECONDS_PER_DAY, month_window(settings.first_month)[0])
