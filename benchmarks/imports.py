"""What loading the code location costs beyond `import dagster`."""

import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import Row, absolute, paired


def run() -> Iterator[Row]:
    ours, limit = paired(lambda: _fresh("import fks_assets.definitions"), lambda: _fresh("import dagster"), 5)
    beyond = statistics.median(a - b for a, b in zip(ours, limit, strict=True))
    yield absolute("import fks_assets.definitions beyond import dagster", beyond, 1.0, "s", f"{statistics.median(limit):.3g} s")


def _fresh(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], check=True)
