"""The one message that cannot wait in the outbox: that the database does not answer. The sender says it by itself, everywhere."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from fks_assets.notify.channel import Channel
from fks_assets.notify.message import Message
from fks_assets.notify.outcome import Result
from fks_assets.redaction import redacted

KIND = "watchdog"
# Shorter ones, such as a restart, are waited out.
OUTAGE_SECONDS, AGAIN_SECONDS = 30.0, 60.0


class Outage:
    """Knows since when the database is away, and who has heard of it: each target once an outage."""

    def __init__(self, channels: Sequence[Channel], *, simulated: bool, clock: Callable[[], int]) -> None:
        self._channels = {channel.target: channel for channel in channels if channel.problem is None}
        self._simulated = simulated
        self._clock = clock
        self._since: float | None = None
        # From when on (monotonic seconds) a target is told; None: it has been.
        self._next: dict[str, float | None] = {}

    def over(self) -> None:
        """Note that the database answers."""
        self._since = None
        self._next.clear()

    async def tell(self, fault: str, closed: Mapping[str, int]) -> None:
        """Note that it does not answer, and say so once that has lasted; not to targets that are closed until a time (UTC ms)."""
        now, at = time.monotonic(), self._clock()
        self._since = now if self._since is None else self._since
        if now - self._since < OUTAGE_SECONDS:
            return
        lasts = f"{now - self._since:.0f} s"
        text = (
            f"🚨 ALARM: the database of the desk has not answered for {lasts} ({redacted(fault)}). Messages wait, and nobody "
            "may be watching the stops. This one comes from the sender itself; see `fks status`."
        )
        message = Message(at, KIND, "URGENT", text, at, simulated=self._simulated, is_stored=False)
        due = [target for target in self._channels if self._is_due(target, now) and at >= closed.get(target, 0)]
        await asyncio.gather(*(self._say(target, message) for target in due))

    def _is_due(self, target: str, now: float) -> bool:
        again = self._next.get(target, 0.0)
        return again is not None and now >= again

    async def _say(self, target: str, message: Message) -> None:
        self._next[target] = time.monotonic() + AGAIN_SECONDS
        outcome = await self._channels[target].send([message])
        wait = max(AGAIN_SECONDS, (outcome.wait_ms or 0) / 1000)
        self._next[target] = time.monotonic() + wait if outcome.result is Result.LATER else None
