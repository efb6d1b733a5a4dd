"""`fks ideas`: stored trade ideas, and a person's word on them."""

from typing import TYPE_CHECKING, Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, market_of, number
from fks_assets.clock import now_ms

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores

IdArgument = Annotated[
    int, typer.Argument(parser=number(1, 2**63 - 1), metavar="ID", help="Of an open idea, see `fks ideas list`.")
]
ByOption = Annotated[str, typer.Option("--by", metavar="WHO", help="Who decides; it is kept.")]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; it is kept.")]

commands = typer.Typer(help="Show, approve and reject stored trade ideas.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="ideas")


@commands.callback(invoke_without_command=True)
def ideas(context: typer.Context, json: JsonFlag = False) -> None:
    """Show, approve and reject stored trade ideas; without a command: list the open ones."""
    if context.invoked_subcommand is None:
        _list(None, False, 50, json)


@commands.command("list")
def listed(
    markets: Annotated[list[str] | None, typer.Argument(metavar="[MARKET…]", help="All if none is given.")] = None,
    every: Annotated[bool, typer.Option("--all", help="With those that are approved, rejected or expired.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", parser=number(1, 1_000_000), metavar="IDEAS", help="The newest ones to show.")
    ] = 50,
    json: JsonFlag = False,
) -> None:
    """List the open ideas, the newest first and of one moment the best first."""
    _list(markets, every, limit, json)


@commands.command()
def approve(idea: IdArgument, by: ByOption, note: NoteOption, json: JsonFlag = False) -> None:
    """Approve an open idea. Who did it and why is kept."""
    _decide(idea, True, by, note, json)


@commands.command()
def reject(idea: IdArgument, by: ByOption, note: NoteOption, json: JsonFlag = False) -> None:
    """Reject an open idea. Who did it and why is kept."""
    _decide(idea, False, by, note, json)


def _stores() -> "Stores":
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import load_settings

    return Stores(load_settings())


def _list(markets: list[str] | None, every: bool, limit: int, json: bool) -> None:
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.stores.trade_ideas import IdeaStatus, read_ideas

    stores = _stores()
    chosen = [market_of(text, stores.settings) for text in markets or []] or None
    found = read_ideas(stores.database, now_ms(), markets=chosen, statuses=None if every else [IdeaStatus.OPEN], limit=limit)
    documents = [each.as_document() for each in found]
    if json:
        print_json({"ideas": documents})
        return
    columns = (
        "id",
        "market",
        "timeframe",
        "candle",
        "action",
        "score",
        "band",
        "status",
        "expires_at",
        "decided_by",
        "decision_reason",
    )
    badge = " (SIMULATED)" if any(document["simulated"] for document in documents) else ""
    print_table(f"Trade ideas (UTC){badge}", columns, ([each[name] for name in columns] for each in documents), "none")


def _decide(idea_id: int, approved: bool, by: str, note: str, json: bool) -> None:
    from fks_assets.cli.output import print_json
    from fks_assets.stores.trade_ideas import decide_idea

    stores = _stores()
    most = stores.settings.ideas.max_positions
    with stores.database.transaction() as connection:
        decided = decide_idea(connection, idea_id, approve=approved, by=by, reason=note, at_ms=now_ms(), max_positions=most)
    if json:
        print_json(decided.as_document())
    else:
        print(f"trade idea {idea_id} of {decided.document['market']} is {decided.status} by {by}: {note}")
