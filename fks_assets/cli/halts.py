"""`fks halt`, `fks resume`: stop new risk of the desk, an account, a strategy or a market; stops and exits go on.

A strategy and a market can be halted for one account alone, as protections do.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag, market_of, time_of
from fks_assets.cli.ledger_arguments import ByOption, open_stores, who
from fks_assets.cli.portfolio import show
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.stores.ledger.halts import Halt

COLUMNS = ("scope", "name", "account", "reason", "until", "changed_at", "changed_by")
SCOPES = ("desk", "account", "strategy", "market")
ScopeArgument = Annotated[str, typer.Argument(metavar="[SCOPE]", help="desk, account, strategy or market.")]
NameArgument = Annotated[str, typer.Argument(metavar="[NAME]", help="Of the account, strategy or market; the desk has none.")]
OfAccountOption = Annotated[
    str | None, typer.Option("--account", metavar="ACCOUNT", help="A strategy or a market for this account alone.")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")]


def register(app: typer.Typer) -> None:
    app.command()(halt)
    app.command()(resume)


def halt(
    scope: ScopeArgument = "desk",
    name: NameArgument = "",
    reason: ReasonOption = "",
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="It ends by itself then.")] = None,
    account: OfAccountOption = None,
    by: ByOption = None,
    listed: Annotated[bool, typer.Option("--list", help="Show what is halted, halt nothing.")] = False,
    history: Annotated[bool, typer.Option("--history", help="Show every halt and every end of one, halt nothing.")] = False,
    json: JsonFlag = False,
) -> None:
    """Stop new risk at once, of the whole desk if nothing is named. What is held stays guarded and may be left."""
    from fks_assets.stores.ledger import halts as ledger

    stores = open_stores()
    if history:
        rows = [{**_document(each), "halted": each.halted} for each in ledger.halt_history(stores.database)]
        show("history", "Halts and their ends (UTC)", rows, (*COLUMNS, "halted"), json)
        return
    if not listed:
        _require_reason(reason)
        with stores.database.transaction() as connection:
            ledger.halt(
                connection,
                *_named(scope, name),
                reason=reason,
                by=who(by),
                at_ms=now_ms(),
                until_ms=time_of(until, "--until"),
                account=_known(account),
            )
    rows = [_document(each) for each in ledger.in_force(stores.database, at_ms=now_ms())]
    show("halts", "Halted (UTC)", rows, COLUMNS, json)


def resume(
    scope: ScopeArgument = "desk",
    name: NameArgument = "",
    reason: ReasonOption = "",
    account: OfAccountOption = None,
    by: ByOption = None,
    json: JsonFlag = False,
) -> None:
    """Let new risk be taken again."""
    from fks_assets.cli.output import print_json
    from fks_assets.desk.protections import lift
    from fks_assets.stores.ledger.halts import halt_words

    _require_reason(reason)
    with open_stores().database.transaction() as connection:
        ended = lift(connection, *_named(scope, name), account=_known(account), reason=reason, by=who(by), at_ms=now_ms())
    if json:
        print_json({"scope": ended.scope.value, "name": ended.name, "account": ended.account, "halted": False, "reason": reason})
    else:
        print(f"{halt_words(ended.scope, ended.name, ended.account)} may take new risk again")


def _document(halt: "Halt") -> dict[str, Any]:
    return {
        "scope": halt.scope.value,
        "name": halt.name,
        "account": halt.account,
        "reason": halt.reason,
        "until": iso(halt.until),
        "changed_at": iso(halt.changed_at),
        "changed_by": halt.changed_by,
    }


def _named(scope: str, name: str) -> tuple[str, str]:
    """Return scope and name as the ledger has them. Raises InvalidInput for what does not exist."""
    from fks_assets.settings import load_settings

    if scope not in SCOPES:
        raise InvalidInput(f"scope {scope!r} is unknown; known: {', '.join(SCOPES)}")
    settings = load_settings()
    if scope == "market" and name:
        return scope, market_of(name, settings).key
    return scope, (_known(name) or "") if scope == "account" else name


def _known(account: str | None) -> str | None:
    """Return an account of the settings as it was given, or none. Raises InvalidInput for one that they do not have."""
    from fks_assets.desk.floor import account_rules
    from fks_assets.settings import load_settings

    if account:
        account_rules(load_settings(), account)
    return account or None


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("--reason is missing: say why")
