"""Who gets a message: channels by kind and severity, the next one where a channel fails, the next where nobody answers."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.notify.channel import Channel
from fks_assets.settings.notifications import LOG_CHANNEL, NotificationSettings
from fks_assets.stores import deliveries
from fks_assets.stores.notification_targets import dead_targets, register_target, target_died
from fks_assets.stores.notifications import notify

MOST = 500
ARRIVED = ("DELIVERED", "DIGESTED")
GIVEN_UP = ("FAILED", "DEAD")
CHANNEL_DEAD = "channel_dead"
# So often it is looked whether there is a channel now for what none could say.
LOOK_AGAIN_MS = 60_000
# A dead channel to which the desk comes back after so long is told again.
TELL_AGAIN_MS = 3_600_000


def route(connection: sa.Connection, channels: Sequence[Channel], rules: NotificationSettings, *, at_ms: int) -> None:
    """Write the deliveries of new notifications in the caller's transaction.

    A notification goes to the log and to every channel that takes its kind and severity, to two that share a target once. If none
    but the log does, an urgent one goes to the first channel there is, and so does the news that a channel is dead.
    """
    new = deliveries.unrouted(connection, MOST)
    pairs: list[tuple[int, str]] = []
    for each in new:
        chosen = [channel for channel in channels if _takes_first(channel, each.kind, each.severity)]
        if len(chosen) == 1 and (each.severity == "URGENT" or each.kind == CHANNEL_DEAD):
            chosen = list(channels[:2])
        targets = {channel.target: channel.name for channel in reversed(chosen)}
        pairs += [(each.id, channel.name) for channel in chosen if targets[channel.target] == channel.name]
    if new:
        deliveries.add_deliveries(connection, pairs, at_ms=at_ms)
        escalate = at_ms + _escalate_ms(rules) if rules.escalations and len(channels) > 1 else None
        deliveries.note_routed(connection, [each.id for each in new], at_ms=at_ms, escalate_ms=escalate)
        crashpoint("notify.route.uncommitted")


def register(connection: sa.Connection, channels: Sequence[Channel], *, at_ms: int) -> None:
    """Note in the caller's transaction where the channels go to now; one that cannot be opened is dead from the start."""
    dead = dead_targets(connection)
    for channel in channels:
        register_target(connection, channel.target, channel.name, channel.shown, at_ms=at_ms)
        known = dead.get(channel.target)
        if channel.problem is not None:
            pronounce_dead(connection, channel, channel.problem, at_ms=at_ms)
        if known is not None and at_ms - known.seen_at > TELL_AGAIN_MS:
            _tell_dead(connection, channel, known.reason, at_ms)


def pronounce_dead(connection: sa.Connection, channel: Channel, reason: str, *, at_ms: int) -> None:
    """Give a channel up until its address or secrets change, in the caller's transaction, and say so on the others."""
    if target_died(connection, channel.target, reason, at_ms=at_ms):
        _tell_dead(connection, channel, reason, at_ms)


def hand_on(
    connection: sa.Connection, channels: Sequence[Channel], rules: NotificationSettings, sender: str, *, at_ms: int
) -> None:
    """Let the next channel say what a dead one cannot, and urgent messages that wait too long.

    What no living channel is left for stays, and is handed on once there is one.
    """
    dead = dead_targets(connection)
    alive = {channel.name: channel for channel in channels if channel.target not in dead}
    targets = {channel.name: channel.target for channel in channels}
    for channel in channels:
        if channel.target in dead:
            deliveries.bury(connection, channel.name, sender, dead[channel.target].reason, at_ms=at_ms)
    deliveries.bury_unknown(connection, [channel.name for channel in channels], at_ms=at_ms)
    before = at_ms - rules.hand_on_seconds * 1000
    for each in deliveries.stuck(connection, LOG_CHANNEL, at_ms=at_ms, before_ms=before, most=MOST):
        used = {targets.get(name) for name in each.taken}
        free = [name for name in alive if name != LOG_CHANNEL and targets[name] not in used]
        _hand_on(connection, each, alive, free, at_ms)


def escalate(connection: sa.Connection, channels: Sequence[Channel], rules: NotificationSettings, *, at_ms: int) -> None:
    """Let urgent messages that nobody acknowledges go on to the next living channel, and on; while there is none, they wait."""
    due = deliveries.escalating(connection, at_ms=at_ms, most=MOST)
    if not due:
        return
    dead = dead_targets(connection)
    by_target: dict[str, str] = {}
    for channel in channels:
        if channel.name != LOG_CHANNEL and channel.target not in dead:
            by_target.setdefault(channel.target, channel.name)
    alive = list(by_target.values())
    for number, so_far in due:
        if not alive:
            deliveries.note_escalated(connection, number, so_far, next_ms=at_ms + LOOK_AGAIN_MS)
            continue
        rounds = so_far + 1
        name = alive[rounds % len(alive)]
        deliveries.add_deliveries(connection, [(number, name)], at_ms=at_ms, round_number=rounds)
        more = rounds < rules.escalations
        deliveries.note_escalated(connection, number, rounds, next_ms=at_ms + _escalate_ms(rules) if more else None)


def _takes_first(channel: Channel, kind: str, severity: str) -> bool:
    return not channel.backup and channel.takes(kind, severity)


def _tell_dead(connection: sa.Connection, channel: Channel, reason: str, at_ms: int) -> None:
    message = (
        f"The channel {channel.name} ({channel.shown}) is dead: {reason}. Nothing is sent there until its address changes or "
        f"`fks notifications test {channel.name}` arrives; its messages go on to the next channel."
    )
    notify(connection, CHANNEL_DEAD, "HIGH", message, f"{CHANNEL_DEAD}:{channel.target}:{at_ms}")


def _hand_on(
    connection: sa.Connection, each: deliveries.Stuck, alive: Mapping[str, Channel], free: Sequence[str], at_ms: int
) -> None:
    others = {name: state for name, state in each.taken.items() if name not in (each.channel, LOG_CHANNEL)}
    arrived = [name for name, state in others.items() if state in ARRIVED]
    under_way = [name for name, state in others.items() if state not in (*ARRIVED, *GIVEN_UP)]
    back = [name for name, state in others.items() if state == "DEAD" and name in alive]
    if arrived:
        deliveries.hand_to(connection, each.id, arrived[0])
    elif each.state in GIVEN_UP and under_way:
        deliveries.hand_to(connection, each.id, under_way[0])
    elif each.state == "DEAD" and each.channel in alive:
        deliveries.try_again(connection, each.notification_id, each.round, each.channel, at_ms=at_ms)
    elif each.state in GIVEN_UP and back:
        deliveries.try_again(connection, each.notification_id, each.round, back[0], at_ms=at_ms)
        deliveries.hand_to(connection, each.id, back[0])
    elif free:
        deliveries.add_deliveries(connection, [(each.notification_id, free[0])], at_ms=at_ms, round_number=each.round)
        deliveries.hand_to(connection, each.id, free[0])
    elif each.state in GIVEN_UP:
        deliveries.look_again(connection, each.id, at_ms=at_ms + LOOK_AGAIN_MS)
    else:
        deliveries.hand_to(connection, each.id, next(iter(under_way), each.channel))


def _escalate_ms(rules: NotificationSettings) -> int:
    return round(rules.escalate_minutes * 60_000)
