"""Tables for people, one JSON document for programs."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fks_assets.clock import iso, to_ms


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document; what JSON has no number for (NaN, infinities) becomes null."""
    json.dump(_plain(document), sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "nothing") -> None:
    """Print a table as wide as it needs to be; numbers are aligned right."""
    from rich.console import Console
    from rich.table import Table

    listed = [[_cell(value) for value in row] for row in rows]
    # A pipe has no width: cutting cells there would lose what a script greps for.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 4000)
    if not listed:
        console.print(f"{title}: {empty}", markup=False)
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(_is_number(row[index]) for row in listed)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in listed:
        table.add_row(*row)
    console.print(table, markup=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return iso(to_ms(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:,.8g}"
    return str(value)


def _is_number(text: str) -> bool:
    return text == "–" or text.replace(",", "").replace(".", "", 1).replace("-", "", 1).replace("e", "", 1).isdigit()
