"""`fks credentials`: keys of exchange accounts, by prompt or environment alone, never shown again."""

import os
import sys
from typing import TYPE_CHECKING

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.cli.ledger_arguments import AccountArgument, ByOption, open_stores, who
from fks_assets.cli.portfolio import show
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from pydantic import SecretStr

KEY_VARIABLE, SECRET_VARIABLE, PASSWORD_VARIABLE = "FKS_API_KEY", "FKS_API_SECRET", "FKS_API_PASSWORD"
commands = typer.Typer(help="Add, list, rotate and remove keys of exchange accounts.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="credentials")


@commands.callback(invoke_without_command=True)
def credentials(context: typer.Context, json: JsonFlag = False) -> None:
    """Add, list, rotate and remove keys of exchange accounts; without a command: list them."""
    if context.invoked_subcommand is None:
        _list(json)


@commands.command("list")
def listed(json: JsonFlag = False) -> None:
    """List which accounts have a key, never the key."""
    _list(json)


@commands.command()
def add(account: AccountArgument, by: ByOption = None, json: JsonFlag = False) -> None:
    """Store the key of an account, encrypted.

    It is asked for without echo, or taken from FKS_API_KEY, FKS_API_SECRET and, where the exchange has one, FKS_API_PASSWORD.
    """
    from fks_assets.cli.output import print_json
    from fks_assets.desk.floor import mirror_accounts
    from fks_assets.stores.ledger.credential_keys import load_keys
    from fks_assets.stores.ledger.credentials import ApiKey, add_credential

    stores = open_stores()
    with stores.database.transaction() as connection:
        mirror_accounts(connection, stores.settings, at_ms=now_ms())
    keys = load_keys(stores.settings.home, os.environ)
    key, secret = _secret(KEY_VARIABLE, "API key"), _secret(SECRET_VARIABLE, "API secret")
    password = _wrapped(os.environ[PASSWORD_VARIABLE]) if os.environ.get(PASSWORD_VARIABLE) else None
    with stores.database.transaction() as connection:
        made = add_credential(connection, keys, account, ApiKey(key, secret, password), by=who(by), at_ms=now_ms())
    if json:
        print_json({"id": made.id, "account": made.account, "exchange": made.exchange, "key_id": made.key_id})
    else:
        print(f"account {account} has a key for {made.exchange}, encrypted with {made.key_id}")


@commands.command()
def rotate(json: JsonFlag = False) -> None:
    """Encrypt every stored key with a new key of the desk."""
    from fks_assets.cli.output import print_json
    from fks_assets.stores.ledger import credentials as ledger
    from fks_assets.stores.ledger.credential_keys import load_keys

    stores = open_stores()
    changed = ledger.rotate(stores.database, load_keys(stores.settings.home, os.environ))
    if json:
        print_json({"encrypted_again": changed})
    else:
        print(f"{changed} credentials are encrypted with the new key")


@commands.command()
def remove(account: AccountArgument, json: JsonFlag = False) -> None:
    """Forget the key of an account, its ciphertext too."""
    from fks_assets.cli.output import print_json
    from fks_assets.stores.ledger.credentials import remove_credential

    with open_stores().database.transaction() as connection:
        remove_credential(connection, account, at_ms=now_ms())
    if json:
        print_json({"account": account, "credential": False})
    else:
        print(f"account {account} has no key any more")


def _secret(variable: str, what: str) -> "SecretStr":
    """Return a secret from the environment, else from a prompt that shows nothing."""
    given = os.environ.get(variable, "")
    if not given:
        if not sys.stdin.isatty():
            raise InvalidInput(f"the {what} is neither in {variable} nor can it be asked for: there is no terminal")
        given = typer.prompt(what, hide_input=True)
    if not given.strip():
        raise InvalidInput(f"the {what} is empty")
    return _wrapped(given.strip())


def _wrapped(text: str) -> "SecretStr":
    from pydantic import SecretStr

    return SecretStr(text)


def _list(json: bool) -> None:
    from fks_assets.stores.ledger.credentials import read_credentials

    rows = [
        {
            "id": each.id,
            "account": each.account,
            "exchange": each.exchange,
            "key_id": each.key_id,
            "created_at": iso(each.created_at),
            "created_by": each.created_by,
            "removed_at": iso(each.removed_at),
        }
        for each in read_credentials(open_stores().database)
    ]
    show(
        "credentials",
        "Credentials (UTC)",
        rows,
        ("id", "account", "exchange", "key_id", "created_at", "created_by", "removed_at"),
        json,
    )
