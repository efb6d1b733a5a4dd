"""`fks strategies`: parameter sets with their versions, validation, certificates, and switching on and off."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli import shadows, strategy_files, strategy_switches
from fks_assets.cli.arguments import DaysOption, FromOption, JsonFlag, ToOption, market_of, period_of
from fks_assets.cli.strategy_switches import ByOption, NameArgument, NoteOption
from fks_assets.clock import MILLISECONDS_PER_DAY, iso, now_ms
from fks_assets.quant.timeframes import parse_timeframe

if TYPE_CHECKING:
    import sqlalchemy as sa

    from fks_assets.assets.trading.in_force import StrategyInForce
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.strategy_records import BacktestRecord

FIGURES_SHOWN = ("sharpe", "total_return_pct", "max_drawdown_intraday_pct")
RECENT_MS = 30 * MILLISECONDS_PER_DAY

commands = typer.Typer(help="Show, change, validate, certify, switch off and on the strategies of the desk.")


def register(app: typer.Typer) -> None:
    strategy_switches.register(commands)
    shadows.register(commands)
    strategy_files.register(commands)
    app.add_typer(commands, name="strategies")


@commands.callback(invoke_without_command=True)
def strategies(context: typer.Context, json: JsonFlag = False) -> None:
    """Show, change, validate, certify, switch off and on the strategies of the desk; without a command: list them."""
    if context.invoked_subcommand is None:
        _list(json)


@commands.command("list")
def listed(json: JsonFlag = False) -> None:
    """List the strategies in force, with whether they may trade and their newest backtest."""
    _list(json)


@commands.command()
def show(name: NameArgument, json: JsonFlag = False) -> None:
    """Show one strategy: parameters, every version of them, every time it was switched, certificate and backtest.

    Of a parameter set that was removed: its versions.
    """
    from fks_assets.assets.trading.evidence import evidence_for
    from fks_assets.assets.trading.in_force import strategy_named
    from fks_assets.assets.trading.promotion import held_certificate
    from fks_assets.assets.trading.standard import standard_plan
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.quant.strategies.registry import known_strategies
    from fks_assets.stores.strategies import parameters_history
    from fks_assets.stores.strategy_records import newest_results, other_results, state_history

    stores = _stores()
    with stores.database.transaction() as connection:
        history = [each.document() for each in parameters_history(connection, name)]
        states = [each.document() for each in state_history(connection, name)]
    if history and history[-1]["removed"] and name not in (*stores.settings.strategies, *known_strategies()):
        _show_removed(name, history, states, json)
        return
    subject = strategy_named(stores.database, stores.settings, name)
    with stores.database.transaction() as connection:
        summary = _summary(connection, stores, subject)
        certificate = held_certificate(connection, subject)
        standard = standard_plan(stores.settings).settings_hash(stores.settings)
        result = newest_results(connection, [name], settings_hash=standard).get(name)
        others = [_tried(each) for each in other_results(connection, name, standard, (iso(now_ms() - RECENT_MS) or "")[:10])]
        evidence = evidence_for(connection, subject).document()
    if json:
        document = {**summary, "versions": history, "switched": states, "evidence": evidence, "other_backtests": others}
        proof = None if certificate is None else {**certificate.document, "issued_at": iso(certificate.issued_at)}
        print_json({**document, "certificate": proof, "backtest": None if result is None else dict(result.document)})
        return
    facts = {key: value for key, value in summary.items() if key != "parameters"}
    print_table(f"Strategy {name}", ("", ""), list(facts.items()))
    print_table("Parameters", ("name", "value"), list(subject.parameters.items()))
    print_table("Searches and walk-forward", ("", ""), list(evidence.items()))
    columns = ("day", "timeframe", "start", "end", *FIGURES_SHOWN)
    print_table(
        "Backtests on other settings, which judge nothing", columns, ([each[key] for key in columns] for each in others), "none"
    )
    _show_history(history, states)


@commands.command()
def validate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME…]", help="Every strategy in force if none is given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only judge, switch nothing off.")] = False,
    json: JsonFlag = False,
) -> None:
    """Judge strategies by their newest daily backtests and switch off those that fail. Exit 1 when one does not pass."""
    from fks_assets.assets.trading.validation import validate_strategies
    from fks_assets.cli.output import print_json, print_table

    verdicts = validate_strategies(_stores(), names or None, change=not dry_run)
    rows = [verdict.document() for verdict in verdicts]
    if json:
        print_json({"dry_run": dry_run, "strategies": rows})
    else:
        informing = ("deflated_sharpe", "overfitting_probability", "parameter_stability", "out_of_sample_efficiency")
        columns = ("name", "passed", "enabled", "day", *informing, "reason")
        print_table("Validation", columns, ([row[key] for key in columns] for row in rows))
    sys.stdout.flush()
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(1)


@commands.command()
def certify(
    name: NameArgument,
    markets: Annotated[
        list[str] | None, typer.Argument(metavar="[MARKET…]", help="On whose candles; every market of the desk if none is given.")
    ] = None,
    timeframe: Annotated[str, typer.Option("--timeframe", metavar="TIMEFRAME", help="5m, 1h, 1d, …")] = "1h",
    start: FromOption = None,
    end: ToOption = None,
    days: DaysOption = None,
    json: JsonFlag = False,
) -> None:
    """Prove that a strategy uses the past alone, on stored candles, the last 365 days without --from. Exit 1 if it does not."""
    from fks_assets.assets.trading.in_force import strategy_named
    from fks_assets.assets.trading.promotion import certify_strategy, why_not
    from fks_assets.cli.output import print_json

    stores = _stores()
    chosen = [market_of(text, stores.settings) for text in markets or []] or stores.settings.market_list()
    subject = strategy_named(stores.database, stores.settings, name)
    made = certify_strategy(stores, subject, chosen, parse_timeframe(timeframe), *period_of(start, end, days))
    if json:
        print_json({**made.document, "parameters_hash": made.parameters_hash, "issued_at": iso(made.issued_at)})
    elif made.passed:
        where = f"{made.document['rows']:,} candles of {made.document['market']} {timeframe}"
        print(f"{name} uses the past alone: {len(made.document['checks'])} checks on {where}, code {made.code_version}")
    else:
        print(f"{name} is not certified: {why_not(made)}")
    sys.stdout.flush()
    if not made.passed:
        raise typer.Exit(1)


@commands.command("set")
def set_parameters(
    name: NameArgument,
    by: ByOption,
    values: Annotated[list[str] | None, typer.Argument(metavar="[PARAMETER=VALUE…]", help="What differs from now.")] = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="STRATEGY", help="For a new set: whose parameters they are.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="A JSON or TOML file of parameters; it replaces all of them.")
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="PARAMETER", help="Leave out a value that the set holds: the default counts again."),
    ] = None,
    note: NoteOption = "",
    json: JsonFlag = False,
) -> None:
    """Create a parameter set or change one; older versions are kept. One of a strategy's own name replaces its settings.

    A set that is removed or cannot be used is changed from what it said last.
    """
    from fks_assets.assets.trading.parameter_files import read_parameter_file
    from fks_assets.assets.trading.parameter_sets import change_parameters
    from fks_assets.assets.trading.rule_options import assignments
    from fks_assets.cli.output import print_json

    given = assignments(values or [], "PARAMETER=VALUE")
    base = None if file is None else read_parameter_file(file)
    stored = change_parameters(_stores(), name, given, strategy=strategy, replace_with=base, drop=drop or (), by=by, note=note)
    if json:
        print_json(stored.document())
    else:
        print(f"{name} is at version {stored.version}: {', '.join(f'{key} {value}' for key, value in stored.parameters.items())}")


@commands.command()
def remove(name: NameArgument, by: ByOption, note: NoteOption = "", json: JsonFlag = False) -> None:
    """Take a parameter set out of force; its versions stay. A strategy of the settings goes back to what they say."""
    from fks_assets.cli.output import print_json
    from fks_assets.stores.strategies import remove_parameters

    stores = _stores()
    with stores.database.transaction() as connection:
        removed = remove_parameters(connection, name, by=by, note=note, at_ms=now_ms())
    if json:
        print_json(removed.document())
    else:
        back = "the settings hold again" if name in stores.settings.strategies else "it is not in force any more"
        print(f"{name} is removed with version {removed.version}: {back}")


def _show_removed(name: str, history: list[dict[str, Any]], states: list[dict[str, Any]], json: bool) -> None:
    from fks_assets.cli.output import print_json

    if json:
        print_json({"name": name, "removed": True, "versions": history, "switched": states})
        return
    print(f"{name} is removed and not in force any more")
    _show_history(history, states)


def _show_history(history: list[dict[str, Any]], states: list[dict[str, Any]]) -> None:
    from fks_assets.cli.output import print_table

    changes = ("version", "strategy", "parameters", "removed", "changed_at", "changed_by", "note")
    print_table("Versions (UTC)", changes, ([each[key] for key in changes] for each in history), "none: as the settings say")
    turns = ("enabled", "reason", "changed_at", "changed_by", "holds_until")
    print_table("Switched (UTC)", turns, ([each[key] for key in turns] for each in states), "never")


def _stores() -> "Stores":
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import load_settings

    return Stores(load_settings())


def _list(json: bool) -> None:
    from fks_assets.assets.trading.in_force import strategies_in_force
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.quant.strategies.registry import strategy_faults

    stores = _stores()
    in_force, unusable = strategies_in_force(stores.database, stores.settings)
    with stores.database.transaction() as connection:
        rows = [_summary(connection, stores, subject) for subject in in_force.values()]
    broken = {name: str(error) for name, error in unusable.items()}
    left_out = [str(fault) for fault in strategy_faults()]
    if json:
        print_json({"strategies": rows, "unusable": broken, "left_out": left_out})
        return
    columns = ("name", "strategy", "version", "enabled", "certified", "may_trade", "backtest_day", "sharpe", "total_return_pct")
    print_table("Strategies", columns, ([row[key] for key in columns] for row in rows))
    for name, words in broken.items():
        print(f"{name} cannot be used: {words}")
    for words in left_out:
        if not any(words in reason for reason in broken.values()):
            print(f"left out: {words}")


def _tried(result: "BacktestRecord") -> dict[str, Any]:
    """Return what an exploratory backtest was of and gave."""
    own = ("timeframe", "markets", "start", "end", "rules", "book", "parameters")
    metrics = result.document["metrics"]
    return {
        "day": result.day,
        **{name: result.document.get(name) for name in own},
        **{name: metrics.get(name) for name in FIGURES_SHOWN},
    }


def _summary(connection: "sa.Connection", stores: "Stores", subject: "StrategyInForce") -> dict[str, Any]:
    from fks_assets.assets.trading.promotion import held_certificate, may_trade
    from fks_assets.assets.trading.standard import standard_plan
    from fks_assets.stores.strategy_records import newest_results, read_states

    state = read_states(connection, [subject.name]).get(subject.name)
    held = held_certificate(connection, subject)
    allowed, reason = may_trade(connection, stores.settings, subject.name)
    standard = standard_plan(stores.settings).settings_hash(stores.settings)
    result = newest_results(connection, [subject.name], settings_hash=standard).get(subject.name)
    metrics = {} if result is None else result.document["metrics"]
    return {
        **subject.document(),
        "enabled": state is None or state.enabled,
        "certified": held is not None and held.passed,
        "may_trade": allowed,
        "reason": reason,
        "backtest_day": None if result is None else result.day,
        **{name: metrics.get(name) for name in FIGURES_SHOWN},
    }
