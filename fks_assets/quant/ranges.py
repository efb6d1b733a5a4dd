"""Half-open ranges [start, end) of UTC milliseconds, and the runs and holes of sorted open times."""

from collections.abc import Iterable, Sequence

import numpy as np

Range = tuple[int, int]


def runs(times: np.ndarray, step_ms: int) -> list[Range]:
    """Return the ranges that sorted open times cover without a hole."""
    if not len(times):
        return []
    breaks = np.flatnonzero(np.diff(times) != step_ms)
    starts = times[np.concatenate(([0], breaks + 1))]
    ends = times[np.concatenate((breaks, [len(times) - 1]))] + step_ms
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def holes_between(times: np.ndarray, step_ms: int) -> tuple[Range, ...]:
    """Return the ranges between the first and the last of sorted open times that hold none."""
    breaks = np.flatnonzero(np.diff(times) != step_ms)
    return tuple(zip((times[breaks] + step_ms).tolist(), times[breaks + 1].tolist(), strict=True))


def complement(start: int, end: int, covered: Iterable[Range]) -> list[Range]:
    """Return what sorted ranges leave of [start, end)."""
    left: list[Range] = []
    cursor = start
    for first, last in covered:
        if cursor >= end:
            return left
        if first > cursor:
            left.append((cursor, min(first, end)))
        cursor = max(cursor, last)
    if cursor < end:
        left.append((cursor, end))
    return left


def joined(ranges: Iterable[Range], within: int = 0) -> list[Range]:
    """Return sorted ranges in which those that touch, overlap or lie at most `within` apart are one."""
    result: list[Range] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1] + within:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result


def clipped(ranges: Iterable[Range], start: int, end: int) -> list[Range]:
    """Return the parts of ranges that lie in [start, end), in their order."""
    return [(max(first, start), min(last, end)) for first, last in ranges if first < end and last > start]


def without(ranges: Iterable[Range], removed: Sequence[Range]) -> list[Range]:
    """Return what sorted `removed` ranges leave of ranges, in their order."""
    return [piece for start, end in ranges for piece in complement(start, end, removed)]
