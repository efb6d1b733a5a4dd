"""`fks quarantine`: rows that reach no indicator, stop or balance, and a person's word that one is no matter."""

from typing import Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, desk_timeframe, market_of
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput

LATEST_MS = 4_102_444_800_000  # 2100-01-01: what lies later is a wrong unit and shown as it came


def register(app: typer.Typer) -> None:
    app.command()(quarantine)


def quarantine(
    markets: Annotated[list[str] | None, typer.Argument(metavar="[MARKET…]", help="All if none is given.")] = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", help="One timeframe instead of all.")] = None,
    resolved: Annotated[bool, typer.Option("--all", help="With those that are resolved.")] = False,
    accept: Annotated[
        list[int] | None, typer.Option("--accept", metavar="ID", help="Resolve this entry; may be repeated.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show rows that could not be stored or are suspect. Exit 1 when some are unresolved."""
    from fks_assets.settings import load_settings

    settings = load_settings()
    chosen = [market_of(text, settings) for text in markets or []] or None
    frames = [desk_timeframe(timeframe, settings)] if timeframe else None
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.quarantine import ACCEPTED, read_quarantined, resolve_quarantined

    with Stores(settings).database.transaction() as connection:
        open_ids = {entry.id for entry in read_quarantined(connection, chosen, frames)}
        if unknown := [each for each in accept or [] if each not in open_ids]:
            raise InvalidInput(f"{unknown[0]} is no unresolved entry; they are {', '.join(map(str, sorted(open_ids))) or 'none'}")
        resolve_quarantined(connection, accept or [], ACCEPTED, now_ms())
        entries = read_quarantined(connection, chosen, frames, resolved=resolved)
    documents = [
        {
            "id": entry.id,
            "market": entry.market.key,
            "timeframe": entry.timeframe,
            "open_time": iso(entry.row.open_time) if entry.row.open_time < LATEST_MS else str(entry.row.open_time),
            "kind": entry.row.kind.value,
            "reason": entry.row.reason,
            "values": entry.row.values,
            "source": entry.source,
            "first_seen_at": iso(entry.first_seen_at),
            "last_seen_at": iso(entry.last_seen_at),
            "times_seen": entry.times_seen,
            "resolved_at": iso(entry.resolved_at),
            "resolution": entry.resolution,
        }
        for entry in entries
    ]
    if json:
        print_json({"quarantine": documents})
    else:
        shown = ("id", "market", "timeframe", "open_time", "kind", "reason", "times_seen", "resolution")
        print_table("Quarantine", shown, [[document[name] for name in shown] for document in documents], "empty")
    raise typer.Exit(1 if any(entry.resolved_at is None for entry in entries) else 0)
