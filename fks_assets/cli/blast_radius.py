"""`fks blast-radius`: what a restated candle changed."""

from typing import Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, MarketArgument, TimeframeArgument, market_of, time_of
from fks_assets.clock import iso
from fks_assets.quant.timeframes import parse_timeframe


def register(app: typer.Typer) -> None:
    app.command("blast-radius")(blast_radius)


def blast_radius(
    market: MarketArgument,
    timeframe: TimeframeArgument,
    time: Annotated[str, typer.Argument(metavar="TIME", help="Open time of the candle, 2026-11-01T12:00Z.")],
    json: JsonFlag = False,
) -> None:
    """Show how a candle was restated, and what was made from its old values."""
    from fks_assets.settings import load_settings

    settings = load_settings()
    chosen, frame, opened = market_of(market, settings), parse_timeframe(timeframe), time_of(time, "TIME")
    from fks_assets.assets.market_data.blast_radius import blast_radius as find
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.resources.stores import Stores

    radius = find(Stores(settings), chosen, frame, opened or 0)
    if json:
        print_json(radius.document())
        return
    for revision in radius.revisions:
        title = f"{chosen} {frame} {iso(opened)}, known since {iso(revision.known_at)}, restated {iso(revision.superseded_at)}"
        new = revision.new or {}
        print_table(title, ("column", "old", "new"), [(name, old, new.get(name)) for name, old in revision.old.items()])
        rows = [
            (
                dependent.asset,
                dependent.partition,
                dependent.state,
                row.dataset,
                iso(row.open_time),
                name,
                old,
                (row.new or {}).get(name),
            )
            for dependent in revision.dependents
            for row in dependent.rows
            for name, old in (row.old or {}).items()
        ]
        rows += [
            (dependent.asset, dependent.partition, dependent.state, None, None, None, None, None)
            for dependent in revision.dependents
            if not dependent.rows
        ]
        print_table("Made from it", ("asset", "partition", "state", "dataset", "candle", "column", "old", "new"), rows)
    if not radius.revisions:
        print_table(f"{chosen} {frame} {iso(opened)}", ("restated",), [], "was never restated")
