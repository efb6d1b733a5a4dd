"""`fks backtest`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import DaysOption, FromOption, JsonFlag, ToOption, market_of, number, period_of
from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.timeframes import parse_timeframe

if TYPE_CHECKING:
    from fks_assets.assets.trading.backtest_run import Backtest
    from fks_assets.cli.backtest_search import SearchAnswer

# A whole number; what it may be is said by the model that takes it.
WHOLE = number(-(10**15), 10**15)


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
    days: DaysOption = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A parameter of the strategy, which no search changes; may be repeated."
        ),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="NAME=VALUE", help="A trading rule, such as sizing.kind=fraction; may be repeated."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the tear sheet as one HTML file.")] = None,
    trades: Annotated[bool, typer.Option("--trades", help="List every trade too.")] = False,
    optimize: Annotated[
        int | None, typer.Option("--optimize", parser=WHOLE, metavar="TRIALS", help="Search better parameters in so many trials.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="What a search makes large: sharpe (if not given), calmar or return.")
    ] = None,
    least_trades: Annotated[
        int | None,
        typer.Option("--least-trades", parser=WHOLE, metavar="N", help="Parameters with fewer trades, 10, are not chosen."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", parser=WHOLE, metavar="N", help="The same seed, 0 if not given, finds the same.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", parser=WHOLE, metavar="N", help="Threads, 1; they change nothing but the time.")
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", metavar="NAME", help="Store the best parameters as a version of this parameter set.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who saves them; it is kept.")] = None,
    walk_forward: Annotated[
        bool, typer.Option("--walk-forward", help="Search window by window, and try each choice on the days after it.")
    ] = False,
    in_days: Annotated[
        int | None, typer.Option("--in-days", parser=WHOLE, metavar="DAYS", help="Days to choose on, 180, for --walk-forward.")
    ] = None,
    out_days: Annotated[
        int | None, typer.Option("--out-days", parser=WHOLE, metavar="DAYS", help="Days to try on, 30, for --walk-forward.")
    ] = None,
    step_days: Annotated[
        int | None,
        typer.Option("--step-days", parser=WHOLE, metavar="DAYS", help="From one window to the next; --out-days if not given."),
    ] = None,
    anchored: Annotated[bool, typer.Option("--anchored", help="Every window chooses on all days from --from on.")] = False,
    json: JsonFlag = False,
) -> None:
    """Try a strategy on stored candles: trades, figures, a tear sheet. The last 365 days without --from or --days.

    With --optimize the figures are those of the best parameters found; exit 1 when none can be chosen.
    """
    from fks_assets.settings import load_settings

    settings = load_settings()
    chosen = parse_timeframe(timeframe)
    named = [market_of(text, settings) for text in markets or []]
    start_ms, end_ms = period_of(start, end, days)
    from fks_assets.assets.trading.backtest_run import backtest as run
    from fks_assets.assets.trading.evidence import evidence_for
    from fks_assets.assets.trading.in_force import strategy_named
    from fks_assets.assets.trading.rule_options import assignments, rules_from
    from fks_assets.cli.backtest_search import search_wanted
    from fks_assets.resources.stores import Stores

    leg_rules, book = rules_from(assignments(rules or [], "--rule"))
    given = assignments(parameters or [], "--set")
    wanted = search_wanted(
        optimize,
        walk_forward,
        search={"objective": objective, "least_trades": least_trades, "seed": seed},
        windows={"in_days": in_days, "out_days": out_days, "step_days": step_days, "anchored": anchored or None},
        workers=workers,
        save=save,
        by=by,
    )
    if html is not None:
        _check_page(html)
    stores = Stores(settings)
    subject = strategy_named(stores.database, settings, strategy, given)
    period = (named or settings.market_list(), chosen, start_ms, end_ms)
    answer = None if wanted is None else wanted.run(stores, subject, *period, given, leg_rules, book, skip_missing=not named)
    subject = subject if answer is None else answer.subject
    test = run(stores, subject, *period, rules=leg_rules, book=book, skip_missing=not named)
    if html is not None:
        _write(html, test, evidence_for(stores.database, subject).notes if answer is None else answer.notes)
    if wanted is not None and answer is not None:
        answer = wanted.kept(stores, answer)
    _show(test, html, answer, trades=trades, json=json)
    sys.stdout.flush()
    if answer is not None and answer.searched is not None and answer.searched.best is None:
        raise typer.Exit(1)


def _check_page(path: Path) -> None:
    """Refuse a page that cannot be written, before a long search."""
    if path.is_dir() or not path.parent.is_dir():
        raise InvalidInput(f"--html {path}: cannot be written: {'it is a folder' if path.is_dir() else 'no such folder'}")


def _write(path: Path, test: "Backtest", known: "Sequence[str]") -> None:
    from fks_assets.assets.trading.presentation import html_of

    try:
        path.write_text(html_of(test, known), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--html {path}: cannot be written: {error.strerror}") from None


def _show(test: "Backtest", html: Path | None, answer: "SearchAnswer | None", *, trades: bool, json: bool) -> None:
    from fks_assets.assets.trading.presentation import figure_rows, title_of
    from fks_assets.cli.backtest_search import show_search
    from fks_assets.cli.output import print_json, print_table

    simulated = any(market.endswith("@simulated") for market in test.result.markets)
    rows = _trades(test) if trades else []
    if json:
        document = {**test.document(), "simulated": simulated, "notes": test.notes, "html": None if html is None else str(html)}
        found = {} if answer is None else answer.document()
        print_json(document | found | ({"trades": rows} if trades else {}))
        return
    badge = " (SIMULATED)" if simulated else ""
    period = ("Period (UTC)", f"{iso(test.start_ms)} to {iso(test.end_ms)}")
    print(f"{title_of(test)}{badge}")
    print_table("", ("figure", "value"), [period, *figure_rows(test.performance)])
    for note in test.notes:
        print(note)
    if trades:
        print_table("Trades (UTC)", list(rows[0]) if rows else (), (list(row.values()) for row in rows), "none")
    if answer is not None:
        show_search(answer)
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
