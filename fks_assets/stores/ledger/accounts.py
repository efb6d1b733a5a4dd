"""The accounts of the settings as rows, whether each may trade, and every change of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.orders import Mode
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import journal
from fks_assets.stores.ledger.reading import document, locked_accounts, milliseconds, reading

SETTINGS = "settings"
INITIAL_CASH = "initial cash"


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """An account as the settings say it. `initial_cash`, in `quote`, is what a paper account begins with."""

    name: str
    mode: Mode
    exchange: str
    quote: str
    initial_cash: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Account:
    """An account. `enabled`: it may take new risk. `changed_at` is UTC milliseconds."""

    name: str
    mode: Mode
    exchange: str
    quote: str
    enabled: bool
    changed_at: int


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """A change of an account: `created`, `changed`, `enabled`, `disabled`, `left` or `returned`."""

    id: int
    account: str
    kind: str
    document: dict[str, Any]
    reason: str
    changed_at: int
    changed_by: str


_SELECT = sa.text(f"""
    SELECT name, mode, exchange, quote, enabled, {milliseconds("changed_at")} FROM accounts
    WHERE CAST(:name AS text) IS NULL OR name = :name ORDER BY name COLLATE "C"
""")  # noqa: S608 - constants only
_UPSERT = sa.text("""
    INSERT INTO accounts (name, mode, exchange, quote, enabled, changed_at)
    VALUES (:name, :mode, :exchange, :quote, :enabled, to_timestamp(:at / 1000.0))
    ON CONFLICT (name) DO UPDATE SET mode = excluded.mode, exchange = excluded.exchange, quote = excluded.quote,
        enabled = excluded.enabled, changed_at = excluded.changed_at
""")
_ADD_EVENT = sa.text("""
    INSERT INTO account_events (account, kind, document, reason, changed_at, changed_by)
    VALUES (:name, :kind, CAST(:document AS jsonb), :reason, to_timestamp(:at / 1000.0), :by)
""")
_EVENTS = sa.text(f"""
    SELECT id, account, kind, document, reason, {milliseconds("changed_at")}, changed_by FROM account_events
    WHERE account = :name ORDER BY id
""")  # noqa: S608 - constants only
_LOCK_MIRROR = sa.text("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE")
_USE = sa.text("""
    SELECT EXISTS (SELECT FROM journal WHERE account = :name) OR EXISTS (SELECT FROM orders WHERE account = :name),
        NOT EXISTS (SELECT FROM positions WHERE account = :name AND closed_at IS NULL)
            AND NOT EXISTS (SELECT FROM orders WHERE account = :name AND active)
            AND NOT EXISTS (SELECT FROM credentials WHERE account = :name AND removed_at IS NULL)
""")


def mirror(connection: sa.Connection, specs: Sequence[AccountSpec], *, at_ms: int) -> list[Account]:
    """Make the rows say what the settings say, in the caller's transaction, and return them all; unchanged rows are not written.

    A new paper or alert account may trade at once, and a paper account is given its initial cash, once and for ever. A live
    account may trade only after `enable`. An account that has left the settings may not trade; its books stay. Raises
    InvalidInput when an account in use would change its quote, between paper and real money, or its exchange while it holds
    something: that is another account.
    """
    stored = {account.name: account for account in read_accounts(connection)}
    wanted = {spec.name: spec for spec in specs}
    if any(_differs(stored.get(name), wanted.get(name), connection) for name in {*stored, *wanted}):
        connection.execute(_LOCK_MIRROR)
        stored = {account.name: account for account in read_accounts(connection)}
        for spec in sorted(specs, key=lambda each: each.name):
            _mirror_one(connection, stored.get(spec.name), spec, at_ms)
        for name in sorted(stored.keys() - wanted.keys()):
            if stored[name].enabled:
                _write(connection, _with(stored[name], False, at_ms), "left", "it is not in the settings", SETTINGS)
    return read_accounts(connection)


def enable(connection: sa.Connection, name: str, enabled: bool, *, by: str, reason: str, at_ms: int) -> Account:
    """Let an account trade, or no longer, and return it. Raises InvalidInput for an unknown account, empty `by` or `reason`."""
    if not by.strip() or not reason.strip():
        raise InvalidInput("who changes the account, and why, must be said; was empty")
    locked_accounts(connection, [name])
    account = read_account(connection, name)
    if account.enabled == enabled:
        return account
    changed = _with(account, enabled, at_ms)
    _write(connection, changed, "enabled" if enabled else "disabled", reason, by)
    return changed


def read_accounts(source: Database | sa.Connection) -> list[Account]:
    """Return all accounts by name, those that have left the settings too."""
    with reading(source) as connection:
        return [_account(row) for row in connection.execute(_SELECT, {"name": None})]


def read_account(source: Database | sa.Connection, name: str) -> Account:
    """Return an account. Raises InvalidInput, naming those that there are, for an unknown one."""
    with reading(source) as connection:
        row = connection.execute(_SELECT, {"name": name}).first()
        if row is None:
            known = ", ".join(account.name for account in read_accounts(connection))
            raise InvalidInput(f"account {name!r} is unknown; known: {known or 'none'}")
        return _account(row)


def account_events(source: Database | sa.Connection, name: str) -> list[AccountEvent]:
    """Return every change of an account, oldest first."""
    with reading(source) as connection:
        return [AccountEvent(*row) for row in connection.execute(_EVENTS, {"name": name})]


def _differs(account: Account | None, spec: AccountSpec | None, connection: sa.Connection) -> bool:
    if spec is None:
        return account is not None and account.enabled
    if account is None or (account.mode, account.exchange, account.quote) != (spec.mode, spec.exchange, spec.quote):
        return True
    return not account.enabled and account_events(connection, account.name)[-1].kind == "left"


def _mirror_one(connection: sa.Connection, account: Account | None, spec: AccountSpec, at_ms: int) -> None:
    trades_at_once = spec.mode is not Mode.LIVE
    wanted = Account(spec.name, spec.mode, spec.exchange, spec.quote, trades_at_once, at_ms)
    if account is None:
        _write(connection, wanted, "created", "it is in the settings", SETTINGS)
        if spec.mode is Mode.PAPER and spec.initial_cash:
            journal.deposit(connection, spec.name, spec.quote, spec.initial_cash, INITIAL_CASH, at_ms=at_ms, by=SETTINGS)
        return
    if not _differs(account, spec, connection):
        return
    _refuse_another_account(connection, account, spec)
    if (account.mode, account.exchange, account.quote) != (spec.mode, spec.exchange, spec.quote):
        enabled = trades_at_once and account.enabled
        _write(connection, _with(wanted, enabled, at_ms), "changed", "the settings were changed", SETTINGS)
    else:
        _write(connection, wanted, "returned", "it is in the settings again", SETTINGS)


def _refuse_another_account(connection: sa.Connection, account: Account, spec: AccountSpec) -> None:
    in_use, is_flat = connection.execute(_USE, {"name": account.name}).one()
    said = f"account {account.name!r} is in use"
    if in_use and account.quote != spec.quote:
        raise InvalidInput(f"{said} with quote {account.quote}, not {spec.quote}: choose another name")
    if in_use and (account.mode is Mode.PAPER) != (spec.mode is Mode.PAPER):
        raise InvalidInput(
            f"{said} in mode {account.mode}, not {spec.mode}: paper money and real money do not mix, choose another name"
        )
    if account.exchange != spec.exchange and (not is_flat or (in_use and spec.mode is Mode.LIVE)):
        raise InvalidInput(
            f"{said} on {account.exchange}, not {spec.exchange}: choose another name, "
            "or close its positions and orders and remove its credential first"
        )


def _with(account: Account, enabled: bool, at_ms: int) -> Account:
    return Account(account.name, account.mode, account.exchange, account.quote, enabled, at_ms)


def _write(connection: sa.Connection, account: Account, kind: str, reason: str, by: str) -> None:
    row = {
        "name": account.name,
        "mode": account.mode.value,
        "exchange": account.exchange,
        "quote": account.quote,
        "enabled": account.enabled,
    }
    connection.execute(_UPSERT, {**row, "at": account.changed_at})
    event = {"name": account.name, "kind": kind, "document": document(row), "reason": reason, "at": account.changed_at, "by": by}
    connection.execute(_ADD_EVENT, event)


def _account(row: sa.Row[Any]) -> Account:
    return Account(row[0], Mode(row[1]), *row[2:])
