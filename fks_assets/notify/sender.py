"""The sender: takes what waits, says it, and notes what became of it. Several may run; a crash repeats at most one message."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.clock import now_ms
from fks_assets.crashpoints import crashpoint
from fks_assets.errors import TradingError, in_words
from fks_assets.ids import unique_name
from fks_assets.notify import chain
from fks_assets.notify.channel import LEASE_SLACK_MS, Channel
from fks_assets.notify.message import Message, plain, shortened
from fks_assets.notify.outage import Outage
from fks_assets.notify.outcome import Outcome, Result
from fks_assets.redaction import redacted
from fks_assets.settings.notifications import NotificationSettings
from fks_assets.stores import deliveries, notification_targets
from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import Due
from fks_assets.stores.ledger.reconciliations import beat, read_heartbeats

HEARTBEAT = "notify"
HEARTBEAT_MS = 15_000
# A sender whose heartbeat is older, or so far in the future, is gone.
SILENT_MS = 60_000
TICK_SECONDS, PAUSE_SECONDS = 1.0, 0.2
FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS = 1000, 900_000
# So many messages refused in a row: it is not the messages.
MOST_REFUSALS = 3
MOST_WORDS = 500
MOST_SETTLING, SETTLING_SECONDS = 1200, 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """What a sender has taken: deliveries that are said as one message, one digest or one batch, begun by a time (UTC ms)."""

    channel: Channel
    due: tuple[Due, ...]
    send_by_ms: int

    @property
    def ids(self) -> list[int]:
        return [each.id for each in self.due]


class Sender:
    """Delivers what waits in the outbox over the channels of a desk. The clock is in UTC milliseconds."""

    def __init__(
        self,
        database: Database,
        channels: Sequence[Channel],
        rules: NotificationSettings,
        *,
        simulated: bool = False,
        clock: Callable[[], int] = now_ms,
        jitter: random.Random | None = None,
    ) -> None:
        self._database = database
        self._channels = channels
        self._rules = rules
        self._simulated = simulated
        self._clock = clock
        self._jitter = jitter or random.Random(unique_name())  # noqa: S311 (spreads retries, guards nothing)
        self._name = unique_name()
        self._by_target: dict[str, list[Channel]] = {}
        for channel in channels:
            self._by_target.setdefault(channel.target, []).append(channel)
        self._outage = Outage(channels, simulated=simulated, clock=clock)
        # Until when targets want to be left alone, for the one message that is sent without the database.
        self._closed: dict[str, int] = {}
        self._noted_at: int | None = None
        self._stopping = False

    async def run(self, stop: asyncio.Event, looked: Callable[[], None] = lambda: None) -> None:
        """Deliver until told to stop; errors are waited out. What is under way is finished. `looked` is called at each look."""
        tasks: dict[str, asyncio.Task[int]] = {}
        crying: asyncio.Task[None] | None = None
        said = ""
        while not stop.is_set():
            looked()
            try:
                await asyncio.to_thread(self._arrange, True)
                said = ""
                if crying is None or crying.done():
                    self._outage.over()
            except Exception as error:
                # Whatever it is: what is half-way out is finished, and the next look may go well.
                if in_words(error) != said:
                    said = in_words(error)
                    _log.warning("notifications wait: %s", said, exc_info=not isinstance(error, TradingError))
                if crying is None or crying.done():
                    crying = asyncio.create_task(self._cry(said))
            for target in self._by_target:
                if target not in tasks or tasks[target].done():
                    tasks[target] = asyncio.create_task(self._serve_safely(target))
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass
        self._stopping = True
        await asyncio.gather(*tasks.values(), *([] if crying is None else [crying]))

    async def step(self) -> int:
        """Do once what is to be done now: arrange, then send what may be sent; return how many deliveries were tried."""
        await asyncio.to_thread(self._arrange, False)
        done = await asyncio.gather(*(self._serve(target) for target in self._by_target), return_exceptions=True)
        # Only now: what is half-way out to one target must not be broken off by an error at another.
        for each in done:
            if isinstance(each, BaseException):
                raise each
        return sum(each for each in done if isinstance(each, int))

    async def run_for(self, seconds: float, is_done: Callable[[], bool]) -> None:
        """Deliver until `is_done`, at most for some time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            tried = await self.step()
            if await asyncio.to_thread(is_done):
                return
            if not tried:
                await asyncio.sleep(PAUSE_SECONDS)

    async def drain(self, seconds: float) -> int:
        """Deliver until nothing may be sent now, at most for some time; return how many deliveries were tried."""
        until, tried = time.monotonic() + seconds, 0
        while time.monotonic() < until and (now := await self.step()):
            tried += now
        return tried

    def _arrange(self, is_service: bool) -> None:
        """Write deliveries for what is new, hand on what is stuck, escalate what nobody has acknowledged."""
        at = self._clock()
        if self._noted_at is None or not 0 <= at - self._noted_at < HEARTBEAT_MS:
            with self._database.transaction() as connection:
                chain.register(connection, self._channels, at_ms=at)
                if is_service:
                    beat(connection, HEARTBEAT, at_ms=at)
            self._noted_at = at
        with self._database.transaction() as connection:
            chain.route(connection, self._channels, self._rules, at_ms=at)
        with self._database.transaction() as connection:
            chain.hand_on(connection, self._channels, self._rules, self._name, at_ms=at)
            chain.escalate(connection, self._channels, self._rules, at_ms=at)

    async def _cry(self, fault: str) -> None:
        try:
            await self._outage.tell(fault, self._closed)
        except Exception:
            _log.exception("that the database does not answer could not be said")

    async def _serve_safely(self, target: str) -> int:
        try:
            return await self._serve(target)
        except TradingError as error:
            _log.warning("notifications to %s wait: %s", self._by_target[target][0].name, error)
        except Exception:
            _log.exception("notifications to %s wait", self._by_target[target][0].name)
        return 0

    async def _serve(self, target: str) -> int:
        """Send to a target until nothing may or need be sent there now; return how many deliveries were tried."""
        tried = 0
        while not self._stopping and (work := await asyncio.to_thread(self._take, target)) is not None:
            crashpoint("notify.taken")
            if self._clock() > work.send_by_ms:
                # This process stood still; its lease may be over before an answer comes.
                break
            tried += len(work.due)
            outcome = await self._send(work)
            crashpoint("notify.sent")
            await self._settle(work, outcome)
            crashpoint("notify.settled")
            if outcome.result is not Result.DELIVERED:
                break
        return tried

    def _take(self, target: str) -> Work | None:
        channels = {channel.name: channel for channel in self._by_target[target]}
        first = next(iter(channels.values()))
        at = self._clock()
        with self._database.transaction() as connection:
            most = max(first.at_once, self._rules.digest_above + 1)
            found = deliveries.due(connection, list(channels), at_ms=at, most=most)
            if not found:
                return None
            per_minute = min(channel.per_minute for channel in channels.values())
            wait = notification_targets.take_target(
                connection, target, first.host, self._name, at_ms=at, lease_ms=first.lease_ms, per_minute=per_minute
            )
            if wait is not None:
                return None
            failures = notification_targets.failures_of(connection, target)
            mine = [each for each in found if each.channel == found[0].channel]
            chosen = self._chosen(channels[found[0].channel], mine, failures)
            deliveries.lease(connection, [each.id for each in chosen], self._name, until_ms=at + first.lease_ms)
            crashpoint("notify.take.uncommitted")
        return Work(channels[found[0].channel], tuple(chosen), at + LEASE_SLACK_MS // 2)

    def _chosen(self, channel: Channel, found: list[Due], failures: int) -> list[Due]:
        """Return one message, or many: in full where the channel takes many, as a digest when too many wait.

        A digest after failures is half as long for each of them: one message in it may be what the server does not take.
        """
        if channel.takes_many:
            return found
        urgent = sum(each.severity == "URGENT" for each in found)
        if len(found) <= self._rules.digest_above or 0 < urgent <= self._rules.digest_above:
            return found[:1]
        return found[: max(1, min(len(found), channel.at_once) >> failures)]

    async def _send(self, work: Work) -> Outcome:
        messages = [
            Message(
                each.notification_id,
                each.kind,
                each.severity,
                redacted(each.message),
                each.created_at,
                each.round,
                self._simulated,
            )
            for each in work.due
        ]
        try:
            return await work.channel.send(messages)
        except Exception as error:
            # Whatever it is, one channel must not stop the others, and the message has to go on.
            return Outcome(Result.LATER, redacted(in_words(error)))

    async def _settle(self, work: Work, outcome: Outcome) -> None:
        """Note what became of it. A database that is away is waited for: what was said must not be said again."""
        for _ in range(MOST_SETTLING):
            try:
                return await asyncio.to_thread(self._note, work, outcome)
            except Exception as error:
                _log.warning("a delivery cannot be noted yet: %s", in_words(error))
                await asyncio.sleep(SETTLING_SECONDS)
        return await asyncio.to_thread(self._note, work, outcome)

    def _note(self, work: Work, outcome: Outcome) -> None:
        at, channel, target = self._clock(), work.channel, work.channel.target
        until = None if outcome.wait_ms is None else at + outcome.wait_ms
        words = shortened(plain(redacted(outcome.words), one_line=True), MOST_WORDS)
        if until is not None:
            self._closed[target] = until
        with self._database.transaction() as connection:
            if outcome.result is Result.DELIVERED:
                digest = work.due[0].id if len(work.due) > 1 and not channel.takes_many else None
                deliveries.delivered(connection, work.ids, self._name, at_ms=at, digest=digest)
                notification_targets.target_worked(
                    connection, target, self._name, at_ms=at, not_before=until, reason=words or None
                )
            elif outcome.result is Result.LATER:
                failures = notification_targets.failures_of(connection, target) + 1
                spread = self._jitter.uniform(0.5, 1.0)
                window = at + round(_backoff(failures) * spread) if until is None else until
                again = at + round(_backoff(work.due[0].attempts) * spread) if until is None else until
                if outcome.whole_host:
                    notification_targets.block_host(connection, channel.host, reason=words, not_before=window, at_ms=at)
                deliveries.postponed(connection, work.ids, self._name, words, next_ms=again)
                notification_targets.target_failed(connection, target, self._name, reason=words, not_before=window)
            elif outcome.result is Result.REFUSED and len(work.due) > 1:
                deliveries.postponed(connection, work.ids, self._name, words, next_ms=at)
                notification_targets.target_failed(connection, target, self._name, reason=words, not_before=None)
            else:
                refusals = notification_targets.target_failed(
                    connection, target, self._name, reason=words, not_before=None, refused=True
                )
                if outcome.result is Result.REFUSED:
                    deliveries.refused(connection, work.ids, self._name, words)
                if outcome.result is Result.DEAD or refusals >= MOST_REFUSALS:
                    chain.pronounce_dead(connection, channel, words, at_ms=at)
                    deliveries.bury(connection, channel.name, self._name, words, at_ms=at)
            crashpoint("notify.settle.uncommitted")


def _backoff(times: int) -> int:
    return min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** min(times - 1, 20))


def somebody_sends(connection: sa.Connection, at_ms: int) -> bool:
    """Return whether a sender that does nothing else is at work."""
    found = read_heartbeats(connection).get(HEARTBEAT)
    return found is not None and abs(at_ms - found.at) < SILENT_MS
