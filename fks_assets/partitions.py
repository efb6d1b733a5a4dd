"""Every PartitionsDefinition of the desk."""

from datetime import UTC, datetime

import dagster as dg

from fks_assets.clock import MILLISECONDS_PER_DAY, to_datetime, to_ms
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.report_periods import Period, ReportType, newest_period, period_at
from fks_assets.quant.strategies.registry import STRATEGIES, known_strategies
from fks_assets.quant.timeframes import month_of, month_window
from fks_assets.settings import Settings

# Jobs whose partitions are UTC days: a run without a partition is of today.
DAY_JOBS = frozenset({"rules", "daily_universe", "parameters", "validation", "backtest_accounts", "ideas"})
# Jobs whose partitions are UTC day × strategy: a run without a partition is of today and every strategy.
STRATEGY_DAY_JOBS = frozenset({"backtest"})
# Likewise, of the day before: they look at a day that is over.
STRATEGY_YESTERDAY_JOBS = frozenset({"differences"})
# Jobs whose partitions are UTC months that have ended × strategy: a run without a partition is of the last one, every strategy.
STRATEGY_MONTH_JOBS = frozenset({"walk_forward_windows"})

# The job of the funding rates: markets × months, of which a run without a partition takes those that are behind.
FUNDING_JOB = "funding"

# Jobs whose partitions are accounts: a run without a partition is of all of them.
ACCOUNT_JOBS = frozenset({"trading", "order_monitor", "position_marks", "account_balances", "account_risk"})

# Jobs whose partitions are accounts × periods: a run without a partition is of all accounts, in what is over last.
REPORT_JOBS = {
    "daily_reports": ReportType.DAILY,
    "weekly_reports": ReportType.WEEKLY,
    "monthly_reports": ReportType.MONTHLY,
}


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


def strategy_day_partitions(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Return UTC day × strategy, for every strategy that the desk knows; keys read `2026-11-21|breakout`."""
    return dg.MultiPartitionsDefinition(
        {"day": day_partitions(settings), "strategy": dg.StaticPartitionsDefinition(_strategy_keys())}
    )


def _strategy_keys() -> list[str]:
    """Return every strategy that the desk knows, the user's between the shipped ones.

    A range from the first to the last is so of all of them, whatever files came and went between asking for a run and its start.
    """
    first, *others = STRATEGIES
    return [first, *(name for name in known_strategies() if name not in STRATEGIES), *others]


def account_partitions(settings: Settings) -> dg.StaticPartitionsDefinition:
    """Return the accounts of the settings; keys are their names."""
    return dg.StaticPartitionsDefinition(list(settings.accounts))


def account_range(settings: Settings) -> dict[str, str]:
    """Return the tags that make one run cover every account, none for a desk without accounts."""
    names = list(settings.accounts)
    if not names:
        return {}
    return {"dagster/asset_partition_range_start": names[0], "dagster/asset_partition_range_end": names[-1]}


def account_period_partitions(settings: Settings, kind: ReportType) -> dg.MultiPartitionsDefinition:
    """Return account × UTC day (today too), ISO week by its Monday, or month; keys read `main|2026-11-21`, `main|2026-11`.

    Weeks and months are those that are over. They begin before the desk's first month, so that its first week is there.
    """
    first = last_month(month_window(settings.first_month)[0])
    periods: dict[ReportType, tuple[str, dg.TimeWindowPartitionsDefinition]] = {
        ReportType.DAILY: ("day", dg.DailyPartitionsDefinition(start_date=f"{first}-01", timezone="UTC", end_offset=1)),
        ReportType.WEEKLY: ("week", dg.WeeklyPartitionsDefinition(start_date=f"{first}-01", timezone="UTC", day_offset=1)),
        ReportType.MONTHLY: ("month", dg.MonthlyPartitionsDefinition(start_date=first, fmt="%Y-%m", timezone="UTC")),
    }
    name, definition = periods[kind]
    return dg.MultiPartitionsDefinition({"account": account_partitions(settings), name: definition})


def account_period_range(settings: Settings, first: Period, last: Period) -> dict[str, str]:
    """Return the tags that make one run cover every account in all periods from the first to the last; none without accounts."""
    names = list(settings.accounts)
    if not names:
        return {}
    return {
        "dagster/asset_partition_range_start": f"{names[0]}|{first.key}",
        "dagster/asset_partition_range_end": f"{names[-1]}|{last.key}",
    }


def report_range(settings: Settings, kind: ReportType, now_ms: int) -> dict[str, str]:
    """Return the tags of a run over every account in the newest period that can be reported on.

    Of days it is the newest two: a day is reported on before it is over, and is completed on the next one.
    """
    newest = newest_period(kind, now_ms)
    first = period_at(kind, newest.start - 1) if kind is ReportType.DAILY else newest
    return account_period_range(settings, first, newest)


def strategy_day_range(day: str, last_day: str | None = None) -> dict[str, str]:
    """Return the tags that make one run cover every strategy on a day, or on all days up to a last one."""
    first, *_, last = _strategy_keys()
    return {
        "dagster/asset_partition_range_start": f"{day}|{first}",
        "dagster/asset_partition_range_end": f"{last_day or day}|{last}",
    }


def strategy_month_partitions(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Return UTC month × strategy, the open month left out, for every strategy of the desk; keys read `2026-11|breakout`."""
    return dg.MultiPartitionsDefinition(
        {
            "month": dg.TimeWindowPartitionsDefinition(
                start=settings.first_month, fmt="%Y-%m", cron_schedule="0 0 1 * *", timezone="UTC"
            ),
            "strategy": dg.StaticPartitionsDefinition(_strategy_keys()),
        }
    )


def strategy_month_range(month: str) -> dict[str, str]:
    """Return the tags that make one run cover every strategy in a month."""
    return strategy_day_range(month)


def last_month(timestamp_ms: int) -> str:
    """Return the key of the last UTC month that has ended by then."""
    return month_of(month_window(month_of(timestamp_ms))[0] - 1)


def tags_of_today(job: str, day: str) -> dict[str, str]:
    """Return the tags of a run of the job on a day, today; none for a job whose partitions are not of days or past months."""
    if job in STRATEGY_DAY_JOBS:
        return strategy_day_range(day)
    if job in STRATEGY_MONTH_JOBS:
        return strategy_month_range(last_month(day_window(day)[0]))
    if job in STRATEGY_YESTERDAY_JOBS:
        return strategy_day_range(day_before(day))
    return {"dagster/partition": day} if job in DAY_JOBS else {}


def day_of(timestamp_ms: int) -> str:
    """Return the key of the UTC day that contains the timestamp."""
    return to_datetime(timestamp_ms).date().isoformat()


def day_before(day: str) -> str:
    """Return the key of the UTC day before one."""
    return day_of(day_window(day)[0] - 1)


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
