"""`fks sync`, `fks candles`, `fks indicators`, `fks signals`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import (
    FromOption,
    JsonFlag,
    LimitOption,
    MarketArgument,
    TimeframeArgument,
    ToOption,
    desk_market,
    desk_timeframe,
    market_of,
    time_of,
    window_of,
)
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.timeframes import parse_timeframe

if TYPE_CHECKING:
    from fks_assets.quant.markets import Market
    from fks_assets.quant.timeframes import Timeframe
    from fks_assets.resources.stores import Stores

LATEST_MS = 4_102_444_800_000  # 2100-01-01


def register(app: typer.Typer) -> None:
    app.command()(sync)
    app.command()(candles)
    app.command()(indicators)
    app.command()(signals)


def sync(
    markets: Annotated[list[str] | None, typer.Argument(metavar="[MARKET…]", help="All of the desk if none is given.")] = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", help="One timeframe instead of all.")] = None,
    json: JsonFlag = False,
) -> None:
    """Fetch and store the candles that are missing, as the schedules do. Exit 1 when a market could not be synced."""
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.settings import load_settings

    settings = load_settings()
    chosen = [desk_market(text, settings) for text in markets or []] or settings.market_list()
    frames = [desk_timeframe(timeframe, settings)] if timeframe else settings.timeframe_list()
    from fks_assets.cli.syncing import sync_now

    outcomes = [sync_now(settings, chosen, frame) for frame in frames]
    reports = [report for outcome in outcomes for report in outcome]
    if json:
        print_json({"sync": [report.document() for report in reports]})
    else:
        rows = [(r.market, r.timeframe, r.inserted, r.restated, r.newest_open, r.error) for r in reports]
        print_table("Synced", ("market", "timeframe", "new", "restated", "newest candle", "error"), rows)
    raise typer.Exit(1 if any(report.error for report in reports) else 0)


def candles(
    market: MarketArgument,
    timeframe: TimeframeArgument,
    start: FromOption = None,
    end: ToOption = None,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="TIME", help="As they were known at that time.")] = None,
    limit: LimitOption = 50,
    json: JsonFlag = False,
) -> None:
    """Show stored candles."""
    _show("ohlcv", "Candles", market, timeframe, start, end, as_of, limit, json)


def indicators(
    market: MarketArgument,
    timeframe: TimeframeArgument,
    start: FromOption = None,
    end: ToOption = None,
    limit: LimitOption = 50,
    json: JsonFlag = False,
) -> None:
    """Show stored indicators."""
    _show("indicators", "Indicators", market, timeframe, start, end, None, limit, json)


def signals(
    market: MarketArgument,
    timeframe: TimeframeArgument,
    start: FromOption = None,
    end: ToOption = None,
    strategy: Annotated[str, typer.Option("--strategy", help="Whose signals, also of a set that was removed.")] = "technical",
    limit: LimitOption = 50,
    json: JsonFlag = False,
) -> None:
    """Show stored signals of a strategy, or of a parameter set of the desk."""
    from fks_assets.settings import load_settings

    settings = load_settings()
    known = dict.fromkeys(settings.strategies)
    if strategy not in known and (settings.database_url is not None or (settings.home / "postgres").is_dir()):
        from fks_assets.assets.trading.in_force import stored_versions
        from fks_assets.resources.stores import Stores

        known |= stored_versions(Stores(settings).database)
    if strategy not in known:
        raise InvalidInput(f"strategy {strategy!r} is not on this desk; it has {', '.join(known)}")
    _show(f"signals.{strategy}", f"Signals of {strategy}", market, timeframe, start, end, None, limit, json)


def _show(
    dataset: str,
    title: str,
    market_text: str,
    timeframe_text: str,
    start: str | None,
    end: str | None,
    as_of: str | None,
    limit: int,
    json: bool,
) -> None:
    from fks_assets.settings import load_settings

    settings = load_settings()
    market, timeframe = market_of(market_text, settings), parse_timeframe(timeframe_text)
    (start_ms, end_ms), as_of_ms = window_of(start, end), time_of(as_of, "--as-of")
    if as_of_ms is not None and as_of_ms > now_ms():
        raise InvalidInput(f"--as-of {as_of!r} lies in the future")
    from fks_assets.resources.stores import Stores

    stores = Stores(settings)
    _require_stored(stores, dataset, market, timeframe)
    if start_ms is None and as_of_ms is None:
        table = stores.candles.rows_before(dataset, market, timeframe.name, LATEST_MS if end_ms is None else end_ms, limit)
    else:
        table = stores.candles.read_table(dataset, market, timeframe.name, start_ms, end_ms, as_of_ms=as_of_ms)
        if start_ms is None:
            table = table.slice(max(0, table.num_rows - limit))
    rows: list[dict[str, Any]] = table.to_pylist()
    from fks_assets.cli.output import print_json, print_table

    if json:
        document = {"market": market.key, "timeframe": timeframe.name, "dataset": dataset, "as_of": iso(as_of_ms), "rows": rows}
        print_json({**document, "simulated": market.exchange == "simulated"})
        return
    badge = " (SIMULATED)" if market.exchange == "simulated" else ""
    columns = [name for name in table.column_names if name != "known_at"]
    print_table(
        f"{title} of {market.key} {timeframe} (UTC){badge}",
        columns,
        ([row[name] for name in columns] for row in rows),
        "none in that time",
    )


def _require_stored(stores: "Stores", dataset: str, market: "Market", timeframe: "Timeframe") -> None:
    """Raise unless something is stored: InvalidInput for what the desk does not know, InsufficientData for what will come."""
    if stores.candles.heads(dataset, timeframe.name, [market]):
        return
    settings = stores.settings
    if market.exchange == settings.exchange:
        desk_market(market.key, settings)
        desk_timeframe(timeframe.name, settings)
    raise InsufficientData(f"nothing of {dataset} is stored for {market.key} {timeframe} yet: `fks up` or `fks sync` loads it")
