"""When people are told that a risk is HIGH: when it becomes so, when its reasons change, from time to time, and when it ends."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fks_assets.quant.risk import RiskLevel


class AlarmNews(StrEnum):
    """What there is to be told of an alarm."""

    BEGUN = "begun"
    CHANGED = "changed"
    REMINDED = "reminded"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A risk that is HIGH: since when, by which reasons' codes, and when it was last told; times are UTC milliseconds."""

    since: int
    codes: tuple[str, ...]
    told_at: int


def next_alarm(
    before: Alarm | None, level: RiskLevel, codes: Iterable[str], *, at_ms: int, reminder_ms: int
) -> tuple[Alarm | None, AlarmNews | None]:
    """Return the alarm as it is now, and what is to be told of it (C11: one message for each change of state).

    `codes` are those of the reasons for HIGH. While the risk is UNKNOWN an alarm neither begins nor ends.
    """
    if level is RiskLevel.UNKNOWN:
        return before, None
    if level is not RiskLevel.HIGH:
        return None, None if before is None else AlarmNews.ENDED
    named = tuple(sorted(set(codes)))
    if before is None:
        return Alarm(at_ms, named, at_ms), AlarmNews.BEGUN
    if before.codes != named:
        return Alarm(before.since, named, at_ms), AlarmNews.CHANGED
    if at_ms - before.told_at >= reminder_ms:
        return Alarm(before.since, named, at_ms), AlarmNews.REMINDED
    return before, None
