"""Protections at work: what an account has done, judged by the rules of the settings, and written down as halts.

A lock is a halt by `protection:<name>` of the account whose trades were the evidence. It forbids new risk alone: stops, targets
and exits pass halts (C16).
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.desk.valuing import ONE, balance_of, return_of
from fks_assets.quant.money import EXACT, ZERO, total
from fks_assets.quant.orders import Leg, PositionSide
from fks_assets.quant.protections import (
    ClosedTrade,
    DailyLossLimit,
    EquityPoint,
    Lock,
    MaxDrawdown,
    Protection,
    Record,
    locks_now,
)
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import Account, read_account
from fks_assets.stores.ledger.balances import read_returns, record_balance
from fks_assets.stores.ledger.deals import Deal, read_deals
from fks_assets.stores.ledger.halts import Halt, HaltScope, halt_unless_halted, halt_words, in_force, last_lifts, resume
from fks_assets.stores.ledger.order_rows import Order, read_orders
from fks_assets.stores.ledger.positions import Position, read_positions
from fks_assets.stores.ledger.reading import locked_accounts
from fks_assets.stores.ledger.stops import Stop, read_stops
from fks_assets.stores.notifications import notify

KIND = "protection"
BY = "protection:"


def apply_protections(
    connection: sa.Connection, protections: Mapping[str, Protection], account: Account, *, at_ms: int
) -> list[Halt]:
    """Halt what the protections lock by what the account has done, in the caller's transaction; return the new halts.

    Each is told of once, and binds this account alone. Nothing is written while a halt that binds the same is in force, unless
    that is the lock of another protection and ends earlier; what was done before a person lifted one counts no more.
    """
    if not protections:
        return []
    locked_accounts(connection, [account.name])
    made = []
    for lock in locks_now(protections, record_of(connection, protections, account, at_ms=at_ms), at_ms):
        halt = _halted_by(connection, lock, account, at_ms)
        if halt is not None:
            made.append(halt)
            whose = f" --account {halt.account}" if halt.account else ""
            message = (
                f"🔒 No new risk in {halt_words(halt.scope, halt.name, halt.account)} until {iso(lock.until)}: {lock.reason}. "
                f"Stops and exits go on. To lift it: fks resume {halt.scope} {halt.name}{whose} --reason …"
            )
            notify(connection, KIND, "HIGH", message, f"{KIND}:{halt.id}")
    return made


def lift(
    connection: sa.Connection,
    scope: HaltScope | str,
    name: str,
    *,
    reason: str,
    by: str,
    at_ms: int,
    account: str | None = None,
) -> Halt:
    """End a halt as `resume` does, in the caller's transaction.

    What an account is worth then is noted with the end of its halt, so that no fall from before is seen afterwards.
    """
    whose = locked_accounts(connection, [name] if scope == HaltScope.ACCOUNT else [])
    ended = resume(connection, scope, name, account=account, reason=reason, by=by, at_ms=at_ms)
    for each in whose:
        record_balance(connection, balance_of(connection, read_account(connection, each), at_ms=at_ms))
    return ended


def record_of(connection: sa.Connection, protections: Mapping[str, Protection], account: Account, *, at_ms: int) -> Record:
    """Return what the protections judge an account by at a time (UTC ms): no more of its past than they look back."""
    back = {name: rule.look_back_ms(at_ms) for name, rule in protections.items()}
    of_equity = [back[name] for name, rule in protections.items() if isinstance(rule, MaxDrawdown | DailyLossLimit)]
    of_trades = [since for name, since in back.items() if not isinstance(protections[name], MaxDrawdown | DailyLossLimit)]
    return Record(
        account.name,
        _closed_trades(connection, account, min(of_trades)) if of_trades else (),
        _equity(connection, account, min(of_equity), at_ms) if of_equity else (),
        last_lifts(connection, account.name),
    )


def protection_locks(source: Database | sa.Connection, *, at_ms: int) -> list[Halt]:
    """Return the locks in force at a time, oldest first."""
    return [halt for halt in in_force(source, at_ms=at_ms) if halt.changed_by.startswith(BY)]


def _halted_by(connection: sa.Connection, lock: Lock, account: Account, at_ms: int) -> Halt | None:
    """Write a lock down, None when what is locked is halted already for as long as it has to be."""
    by = f"{BY}{lock.protection}"

    def gives_way(standing: Halt) -> bool:
        is_anothers = standing.changed_by.startswith(BY) and standing.changed_by != by
        return is_anothers and standing.until is not None and standing.until < lock.until

    return halt_unless_halted(
        connection,
        HaltScope(lock.scope),
        lock.name,
        account=None if lock.scope == "account" else account.name,
        reason=lock.reason,
        by=by,
        at_ms=at_ms,
        until_ms=lock.until,
        gives_way=gives_way,
    )


def _closed_trades(connection: sa.Connection, account: Account, since_ms: int) -> Sequence[ClosedTrade]:
    positions = [
        position
        for position in read_positions(connection, account=account.name, is_open=False, closed_since=since_ms)
        if position.entry_sum
    ]
    ids = [position.deal_id for position in positions]
    deals = {deal.id: deal for deal in read_deals(connection, ids=ids)}
    stops = {stop.deal_id: stop for stop in read_stops(connection, deal_ids=ids)}
    orders: dict[int | None, list[Order]] = {}
    for order in read_orders(connection, deal_ids=ids):
        orders.setdefault(order.deal_id, []).append(order)
    return [
        ClosedTrade(
            position.strategy,
            position.market,
            position.closed_at or 0,
            position.pnl or ZERO,
            position.entry_sum,
            is_stopped(position, deals[position.deal_id], orders.get(position.deal_id, []), stops.get(position.deal_id)),
        )
        for position in positions
    ]


def is_stopped(position: Position, deal: Deal, orders: Sequence[Order], stop: Stop | None) -> bool:
    """Return whether a stop ended the position: its order executed, or it was sold at the market beyond its last level.

    A stop that the desk watches trails in its own row; without one the deal's level counts.
    """
    if total(order.executed_quantity for order in orders if order.leg is Leg.STOP):
        return True
    level, price = deal.stop_loss_price if stop is None else stop.level, position.exit_price
    if level is None or price is None:
        return False
    return price <= level if position.side is PositionSide.LONG else price >= level


def _equity(connection: sa.Connection, account: Account, since_ms: int, at_ms: int) -> Sequence[EquityPoint]:
    """Return the account's equity without deposits: its balances from the last one before a time on, and what it is worth now."""
    known = read_returns(connection, account.name, since_ms=since_ms, until_ms=at_ms)
    return [EquityPoint(at, EXACT.add(ONE, made)) for at, made in (*known, (at_ms, return_of(connection, account, at_ms=at_ms)))]
