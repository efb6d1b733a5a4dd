"""Run the benchmarks named on the command line, or all: `python -m benchmarks [NAME …]`.

Each runs in a process of its own, so that what one leaves in memory does not slow the next.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NoReturn

from benchmarks.measure import Row, report
from benchmarks.suite import measure

NAMES = ("indicators", "backtest", "storage", "gaps", "download", "imports", "ticks", "guard")


def main(chosen: list[str]) -> None:
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        stop(f"no benchmark called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        for name in chosen or NAMES:
            rows += processes.submit(measure, name).result()
    report(rows)
    if any(row.met is False for row in rows):
        stop("a bar was missed")


def stop(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
