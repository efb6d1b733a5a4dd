"""`fks completeness`."""

from typing import Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, desk_timeframe, number

MARKETS_SHOWN = 30


def register(app: typer.Typer) -> None:
    app.command()(completeness)


def completeness(
    tier: Annotated[str, typer.Option("--tier", help="TIER1 … TIER4, or ALL.")] = "ALL",
    timeframe: Annotated[str | None, typer.Option("--timeframe", help="One timeframe instead of all.")] = None,
    days: Annotated[
        int | None, typer.Option("--days", parser=number(1, 3660), metavar="N", help="Only the last N days, today included.")
    ] = None,
    at_least: Annotated[
        float | None,
        typer.Option(
            "--at-least",
            parser=number(0, 100, float),
            metavar="PCT",
            help="Exit 1 if a market holds less of what the exchange has.",
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show how complete the stored candles are, by market and by candle."""
    from fks_assets.settings import load_settings

    settings = load_settings()
    frames = [desk_timeframe(timeframe, settings)] if timeframe else settings.timeframe_list()
    from fks_assets.assets.reporting.measured import measure
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.clock import iso, now_ms
    from fks_assets.resources.stores import Stores

    at = now_ms()
    intervals = [frame.seconds // 60 for frame in frames]
    measured = measure(Stores(settings), tier, intervals, at, days or 1, only_days=days is not None)
    document, markets = measured.document, measured.markets()
    below = [
        market
        for market in markets
        if at_least is not None and (share := market["candle_completeness_of_exchange_pct"]) is not None and share < at_least
    ]
    if json:
        print_json({**document, "generated_at": iso(at), "simulated": settings.is_simulated, "markets": markets})
        raise typer.Exit(1 if below else 0)
    badge = " (SIMULATED)" if settings.is_simulated else ""
    print_table(
        f"Least complete{badge}",
        ("market", "timeframe", "expected", "stored", "stored [%]", "of exchange [%]", "fillable gaps", "other gaps"),
        (
            (
                market["market"],
                market["timeframe"],
                market["candles_expected"],
                market["candles_stored"],
                market["candle_completeness_pct"],
                market["candle_completeness_of_exchange_pct"],
                market["fillable_gaps"],
                market["unfillable_gaps"],
            )
            for market in markets[:MARKETS_SHOWN]
        ),
        "no market in that tier",
    )
    if len(markets) > MARKETS_SHOWN:
        print(f"… and {len(markets) - MARKETS_SHOWN} that are no less complete (--json lists all)")
    print(
        f"\n{document['candles_stored']:,} of {document['candles_expected']:,} candles; "
        f"{document['assets_with_gaps']} of {document['total_assets']} markets have gaps"
    )
    if below:
        print(f"{len(below)} below {at_least:g} % of what the exchange has")
    raise typer.Exit(1 if below else 0)
