"""Run the benchmarks named on the command line, or all: `python -m benchmarks [NAME …]`."""

import importlib
import sys
from typing import NoReturn

from benchmarks.measure import Row, report

NAMES = ("indicators", "storage", "download", "imports", "ticks")


def main(chosen: list[str]) -> None:
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        stop(f"no benchmark called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    for name in chosen or NAMES:
        print(f"running {name} …", file=sys.stderr, flush=True)
        for row in importlib.import_module(f"benchmarks.{name}").run():
            print(f"  {row.what}: {row.ours} ({row.bar}: {'met' if row.met else 'missed'})", file=sys.stderr, flush=True)
            rows.append(row)
    report(rows)
    if any(row.met is False for row in rows):
        stop("a bar was missed")


def stop(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
