"""`fks strategies shadow`, `shadows` and `drop-shadow`: what if a strategy had other parameters?"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fks_assets.cli.arguments import DaysOption, FromOption, JsonFlag, ToOption, market_of, period_of
from fks_assets.quant.timeframes import parse_timeframe

TRADES_SHOWN = 20
SIDES = ("production", "shadow", "difference")
BY_HAND = "fks strategies shadow"


def register(strategies: typer.Typer) -> None:
    strategies.command()(shadow)
    strategies.command()(shadows)
    strategies.command("drop-shadow")(drop_shadow)


def shadow(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A strategy in force, see `fks strategies list`.")],
    markets: Annotated[
        list[str] | None, typer.Argument(metavar="[MARKET…]", help="All in one book; without any, every market of the desk.")
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the strategy; may be repeated.")
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="NAME=VALUE", help="A trading rule, as of `fks backtest`; may be repeated."),
    ] = None,
    timeframe: Annotated[str, typer.Option("--timeframe", metavar="TIMEFRAME", help="5m, 1h, 1d, …")] = "1h",
    start: FromOption = None,
    end: ToOption = None,
    days: DaysOption = None,
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="ACCOUNT", help="An account that has the strategy: its book with the change too."),
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option("--branch", metavar="BRANCH", help="The name to keep it under; one is made of the change if not given."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Try a strategy with changed parameters beside production, which is not touched, and show every difference."""
    from fks_assets.settings import load_settings

    settings = load_settings()
    chosen = parse_timeframe(timeframe)
    named = [market_of(text, settings) for text in markets or []]
    start_ms, end_ms = period_of(start, end, days)
    from fks_assets.assets.trading.rule_options import assignments
    from fks_assets.assets.trading.shadow import Question, make_branch
    from fks_assets.cli.output import print_json
    from fks_assets.resources.reports import Reports
    from fks_assets.resources.stores import Stores
    from fks_assets.supervisor.addresses import desk_addresses

    question = Question(
        name,
        assignments(parameters or [], "--set"),
        assignments(rules or [], "--rule"),
        named or settings.market_list(),
        chosen,
        start_ms,
        end_ms,
        skip_missing=not named,
        account=account,
    )
    reports = Reports(settings, lambda: desk_addresses(settings.home))
    answer, page = make_branch(Stores(settings), reports, question, branch, run_id=BY_HAND)
    if json:
        print_json({**answer.document(), "html": str(page.path)})
    else:
        _show(answer.document(), str(page.url or page.path))


def shadows(json: JsonFlag = False) -> None:
    """List the branches that were kept."""
    from fks_assets.assets.trading.shadow import read_branches
    from fks_assets.cli.output import print_json, print_table

    found = read_branches(_stores())
    parts = ("production", "shadow", "diff", "book")
    rows = [
        {"branch": name, **{key: value for key, value in (document or {}).items() if key not in parts}}
        for name, document in found.items()
    ]
    if json:
        print_json({"shadows": rows})
        return
    columns = ("branch", "name", "changed_parameters", "changed_rules", "timeframe", "start", "end", "made_at", "trades_changed")
    print_table("Shadow branches (UTC)", columns, ([row.get(key) for key in columns] for row in rows), "none")


def drop_shadow(
    branch: Annotated[str, typer.Argument(metavar="BRANCH", help="See `fks strategies shadows`.")], json: JsonFlag = False
) -> None:
    """Forget a branch: its signals, its page and its document."""
    from fks_assets.assets.trading.shadow import drop_branch
    from fks_assets.cli.output import print_json

    months = drop_branch(_stores(), branch)
    if json:
        print_json({"branch": branch, "months": months})
    else:
        print(f"{branch} is dropped, {months} months of signals with it")


def _stores() -> Any:
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import load_settings

    return Stores(load_settings())


def _show(document: dict[str, Any], page: str) -> None:
    from fks_assets.assets.trading.presentation import SHOWN, figure_text
    from fks_assets.cli.output import print_table
    from fks_assets.quant.performance import FIGURES

    badge = " (SIMULATED)" if document["simulated"] else ""
    print(f"{document['branch']}: {document['name']} on {len(document['markets'])} markets, {document['timeframe']}{badge}")

    def show_figures(title: str, metrics: Mapping[str, Any]) -> None:
        figures = [(FIGURES[name].label, *(figure_text(name, value) for value in metrics[name].values())) for name in SHOWN]
        print_table(title, ("figure", *SIDES), figures)

    show_figures("", document["diff"]["metrics"])
    trades = document["diff"]["trades"]
    columns = ("change", "market", "side", "entry_time")
    rows = (
        [each[key] for key in columns] + [(each[side] or {}).get("pnl") for side in ("production", "shadow")]
        for each in trades[:TRADES_SHOWN]
    )
    print_table("Trades that differ (UTC)", (*columns, "pnl in production", "pnl in the shadow"), rows, "none")
    if len(trades) > TRADES_SHOWN:
        print(f"and {len(trades) - TRADES_SHOWN} more: --json lists them all")
    book = document["book"]
    if book is not None:
        show_figures(f"Account {book['account']}", book["diff"]["metrics"])
        parts = [
            (name, figure.replace("_pct", " %").replace("_", " "), *row.values())
            for name, figures in book["diff"]["strategies"].items()
            for figure, row in figures.items()
        ]
        print_table("Its strategies", ("strategy", "figure", *SIDES), parts)
        print(f"{len(book['diff']['trades'])} trades of the account differ.")
    print(f"{document['signals_changed']} signals differ. Tear sheet of the shadow: {page}")
