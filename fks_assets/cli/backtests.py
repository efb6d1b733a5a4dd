"""`fks backtest`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import FromOption, JsonFlag, ToOption, market_of, period_of
from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.timeframes import parse_timeframe

if TYPE_CHECKING:
    from fks_assets.assets.trading.backtest_run import Backtest


def register(app: typer.Typer) -> None:
    app.command()(backtest)


def backtest(
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="A strategy, or a parameter set of the desk.")],
    markets: Annotated[
        list[str] | None, typer.Argument(metavar="[MARKET…]", help="All in one book; without any, every market of the desk.")
    ] = None,
    timeframe: Annotated[str, typer.Option("--timeframe", metavar="TIMEFRAME", help="5m, 1h, 1d, …")] = "1h",
    start: FromOption = None,
    end: ToOption = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the strategy; may be repeated.")
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="NAME=VALUE", help="A trading rule, such as sizing.kind=fraction; may be repeated."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the tear sheet as one HTML file.")] = None,
    trades: Annotated[bool, typer.Option("--trades", help="List every trade too.")] = False,
    json: JsonFlag = False,
) -> None:
    """Try a strategy on stored candles: trades, figures, a tear sheet. The last 365 days without --from."""
    from fks_assets.settings import load_settings

    settings = load_settings()
    chosen = parse_timeframe(timeframe)
    named = [market_of(text, settings) for text in markets or []]
    start_ms, end_ms = period_of(start, end)
    from fks_assets.assets.trading.backtest_run import backtest as run
    from fks_assets.assets.trading.in_force import strategy_named
    from fks_assets.assets.trading.rule_options import assignments, rules_from
    from fks_assets.resources.stores import Stores

    leg_rules, book = rules_from(assignments(rules or [], "--rule"))
    stores = Stores(settings)
    subject = strategy_named(stores.database, settings, strategy, assignments(parameters or [], "--set"))
    test = run(
        stores,
        subject,
        named or settings.market_list(),
        chosen,
        start_ms,
        end_ms,
        rules=leg_rules,
        book=book,
        skip_missing=not named,
    )
    if html is not None:
        _write(html, test)
    _show(test, html, trades=trades, json=json)


def _write(path: Path, test: "Backtest") -> None:
    from fks_assets.assets.trading.presentation import html_of

    try:
        path.write_text(html_of(test), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--html {path}: cannot be written: {error.strerror}") from None


def _show(test: "Backtest", html: Path | None, *, trades: bool, json: bool) -> None:
    from fks_assets.assets.trading.presentation import figure_rows, title_of
    from fks_assets.cli.output import print_json, print_table

    simulated = any(market.endswith("@simulated") for market in test.result.markets)
    rows = _trades(test) if trades else []
    if json:
        document = {**test.document(), "simulated": simulated, "notes": test.notes, "html": None if html is None else str(html)}
        print_json(document | ({"trades": rows} if trades else {}))
        return
    badge = " (SIMULATED)" if simulated else ""
    period = ("Period (UTC)", f"{iso(test.start_ms)} to {iso(test.end_ms)}")
    print(f"{title_of(test)}{badge}")
    print_table("", ("figure", "value"), [period, *figure_rows(test.performance)])
    for note in test.notes:
        print(note)
    if trades:
        print_table("Trades (UTC)", list(rows[0]) if rows else (), (list(row.values()) for row in rows), "none")
    if html is not None:
        print(f"Tear sheet: {html}")


def _trades(test: "Backtest") -> list[dict[str, Any]]:
    from fks_assets.quant.backtest.results import ExitReason

    result, found = test.result, test.result.trades
    return [
        {
            "market": result.markets[found.market[row]],
            "side": "long" if found.side[row] > 0 else "short",
            "entry_time": iso(int(found.entry_time[row])),
            "exit_time": iso(int(found.exit_time[row])),
            **{name: float(getattr(found, name)[row]) for name in ("entry_price", "exit_price", "quantity")},
            "fees": float(found.entry_fee[row] + found.exit_fee[row]),
            "pnl": float(found.pnl[row]),
            "return_fraction": float(found.return_fraction[row]),
            "exit_reason": ExitReason(int(found.exit_reason[row])).name.lower(),
            "ambiguous": bool(found.ambiguous[row]),
        }
        for row in range(len(found))
    ]
