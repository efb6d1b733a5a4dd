"""Holes in a series of candles: where they are, why they are there, and what became of those that were known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fks_assets.quant.ranges import Range, clipped, complement, joined, without
from fks_assets.quant.timeframes import Timeframe


class GapStatus(StrEnum):
    """DETECTED: to be fetched; BACKFILLING: being fetched; FILLED: every candle is there; UNFILLABLE: the exchange does not have
    it, or no longer gives it; FAILED: the last attempt ended in an error and is repeated later."""

    DETECTED = "DETECTED"
    BACKFILLING = "BACKFILLING"
    FILLED = "FILLED"
    UNFILLABLE = "UNFILLABLE"
    FAILED = "FAILED"


class GapCause(StrEnum):
    """Why candles are missing: the market did not trade yet or no more, the exchange was down, nobody traded, the exchange could
    not be asked, or its API does not reach back that far."""

    NEVER_LISTED = "never_listed"
    VENUE_DOWN = "venue_down"
    NO_TRADES = "no_trades"
    FETCH_FAILED = "fetch_failed"
    BEYOND_API_LIMIT = "beyond_api_limit"


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch [start_ms, end_ms) of the expected grid that holds no candle. `cause` None: not known yet, to be fetched."""

    start_ms: int
    end_ms: int
    cause: GapCause | None = None

    @property
    def fillable(self) -> bool:
        return self.cause is None


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What is known of one market and timeframe. Ranges are sorted, half-open, in UTC milliseconds.

    `start_ms`, `end_ms`: the grid on which candles are expected. `stored`: what is there. `confirmed`: what the exchange was
    asked for and did not have. `outages`: when the whole exchange was down. `reach_ms`: the oldest candle that its API gives.
    `unlisted`: when the market is known not to trade.
    """

    timeframe: Timeframe
    start_ms: int
    end_ms: int
    stored: Sequence[Range]
    confirmed: Sequence[Range] = ()
    outages: Sequence[Range] = ()
    reach_ms: int | None = None
    unlisted: Sequence[Range] = ()

    def missing(self) -> list[Range]:
        """Return every hole of the grid: at its head, in the middle and at its tail."""
        start, end = self.timeframe.ceil(self.start_ms), self.timeframe.floor(self.end_ms)
        return complement(start, end, clipped(self.stored, start, end)) if start < end else []


def judge_holes(facts: SeriesFacts) -> list[Hole]:
    """Return the holes of a series, oldest first, each with one cause.

    Before the first stored candle a confirmed hole means that the market was not listed; after it, that the exchange was down
    when `outages` say so, else that nobody traded. What was not confirmed can be fetched, unless it lies beyond the API's reach.
    What is missing while the market is known not to trade needs no confirmation.
    """
    gone = [piece for start, end in facts.missing() for piece in clipped(facts.unlisted, start, end)]
    missing = without(facts.missing(), gone)
    first_stored = facts.stored[0][0] if facts.stored else facts.end_ms
    outages = clipped(facts.outages, first_stored, facts.end_ms)
    down = [piece for start, end in missing for piece in clipped(outages, start, end)]
    left = without(missing, down)
    unlisted = gone + [piece for start, end in facts.confirmed for piece in clipped(left, start, min(end, first_stored))]
    untraded = [piece for start, end in facts.confirmed for piece in clipped(left, max(start, first_stored), end)]
    left = without(left, joined([*unlisted, *untraded]))
    reach = facts.timeframe.ceil(facts.reach_ms) if facts.reach_ms is not None else facts.start_ms
    beyond = clipped(left, facts.start_ms, reach)
    causes = {
        GapCause.VENUE_DOWN: down,
        GapCause.NEVER_LISTED: unlisted,
        GapCause.NO_TRADES: untraded,
        GapCause.BEYOND_API_LIMIT: beyond,
        None: without(left, beyond),
    }
    holes = [Hole(start, end, cause) for cause, ranges in causes.items() for start, end in joined(ranges)]
    return sorted(holes, key=lambda hole: hole.start_ms)


def shared_outages(
    confirmed: Sequence[Sequence[Range]], stored: Sequence[Sequence[Range]], timeframe: Timeframe, least: int = 3
) -> list[Range]:
    """Return when every market that traded before and after lacks candles: at least `least` of them, all confirmed holes.

    `confirmed` and `stored` hold the ranges of one market each, in the same order.
    """
    edges: list[tuple[int, int, int]] = []
    for holes, held in zip(confirmed, stored, strict=True):
        if not held:
            continue
        first, last = held[0][0], held[-1][1]
        edges += [(first, 1, 0), (last, -1, 0)]
        for start, end in clipped(holes, first, last):
            edges += [(start, 0, 1), (end, 0, -1)]
    outages: list[Range] = []
    trading = down = 0
    edges.sort()
    for place, (time, listed, silent) in enumerate(edges):
        trading, down = trading + listed, down + silent
        following = edges[place + 1][0] if place + 1 < len(edges) else time
        if following > time and down == trading and down >= least:
            outages.append((time, following))
    step = timeframe.milliseconds
    return [(start, end) for start, end in joined(outages) if end - start >= step]


@dataclass(frozen=True, slots=True)
class KnownGap:
    """A gap as it was noted. `id` None: it is new. Times are UTC milliseconds."""

    id: int | None
    start_ms: int
    end_ms: int
    missing_candles: int
    status: GapStatus
    cause: GapCause | None = None
    filled_candles: int = 0


def reconcile(
    known: Sequence[KnownGap], holes: Sequence[Hole], stored: Sequence[Range], step_ms: int
) -> tuple[list[KnownGap], list[KnownGap]]:
    """Return (what `known` open gaps became and the new ones, known gaps that others absorbed).

    There is one gap for each hole; gaps of which every candle is stored now are FILLED. A hole takes over the known gap that
    overlaps it and began first, so that it keeps its history while it grows or shrinks; the rest of a gap that was split gets one
    of its own. A gap whose stretch is neither stored nor expected stays as it is.
    """
    taken: set[int] = set()
    result: list[KnownGap] = []
    absorbed: list[KnownGap] = []
    for hole in holes:
        match = next(
            (
                place
                for place, gap in enumerate(known)
                if place not in taken and gap.start_ms < hole.end_ms and gap.end_ms > hole.start_ms
            ),
            None,
        )
        count = (hole.end_ms - hole.start_ms) // step_ms
        if match is None:
            status = GapStatus.DETECTED if hole.fillable else GapStatus.UNFILLABLE
            result.append(KnownGap(None, hole.start_ms, hole.end_ms, count, status, hole.cause))
            continue
        taken.add(match)
        gap = known[match]
        result.append(
            replace(
                gap,
                start_ms=hole.start_ms,
                end_ms=hole.end_ms,
                missing_candles=count,
                status=_status(gap, hole),
                cause=_cause(gap, hole),
                filled_candles=gap.filled_candles + _held(gap, stored, step_ms),
            )
        )
    for place, gap in enumerate(known):
        if place in taken:
            continue
        held = _held(gap, stored, step_ms)
        if held * step_ms == gap.end_ms - gap.start_ms:
            result.append(replace(gap, status=GapStatus.FILLED, filled_candles=gap.filled_candles + held))
        elif any(gap.start_ms < hole.end_ms and gap.end_ms > hole.start_ms for hole in holes):
            absorbed.append(gap)
        else:
            result.append(gap)
    return sorted(result, key=lambda gap: gap.start_ms), absorbed


def _status(gap: KnownGap, hole: Hole) -> GapStatus:
    if not hole.fillable:
        return GapStatus.UNFILLABLE
    return GapStatus.DETECTED if gap.status is GapStatus.UNFILLABLE else gap.status


def _cause(gap: KnownGap, hole: Hole) -> GapCause | None:
    if hole.cause is None:
        return gap.cause if gap.status is GapStatus.FAILED else None
    # One market alone cannot tell an outage from silence: what was once known as an outage stays one.
    if gap.cause is GapCause.VENUE_DOWN and hole.cause is GapCause.NO_TRADES:
        return GapCause.VENUE_DOWN
    return hole.cause


def _held(gap: KnownGap, stored: Sequence[Range], step_ms: int) -> int:
    return sum((end - start) // step_ms for start, end in clipped(stored, gap.start_ms, gap.end_ms))


def adaptive_interval_ms(new_gaps_per_day: float, shortest_ms: int, longest_ms: int) -> int:
    """Return how long to wait until the next look for gaps: the longest while none appear, half of it for each one a day more."""
    waits = longest_ms
    for _ in range(min(32, int(new_gaps_per_day))):
        waits //= 2
    return max(shortest_ms, waits)


def backoff_ms(attempts: int, first_ms: int, longest_ms: int) -> int:
    """Return how long to wait after the given number of failed attempts: doubled with each, up to the longest."""
    return min(longest_ms, first_ms * 2 ** min(40, max(0, attempts - 1)))
