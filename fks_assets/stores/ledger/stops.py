"""Stops: the level and target of each deal, and who guards it at this moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.money import money, rounded
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import read_deal
from fks_assets.stores.ledger.reading import document, locked_accounts, milliseconds, moment, plain, reading


class StopState(StrEnum):
    """NONE: nothing rests at the exchange. RESTING: the order does. GAP: it is being replaced, until a deadline. EXITING: the
    position is being left. ALERTED: a person was told (alert mode)."""

    NONE = "NONE"
    RESTING = "RESTING"
    GAP = "GAP"
    EXITING = "EXITING"
    ALERTED = "ALERTED"


@dataclass(frozen=True, slots=True)
class Stop:
    """The stop of a deal. Levels in the quote coin, `trailing_distance` a fraction of the price, times UTC milliseconds.

    `version` grows with each change. `gap_deadline` is set in the state GAP alone; a RESTING stop has a level and an order.
    """

    deal_id: int
    level: Decimal | None
    target: Decimal | None
    trailing_distance: Decimal | None
    version: int
    state: StopState
    gap_deadline: int | None
    order_id: int | None
    updated_at: int


_COLUMNS = f"""s.deal_id, s.level, s.target, s.trailing_distance, s.version, s.state, {milliseconds("s.gap_deadline")},
    s.order_id, {milliseconds("s.updated_at")}"""
_WRITE = sa.text(f"""
    INSERT INTO stops AS s (deal_id, level, target, trailing_distance, version, state, gap_deadline, order_id, updated_at)
    VALUES (:deal_id, :level, :target, :trailing_distance, 1, :state, {moment(":gap_deadline")}, :order_id, {moment(":at")})
    ON CONFLICT (deal_id) DO UPDATE SET level = excluded.level, target = excluded.target, version = s.version + 1,
        trailing_distance = excluded.trailing_distance, state = excluded.state, gap_deadline = excluded.gap_deadline,
        order_id = excluded.order_id, updated_at = excluded.updated_at
    RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_WRITE_MANY = sa.text(f"""
    INSERT INTO stops (deal_id, level, target, trailing_distance, version, state, gap_deadline, order_id, updated_at)
    SELECT r.deal_id, r.level, r.target, r.trailing_distance, r.version, r.state, {moment("r.gap_deadline")}, r.order_id,
        {moment("r.updated_at")}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (deal_id bigint, level numeric, target numeric, trailing_distance numeric,
        version integer, state text, gap_deadline bigint, order_id bigint, updated_at bigint) ORDER BY r.deal_id
    ON CONFLICT (deal_id) DO UPDATE SET level = excluded.level, target = excluded.target, version = excluded.version,
        trailing_distance = excluded.trailing_distance, state = excluded.state, gap_deadline = excluded.gap_deadline,
        order_id = excluded.order_id, updated_at = excluded.updated_at
""")  # noqa: S608 - constants only
_SELECT = sa.text(f"""
    SELECT {_COLUMNS} FROM stops s JOIN deals d ON d.id = s.deal_id
    WHERE (CAST(:ids AS bigint[]) IS NULL OR s.deal_id = ANY (CAST(:ids AS bigint[])))
      AND (CAST(:account AS text) IS NULL OR d.account = :account)
      AND (CAST(:states AS text[]) IS NULL OR s.state = ANY (CAST(:states AS text[])))
    ORDER BY s.deal_id
""")  # noqa: S608 - constants only
_AMOUNTS = ("level", "target", "trailing_distance")
_CHANGEABLE = {*_AMOUNTS, "state", "gap_deadline", "order_id"}


def set_stop(connection: sa.Connection, deal_id: int, *, at_ms: int, expected_version: int | None = None, **changes: Any) -> Stop:
    """Change the stop of a deal, or make its first, in the caller's transaction and return it; what is not named stays.

    Changeable are level, target, trailing_distance, state, gap_deadline (UTC ms) and order_id; any state but GAP ends the
    deadline. Raises InvalidInput for an unknown deal, when the stop is not at `expected_version` (0: there is none), and for
    what a state lacks.
    """
    if unknown := changes.keys() - _CHANGEABLE:
        raise TypeError(f"stops have no changeable {', '.join(sorted(unknown))}; changeable are {', '.join(sorted(_CHANGEABLE))}")
    locked_accounts(connection, [read_deal(connection, deal_id).account])
    before = next(iter(read_stops(connection, deal_ids=[deal_id])), None)
    version = 0 if before is None else before.version
    if expected_version is not None and version != expected_version:
        raise InvalidInput(f"the stop of deal {deal_id} is at version {version} by now, not {expected_version}: look at it again")
    names = (*_AMOUNTS, "state", "gap_deadline", "order_id")
    values = {name: None if before is None else getattr(before, name) for name in names}
    values |= {"state": values["state"] or StopState.NONE} | changes
    if values["state"] != StopState.GAP:
        values["gap_deadline"] = None
    for name in _AMOUNTS:
        values[name] = _amount(deal_id, name, values[name])
    if values["state"] == StopState.GAP and values["gap_deadline"] is None:
        raise InvalidInput(f"the stop of deal {deal_id} cannot be in a gap without a deadline")
    if values["state"] == StopState.RESTING and None in (values["order_id"], values["level"]):
        raise InvalidInput(f"the stop of deal {deal_id} cannot rest without an order and a level")
    return _stop(connection.execute(_WRITE, plain({**values, "deal_id": deal_id, "at": at_ms})).one())


def write_stops(connection: sa.Connection, stops: Sequence[Stop]) -> None:
    """Store stops as they are given, in one statement of the caller's transaction, whose accounts are locked.

    Raises InvalidInput for a level or distance out of bounds.
    """
    rows = [
        {name: getattr(stop, name) for name in Stop.__dataclass_fields__}
        | {name: _amount(stop.deal_id, name, getattr(stop, name)) for name in _AMOUNTS}
        for stop in stops
    ]
    if rows:
        connection.execute(_WRITE_MANY, {"rows": document(rows)})


def read_stops(
    source: Database | sa.Connection,
    *,
    account: str | None = None,
    states: Sequence[StopState] | None = None,
    deal_ids: Sequence[int] | None = None,
) -> list[Stop]:
    """Return stops by deal; None means all."""
    values = {
        "ids": None if deal_ids is None else list(deal_ids),
        "account": account,
        "states": None if states is None else [state.value for state in states],
    }
    with reading(source) as connection:
        return [_stop(row) for row in connection.execute(_SELECT, values)]


def _amount(deal_id: int, name: str, value: Decimal | None) -> Decimal | None:
    if value is None:
        return None
    amount = rounded(money(value), 4) if name == "trailing_distance" else money(value)
    if amount <= 0 or (name == "trailing_distance" and amount >= 1):
        bound = "a fraction between 0 and 1" if name == "trailing_distance" else "above 0"
        raise InvalidInput(f"the stop of deal {deal_id}: {name} {value} is not {bound}")
    return amount


def _stop(row: sa.Row[Any]) -> Stop:
    return Stop(*row[:5], StopState(row[5]), *row[6:])
