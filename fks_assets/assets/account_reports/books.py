"""What the ledger has of an account before the end of a period, read as of one moment, and positions as they were then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from fks_assets.desk.protections import BY, is_stopped
from fks_assets.desk.stop_guard_words import count_breaches
from fks_assets.quant.money import ZERO, total
from fks_assets.quant.orders import Leg, Side
from fks_assets.settings.notifications import LOG_CHANNEL
from fks_assets.stores.account_reports import MessageCounts, count_messages
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.balances import Balance, newest_balance, read_balances
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fills import Fill, read_fills
from fks_assets.stores.ledger.halts import Halt, halt_history
from fks_assets.stores.ledger.journal import FLOWS, CashFlow, cash_flows
from fks_assets.stores.ledger.order_rows import Order, read_orders
from fks_assets.stores.ledger.positions import Position, read_positions
from fks_assets.stores.ledger.stops import read_stops
from fks_assets.stores.risk import read_levels

LAST_TRADES = 10
_ONE_MOMENT = sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


@dataclass(frozen=True, slots=True)
class Ended:
    """A closed position and by what it ended: stop, target, exit, or dust that was too little to sell."""

    position: Position
    by: str


@dataclass(frozen=True, slots=True)
class Books:
    """The books of an account up to the end of a period, each list oldest first; times are UTC milliseconds.

    `balances` begin with the last one at or before the time asked for. `closed` are all positions that were over, `ended` those
    of the period and the last ten before its end. `held` are as they were at the end, without a mark.
    """

    balances: Sequence[Balance]
    flows: Sequence[CashFlow]
    funding: Sequence[CashFlow]
    fills: Sequence[Fill]
    closed: Sequence[Position]
    ended: Sequence[Ended]
    held: Sequence[Position]
    levels: Sequence[tuple[int, str]]
    locks: Sequence[Halt]
    breaches: int
    messages: MessageCounts

    @property
    def is_empty(self) -> bool:
        """Whether the account had not begun: it never had money, and never traded, before the end of the period."""
        is_worth = any(balance.equity or balance.net_deposits for balance in self.balances)
        return not (is_worth or self.flows or self.closed or self.held)


def read_books(database: Database, account: Account, start_ms: int, end_ms: int, *, balances_since_ms: int) -> Books:
    """Return the books of an account for the period [start_ms, end_ms), with balances from an earlier time on."""
    name = account.name
    with database.transaction() as connection:
        connection.execute(_ONE_MOMENT)
        base = newest_balance(connection, name, before_ms=balances_since_ms + 1)
        later = read_balances(connection, name, since_ms=balances_since_ms + 1, until_ms=end_ms)
        flows = cash_flows(connection, name, kinds=(*FLOWS, "funding"), until_ms=end_ms)
        positions = [each for each in read_positions(connection, account=name) if each.opened_at < end_ms]
        over = [each for each in positions if each.closed_at is not None and each.closed_at < end_ms and each.entry_sum]
        closed = sorted(over, key=lambda each: (each.closed_at or 0, each.deal_id))
        shown = [each for each in closed if (each.closed_at or 0) >= start_ms]
        shown = closed[-max(LAST_TRADES, len(shown)) :]
        return Books(
            balances=later if base is None else [base, *later],
            flows=[flow for flow in flows if flow.kind in FLOWS],
            funding=[flow for flow in flows if flow.kind not in FLOWS and flow.at >= start_ms],
            fills=read_fills(connection, account=name, since_ms=start_ms, until_ms=end_ms),
            closed=closed,
            ended=_ends(connection, shown),
            held=[_as_of(connection, each, end_ms) for each in positions if each.closed_at is None or each.closed_at >= end_ms],
            levels=[(at, level.value) for at, level in read_levels(connection, name, since_ms=start_ms, until_ms=end_ms)],
            locks=[each for each in halt_history(connection) if start_ms <= each.changed_at < end_ms and _locks(each, name)],
            breaches=count_breaches(connection, name, start_ms, end_ms),
            messages=count_messages(connection, start_ms, end_ms, log=LOG_CHANNEL),
        )


def _ends(connection: sa.Connection, positions: Sequence[Position]) -> list[Ended]:
    ids = [each.deal_id for each in positions]
    deals = {deal.id: deal for deal in read_deals(connection, ids=ids)}
    stops = {stop.deal_id: stop for stop in read_stops(connection, deal_ids=ids)}
    orders: dict[int | None, list[Order]] = {}
    for order in read_orders(connection, deal_ids=ids):
        orders.setdefault(order.deal_id, []).append(order)

    def end(position: Position) -> str:
        own = orders.get(position.deal_id, [])
        if is_stopped(position, deals[position.deal_id], own, stops.get(position.deal_id)):
            return "stop"
        if any(order.leg is Leg.TARGET and order.executed_quantity for order in own):
            return "target"
        return "dust" if position.exit_price is None else "exit"

    return [Ended(each, end(each)) for each in positions]


def _as_of(connection: sa.Connection, position: Position, end_ms: int) -> Position:
    """Return an open position as its fills had made it before a time."""
    fills = read_fills(connection, deal_id=position.deal_id, until_ms=end_ms)
    bought, sold = ([fill for fill in fills if fill.side is side] for side in (Side.BUY, Side.SELL))
    market = position.market
    return replace(
        position,
        bought_quantity=total(fill.quantity for fill in bought),
        bought_sum=total(fill.value for fill in bought),
        sold_quantity=total(fill.quantity for fill in sold),
        sold_sum=total(fill.value for fill in sold),
        fees_quote=total(fill.fee for fill in fills if fill.fee_currency == market.quote),
        fee_base=total(fill.fee for fill in fills if fill.fee_currency == market.base),
        dust_quantity=ZERO,
        closed_at=None,
        mark_price=None,
        marked_at=None,
    )


def _locks(halt: Halt, account: str) -> bool:
    """Return whether a halt is a protection's and binds the account."""
    return halt.halted and halt.changed_by.startswith(BY) and halt.binds(account)
