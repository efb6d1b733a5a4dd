"""A desk and an exchange that do anything in any order, with a model of what the ledger must say, in fractions."""

from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import pytest
import sqlalchemy as sa
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fks_assets.errors import Denied, IllegalTransition, InvalidInput
from fks_assets.quant.markets import Market
from fks_assets.quant.money import EXACT
from fks_assets.quant.orders import FILL_TRANSITIONS, TRANSITIONS, Leg, Mode, OrderStatus, OrderType, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import fills, journal, orders, positions
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.fills import NewFill
from fks_assets.stores.ledger.orders import ExternalOrder
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.stores.ledger.books import BTC, ETH, ETH_BTC, NOON, WIDE, intent, open_account, open_deal

SIZES = st.integers(1000, 10**9).map(lambda lots: Decimal(lots).scaleb(-8))
PRICES = st.integers(1, 10**7).map(lambda ticks: Decimal(ticks).scaleb(-6))
FEES = st.sampled_from(("none", "base", "quote", "third", "rebate"))
PARTS = st.sampled_from((Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(1, 7)))
CURRENCIES = st.sampled_from(("USDT", "BTC", "ETH", "BNB"))
REFERENCE = Decimal("0.01")
DEALS = ((BTC, 0), (BTC, 1), (ETH, 2), (ETH_BTC, 3), (BTC, 4, Side.SELL))
OFTEN = st.sampled_from((True, True, False))
# Everything that is otherwise checked at the commit, and whether debits and credits are equal in each currency.
UNBALANCED = sa.text("""
    SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;
    SELECT currency FROM journal_entries GROUP BY currency HAVING sum(amount) <> 0
""")
TIMES = st.integers(0, 10**6)
MOVES = (journal.deposit, journal.withdraw, journal.adjust, journal.fund)


@dataclass(slots=True)
class ModelOrder:
    """What the model knows of an order."""

    id: int
    market: Market
    side: Side
    leg: Leg
    deal_id: int | None
    quantity: Fraction
    status: OrderStatus
    told: Fraction = Fraction(0)
    value: Fraction = Fraction(0)
    traded: Fraction = Fraction(0)


class LedgerMachine(RuleBasedStateMachine):
    """Every step is a transaction of the desk; what it is refused must leave no trace."""

    steps = 0
    booked = 0

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.connection = database.engine.connect()
        self.transaction = self.connection.begin()
        self.orders: dict[int, ModelOrder] = {}
        self.deals: tuple[Deal, ...] = ()
        self.trades: list[NewFill] = []
        self.told: set[str] = set()
        self.wallets: dict[str, Fraction] = defaultdict(Fraction)
        self.sums: dict[tuple[int, str], Fraction] = defaultdict(Fraction)
        self.references = 0

    @initialize(mode=st.sampled_from((Mode.PAPER, Mode.LIVE)), cash=st.sampled_from(("30", "100000", "100000")))
    def begin(self, mode: Mode, cash: str) -> None:
        self.mode = mode
        self.fence = open_account(self.connection, mode, cash if mode is Mode.PAPER else "0")
        if mode is Mode.LIVE:
            journal.adjust(self.connection, "main", "USDT", Decimal(cash), "found", at_ms=NOON, by="reconciliation")
        journal.deposit(self.connection, "main", "BTC", Decimal(100), "coins", at_ms=NOON, by="test")
        self.wallets |= {"USDT": Fraction(cash), "BTC": Fraction(100)}
        self.deals = tuple(open_deal(self.connection, *each) for each in DEALS)

    @precondition(lambda self: len(self.orders) < 12)
    @rule(data=st.data(), size=SIZES, leg=st.sampled_from((Leg.ENTRY, Leg.ENTRY, Leg.EXIT, Leg.STOP)), is_sent=OFTEN)
    def intend(self, data: st.DataObject, size: Decimal, leg: Leg, is_sent: bool) -> None:
        deal = data.draw(st.sampled_from(self.deals))
        held = abs(self._net(deal.id))
        if leg is not Leg.ENTRY and held:
            size = min(size, EXACT.divide(Decimal(held.numerator), Decimal(held.denominator)))
        wanted = intent(deal, size, leg, generation=len(self.orders), reference_price=REFERENCE)
        if self._must_be_denied(wanted):
            with pytest.raises(Denied):
                orders.write_intent(self.connection, wanted, fence=self.fence, limits=WIDE)
            return
        order = orders.write_intent(self.connection, wanted, fence=self.fence, limits=WIDE)
        with pytest.raises(IllegalTransition):
            orders.transition(self.connection, order.id, OrderStatus.OPEN, at_ms=NOON)
        self.orders[order.id] = ModelOrder(order.id, deal.market, wanted.side, leg, deal.id, Fraction(size), order.status)
        if is_sent:
            self._submit(self.orders[order.id])

    @precondition(lambda self: len(self.orders) in (3, 6))
    @rule(market=st.sampled_from((BTC, ETH)), side=st.sampled_from(list(Side)), size=SIZES)
    def somebody_else_orders(self, market: Market, side: Side, size: Decimal) -> None:
        number = str(len(self.orders))
        external = ExternalOrder(market, number, side, OrderType.MARKET, size, NOON, detail={"from": "the app"})
        order, is_new = orders.adopt_order(self.connection, "main", external)
        assert is_new
        assert orders.adopt_order(self.connection, "main", external) == (order, False)
        self.orders[order.id] = ModelOrder(order.id, market, side, Leg.EXTERNAL, None, Fraction(size), order.status)

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), anything=st.sampled_from(list(OrderStatus)), is_legal=OFTEN)
    def hear_a_status(self, data: st.DataObject, anything: OrderStatus, is_legal: bool) -> None:
        order = data.draw(st.sampled_from(list(self.orders.values())))
        legal = sorted(TRANSITIONS.get(order.status, ()))
        to = data.draw(st.sampled_from(legal)) if is_legal and legal else anything
        fence = self.fence if to is OrderStatus.SUBMITTING else None
        if to in TRANSITIONS.get(order.status, ()):
            orders.transition(self.connection, order.id, to, at_ms=NOON, fence=fence)
            order.status = to
        elif to is order.status and to is not OrderStatus.SUBMITTING:
            assert orders.transition(self.connection, order.id, to, at_ms=NOON).status is to
        else:
            with pytest.raises(IllegalTransition):
                orders.transition(self.connection, order.id, to, at_ms=NOON, fence=fence)

    @precondition(lambda self: self._fillable())
    @rule(data=st.data(), parts=st.lists(PARTS, min_size=1, max_size=3), price=PRICES, fee=FEES, at=TIMES, is_heard=OFTEN)
    def trade(self, data: st.DataObject, parts: list[Fraction], price: Decimal, fee: str, at: int, is_heard: bool) -> None:
        """The exchange executes; the desk hears of it at once, later, or never."""
        order = data.draw(st.sampled_from(self._fillable()))
        for part in parts:
            quantity = Decimal(int((order.quantity - order.traded) * part * 10**8)).scaleb(-8)
            if quantity:
                order.traded += Fraction(quantity)
                currency = {"none": None, "base": order.market.base, "third": "BNB"}.get(fee, order.market.quote)
                amount = {"none": Decimal(0), "rebate": Decimal("-0.00000007")}.get(fee, Decimal("0.000000000000000123"))
                number = f"t{len(self.trades)}"
                self.trades.append(NewFill(order.id, number, price, quantity, amount, currency, NOON + at))
        if is_heard:
            self._hear(self.trades[-len(parts) :])

    @precondition(lambda self: self.trades)
    @rule(data=st.data())
    def hear_of_trades(self, data: st.DataObject) -> None:
        """Any of them, in any order, some again."""
        self._hear(data.draw(st.lists(st.sampled_from(self.trades), min_size=1, max_size=6)))

    @precondition(lambda self: self.told)
    @rule(data=st.data(), what=st.sampled_from(("price", "quantity", "fee", "too much")))
    def hear_what_cannot_be(self, data: st.DataObject, what: str) -> None:
        """A known trade with other numbers, or more than was ordered."""
        known = data.draw(st.sampled_from([fill for fill in self.trades if fill.trade_id in self.told]))
        if what != "too much":
            other = replace(known, **{what: getattr(known, what) + 1, "fee_currency": known.fee_currency or "BNB"})
            with pytest.raises(InvalidInput, match="is booked as"):
                fills.record_fills(self.connection, "main", [other], at_ms=NOON)
        elif self.orders[known.order_id].deal_id is not None:
            other = replace(known, trade_id="too much", quantity=Decimal(10))
            with pytest.raises(InvalidInput, match=r"its fills would be|cannot have been filled"):
                fills.record_fills(self.connection, "main", [other], at_ms=NOON)

    def _submit(self, order: ModelOrder) -> None:
        orders.transition(self.connection, order.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=self.fence)
        order.status = OrderStatus.SUBMITTING

    def _hear(self, heard: list[NewFill]) -> None:
        new = {fill.trade_id: fill for fill in heard if fill.trade_id not in self.told}
        wallets = self._wallets_after(new.values())
        never_sent = any(self.orders[fill.order_id].status not in FILL_TRANSITIONS for fill in new.values())
        spent = [name for name, amount in wallets.items() if amount < self.wallets[name]]
        owes = self.mode is Mode.PAPER and any(wallets[name] < 0 for name in spent)
        if never_sent or owes:
            with pytest.raises(InvalidInput), self.connection.begin_nested():
                fills.record_fills(self.connection, "main", heard, at_ms=NOON)
            return
        stored = fills.record_fills(self.connection, "main", heard, at_ms=NOON)
        assert [fill.trade_id for fill in stored] == list(new)
        self.wallets = wallets
        for fill in new.values():
            self._count(fill)

    @rule(currency=CURRENCIES, amount=SIZES, what=st.sampled_from(MOVES), is_loss=st.booleans())
    def move_money(self, currency: str, amount: Decimal, what: Any, is_loss: bool) -> None:
        self.references += 1
        if is_loss and what in (journal.adjust, journal.fund):
            amount = amount.copy_negate()
        moved = Fraction(amount) * (-1 if what is journal.withdraw else 1)
        if what is journal.withdraw and self.wallets[currency] + moved < 0:
            with pytest.raises(InvalidInput, match="less than"):
                what(self.connection, "main", currency, amount, f"r{self.references}", at_ms=NOON, by="test")
            return
        for is_new in (True, False):
            assert what(self.connection, "main", currency, amount, f"r{self.references}", at_ms=NOON, by="test") is is_new
        self.wallets[currency] += moved

    @precondition(lambda self: self._held())
    @rule(data=st.data())
    def give_up_the_rest(self, data: st.DataObject) -> None:
        deal_id = data.draw(st.sampled_from(self._held()))
        rest = self._net(deal_id)
        if rest <= 0:
            with pytest.raises(InvalidInput, match="there is no dust"):
                positions.book_dust(self.connection, deal_id, at_ms=NOON, by="test")
            return
        assert positions.book_dust(self.connection, deal_id, at_ms=NOON, by="test").quantity == 0
        self.sums[deal_id, "dust_quantity"] += rest

    @invariant()
    def nothing_is_broken(self) -> None:
        type(self).steps += 1
        assert self.connection.execute(UNBALANCED).all() == []
        assert recompute(self.connection) == []

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        stored = orders.read_orders(self.connection)
        assert {order.id: (order.status, order.executed_quantity, order.executed_sum) for order in stored} == {
            order.id: (order.status, order.told, order.value) for order in self.orders.values()
        }
        owned = journal.wallets(self.connection, "main")
        assert {name: Fraction(amount) for name, amount in owned.items() if amount} == {
            name: amount for name, amount in self.wallets.items() if amount
        }
        for position in positions.read_positions(self.connection):
            assert position.net_quantity == self._net(position.deal_id)
            assert position.is_open == (self._net(position.deal_id) != 0)
            for name in ("bought_sum", "sold_sum", "fees_quote"):
                assert getattr(position, name) == self.sums[position.deal_id, name]

    def teardown(self) -> None:
        self.transaction.rollback()
        self.connection.close()

    def _held(self) -> list[int]:
        return [deal.id for deal in self.deals if self._net(deal.id)]

    def _fillable(self) -> list[ModelOrder]:
        never_sent = (OrderStatus.INTENT, OrderStatus.DENIED)
        return [order for order in self.orders.values() if order.status not in never_sent and order.traded < order.quantity]

    def _must_be_denied(self, wanted: orders.OrderIntent) -> bool:
        """Never more than there is, nothing new in a market with an unknown order, never out of more than the position."""
        market, side, size = wanted.deal.market, wanted.side, Fraction(wanted.quantity)
        if wanted.leg is not Leg.ENTRY:
            return size > self._net(wanted.deal.id) * (1 if side is Side.SELL else -1)
        if any(order.status is OrderStatus.UNKNOWN and order.market == market for order in self.orders.values()):
            return True
        entries = [order for order in self.orders.values() if order.leg is Leg.ENTRY and order.side is side]
        others = [order for order in entries if order.status.is_active]
        if side is Side.BUY:
            promised = sum(order.quantity - order.told for order in others if order.market.quote == market.quote)
            return size * Fraction(REFERENCE) > self.wallets[market.quote] - promised * Fraction(REFERENCE)
        promised = sum(order.quantity - order.told for order in others if order.market.base == market.base)
        promised += sum(max(self._net(deal.id), 0) for deal in self.deals if deal.market.base == market.base)
        return size > self.wallets[market.base] - promised

    def _wallets_after(self, new: Any) -> dict[str, Fraction]:
        wallets = defaultdict(Fraction, self.wallets)
        for fill in new:
            order = self.orders[fill.order_id]
            way = 1 if order.side is Side.BUY else -1
            wallets[order.market.base] += way * Fraction(fill.quantity)
            wallets[order.market.quote] -= way * Fraction(fill.price) * Fraction(fill.quantity)
            if fill.fee:
                wallets[fill.fee_currency] -= Fraction(fill.fee)
        return wallets

    def _count(self, fill: NewFill) -> None:
        type(self).booked += 1
        self.told.add(fill.trade_id)
        order = self.orders[fill.order_id]
        quantity, value = Fraction(fill.quantity), Fraction(fill.price) * Fraction(fill.quantity)
        order.told += quantity
        order.value += value
        if order.told == order.quantity:
            order.status = OrderStatus.FILLED
        elif order.status not in (OrderStatus.CANCELED, OrderStatus.EXPIRED):
            order.status = OrderStatus.PARTIALLY_FILLED
        if order.deal_id is not None:
            name = "bought" if order.side is Side.BUY else "sold"
            self.sums[order.deal_id, f"{name}_quantity"] += quantity
            self.sums[order.deal_id, f"{name}_sum"] += value
            if fill.fee_currency == order.market.quote:
                self.sums[order.deal_id, "fees_quote"] += Fraction(fill.fee)
            elif fill.fee_currency == order.market.base:
                self.sums[order.deal_id, "fee_base"] += Fraction(fill.fee)

    def _net(self, deal_id: int) -> Fraction:
        sums = self.sums
        gone = sums[deal_id, "sold_quantity"] + sums[deal_id, "fee_base"] + sums[deal_id, "dust_quantity"]
        return sums[deal_id, "bought_quantity"] - gone
