"""`fks backtest`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import DaysOption, FromOption, JsonFlag, ToOption, market_of, number, period_of
from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.timeframes import parse_timeframe

if TYPE_CHECKING:
    from fks_assets.assets.trading.backtest_run import Backtest, BookBacktest

# A whole number; what it may be is said by the model that takes it.
WHOLE = number(-(10**15), 10**15)


def register(app: typer.Typer) -> None:
    app.command()(backtest)


def backtest(
    context: typer.Context,
    strategy: Annotated[
        str | None, typer.Argument(metavar="[STRATEGY]", help="A strategy, or a parameter set of the desk; or --account.")
    ] = None,
    markets: Annotated[
        list[str] | None, typer.Argument(metavar="[MARKET…]", help="All in one book; without any, every market of the desk.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            "--account", metavar="ACCOUNT", help="All strategies of an account in one book, by the account's own rules."
        ),
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
        str | None,
        typer.Option(
            "--objective",
            help="What a search makes large: sharpe (if not given), calmar or return; a sweep: sharpe, return or profit_factor.",
        ),
    ] = None,
    least_trades: Annotated[
        int | None,
        typer.Option("--least-trades", parser=WHOLE, metavar="N", help="Parameters with fewer trades, 10, are not chosen."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", parser=WHOLE, metavar="N", help="The same seed, 0 if not given, finds the same.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", parser=WHOLE, metavar="N", help="Parts of the period that a search runs over, 4.")
    ] = None,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Give up no trial of a search before its last part.")] = False,
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
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="NAME=VALUES",
            help="Run every combination: lookback=10,20,40 or rules.stop_percent=0.5:2:0.5 (from, to, step); may be repeated.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", parser=number(1, 100_000), metavar="N", help="Combinations of a sweep to show, 20; the best first."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write every combination of a sweep.")] = None,
    json: JsonFlag = False,
) -> None:
    """Try a strategy or an account on stored candles: trades, figures, a tear sheet. The last 365 days without --from or --days.

    With --optimize or --sweep the figures are those of the best that was found; exit 1 when none can be chosen.
    """
    from fks_assets.settings import load_settings

    settings = load_settings()
    chosen = parse_timeframe(timeframe)
    named = [market_of(text, settings) for text in markets or []]
    start_ms, end_ms = period_of(start, end, days)
    from fks_assets.assets.trading.backtest_run import backtest as run
    from fks_assets.assets.trading.evidence import evidence_for
    from fks_assets.assets.trading.in_force import strategy_named
    from fks_assets.assets.trading.rule_options import assignments
    from fks_assets.assets.trading.standard import books_of, rules_of_markets
    from fks_assets.cli.backtest_search import search_wanted, show_search
    from fks_assets.cli.backtest_sweep import show_sweep, sweep_wanted
    from fks_assets.resources.stores import Stores

    given_rules = assignments(rules or [], "--rule")
    if account is not None:
        from fks_assets.cli.backtest_account import page_of, refuse_beside_account, run_account, show_parts

        refuse_beside_account(context, account)
        if html is not None:
            _check_writable("--html", html)
        book_test, known = run_account(settings, account, start_ms, end_ms, given_rules)
        if html is not None:
            _save(html, page_of(book_test, known))
        _show(book_test, html, {}, lambda: show_parts(book_test), known=known, trades=trades, json=json)
        return
    if strategy is None:
        raise InvalidInput("STRATEGY is missing: give one, or an account with --account")
    given = assignments(parameters or [], "--set")
    choosing = {"objective": objective, "least_trades": least_trades}
    trying = {"seed": seed, "folds": folds, "no_prune": no_prune or None}
    windows = {"in_days": in_days, "out_days": out_days, "step_days": step_days, "anchored": anchored or None}
    stores, period = Stores(settings), (named or settings.market_list(), chosen, start_ms, end_ms)
    grid = sweep_wanted(
        sweep or [],
        optimize=optimize,
        walk_forward=walk_forward,
        searching={**trying, "save": save, "by": by, **windows},
        choosing=choosing,
        workers=workers,
        top=top,
        csv=csv,
    )
    for option, path in (("--html", html), ("--csv", csv)):
        if path is not None:
            _check_writable(option, path)
    if grid is not None:
        subject = strategy_named(stores.database, settings, strategy)
        found = grid.run(stores, subject, *period, given, given_rules, skip_missing=not named)
        evidence = evidence_for(stores.database, found.swept.test.subject)
        known = [evidence.out_of_sample_note, *found.notes]
        if html is not None:
            _write(html, found.swept.test, known, found.pictures)
        found.write()
        added = {"evidence": evidence.document(), **found.document()}
        _show(found.swept.test, html, added, lambda: show_sweep(found), known=known, trades=trades, json=json)
        _end(chosen=found.swept.best is not None)
        return
    wanted = search_wanted(
        optimize, walk_forward, search={**choosing, **trying}, windows=windows, workers=workers, save=save, by=by
    )
    books = books_of(settings, period[0], given_rules)
    if len(books) > 1 and not named and wanted is None and html is None:
        from fks_assets.cli.backtest_books import run_books, show_books

        subject = strategy_named(stores.database, settings, strategy, given)
        tests, empty = run_books(stores, subject, books, *period[1:])
        found_of = evidence_for(stores.database, subject)
        show_books(
            tests,
            empty,
            lambda test: _show(test, None, {}, lambda: None, known=found_of.notes, trades=trades, json=False),
            found_of.document() if json else None,
            trades=trades,
        )
        return
    leg_rules, book = rules_of_markets(settings, period[0], given_rules)
    subject = strategy_named(stores.database, settings, strategy, given)
    answer = None if wanted is None else wanted.run(stores, subject, *period, given, leg_rules, book, skip_missing=not named)
    subject = subject if answer is None else answer.subject
    test = run(stores, subject, *period, rules=leg_rules, book=book, skip_missing=not named)
    evidence = evidence_for(stores.database, subject)
    known = evidence.notes if answer is None else answer.notes_beside(evidence)
    if html is not None:
        _write(html, test, known)
    added = {"evidence": evidence.document()}
    if wanted is None or answer is None:
        _show(test, html, added, lambda: None, known=known, trades=trades, json=json)
        return
    kept = wanted.kept(stores, answer)
    _show(test, html, {**added, **kept.document()}, lambda: show_search(kept), known=known, trades=trades, json=json)
    _end(chosen=kept.searched is None or kept.searched.best is not None)


def _end(*, chosen: bool) -> None:
    """Exit with 1 where a search was made and nothing can be chosen, after everything was shown."""
    sys.stdout.flush()
    if not chosen:
        raise typer.Exit(1)


def _check_writable(option: str, path: Path) -> None:
    """Refuse a file that cannot be written, before a long search."""
    if path.is_dir() or not path.parent.is_dir():
        raise InvalidInput(f"{option} {path}: cannot be written: {'it is a folder' if path.is_dir() else 'no such folder'}")


def _write(path: Path, test: "Backtest", known: Sequence[str], pictures: Sequence[tuple[str, str, str]] = ()) -> None:
    from fks_assets.assets.trading.presentation import html_of

    _save(path, html_of(test, known, pictures))


def _save(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--html {path}: cannot be written: {error.strerror}") from None


def _show(
    test: "BookBacktest",
    html: Path | None,
    added: Mapping[str, Any],
    show: Callable[[], None],
    *,
    known: Sequence[str],
    trades: bool,
    json: bool,
) -> None:
    """Show a backtest with what is `known` of its strategies, and of the search or sweep before it what JSON holds (`added`) or
    people read (`show`).
    """
    from fks_assets.assets.trading.backtest_tables import trade_rows
    from fks_assets.assets.trading.presentation import figure_rows, title_of
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.quant.performance_trades import trades_counted

    simulated = test.is_simulated
    rows, notes = trade_rows(test.result) if trades else [], [*known, *test.notes]
    if json:
        document = {**test.document(), "simulated": simulated, "notes": notes, "html": None if html is None else str(html)}
        print_json({**document, **added, **({"trades": rows} if trades else {})})
        return
    badge = " (SIMULATED)" if simulated else ""
    period = ("Period (UTC)", f"{iso(test.start_ms)} to {iso(test.end_ms)}")
    print(f"{title_of(test)}{badge}")
    print_table("", ("figure", "value"), [period, *figure_rows(test.performance)])
    for note in notes:
        print(note)
    if trades:
        title = f"Trades (UTC): {trades_counted(test.result.trades)}"
        print_table(title, list(rows[0]) if rows else (), (list(row.values()) for row in rows), "none")
    show()
    if html is not None:
        print(f"Tear sheet: {html}")
