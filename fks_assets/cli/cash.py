"""`fks cash`: money that came in or went out, which is no profit; every booking; what is not booked yet."""

from typing import TYPE_CHECKING, Annotated

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.cli.ledger_arguments import AccountArgument, AccountFilter, ByOption, amount_of, open_floor, open_stores, who
from fks_assets.cli.portfolio import LimitOption, show
from fks_assets.clock import iso
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.stores.database import Database

AmountArgument = Annotated[str, typer.Argument(metavar="AMOUNT", help="Above 0, such as 1000.50.")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", metavar="COIN", help="The account's quote coin if not given.")]
ReferenceOption = Annotated[
    str, typer.Option("--reference", metavar="TEXT", help="Names it, such as the bank's number: one reference is booked once.")
]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="What it is; it is kept.")]
commands = typer.Typer(help="Show and book deposits and withdrawals; show all bookings, and what is not booked yet.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="cash")


@commands.callback(invoke_without_command=True)
def cash(context: typer.Context, json: JsonFlag = False) -> None:
    """Show and book deposits and withdrawals; without a command: list them."""
    if context.invoked_subcommand is None:
        _list(None, json)


@commands.command("list")
def listed(account: AccountFilter = None, json: JsonFlag = False) -> None:
    """List what came in and went out, oldest first."""
    _list(account, json)


@commands.command()
def deposit(
    account: AccountArgument,
    amount: AmountArgument,
    reference: ReferenceOption,
    currency: CurrencyOption = None,
    by: ByOption = None,
    note: NoteOption = "",
    json: JsonFlag = False,
) -> None:
    """Book money that came into an account."""
    _book("deposit", account, amount, currency, reference, by, note, json)


@commands.command()
def withdraw(
    account: AccountArgument,
    amount: AmountArgument,
    reference: ReferenceOption,
    currency: CurrencyOption = None,
    by: ByOption = None,
    note: NoteOption = "",
    json: JsonFlag = False,
) -> None:
    """Book money that went out of an account."""
    _book("withdraw", account, amount, currency, reference, by, note, json)


@commands.command()
def bookings(
    account: AccountArgument,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Only these: fill, deposit, dust, …; repeatable.")
    ] = None,
    limit: LimitOption = 50,
    json: JsonFlag = False,
) -> None:
    """List what was booked for an account, oldest first, each booking with its entries: they sum to 0 in each currency."""
    from fks_assets.quant.money import money_text
    from fks_assets.stores.ledger.accounts import read_account
    from fks_assets.stores.ledger.journal import KINDS, read_bookings

    if unknown := sorted({*(kind or ())}.difference(KINDS)):
        raise InvalidInput(f"--kind {unknown[0]!r} is unknown; known: {', '.join(KINDS)}")
    database = open_stores().database
    rows = [
        {
            "id": each.id,
            "account": each.account,
            "at": iso(each.at),
            "kind": each.kind,
            "reference": each.reference,
            "booked_by": each.booked_by,
            "note": each.note,
            "entries": [
                {"book": book, "currency": currency, "amount": money_text(amount)} for book, currency, amount in each.entries
            ],
        }
        for each in read_bookings(database, read_account(database, account).name, kind, newest=limit)
    ]
    if json:
        show("bookings", "", rows, (), json)
        return
    for row in rows:
        row["moved"] = ", ".join(f"{entry['book']} {entry['amount']} {entry['currency']}" for entry in row["entries"])
    show("bookings", "Bookings (UTC)", rows, ("id", "at", "kind", "reference", "moved", "booked_by", "note"), json)


@commands.command()
def short(account: AccountFilter = None, json: JsonFlag = False) -> None:
    """List the coins of which an account has less than nothing: something is not booked yet. Exit 1 if there are any."""
    from fks_assets.quant.money import money_text
    from fks_assets.stores.ledger.journal import short_wallets, wallets

    database = open_stores().database
    rows = [
        {"account": name, "currency": currency, "amount": money_text(wallets(database, name)[currency]), "since": iso(since)}
        for name in _names(database, account)
        for currency, since in short_wallets(database, name).items()
    ]
    show("short", "Less than nothing (UTC)", rows, ("account", "currency", "amount", "since"), json)
    raise typer.Exit(1 if rows else 0)


def _book(what: str, name: str, text: str, currency: str | None, reference: str, by: str | None, note: str, json: bool) -> None:
    """Book, after the balance was taken: only so is the return of the time before not the deposit's."""
    from fks_assets.cli.output import print_json
    from fks_assets.desk.valuing import take_balance
    from fks_assets.quant.money import money_text
    from fks_assets.stores.ledger import journal

    stores = open_stores()
    floor = open_floor(stores)
    amount = amount_of(text, "amount")
    account = floor.account(name)
    before = take_balance(floor, account)
    booking = journal.deposit if what == "deposit" else journal.withdraw
    coin = currency or account.quote
    with stores.database.transaction() as connection:
        new = booking(connection, name, coin, amount, reference, at_ms=before.at + 1, by=who(by), note=note)
    owned = journal.wallets(stores.database, name)
    if json:
        wallets = {each: money_text(held) for each, held in owned.items()}
        print_json({"new": new, "account": name, "currency": coin, "amount": money_text(amount), "wallets": wallets})
    else:
        done = f"{what} of {money_text(amount)} {coin}" + ("" if new else " was booked before")
        print(f"{done}: account {name} has {money_text(owned[coin])} {coin}")


def _list(account: str | None, json: bool) -> None:
    from fks_assets.quant.money import money_text
    from fks_assets.stores.ledger.journal import cash_flows

    database = open_stores().database
    rows = [
        {
            "account": name,
            "at": iso(flow.at),
            "kind": flow.kind,
            "currency": flow.currency,
            "amount": money_text(flow.amount),
            "reference": flow.reference,
        }
        for name in _names(database, account)
        for flow in cash_flows(database, name)
    ]
    show("cash_flows", "Cash flows (UTC)", rows, ("account", "at", "kind", "currency", "amount", "reference"), json)


def _names(database: "Database", account: str | None) -> list[str]:
    """Return the account asked for, or all. Raises InvalidInput for one that there is not."""
    from fks_assets.stores.ledger.accounts import read_account, read_accounts

    return [each.name for each in read_accounts(database)] if account is None else [read_account(database, account).name]
