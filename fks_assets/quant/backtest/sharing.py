"""The work of a sweep, shared out among threads."""

from collections import deque
from collections.abc import Callable, Iterable
from threading import Condition
from typing import Generic, TypeVar

J = TypeVar("J")


class SharedWork(Generic[J]):
    """Groups of rows with one judgement each, handed out in parts that grow smaller, so that all threads end together.

    Judging is Python and running a part is not: threads that judge at the same time wait for each other at every step, and one
    that judges beside another's run costs it nothing. So one thread at a time judges, ahead of need; only groups too small to be
    shared out, and the first ones, while there is nothing to run yet, are judged by whoever is free. No more judgements wait than
    there are threads.
    """

    def __init__(self, groups: Iterable[list[int]], judge: Callable[[int], J], workers: int) -> None:
        self._groups = deque(groups)
        self._judge, self._workers = judge, workers
        self._left = sum(len(group) for group in self._groups)
        self._judged: deque[tuple[J, list[int]]] = deque()
        self._judging, self._begun, self._failed = 0, False, False
        self._changed = Condition()

    def work_off(self, run: Callable[[J, list[int]], None]) -> None:
        """Judge groups and run their parts until nothing is left; an error, which is raised, leaves nothing to the others."""
        try:
            while True:
                group, part = self._take()
                if group:
                    self._add(self._judge(group[0]), group)
                elif part is not None:
                    run(*part)
                else:
                    return
        except BaseException:
            with self._changed:
                self._failed = True
                self._changed.notify_all()
            raise

    def _take(self) -> tuple[list[int], tuple[J, list[int]] | None]:
        with self._changed:
            self._changed.wait_for(self._ready)
            if not self._failed and self._groups and self._wanted():
                self._judging += 1
                return self._groups.popleft(), None
            return [], self._part() if self._judged and not self._failed else None

    def _ready(self) -> bool:
        alone = bool(self._groups) and (not self._begun or len(self._groups[0]) <= self._workers)
        return bool(self._failed or self._judged or not self._judging or alone)

    def _wanted(self) -> bool:
        return not self._judged or (not self._judging and len(self._judged) < self._workers)

    def _add(self, judgement: J, group: list[int]) -> None:
        with self._changed:
            self._judging -= 1
            self._begun = True
            self._judged.append((judgement, group))
            self._changed.notify_all()

    def _part(self) -> tuple[J, list[int]]:
        judgement, rows = self._judged.popleft()
        size = len(rows) if self._workers == 1 else max(1, self._left // (2 * self._workers))
        if size < len(rows):
            self._judged.appendleft((judgement, rows[size:]))
        self._left -= len(rows[:size])
        return judgement, rows[:size]
