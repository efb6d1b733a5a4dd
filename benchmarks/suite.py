"""Run one benchmark."""

import importlib
import sys

from benchmarks.measure import Row


def measure(name: str) -> list[Row]:
    """Run one benchmark, saying each figure as it comes."""
    rows = []
    print(f"running {name} …", file=sys.stderr, flush=True)
    for row in importlib.import_module(f"benchmarks.{name}").run():
        print(f"  {row.what}: {row.ours} ({row.bar}: {'met' if row.met else 'missed'})", file=sys.stderr, flush=True)
        rows.append(row)
    return rows
