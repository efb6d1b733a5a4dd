"""Every PartitionsDefinition of the desk."""

from datetime import UTC, datetime

import dagster as dg

from fks_assets.clock import MILLISECONDS_PER_DAY, to_datetime, to_ms
from fks_assets.quant.markets import Market, parse_market
from fks_assets.settings import Settings

# Jobs whose partitions are UTC days: a run without a partition is of today.
DAY_JOBS = frozenset({"rules"})


def market_month_partitions(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Return market × UTC month, the open month included; keys read `BTC-USDT@binance|2026-11`."""
    return dg.MultiPartitionsDefinition(
        {
            "market": dg.StaticPartitionsDefinition([market.key for market in settings.market_list()]),
            "month": dg.TimeWindowPartitionsDefinition(
                start=settings.first_month, fmt="%Y-%m", cron_schedule="0 0 1 * *", timezone="UTC", end_offset=1
            ),
        }
    )


def day_partitions(settings: Settings) -> dg.TimeWindowPartitionsDefinition:
    """Return UTC days since the desk's first month, today included; keys read `2026-11-21`."""
    return dg.DailyPartitionsDefinition(start_date=f"{settings.first_month}-01", timezone="UTC", end_offset=1)


def day_of(timestamp_ms: int) -> str:
    """Return the key of the UTC day that contains the timestamp."""
    return to_datetime(timestamp_ms).date().isoformat()


def day_window(day: str) -> tuple[int, int]:
    """Return (start, end) of a UTC day in milliseconds, end excluded."""
    start_ms = to_ms(datetime.fromisoformat(day).replace(tzinfo=UTC))
    return start_ms, start_ms + MILLISECONDS_PER_DAY


def partition_key(market: Market, month: str) -> str:
    return f"{market.key}|{month}"


def split_partition_key(key: str) -> tuple[Market, str]:
    """Return the market and month of a partition key."""
    market, month = key.split("|")
    return parse_market(market), month
