"""Every PartitionsDefinition of the desk."""

import dagster as dg

from fks_assets.quant.markets import Market, parse_market
from fks_assets.settings import Settings


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


def partition_key(market: Market, month: str) -> str:
    return f"{market.key}|{month}"


def split_partition_key(key: str) -> tuple[Market, str]:
    """Return the market and month of a partition key."""
    market, month = key.split("|")
    return parse_market(market), month
