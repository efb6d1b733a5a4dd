"""Start runs of the running desk: what is behind, as the schedules would, or the partitions that a person names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fks_assets.clock import now_ms, to_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.report_periods import ReportType, period_of
from fks_assets.quant.strategies.registry import known_strategies
from fks_assets.quant.timeframes import month_of, month_window
from fks_assets.settings import Settings
from fks_assets.supervisor.graphql import DeskApi, LaunchedRun

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
SCHEDULE_NAME = "dagster/schedule_name"
SENSOR_NAME = "dagster/sensor_name"
MARKET_MONTH, DAY, DAY_STRATEGY, MONTH_STRATEGY = "MARKET|YYYY-MM", "YYYY-MM-DD", "YYYY-MM-DD|STRATEGY", "YYYY-MM|STRATEGY"
ACCOUNT, ACCOUNT_DAY, ACCOUNT_MONTH = "ACCOUNT", "ACCOUNT|YYYY-MM-DD", "ACCOUNT|YYYY-MM"
_DAY, _MONTH, _NAME = r"\d{4}-\d{2}-\d{2}", r"\d{4}-\d{2}", r"[a-z][a-z0-9_]*"
# Accounts are known by their names.
_FORMS = {
    MARKET_MONTH: re.compile(rf"[^|]+@[^|]+\|{_MONTH}"),
    DAY: re.compile(_DAY),
    DAY_STRATEGY: re.compile(rf"{_DAY}\|{_NAME}"),
    MONTH_STRATEGY: re.compile(rf"{_MONTH}\|{_NAME}"),
    ACCOUNT_DAY: re.compile(rf"{_NAME}\|{_DAY}"),
    ACCOUNT_MONTH: re.compile(rf"{_NAME}\|{_MONTH}"),
}


@dataclass(frozen=True, slots=True)
class PartitionRange:
    """Every market from the first to the last (in the order of the settings) times every month from the first to the last."""

    first: str
    last: str

    @property
    def tags(self) -> dict[str, str]:
        return {RANGE_START: self.first, RANGE_END: self.last}


def partition_range(settings: Settings, markets: Sequence[Market], months: Sequence[str]) -> PartitionRange:
    return PartitionRange(f"{markets[0].key}|{min(months)}", f"{markets[-1].key}|{max(months)}")


def asked_range(settings: Settings, job: str, partition: str | None, market: Market | None, month: str | None) -> PartitionRange:
    """Return the partitions of a job that a person named: by a key, or by a market and a month (None: every one, the open one).

    Raises InvalidInput for a key that the desk does not have, and for one of another form than the job's.
    """
    if partition is not None:
        _require_key(settings, job, partition)
        return PartitionRange(partition, partition)
    _require_form(job, MARKET_MONTH, "what --market and --month name")
    markets, month = settings.market_list(), month or month_of(now_ms())
    if market is not None:
        _require_market(settings, market)
        markets = [market]
    _require_month(settings, month)
    return partition_range(settings, markets, [month])


def _require_key(settings: Settings, job: str, key: str) -> None:
    from fks_assets.partitions import REPORT_JOBS

    form = _form_of(settings, key)
    if form is None:
        example = f"{settings.market_list()[0].key}|{month_of(now_ms())}"
        raise InvalidInput(f"partition {key!r} is of none of the forms {', '.join(_FORMS)}, such as {example}, and no account")
    _require_form(job, form, f"partition {key!r}")
    first, _, second = key.partition("|")
    if form == MARKET_MONTH:
        _require_market(settings, parse_market(first))
        _require_month(settings, second)
    elif form in (ACCOUNT_DAY, ACCOUNT_MONTH):
        usual = ReportType.DAILY if form == ACCOUNT_DAY else ReportType.MONTHLY
        _require_report(settings, REPORT_JOBS.get(job, usual), first, second)
    elif form != ACCOUNT:
        _require_month(settings, first[:7], has_ended=form == MONTH_STRATEGY)
        if form != MONTH_STRATEGY:
            _require_day(first)
        if second and second not in known_strategies():
            raise InvalidInput(f"strategy {second!r} is not on this desk; it has {', '.join(known_strategies())}")


def _require_report(settings: Settings, kind: ReportType, account: str, key: str) -> None:
    """Raise InvalidInput for an account that the desk does not have, and for a period that it has not or that is not over."""
    from fks_assets.desk.floor import account_rules

    account_rules(settings, account)
    period = period_of(kind, key)
    _require_month(settings, month_of(period.start))
    period.through(now_ms())


def _require_form(job: str, form: str, what: str) -> None:
    """Raise InvalidInput where the job is known to have keys of another form."""
    wanted = _forms_of_jobs().get(job)
    if wanted not in (None, form):
        raise InvalidInput(f"{what} is of the form {form}, those of job {job!r} are {wanted}")


def _form_of(settings: Settings, key: str) -> str | None:
    if key in settings.accounts:
        return ACCOUNT
    return next((form for form, pattern in _FORMS.items() if pattern.fullmatch(key)), None)


def _forms_of_jobs() -> dict[str, str]:
    """Return the form of the keys of each job of which it is known."""
    from fks_assets import partitions
    from fks_assets.assets.schedules import TICKS

    jobs = {
        MARKET_MONTH: [*(tick.job for tick in TICKS), partitions.FUNDING_JOB],
        DAY: partitions.DAY_JOBS,
        DAY_STRATEGY: partitions.STRATEGY_DAY_JOBS | partitions.STRATEGY_YESTERDAY_JOBS,
        MONTH_STRATEGY: partitions.STRATEGY_MONTH_JOBS,
        ACCOUNT: partitions.ACCOUNT_JOBS,
        ACCOUNT_DAY: [job for job, kind in partitions.REPORT_JOBS.items() if kind is not ReportType.MONTHLY],
        ACCOUNT_MONTH: [job for job, kind in partitions.REPORT_JOBS.items() if kind is ReportType.MONTHLY],
    }
    return {job: form for form, names in jobs.items() for job in names}


def _require_market(settings: Settings, market: Market) -> None:
    markets = settings.market_list()
    if market not in markets:
        raise InvalidInput(f"market {market.key!r} is not on this desk; it has {', '.join(each.key for each in markets)}")


def _require_month(settings: Settings, month: str, *, has_ended: bool = False) -> None:
    start, end = month_window(month)
    if start < month_window(settings.first_month)[0] or (end if has_ended else start) > now_ms():
        last = month_of(month_window(month_of(now_ms()))[0] - 1) if has_ended else month_of(now_ms())
        raise InvalidInput(f"month {month!r} is not on this desk; it has {settings.first_month} to {last}")


def _require_day(day: str) -> None:
    try:
        start = to_ms(datetime.fromisoformat(day).replace(tzinfo=UTC))
    except ValueError:
        raise InvalidInput(f"{day!r} is no day") from None
    if start > now_ms():
        raise InvalidInput(f"day {day} has not come yet")


def launch_behind(api: DeskApi, stores: "Stores", job: str, lane: Mapping[str, str] | None = None) -> LaunchedRun | None:
    """Launch now what the job's schedule would launch; None when nothing is behind.

    A job without partitions is launched as it is, one of days for today, one of accounts for all of them, and waits for the other
    runs of `lane` (a run tag) if that is given. Raises InvalidInput for an unknown job.
    """
    from fks_assets.assets.schedules import TICKS, behind_request, range_tags
    from fks_assets.partitions import ACCOUNT_JOBS, FUNDING_JOB, REPORT_JOBS, account_range, day_of, report_range, tags_of_today

    if job == FUNDING_JOB:
        from fks_assets.assets.market_data.funding import months_behind

        late = months_behind(stores)
        return None if late is None else api.launch(job, {**range_tags(stores, late), SCHEDULE_NAME: f"{job}_schedule"})
    tick = next((tick for tick in TICKS if tick.job == job), None)
    if tick is None:
        if job in REPORT_JOBS:
            own = report_range(stores.settings, REPORT_JOBS[job], now_ms())
        else:
            own = account_range(stores.settings) if job in ACCOUNT_JOBS else tags_of_today(job, day_of(now_ms()))
        return api.launch(job, {**own, **(lane or {})})
    request = behind_request(stores, tick.prefixes)
    if request is None:
        return None
    months, assets = request
    return api.launch(job, {**range_tags(stores, months), SCHEDULE_NAME: f"{job}_schedule"}, assets)


def launch_partitions(api: DeskApi, job: str, partitions: PartitionRange) -> LaunchedRun:
    """Launch the job on the named partitions, as a person would from the web UI."""
    return api.launch(job, partitions.tags)
