"""The health of a desk in one answer: processes, ticks and runs of the last day, freshness of the candles."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fks_assets.assets.market_data.history import history_start, trading_time
from fks_assets.clock import iso, now_ms
from fks_assets.errors import TradingError
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.settings import Settings
from fks_assets.supervisor.graphql import Activity, DeskApi
from fks_assets.supervisor.state import DeskState, Phase, read_state

DAY_MS = 86_400_000
LATE_GRACE_MS = 5 * 60_000


@dataclass(frozen=True, slots=True)
class SyncReport:
    """How far the candles of one timeframe are.

    `late`: markets whose newest candle closed more than two timeframes and 5 min ago. `blocked`: those of which a check on the
    candles fails, so that they give no signals, with the reasons.
    """

    timeframe: str
    markets: int
    completed: int
    oldest_newest_open: str | None
    late: list[str]
    errors: dict[str, str]
    blocked: dict[str, str]


@dataclass(slots=True)
class DeskStatus:
    """What `fks status` tells; `problems` is empty exactly when the desk is healthy."""

    home: str
    exchange: str
    simulated: bool
    desk: DeskState | None
    activity: Activity | None = None
    sync: list[SyncReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        return not self.problems

    def document(self) -> dict[str, Any]:
        """Return the JSON document described in docs/cli.md."""
        desk = self.desk
        return {
            "healthy": self.healthy,
            "problems": self.problems,
            "running": desk is not None,
            "phase": None if desk is None else desk.phase,
            "pid": None if desk is None else desk.pid,
            "started_at": None if desk is None else desk.started_at or None,
            "url": None if desk is None else desk.url or None,
            "reports_url": None if desk is None else desk.reports_url,
            "home": self.home,
            "exchange": self.exchange,
            "simulated": self.simulated,
            "simulator_url": None if desk is None else desk.simulator_url,
            "parts": [] if desk is None else [asdict(part) for part in desk.parts],
            "ticks": None if self.activity is None else dict(self.activity.ticks),
            "runs": None if self.activity is None else dict(self.activity.runs),
            "stopped_schedules": [] if self.activity is None else list(self.activity.stopped_schedules),
            "sync": [asdict(report) for report in self.sync],
        }


def read_status(settings: Settings) -> DeskStatus:
    """Return the status now. Never starts anything: the database of a desk that does not run is left alone."""
    desk = read_state(settings.home)
    exchange = settings.exchange if desk is None or not desk.exchange else desk.exchange
    if exchange != settings.exchange:
        settings = settings.model_copy(update={"exchange": exchange})
    status = DeskStatus(str(settings.home), exchange, settings.is_simulated, desk)
    if desk is None:
        status.problems.append("the desk does not run: start it with `fks up`")
        return status
    if desk.phase is Phase.STARTING:
        status.problems.append("the desk is starting")
    status.problems += [
        f"{part.name} is {part.state}{f': {part.detail}' if part.detail else ''} (log: {part.log})"
        for part in desk.parts
        if part.state != "up"
    ]
    if not desk.url or desk.phase is Phase.STARTING:
        return status
    try:
        api = DeskApi(desk.url, 20.0)
        api.job_names()  # raises with the cause when the desk's code does not load
        status.activity = api.activity((now_ms() - DAY_MS) / 1000)
        status.problems += [f"schedule {name} is switched off" for name in status.activity.stopped_schedules]
    except TradingError as error:
        status.problems.append(str(error))
    try:
        status.problems += channel_problems(settings)
        status.sync = sync_reports(settings)
    except TradingError as error:
        status.problems.append(str(error))
    for report in status.sync:
        if report.late:
            status.problems.append(f"{report.timeframe} candles are late: {_some(report.late)}")
        if report.errors:
            market, message = next(iter(report.errors.items()))
            status.problems.append(f"{report.timeframe} sync of {_some(list(report.errors))} failed; {market}: {message}")
        if report.blocked:
            market, message = next(iter(report.blocked.items()))
            status.problems.append(f"{report.timeframe}: no signals of {_some(list(report.blocked))}; {market}: {message}")
    return status


def channel_problems(settings: Settings) -> list[str]:
    """Return, in words, which channels of the settings no message reaches any more."""
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.notification_targets import read_targets

    with Stores(settings).database.transaction() as connection:
        targets = read_targets(connection)
    found = [(name, targets[name]) for name in settings.notifications.channels if name in targets]
    return [f"messages do not reach {name} ({target.shown}): {target.reason}" for name, target in found if target.state == "DEAD"]


def sync_reports(settings: Settings) -> list[SyncReport]:
    """Return how far the candles of each timeframe of the desk are."""
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.market_checks import read_blocked
    from fks_assets.stores.sync_status import SyncState, read_sync

    database, markets, found = Stores(settings).database, settings.market_list(), []
    for timeframe in settings.timeframe_list():
        records = {record.market: record for record in read_sync(database, markets, [timeframe])}
        newest = {market: records[market].newest_open if market in records else None for market in markets}
        known = [time for time in newest.values() if time is not None]
        found.append(
            SyncReport(
                timeframe=timeframe.name,
                markets=len(markets),
                completed=sum(record.state is SyncState.COMPLETED for record in records.values()),
                oldest_newest_open=iso(min(known)) if known else None,
                late=[market.key for market, time in newest.items() if _is_late(settings, market, timeframe, time)],
                errors={
                    market.key: record.error_message or "no message"
                    for market, record in records.items()
                    if record.state is SyncState.ERROR
                },
                blocked={market.key: str(reasons) for market, reasons in read_blocked(database, markets, timeframe).items()},
            )
        )
    return found


def _is_late(settings: Settings, market: Market, timeframe: Timeframe, newest_open: int | None) -> bool:
    """Return whether candles are overdue. A replay, and a market that does not trade now, is not held against today."""
    if settings.is_simulated and settings.simulator.replay is not None:
        return False
    listed, delisted = trading_time(settings, market, timeframe)
    oldest_allowed = min(now_ms() - LATE_GRACE_MS, delisted) - 3 * timeframe.milliseconds
    if oldest_allowed < max(listed, history_start(settings, timeframe)):
        return False
    return newest_open is None or newest_open < oldest_allowed


def show_status(status: DeskStatus) -> None:
    """Print the status for people."""
    from fks_assets.cli.output import print_table

    desk = status.desk
    if desk is not None:
        since = desk.started_at or "just now"
        print(f"{status.home}: {desk.phase} since {since}, process {desk.pid}, exchange {status.exchange}, {desk.url}")
        if desk.reports_url is not None:
            print(f"Reports: {desk.reports_url}")
        rows = [(part.name, part.state, part.pid, part.restarts, part.detail) for part in desk.parts]
        print_table("\nParts", ("part", "state", "pid", "restarts", "why"), rows, "none yet")
    if status.activity is not None:
        ticks, runs = status.activity.ticks, status.activity.runs
        print(
            f"\nLast 24 h: runs {runs['succeeded']} done, {runs['failed']} failed, {runs['active']} under way; "
            f"ticks {ticks['success']} launched, {ticks['skipped']} had nothing to do, {ticks['failure']} failed"
        )
    if status.sync:
        table = [
            (each.timeframe, f"{each.completed} of {each.markets}", each.oldest_newest_open, len(each.late), len(each.errors))
            for each in status.sync
        ]
        print_table("\nCandles", ("timeframe", "synced", "complete to (open time)", "late", "errors"), table)
    print("\nHealthy." if status.healthy else "\n" + "\n".join(f"✗ {problem}" for problem in status.problems))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
