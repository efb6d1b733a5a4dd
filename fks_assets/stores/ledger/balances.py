"""Balances: what each account was worth, kept for ever; deposits are no profit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.money import EXACT, money, money_text
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import document, milliseconds, moment, reading


@dataclass(frozen=True, slots=True)
class Balance:
    """An account at a time (UTC ms), in its quote currency; `time_weighted_return` is a fraction since the beginning.

    `equity` is cash and position_value, `cumulative_pnl` is equity less net_deposits.
    """

    account: str
    at: int
    cash: Decimal
    position_value: Decimal
    equity: Decimal
    margin_used: Decimal
    margin_free: Decimal
    unrealised_pnl: Decimal
    realised_pnl: Decimal
    net_deposits: Decimal
    daily_pnl: Decimal
    cumulative_pnl: Decimal
    time_weighted_return: Decimal
    details: Mapping[str, Any] = field(default_factory=dict)


_AMOUNTS = tuple(each.name for each in fields(Balance) if each.name not in ("account", "at", "details"))
_COLUMNS = f"account, {milliseconds('at')}, {', '.join(_AMOUNTS)}, details"
_INSERT = sa.text(f"""
    INSERT INTO balance_history (account, at, {", ".join(_AMOUNTS)}, details)
    VALUES (:account, {moment(":at")}, {", ".join(f":{name}" for name in _AMOUNTS)}, CAST(:details AS jsonb))
    ON CONFLICT (account, at) DO NOTHING RETURNING id
""")  # noqa: S608 - constants only
_SELECT = sa.text(f"""
    SELECT {_COLUMNS} FROM balance_history
    WHERE account = :account AND (CAST(:since AS bigint) IS NULL OR at >= {moment(":since")})
      AND (CAST(:until AS bigint) IS NULL OR at < {moment(":until")})
    ORDER BY at
""")  # noqa: S608 - constants only
_NEWEST = sa.text(f"""
    SELECT {_COLUMNS} FROM balance_history
    WHERE account = :account AND (CAST(:before AS bigint) IS NULL OR at < {moment(":before")}) ORDER BY at DESC LIMIT 1
""")  # noqa: S608 - constants only
_RETURNS = sa.text(f"""
    SELECT {milliseconds("at")}, time_weighted_return FROM balance_history
    WHERE account = :account AND at < {moment(":until")} AND at >= coalesce(
        (SELECT max(at) FROM balance_history WHERE account = :account AND at <= {moment(":since")}), {moment(":since")})
    ORDER BY at
""")  # noqa: S608 - constants only


def record_balance(connection: sa.Connection, balance: Balance) -> bool:
    """Store a balance in the caller's transaction; return whether it is new: an account has one for each time.

    Raises InvalidInput for amounts that are no money, and for figures that contradict each other.
    """
    amounts = {name: money(getattr(balance, name)) for name in _AMOUNTS}
    for whole, sign, part, other in (("equity", 1, "cash", "position_value"), ("cumulative_pnl", -1, "equity", "net_deposits")):
        made = (EXACT.add if sign > 0 else EXACT.subtract)(amounts[part], amounts[other])
        if made != amounts[whole]:
            words = f"{part} {'and' if sign > 0 else 'less'} {other}"
            raise InvalidInput(
                f"balance of {balance.account}: {whole} {money_text(amounts[whole])} is not {words}, {money_text(made)}"
            )
    details = json.loads(document(dict(balance.details)))
    values = {**amounts, "account": balance.account, "at": balance.at, "details": json.dumps(details)}
    return connection.execute(_INSERT, values).first() is not None


def read_balances(
    source: Database | sa.Connection, account: str, *, since_ms: int | None = None, until_ms: int | None = None
) -> list[Balance]:
    """Return the balances of an account, oldest first. `since_ms` is included, `until_ms` is not."""
    with reading(source) as connection:
        rows = connection.execute(_SELECT, {"account": account, "since": since_ms, "until": until_ms})
        return [Balance(*row) for row in rows]


def newest_balance(source: Database | sa.Connection, account: str, *, before_ms: int | None = None) -> Balance | None:
    """Return the newest balance of an account, or the newest before a time; None if there is none."""
    with reading(source) as connection:
        row = connection.execute(_NEWEST, {"account": account, "before": before_ms}).first()
        return None if row is None else Balance(*row)


def read_returns(source: Database | sa.Connection, account: str, *, since_ms: int, until_ms: int) -> list[tuple[int, Decimal]]:
    """Return (time in UTC ms, time-weighted return) of the balances of an account before `until_ms`, oldest first.

    The first one is the newest at or before `since_ms`, so that the value at that time is known, if there is any.
    """
    with reading(source) as connection:
        rows = connection.execute(_RETURNS, {"account": account, "since": since_ms, "until": until_ms})
        return [(row[0], row[1]) for row in rows]
