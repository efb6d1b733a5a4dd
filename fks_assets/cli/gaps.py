"""`fks gaps` and `fks backfill`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import FromOption, JsonFlag, ToOption, desk_timeframe, market_of, number, window_of
from fks_assets.cli.output import print_json, print_table
from fks_assets.clock import MILLISECONDS_PER_DAY, iso, now_ms
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.quant.gaps import GapStatus

StatusOption = Annotated[str | None, typer.Option("--status", help="DETECTED, BACKFILLING, FILLED, UNFILLABLE or FAILED.")]
IntervalsOption = Annotated[
    str | None, typer.Option("--intervals", metavar="MINUTES", help="60,1440: timeframes by their minutes; all by default.")
]


def gaps(
    markets: Annotated[list[str] | None, typer.Argument(metavar="[MARKET]...", help="All by default.")] = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", help="5m, 1h, 1d, …")] = None,
    status: StatusOption = None,
    fillable: Annotated[bool, typer.Option("--fillable", help="Only those that the exchange still gives.")] = False,
    scan: Annotated[bool, typer.Option("--scan/--no-scan", help="Judge the stored candles first.")] = True,
    limit: Annotated[int, typer.Option("--limit", parser=number(1, 1_000_000), metavar="ROWS", help="Newest gaps to show.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Show the holes in the stored candles: where, why, and what is being done."""
    from fks_assets.assets.market_data.gap_ledger import update_gaps
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import load_settings
    from fks_assets.stores.gap_records import OPEN, read_gaps

    settings = load_settings()
    chosen = [market_of(text, settings) for text in markets or []] or settings.market_list()
    frames = [desk_timeframe(timeframe, settings)] if timeframe else settings.timeframe_list()
    wanted = OPEN if status is None else (_status(status),)
    stores = Stores(settings)
    if scan:
        for each in frames:
            update_gaps(stores, chosen, each)
    found = read_gaps(stores.database, chosen, frames, wanted)
    found = sorted((gap for gap in found if gap.is_api_fillable or not fillable), key=lambda gap: gap.start_ms, reverse=True)
    documents = [
        {
            "market": gap.market.key,
            "timeframe": gap.timeframe,
            "gap_start": iso(gap.start_ms),
            "gap_end": iso(gap.end_ms),
            "missing_candles": gap.missing_candles,
            "status": gap.status.value,
            "cause": gap.cause and gap.cause.value,
            "is_api_fillable": gap.is_api_fillable,
            "overflow_candles": gap.overflow_candles,
            "candles_from_today": gap.candles_from_today,
            "detected_at": iso(gap.detected_at),
            "attempts": gap.attempts,
            "attempted_at": iso(gap.attempted_at),
            "next_attempt_at": iso(gap.next_attempt_at),
            "filled_at": iso(gap.filled_at),
            "filled_candles": gap.filled_candles,
            "required_csv_file": gap.required_csv_file,
            "error_message": gap.error_message,
        }
        for gap in found
    ]
    if json:
        print_json({"gaps": documents, "total": len(documents), "missing_candles": sum(gap.missing_candles for gap in found)})
        return
    shown = ("market", "timeframe", "gap_start", "gap_end", "missing_candles", "status", "cause", "attempts", "error_message")
    print_table(
        f"Gaps ({len(documents)})", shown, [[document[name] for name in shown] for document in documents[:limit]], empty="none"
    )
    if len(documents) > limit:
        typer.echo(f"… and {len(documents) - limit} older ones (--limit)")
    beyond = [gap for gap in found if gap.required_csv_file]
    if beyond:
        days = (now_ms() - min(gap.end_ms for gap in beyond)) // MILLISECONDS_PER_DAY + 1
        files = sorted({gap.required_csv_file for gap in beyond if gap.required_csv_file})
        typer.echo(
            f"Beyond the exchange's API: rebuild with `fks backfill --lookback-days {days}`, or `fks import` {', '.join(files)}"
        )


def backfill(
    tier: Annotated[str, typer.Option("--tier", help="TIER1 … TIER4, or ALL.")] = "ALL",
    intervals: IntervalsOption = None,
    lookback_days: Annotated[
        int | None, typer.Option("--lookback-days", parser=number(1, 36_500), metavar="DAYS", help="Leave older gaps alone.")
    ] = None,
    max_gaps: Annotated[
        int | None, typer.Option("--max-gaps", parser=number(1, 100_000), metavar="N", help="Newest gaps of each market to take.")
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do not wait for the pause after an attempt.")] = False,
    trades: Annotated[
        bool, typer.Option("--trades/--no-trades", help="Rebuild from trades what the API no longer gives.")
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Repair gaps now. With --from, --to: go through those months whole and fetch all that is missing."""
    from fks_assets.assets.market_data.repair import RepairOrder, RepairReport, order_timeframes, repair_gaps
    from fks_assets.ids import unique_name
    from fks_assets.quant.timeframes import month_window
    from fks_assets.resources.market_data import MarketData
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import load_settings

    settings = load_settings()
    start_ms, end_ms = window_of(start, end)
    if end_ms is not None and start_ms is None:
        raise InvalidInput(f"--to {end!r} needs --from")
    between = None if start_ms is None else (start_ms, end_ms if end_ms is not None else now_ms())
    first_month = month_window(settings.first_month)[0]
    if between is not None and between[0] < first_month:
        raise InvalidInput(f"--from {start!r} is before first_month {settings.first_month} of the settings")
    stores = Stores(settings)
    minutes = [timeframe.seconds // 60 for timeframe in settings.timeframe_list()] if intervals is None else _minutes(intervals)
    order = RepairOrder(
        tier,
        order_timeframes(stores, minutes),
        settings.gaps.lookback_days if lookback_days is None else lookback_days,
        settings.gaps.max_gaps_per_asset if max_gaps is None else max_gaps,
        between=between,
        retry=retry_failed,
        trades=trades,
    )
    report = RepairReport(f"cli-{unique_name()}", tier, minutes)
    for timeframe, result in repair_gaps(stores, MarketData(settings, stores), order, report):
        if not json and result.change is not None:
            typer.echo(f"{result.partition.key} {timeframe}: {result.change.inserted} candles")
    _tell(report.as_dict(), json)
    raise typer.Exit(1 if report.gaps_failed or report.errors else 0)


def _tell(report: dict[str, Any], json: bool) -> None:
    if json:
        print_json(report)
        return
    print_table("Backfill", ("", ""), [(name, value) for name, value in report.items() if name not in ("errors", "intervals")])
    for error in report["errors"]:
        typer.echo(error, err=True)


def _status(text: str) -> "GapStatus":
    from fks_assets.quant.gaps import GapStatus

    try:
        return GapStatus(text)
    except ValueError:
        raise InvalidInput(f"status {text!r} is unknown; known: {', '.join(GapStatus)}") from None


def _minutes(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(f"--intervals {text!r} is not a list of minutes such as 60,1440") from None


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(gaps)
    app.command()(backfill)
