"""`fks funding`."""

from typing import TYPE_CHECKING, Annotated

import typer

from fks_assets.cli.arguments import FromOption, JsonFlag, LimitOption, ToOption, desk_market, market_of, period_of, time_of
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.quant.funding import Coverage


def register(app: typer.Typer) -> None:
    app.command()(funding)


def funding(
    market: Annotated[
        str | None, typer.Argument(metavar="[MARKET]", help="Its rates too; without one, how much is known of every market.")
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="TIME", help="As they were known at that time.")] = None,
    limit: LimitOption = 90,
    json: JsonFlag = False,
) -> None:
    """Show stored funding rates and how much of what was due is known; the last 365 days without --from. Exit 1 when not all."""
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.settings import load_settings

    settings = load_settings()
    as_of_ms = time_of(as_of, "--as-of")
    if as_of_ms is not None and as_of_ms > now_ms():
        raise InvalidInput(f"--as-of {as_of!r} lies in the future")
    window = period_of(start, end)
    chosen = settings.market_list() if market is None else [market_of(market, settings)]
    from fks_assets.assets.market_data.funding import coverage_in
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.funding import newest_funding, read_funding

    stores = Stores(settings)
    if market is not None and not newest_funding(stores.database, chosen):
        desk_market(market, settings)
    stored = read_funding(stores.database, chosen, *window, as_of_ms)
    known = {each: coverage_in(settings, each, window, now_ms(), stored[each]) for each in chosen}
    rows = [] if market is None else [each.document() for each in stored[chosen[0]]]
    shown = rows if start is not None else rows[-limit:]
    if json:
        covered = [{"market": each.key, **_document(coverage)} for each, coverage in known.items()]
        bounds = {"start": iso(window[0]), "end": iso(window[1]), "as_of": iso(as_of_ms)}
        print_json({**bounds, "coverage": covered, "rates": shown, "rates_total": len(rows)})
    else:
        print_table(
            f"Funding from {iso(window[0])} to {iso(window[1])} (UTC)",
            ("market", "due", "known", "known %", "first not known"),
            ((each.key, found.due, found.known, found.known_pct, _first(found)) for each, found in known.items()),
        )
        if market is not None:
            columns = [name.replace("_", " ") for name in shown[0]] if shown else ()
            print_table(f"Rates: {len(shown)} of {len(rows)}", columns, (list(row.values()) for row in shown), "none are stored")
    raise typer.Exit(1 if any(found.missing for found in known.values()) else 0)


def _document(found: "Coverage") -> dict[str, object]:
    missing = [iso(time) for time in found.missing]
    return {"due": found.due, "known": found.known, "known_pct": found.known_pct, "missing": missing}


def _first(found: "Coverage") -> str | None:
    return iso(found.missing[0]) if found.missing else None
