"""`fks accounts`: the accounts of the settings, whether they may take new risk, and one of the switches of live trading."""

from typing import TYPE_CHECKING, Any

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.cli.ledger_arguments import AccountArgument, ByOption, NoteOption, open_stores, who
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.ledger.accounts import Account

commands = typer.Typer(help="Show accounts, let them trade or not.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="accounts")


@commands.callback(invoke_without_command=True)
def accounts(context: typer.Context, json: JsonFlag = False) -> None:
    """Show accounts, let them trade or not; without a command: list them."""
    if context.invoked_subcommand is None:
        _list(json)


@commands.command("list")
def listed(json: JsonFlag = False) -> None:
    """List the accounts of the settings, and those that have left them, with what each is worth."""
    _list(json)


@commands.command()
def show(name: AccountArgument, json: JsonFlag = False) -> None:
    """Show an account: rules and limits, wallets, switches, halts and every change."""
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.quant.money import money_text
    from fks_assets.stores.ledger.accounts import account_events
    from fks_assets.stores.ledger.halts import in_force
    from fks_assets.stores.ledger.journal import wallets

    stores = open_stores()
    account = _account(stores, name)
    summary = _summary(stores, account)
    rules = stores.settings.accounts.get(name)
    owned = {currency: money_text(amount) for currency, amount in wallets(stores.database, name).items()}
    halts = in_force(stores.database, account=name, at_ms=now_ms())
    changes = [
        {"kind": event.kind, "reason": event.reason, "changed_at": iso(event.changed_at), "changed_by": event.changed_by}
        for event in account_events(stores.database, name)
    ]
    document = {
        **summary,
        "rules": None if rules is None else rules.model_dump(mode="json"),
        "wallets": owned,
        "missing_for_live": _missing_switches(stores, account),
        "halts": [str(halt) for halt in halts],
        "changes": changes,
    }
    if json:
        print_json(document)
        return
    print_table(f"Account {name}", ("", ""), [(key, value) for key, value in summary.items() if key != "idle_shares"])
    print_table("Wallets", ("currency", "amount"), list(owned.items()), "empty")
    print_table("Changes (UTC)", ("kind", "reason", "changed_at", "changed_by"), [tuple(each.values()) for each in changes])
    for words in (*document["halts"], *summary["idle_shares"]):
        print(words)


@commands.command()
def enable(name: AccountArgument, note: NoteOption, by: ByOption = None, json: JsonFlag = False) -> None:
    """Let a paper or alert account take new risk again. Who did it and why is kept."""
    _enable(name, True, by, note, json, live=False)


@commands.command("enable-live")
def enable_live(name: AccountArgument, note: NoteOption, by: ByOption = None, json: JsonFlag = False) -> None:
    """Let a live account send real orders: one of three switches, beside its mode in the settings and FKS_LIVE=yes."""
    _enable(name, True, by, note, json, live=True)


@commands.command()
def disable(name: AccountArgument, note: NoteOption, by: ByOption = None, json: JsonFlag = False) -> None:
    """Let an account take no new risk. A live account that holds something is halted instead: its stops need the exchange."""
    _enable(name, False, by, note, json, live=False)


def _list(json: bool) -> None:
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.desk.floor import mirror_accounts

    stores = open_stores()
    with stores.database.transaction() as connection:
        found = mirror_accounts(connection, stores.settings, at_ms=now_ms())
    rows = [_summary(stores, account) for account in found]
    if json:
        print_json({"accounts": rows})
        return
    columns = ("name", "mode", "exchange", "quote", "enabled", "in_settings", "equity", "daily_pnl", "open_positions")
    print_table("Accounts", columns, ([row[key] for key in columns] for row in rows), "none: see [accounts] in the settings")
    for words in (words for row in rows for words in row["idle_shares"]):
        print(words)


def _account(stores: "Stores", name: str) -> "Account":
    from fks_assets.desk.floor import mirror_accounts
    from fks_assets.stores.ledger.accounts import read_account

    with stores.database.transaction() as connection:
        mirror_accounts(connection, stores.settings, at_ms=now_ms())
        return read_account(connection, name)


def _summary(stores: "Stores", account: "Account") -> dict[str, Any]:
    from fks_assets.assets.portfolio.documents import account_document, text_of
    from fks_assets.assets.trading.account_strategies import idle_shares
    from fks_assets.stores.ledger.balances import newest_balance
    from fks_assets.stores.ledger.credentials import read_credentials
    from fks_assets.stores.ledger.positions import read_positions

    balance = newest_balance(stores.database, account.name)
    keys = [each for each in read_credentials(stores.database) if each.account == account.name and each.removed_at is None]
    return {
        **account_document(account),
        "in_settings": account.name in stores.settings.accounts,
        "credential": bool(keys),
        "equity": None if balance is None else text_of(balance.equity),
        "daily_pnl": None if balance is None else text_of(balance.daily_pnl),
        "balance_at": None if balance is None else iso(balance.at),
        "open_positions": len(read_positions(stores.database, account=account.name, is_open=True)),
        "idle_shares": idle_shares(stores.database, stores.settings, account.name),
    }


def _missing_switches(stores: "Stores", account: "Account") -> list[str]:
    from fks_assets.desk.switches import read_switches
    from fks_assets.quant.orders import Mode

    rules = stores.settings.accounts.get(account.name)
    if rules is None or rules.mode is not Mode.LIVE:
        return []
    return read_switches(rules.mode, account.enabled).missing(account.name)


def _enable(name: str, enabled: bool, by: str | None, note: str, json: bool, *, live: bool) -> None:
    from fks_assets.cli.output import print_json
    from fks_assets.quant.orders import Mode
    from fks_assets.stores.ledger import accounts as ledger

    stores = open_stores()
    account = _account(stores, name)
    if enabled and (account.mode is Mode.LIVE) is not live:
        other = "enable" if live else "enable-live"
        raise InvalidInput(f"account {name} is in mode {account.mode}: fks accounts {other} {name}")
    if enabled and live:
        _require_credential(stores, name)
    if not enabled and account.mode is Mode.LIVE:
        _require_flat(stores, name)
    with stores.database.transaction() as connection:
        changed = ledger.enable(connection, name, enabled, by=who(by), reason=note, at_ms=now_ms())
    missing = _missing_switches(stores, changed)
    if json:
        print_json({**_summary(stores, changed), "missing_for_live": missing})
        return
    print(f"account {name} may {'take new risk' if enabled else 'not take new risk any more'}")
    if enabled and missing:
        print(f"it does not trade live yet: missing {'; '.join(missing)}")


def _require_credential(stores: "Stores", name: str) -> None:
    from fks_assets.stores.ledger.credentials import read_credentials

    if not any(each.account == name and each.removed_at is None for each in read_credentials(stores.database)):
        raise InvalidInput(f"account {name} has no credential: fks credentials add {name}")


def _require_flat(stores: "Stores", name: str) -> None:
    from fks_assets.stores.ledger.orders import read_orders
    from fks_assets.stores.ledger.positions import read_positions

    held = read_positions(stores.database, account=name, is_open=True)
    if held or read_orders(stores.database, account=name, active=True):
        raise InvalidInput(
            f"account {name} holds positions or orders, and without the exchange nothing guards them: "
            f"fks halt account {name} stops new risk alone"
        )
