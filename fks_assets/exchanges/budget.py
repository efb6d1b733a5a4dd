"""One request budget for each exchange and network address, shared by every process through the database.

The budget is a token bucket in one row of `rate_budgets`, moved by one SQL statement with the database's clock. A call takes its
weight out; when the bucket is empty the first caller of each process goes into debt, in the order of the statements, and waits
until the debt is paid: so no process overtakes another for ever. A ban ends all of it: nobody gets a token before it is over.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import Engine, Row, TextClause, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from fks_assets.errors import RateLimited, StoreError
from fks_assets.exchanges.dialects import RequestLimit
from fks_assets.exchanges.profile import ExchangeProfile

RESERVED_SHARE = 0.1
_BATCH = 256
_LONGEST_NAP = 1.0
_LONGEST_DEBT_SECONDS = 10.0
_DATABASE_TRIES = 3

# `synchronous_commit` is off for this statement alone: a spent token may be lost in a crash, a ban may not.
_TAKE = text("""
WITH found AS MATERIALIZED (
    SELECT tokens, refilled_at, blocked_until, reason FROM rate_budgets
    WHERE exchange = :exchange AND address = :address AND set_config('synchronous_commit', 'off', true) = 'off' FOR UPDATE
),
timed AS MATERIALIZED (SELECT found.*, clock_timestamp() AS moment FROM found),
filled AS MATERIALIZED (
    SELECT reason, GREATEST(0, EXTRACT(EPOCH FROM blocked_until - moment)) AS blocked,
        LEAST(:burst, tokens + GREATEST(0, EXTRACT(EPOCH FROM moment - refilled_at)) * :per_second, :ceiling) AS available,
        CASE WHEN blocked_until > moment THEN refilled_at ELSE moment END AS refilled
    FROM timed
),
granted AS MATERIALIZED (
    SELECT filled.*, available - :floor AS usable, CASE
        WHEN blocked > 0 THEN 0
        WHEN available - :floor >= :all THEN :all
        WHEN available - :floor >= :first - :longest_debt THEN :first
        ELSE 0 END AS weight
    FROM filled
)
UPDATE rate_budgets SET tokens = available - weight, refilled_at = refilled FROM granted
WHERE exchange = :exchange AND address = :address
RETURNING weight, usable, COALESCE(blocked, 0), granted.reason
""")

_CREATE = text("""
INSERT INTO rate_budgets (exchange, address, tokens, refilled_at) VALUES (:exchange, :address, :burst, clock_timestamp())
ON CONFLICT (exchange, address) DO NOTHING
""")

# When the ban is over the bucket holds its reserve and nothing more.
_BLOCK = text("""
UPDATE rate_budgets SET
    blocked_until = GREATEST(blocked_until, clock_timestamp() + make_interval(secs => :seconds)),
    refilled_at = GREATEST(blocked_until, clock_timestamp() + make_interval(secs => :seconds)),
    tokens = LEAST(tokens, :reserve),
    reason = CASE WHEN blocked_until > clock_timestamp() + make_interval(secs => :seconds) THEN reason ELSE :reason END
WHERE exchange = :exchange AND address = :address
""")


class RateBudget(Protocol):
    """What the gateway asks before every request, and tells after."""

    async def acquire(self, weight: int, patience: float, *, urgent: bool = False) -> None:
        """Return when a request of this weight may be sent; raise RateLimited when that is more than `patience` seconds away."""

    async def block(self, seconds: float, reason: str) -> None:
        """Let nobody send a request for this many seconds."""

    async def report_used(self, weight: int, seconds_left: float) -> None:
        """Note that by the exchange's own count this weight is used up in its minute, which ends in `seconds_left`."""


@dataclass(slots=True, eq=False)
class _Waiter:
    weight: int
    give_up_at: float
    admitted: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Grant:
    weight: float
    available: float
    blocked: float
    reason: str


@dataclass(slots=True, eq=False)
class _Lane:
    floor: float
    waiting: dict[_Waiter, None] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class DatabaseBudget:
    """The shared budget of one exchange and address. Usable from any event loop, one at a time.

    The last tenth of the bucket is kept for urgent calls.
    """

    def __init__(self, engine: Engine, exchange: str, address: str, limit: RequestLimit) -> None:
        self._engine = engine
        self._exchange = exchange
        self._limit = limit
        self._row = {"exchange": exchange, "address": address}
        self._ceiling = float("inf")
        self._reserve = limit.burst * RESERVED_SHARE
        self._lanes = {False: _Lane(floor=self._reserve), True: _Lane(floor=0.0)}
        self._blocked_until = 0.0
        self._reason = ""

    @classmethod
    def for_profile(cls, engine: Engine, profile: ExchangeProfile) -> "DatabaseBudget":
        """Return the budget that all processes with this profile's exchange and address share."""
        return cls(engine, profile.name, profile.address, profile.api.limit)

    async def acquire(self, weight: int, patience: float, *, urgent: bool = False) -> None:
        """Return when a request of this weight may be sent, first come, first served within this process.

        Raises RateLimited when a ban or the queue lasts longer than `patience` seconds, StoreError when the database fails.
        """
        lane = self._lanes[urgent]
        if weight > self._limit.burst - lane.floor:
            raise ValueError(f"a weight of {weight} can never be granted: the bucket holds {self._limit.burst - lane.floor:g}")
        if self._blocked_for() > patience:
            raise self._refusal(self._blocked_for())
        waiter = _Waiter(weight, time.monotonic() + patience, asyncio.get_running_loop().create_future())
        lane.waiting[waiter] = None
        if lane.task is None or lane.task.done():
            lane.task = asyncio.create_task(self._serve(lane))
            lane.task.add_done_callback(partial(_pass_on_failure, lane))
        try:
            async with asyncio.timeout(patience):
                await waiter.admitted
        except TimeoutError:
            raise self._refusal(max(self._blocked_for(), weight / self._limit.per_second)) from None
        finally:
            lane.waiting.pop(waiter, None)

    async def block(self, seconds: float, reason: str) -> None:
        """Let no process send a request for this many seconds; a longer ban already there stays."""
        self._note_block(seconds, reason)
        values = {**self._row, "seconds": seconds, "reason": reason[:500], "reserve": self._reserve}
        await asyncio.to_thread(self._execute, _BLOCK, values)

    async def report_used(self, weight: int, seconds_left: float) -> None:
        """Lower the bucket to what the exchange itself says is left; stop until its minute is over when that is nothing."""
        left = self._limit.usable - weight
        self._ceiling = min(self._ceiling, left)
        if left <= 0:
            await self.block(seconds_left, f"{weight} of the {self._limit.weight_per_minute} weight of this minute is used")

    async def _serve(self, lane: _Lane) -> None:
        paid: _Waiter | None = None
        while lane.waiting:
            batch = [waiter for waiter in islice(lane.waiting, _BATCH) if waiter is not paid and not waiter.admitted.done()]
            ceiling, self._ceiling = self._ceiling, float("inf")
            grant = await asyncio.to_thread(self._take, lane.floor, [waiter.weight for waiter in batch], ceiling)
            self._note_block(grant.blocked, grant.reason)
            if (blocked := self._blocked_for()) > 0:
                self._refuse_impatient(blocked)
                await asyncio.sleep(min(blocked, _LONGEST_NAP))
                continue
            if paid is not None:
                _admit(lane, paid)
                paid = None
            admitted = list(_covered(batch, grant.weight))
            debt = grant.weight - grant.available
            if admitted and debt > 0:
                paid = admitted[0]
                await asyncio.sleep(debt / self._limit.per_second)
            elif admitted:
                for waiter in admitted:
                    _admit(lane, waiter)
            elif batch:
                await asyncio.sleep(min((batch[0].weight - grant.available) / self._limit.per_second, _LONGEST_NAP))

    def _refuse_impatient(self, wait: float) -> None:
        ready_at = time.monotonic() + wait
        for lane in self._lanes.values():
            for waiter in lane.waiting:
                if waiter.give_up_at < ready_at and not waiter.admitted.done():
                    waiter.admitted.set_exception(self._refusal(wait))

    def _blocked_for(self) -> float:
        return max(0.0, self._blocked_until - time.monotonic())

    def _refusal(self, wait: float) -> RateLimited:
        reason = f": {self._reason}" if self._blocked_for() > 0 and self._reason else ""
        message = f"{self._exchange} may not be called for another {wait:.1f} s{reason}"
        return RateLimited(message, exchange=self._exchange, retry_after=wait)

    def _note_block(self, seconds: float, reason: str) -> None:
        until = time.monotonic() + seconds
        if until > self._blocked_until:
            self._blocked_until, self._reason = until, reason

    def _take(self, floor: float, weights: Sequence[int], ceiling: float) -> _Grant:
        values = {
            **self._row,
            "burst": self._limit.burst,
            "per_second": self._limit.per_second,
            "ceiling": ceiling,
            "floor": floor,
            "all": float(sum(weights)),
            "first": float(sum(weights[:1])),
            "longest_debt": _LONGEST_DEBT_SECONDS * self._limit.per_second,
        }
        row = self._execute(_TAKE, values)
        if row is None:
            self._execute(_CREATE, {**self._row, "burst": self._limit.burst})
            row = self._execute(_TAKE, values)
        if row is None:
            raise StoreError(f"the request budget of {self._exchange} vanished from the table rate_budgets")
        weight, available, blocked, reason = row
        return _Grant(float(weight), float(available), float(blocked), str(reason or ""))

    def _execute(self, statement: TextClause, values: dict[str, Any]) -> Row[Any] | None:
        tries = 1
        while True:
            try:
                with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    result = connection.execute(statement, values)
                    return result.one_or_none() if result.returns_rows else None
            except SQLAlchemyError as error:
                if not isinstance(error, OperationalError) or tries == _DATABASE_TRIES:
                    cause = str(getattr(error, "orig", error)).strip().partition("\n")[0]
                    raise StoreError(f"the request budget of {self._exchange} cannot be read or written: {cause}") from error
            time.sleep(0.2 * tries)
            tries += 1


def _pass_on_failure(lane: _Lane, task: asyncio.Task[None]) -> None:
    """Give what ended the lane's task to those who still wait."""
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    for waiter in lane.waiting:
        if error is not None and not waiter.admitted.done():
            waiter.admitted.set_exception(error)


def _admit(lane: _Lane, waiter: _Waiter) -> None:
    lane.waiting.pop(waiter, None)
    if not waiter.admitted.done():
        waiter.admitted.set_result(None)


def _covered(batch: Sequence[_Waiter], weight: float) -> Iterator[_Waiter]:
    """Yield the first waiters whose weights together are granted."""
    for waiter in batch:
        weight -= waiter.weight
        if weight < 0:
            return
        yield waiter
