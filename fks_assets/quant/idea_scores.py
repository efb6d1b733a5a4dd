"""The score of a candle (S4.19): points with their reasons from what every strategy says of it, and the band of a score.

The markets are spot markets, so a score is that of a long position: BUY signals are entries, SELL signals are exits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fks_assets.errors import InvalidInput
from fks_assets.quant.idea_rules import IdeaRules
from fks_assets.quant.strategies.base import BUY, SELL

LOWEST, HIGHEST = 0, 100


class Band(StrEnum):
    """What is to be done with an idea of a score."""

    OBSERVE = "observe"
    PENDING_ONLY = "pending_only"
    WAIT_RR = "wait_rr"
    OPEN_OR_SCALE = "open_or_scale"


@dataclass(frozen=True, slots=True)
class Voice:
    """What one strategy says of the candle: action 1, 0 or -1, confidence 0..1; stop and target are NaN for HOLD."""

    name: str
    action: int
    confidence: float
    stop: float
    target: float
    reason: str


@dataclass(frozen=True, slots=True)
class Trend:
    """Where a longer timeframe points: 1 up, -1 down, 0 neither."""

    timeframe: str
    direction: int


@dataclass(frozen=True, slots=True)
class NewsPenalty:
    """Points below zero for an event of the economic calendar or the news, and which one it is."""

    points: int
    reason: str


@dataclass(frozen=True, slots=True)
class Points:
    points: int
    reason: str


def score_points(
    voices: Iterable[Voice], rules: IdeaRules, trend: Trend | None = None, news: NewsPenalty | None = None
) -> tuple[Points, ...]:
    """Return the points of a candle with their reasons; their sum is the score, from 0 to 100.

    Every strategy that says BUY is an entry, and strong or weak by its confidence; every one that says SELL is an exit. An entry
    is aligned when the longer timeframe points up: that several strategies agree is in their entries already.
    """
    if news is not None and not rules.news_most <= news.points <= rules.news_least:
        raise InvalidInput(f"a news penalty is from {rules.news_most} to {rules.news_least} points, was {news.points}")
    found: list[Points] = []
    entered = False
    for voice in voices:
        if voice.action == BUY:
            entered = True
            found.append(Points(rules.entry, f"entry: {voice.name}, {voice.reason}"))
            if voice.confidence >= rules.strong_confidence:
                found.append(Points(rules.strong, f"strong: {voice.name}, confidence {voice.confidence:g}"))
            elif voice.confidence <= rules.weak_confidence:
                found.append(Points(rules.weak, f"weak: {voice.name}, confidence {voice.confidence:g}"))
        elif voice.action == SELL:
            found.append(Points(rules.exit, f"exit: {voice.name}, {voice.reason}"))
    if entered and trend is not None and trend.direction == BUY:
        found.append(Points(rules.align, f"align: {trend.timeframe} points up"))
    if news is not None:
        found.append(Points(news.points, f"news: {news.reason}"))
    total = sum(each.points for each in found)
    if total > HIGHEST:
        found.append(Points(HIGHEST - total, f"no score is above {HIGHEST}"))
    elif total < LOWEST:
        found.append(Points(LOWEST - total, f"no score is below {LOWEST}"))
    return tuple(found)


def band_of(score: int, pays: bool, rules: IdeaRules) -> Band:
    """Return the band of a score; `pays` says whether the reward to risk is enough to open at once."""
    if score < rules.pending_from:
        return Band.OBSERVE
    if score < rules.open_from:
        return Band.PENDING_ONLY
    return Band.OPEN_OR_SCALE if pays else Band.WAIT_RR
