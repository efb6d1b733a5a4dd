"""The proof that stops are watched: how much of the time a position was checked as it has to be. Pure, but for `coverage`.

A position is covered at a moment when it was checked, on a price that counts, or opened, within the time allowed before it.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from fks_assets.stores.database import Database
from fks_assets.stores.guard import HOUR_MS, Hour, StopCheck, read_guarded, read_hours


@dataclass(frozen=True, slots=True)
class Coverage:
    """For how long positions were open, and watched, in milliseconds of each position."""

    covered_ms: int
    uncovered_ms: int

    @property
    def percent(self) -> float | None:
        """The share of the time that was covered, None when nothing was open."""
        total = self.covered_ms + self.uncovered_ms
        return 100 * self.covered_ms / total if total else None


def count_time(check: StopCheck, now_ms: int, within_ms: float) -> tuple[StopCheck, list[Hour]]:
    """Return the check with its time counted up to now, and the hours that have ended by then.

    Whole hours in which nobody looked are one, so that a guard that was away for a year has little to write.
    """
    hours: list[Hour] = []
    covered_to = _last(check) + int(within_ms)
    at, covered, uncovered = check.accounted_to, check.covered_ms, check.uncovered_ms
    while at < now_ms:
        hour = at - at % HOUR_MS
        if at == hour >= covered_to and now_ms - at >= HOUR_MS:
            at = now_ms - now_ms % HOUR_MS
            hours.append(Hour(check.deal_id, hour, 0, at - hour))
            continue
        end = min(now_ms, hour + HOUR_MS)
        good = max(0, min(end, covered_to) - at)
        covered, uncovered = covered + good, uncovered + end - at - good
        if end == hour + HOUR_MS:
            hours.append(Hour(check.deal_id, hour, covered, uncovered))
            covered = uncovered = 0
        at = end
    return replace(check, accounted_to=max(at, now_ms), covered_ms=covered, uncovered_ms=uncovered), hours


def checked(check: StopCheck, now_ms: int, price: Decimal, price_at: int) -> StopCheck:
    """Return the check after one on a price that counts."""
    return replace(check, checked_at=now_ms, price=price, price_at=price_at)


def last_hour(check: StopCheck) -> list[Hour]:
    """Return what is counted of the running hour, for a position that is over."""
    hour = check.accounted_to - check.accounted_to % HOUR_MS
    some = check.covered_ms or check.uncovered_ms
    return [Hour(check.deal_id, hour, check.covered_ms, check.uncovered_ms)] if some else []


def not_ahead(check: StopCheck, now_ms: int) -> StopCheck:
    """Return the check without a time that has not come yet: since it was written the clock has gone back.

    Nobody knows how long ago that was, so all of it counts from now on; what is accounted for is not counted twice.
    """
    times = {name: getattr(check, name) for name in ("since", "checked_at", "event_at", "confirmed_at", "breached_at")}
    ahead = {name: now_ms for name, at in times.items() if at is not None and at > now_ms}
    return replace(check, **ahead) if ahead else check


def is_watched(check: StopCheck, now_ms: int, within_ms: float) -> bool:
    """Return whether a position was checked in time. A check that is ahead of the clock by as much proves nothing."""
    return abs(unwatched_for(check, now_ms)) <= within_ms


def unwatched_for(check: StopCheck, now_ms: int) -> int:
    """Return for how long (ms) a position has gone without a check on a price that counts."""
    return now_ms - _last(check)


def coverage(
    database: Database, start_ms: int, end_ms: int, *, now_ms: int, within_ms: float, account: str | None = None
) -> Coverage:
    """Return for how long the positions of an account, or of all, were watched in the hours that begin in [start_ms, end_ms).

    Time since the guard last wrote counts as it is: covered as long as the last check holds.
    """
    with database.transaction() as connection:
        hours = read_hours(connection, start_ms, end_ms, account)
        running = [each.check for each in read_guarded(connection) if account in (None, each.account)]
    for check in running:
        counted, ended = count_time(check, now_ms, within_ms)
        found = (hour.begun_in(start_ms, end_ms) for hour in (*ended, *last_hour(counted)))
        hours += [hour for hour in found if hour is not None]
    return Coverage(sum(hour.covered_ms for hour in hours), sum(hour.uncovered_ms for hour in hours))


def _last(check: StopCheck) -> int:
    return check.since if check.checked_at is None else check.checked_at
