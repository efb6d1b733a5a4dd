"""Compare an account with its venue: at the start, before anything is sent, and every minute.

Trades are pulled from where the last complete pull ended, so none that happened while nobody listened is lost. Orders that are
not ours are written down as external and never touched. What the venue holds and the ledger does not explain, by more than a
lot, stops new risk in the account and tells a person. A question that fails proves nothing: the comparison is then not passed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.pulling import Pulled, pull
from fks_assets.desk.session import TradingSession
from fks_assets.desk.settling import books_began
from fks_assets.errors import ExchangeError
from fks_assets.exchanges.orders.venue import TradeMark, VenueBalance
from fks_assets.quant.markets import Market
from fks_assets.quant.money import SMALLEST, ZERO, money_text, total
from fks_assets.quant.orders import OrderStatus
from fks_assets.stores.ledger import fences
from fks_assets.stores.ledger.halts import HaltScope, halt, halted
from fks_assets.stores.ledger.journal import deposit, wallets
from fks_assets.stores.ledger.orders import read_orders, transition
from fks_assets.stores.ledger.reconciliations import newest_reconciliations, record_reconciliation
from fks_assets.stores.notifications import notify

BY = "reconciliation"
# A fill between two questions looks like a difference once; one that is there three times is one.
LOOKS = 3


@dataclass(slots=True)
class Reconciled:
    """A comparison. `passed`: every question was answered and the ledger brought up to date. `drift`: venue less ledger."""

    passed: bool
    fault: str = ""
    trades: int = 0
    external: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    drift: dict[str, Decimal] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is nothing that a person has to look at."""
        return self.passed and not self.drift and not self.unknown


async def reconcile(session: TradingSession) -> Reconciled:
    """Compare the session's account with its venue, bring the ledger up to date, record the comparison and return it."""
    crashpoint("reconcile.begin")
    marks = await session.transact(lambda connection: _recover(session, connection))
    crashpoint("reconcile.recovered")
    result = Reconciled(passed=True)
    try:
        for look in range(LOOKS):
            pulled = await pull(session, marks)
            asked_at = session.clock()
            held = await session.venue.balances()
            crashpoint("reconcile.pulled")
            if look == 0:
                await session.transact(lambda connection, held=held, at=asked_at: _open_books(session, connection, held, at))
            result.drift = await session.transact(lambda connection, held=held: _drift(session, connection, held))
            marks = pulled.marks
            _count(result, pulled)
            if not result.drift:
                break
    except ExchangeError as error:
        result.passed, result.fault, result.drift = False, str(error), {}
    crashpoint("reconcile.compared")
    await session.transact(lambda connection: _record(session, connection, result, marks))
    crashpoint("reconcile.recorded")
    return result


def _recover(session: TradingSession, connection: sa.Connection) -> dict[Market, TradeMark]:
    """End the intents that an earlier holder of the fence wrote and never sent; return how far trades have been pulled."""
    fences.check(connection, session.fence)
    for order in read_orders(connection, account=session.account, statuses=[OrderStatus.INTENT]):
        if order.epoch != session.fence.epoch:
            words = {"words": "written by a process that ended before it was sent"}
            transition(connection, order.id, OrderStatus.DENIED, at_ms=session.clock(), detail=words)
    crashpoint("reconcile.recovered.uncommitted")
    found = next(iter(newest_reconciliations(connection, session.account)), None)
    stored = {} if found is None else found.detail.get("marks", {})
    return {market: TradeMark(*stored[market.key]) for market in session.rules if market.key in stored}


def _count(result: Reconciled, pulled: Pulled) -> None:
    result.trades += pulled.trades
    result.external += [order for order in pulled.external if order not in result.external]
    result.unknown = pulled.unknown


def _open_books(session: TradingSession, connection: sa.Connection, held: Mapping[str, VenueBalance], at_ms: int) -> None:
    """Book what the account holds when the ledger has nothing of it at all: its opening balance."""
    if wallets(connection, session.account) or books_began(connection, session.account) is not None:
        return
    for currency, balance in sorted(held.items()):
        if balance.total > 0:
            reference = f"opening balance {currency}"
            deposit(connection, session.account, currency, balance.total, reference, at_ms=at_ms, by=BY)


def _drift(session: TradingSession, connection: sa.Connection, held: Mapping[str, VenueBalance]) -> dict[str, Decimal]:
    """Return what the venue has more (above 0) or less than the ledger, by currency, where that is more than a lot."""
    booked = wallets(connection, session.account)
    found: dict[str, Decimal] = {}
    for currency in sorted({*booked, *(coin for market in session.rules for coin in (market.base, market.quote))}):
        there = held[currency].total if currency in held else ZERO
        difference = total((there, booked.get(currency, ZERO).copy_negate()))
        if abs(difference) > _tolerance(session, currency):
            found[currency] = difference
    return found


def _tolerance(session: TradingSession, currency: str) -> Decimal:
    """Return the largest lot of the coin; of one that only pays, the largest tick."""
    lots = [rules.lot_size for market, rules in session.rules.items() if market.base == currency and rules.lot_size]
    ticks = [rules.tick_size for market, rules in session.rules.items() if market.quote == currency and rules.tick_size]
    return max(lots or ticks or [SMALLEST])


def _record(session: TradingSession, connection: sa.Connection, result: Reconciled, marks: Mapping[Market, TradeMark]) -> None:
    fences.check(connection, session.fence)
    detail: dict[str, Any] = {
        "epoch": session.fence.epoch,
        "passed": result.passed,
        "fault": result.fault,
        "trades": result.trades,
        "external": result.external,
        "unknown": result.unknown,
        "drift": result.drift,
        "marks": {market.key: [mark.trade_id, mark.pulled_at] for market, mark in marks.items()},
    }
    at = session.clock()
    record_reconciliation(connection, session.account, ok=result.ok, detail=detail, at_ms=at)
    if result.drift:
        _pause(session, connection, result.drift, at)
    crashpoint("reconcile.record.uncommitted")


def _pause(session: TradingSession, connection: sa.Connection, drift: Mapping[str, Decimal], at_ms: int) -> None:
    """Stop new risk in the account until a person resumes, and tell that person, once for each halt.

    A halt that ends by itself, such as a protection's, is not enough, and must not keep the difference from being told.
    """
    words = ", ".join(f"{money_text(amount)} {currency}" for currency, amount in drift.items())
    reason = f"the exchange differs from the ledger by {words}"
    standing = halted(connection, HaltScope.ACCOUNT, session.account, at_ms=at_ms)
    if standing is None or standing.until is not None:
        stop = halt(connection, HaltScope.ACCOUNT, session.account, reason=reason, by=BY, at_ms=at_ms)
        message = f"Account {session.account} takes no new risk: {reason}. Book what moved (fks cash), then resume."
        notify(connection, "drift", "HIGH", message, f"drift:{session.account}:{stop.id}")
