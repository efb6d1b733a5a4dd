"""`fks positions`, `fks deals`, `fks fills`, `fks balances`: what the ledger says."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag, number
from fks_assets.cli.ledger_arguments import AccountFilter, AllOption, open_stores

LimitOption = Annotated[
    int, typer.Option("--limit", parser=number(1, 1_000_000), metavar="ROWS", help="The newest rows to show.")
]


def register(app: typer.Typer) -> None:
    for command in (positions, deals, fills, balances):
        app.command()(command)


def positions(account: AccountFilter = None, every: AllOption = False, json: JsonFlag = False) -> None:
    """List the open positions with profit at their last mark; --all: the closed ones too."""
    from fks_assets.assets.portfolio.documents import position_document
    from fks_assets.stores.ledger.positions import read_positions

    found = read_positions(open_stores().database, account=_known(account), is_open=None if every else True)
    columns = (
        "deal",
        "account",
        "strategy",
        "market",
        "side",
        "quantity",
        "entry_price",
        "mark_price",
        "pnl",
        "pnl_percent",
        "opened_at",
    )
    show("positions", "Positions (UTC)", [position_document(each) for each in found], columns, json)


def deals(account: AccountFilter = None, every: AllOption = False, limit: LimitOption = 50, json: JsonFlag = False) -> None:
    """List the active deals; --all: those that are over and those that were refused, with the reason."""
    from fks_assets.assets.portfolio.documents import deal_document
    from fks_assets.stores.ledger.deals import read_deals

    found = read_deals(open_stores().database, account=_known(account), active=None if every else True, newest=limit)
    columns = (
        "id",
        "account",
        "strategy",
        "market",
        "candle",
        "quantity",
        "price",
        "stop_loss_price",
        "take_profit_price",
        "status",
        "refusal",
    )
    show("deals", "Deals (UTC)", [deal_document(each) for each in found], columns, json)


def fills(account: AccountFilter = None, limit: LimitOption = 50, json: JsonFlag = False) -> None:
    """List the newest fills, each trade once."""
    from fks_assets.assets.portfolio.documents import fill_document
    from fks_assets.stores.ledger.fills import read_fills

    found = read_fills(open_stores().database, account=_known(account), newest=limit)
    columns = ("id", "account", "market", "order", "side", "quantity", "price", "value", "fee", "fee_currency", "traded_at")
    show("fills", "Fills (UTC)", [fill_document(each) for each in found], columns, json)


def balances(account: AccountFilter = None, every: AllOption = False, limit: LimitOption = 50, json: JsonFlag = False) -> None:
    """Show what each account was worth last; --all: its history."""
    from fks_assets.assets.portfolio.documents import balance_document
    from fks_assets.stores.ledger.accounts import read_accounts
    from fks_assets.stores.ledger.balances import newest_balance, read_balances

    stores = open_stores()
    name = _known(account)
    names = [each.name for each in read_accounts(stores.database)] if name is None else [name]
    rows: list[dict[str, Any]] = []
    for each in names:
        newest = newest_balance(stores.database, each)
        history = read_balances(stores.database, each)[-limit:] if every else [] if newest is None else [newest]
        rows += [balance_document(balance) for balance in history]
    columns = (
        "account",
        "at",
        "cash",
        "position_value",
        "equity",
        "margin_used",
        "margin_free",
        "daily_pnl",
        "cumulative_pnl",
        "time_weighted_return",
    )
    show("balances", "Balances (UTC)", rows, columns, json)


def show(name: str, title: str, rows: Sequence[dict[str, Any]], columns: Sequence[str], json: bool) -> None:
    """Print rows as a table, or as one document under a name; simulated markets say so."""
    from fks_assets.cli.output import print_json, print_table

    if json:
        print_json({name: list(rows)})
        return
    simulated = any("@simulated" in str(row.get("market", "")) for row in rows)
    print_table(f"{title}{' (SIMULATED)' if simulated else ''}", columns, ([row[key] for key in columns] for row in rows), "none")


def _known(account: str | None) -> str | None:
    """Return the account; raise InvalidInput for one that the ledger does not have."""
    from fks_assets.stores.ledger.accounts import read_account

    return None if account is None else read_account(open_stores().database, account).name
