"""One account, from what its venue has done to what it is worth: the steps in their order, each also callable alone."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from fks_assets.desk.deciding import Decided, Obstacles, decide_signals
from fks_assets.desk.entering import Entered, submit_entries
from fks_assets.desk.floor import Floor
from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.opening import PATIENCE_SECONDS, open_gateway
from fks_assets.desk.price_reads import believed_now
from fks_assets.desk.protect import Protected, protect, protect_until_settled
from fks_assets.desk.protections import apply_protections
from fks_assets.desk.reconcile import Reconciled, reconcile
from fks_assets.desk.signals import Heard
from fks_assets.desk.valuing import Marks, mark_positions, take_balance
from fks_assets.errors import Denied, ExchangeError
from fks_assets.exchanges.orders.paper import PaperVenue
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import DealStatus
from fks_assets.quant.strategies.base import BUY
from fks_assets.stores.guard import KnownPrice, read_known_prices
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.balances import Balance
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.ledger.reconciliations import beat, read_heartbeats


@dataclass(slots=True)
class Cycle:
    """What a cycle did."""

    reconciled: Reconciled
    decided: Decided
    entered: list[Entered]
    marks: Marks
    balance: Balance


@dataclass(slots=True)
class AccountDesk:
    """A paper or live account that is open for trading, alone. `lived`: the candles since the last look, which stops follow."""

    floor: Floor
    account: Account
    gateway: OrderGateway
    lived: dict[Market, Quote] = field(default_factory=dict)

    async def settle(self) -> Reconciled:
        """Bring the ledger to where the venue is: fills, orders, what is unknown. Nothing is sent unless that has passed.

        A paper venue first lets its resting orders live through what their markets have done since the last time.
        """
        seen = await self._advance(self.gateway.venue) if isinstance(self.gateway.venue, PaperVenue) else None
        result = await reconcile(self.gateway)
        if seen is not None and result.passed:
            at = self.floor.clock()
            await self.gateway.transact(lambda connection: beat(connection, self._beat, at_ms=at, detail=seen))
        return result

    async def quotes(self) -> Mapping[Market, Quote]:
        """Return the price now of each market in which the account has a deal; none when they cannot be had."""
        deals = await self.gateway.transact(lambda connection: read_deals(connection, account=self.account.name, active=True))
        try:
            return await self.floor.prices(self.account.exchange).quotes(list(dict.fromkeys(deal.market for deal in deals)))
        except ExchangeError:
            return {}

    async def guard(self) -> list[Protected]:
        """Place, trail and replace what guards the deals, and leave those that are to be left."""
        quotes = dict(await self.quotes())
        for market, candle in self.lived.items():
            if market in quotes:
                quotes[market] = replace(candle, close=quotes[market].close)
        # What was bought since has not lived through them.
        self.lived = {}
        # Paper settles at once; at an exchange somebody has to look again before a gap's deadline.
        settle = protect if isinstance(self.gateway.venue, PaperVenue) else protect_until_settled
        protected = await settle(self.gateway, quotes)
        await self._judge_closed([each.deal.id for each in protected])
        return protected

    async def enter(self, obstacles: Obstacles) -> list[Entered]:
        """Send the entries of the deals that have none, unless something forbids them by now, then guard what they bought."""
        rules = self.floor.rules(self.account.name)
        entered = await submit_entries(self.gateway, rules, await self.quotes(), obstacles)
        if entered:
            await self.guard()
        return entered

    async def trade(self, obstacles: Obstacles) -> tuple[Reconciled, list[Entered]]:
        """Settle, guard and enter: all that the orders of the account need. Raises Denied when the account cannot be compared.

        `obstacles` are asked before each entry; nothing that guards or leaves a position asks them.
        """
        return await self._settle_and_guard(), await self.enter(obstacles)

    async def cycle(self, heard: Sequence[Heard], obstacles: Obstacles) -> Cycle:
        """Do all steps once: settle, guard, decide on the signals, enter, mark, and take the balance.

        What is left is left before anything is entered: its money, and its place among the positions, are free by then.
        """
        reconciled = await self._settle_and_guard()
        decided = await decide_signals(self.floor, self.account, [each for each in heard if each.signal.action != BUY], obstacles)
        if any(decision.leaves is not None for _, decision in decided.decisions):
            await self.guard()
        decided.add(
            await decide_signals(self.floor, self.account, [each for each in heard if each.signal.action == BUY], obstacles)
        )
        entered = await self.enter(obstacles)
        marks = await mark_positions(self.floor, self.account)
        return Cycle(reconciled, decided, entered, marks, take_balance(self.floor, self.account))

    async def _settle_and_guard(self) -> Reconciled:
        reconciled = await self.settle()
        if not reconciled.passed:
            raise Denied(f"account {self.account.name} could not be compared with its venue: {reconciled.fault}")
        await self.guard()
        return reconciled

    async def _judge_closed(self, deal_ids: Sequence[int]) -> None:
        """Ask the protections as soon as one of the deals is over: what they lock is shown at once."""

        def judge(connection: sa.Connection) -> None:
            if any(deal.status is DealStatus.STOPPED for deal in read_deals(connection, ids=deal_ids)):
                apply_protections(connection, self.floor.settings.protections, self.account, at_ms=self.floor.clock())

        if deal_ids and self.floor.settings.protections:
            await self.gateway.transact(judge)

    @property
    def _beat(self) -> str:
        return f"paper book of {self.account.name}"

    async def _advance(self, venue: PaperVenue) -> dict[str, int]:
        """Return, by market, up to when (UTC ms) its candles have been lived through."""
        with self.floor.database.transaction() as connection:
            resting = read_orders(connection, account=self.account.name, active=True)
            found = read_heartbeats(connection).get(self._beat)
            known = read_known_prices(connection, {order.market for order in resting})
        seen: dict[str, int] = {} if found is None else dict(found.detail)
        feed = self.floor.prices(self.account.exchange)
        self.lived = {}
        for market in dict.fromkeys(order.market for order in resting):
            placed = [order.submitted_at or order.created_at for order in resting if order.market == market]
            for moment in await feed.since(market, max(min(placed), seen.get(market.key, 0))):
                if not moment.is_over and self._is_lone(venue, market, moment.quote, known.get(market)):
                    continue
                venue.advance(market, moment.quote, began_ms=moment.began_ms)
                if moment.is_over:
                    seen[market.key] = moment.quote.at_ms + 1
                    if moment.began_ms >= max(placed):
                        self.lived[market] = _joined(self.lived.get(market), moment.quote)
        return seen

    def _is_lone(self, venue: PaperVenue, market: Market, quote: Quote, known: KnownPrice | None) -> bool:
        """Return whether something would execute by a price of now alone, and by the one that the stop guard believes would not.

        The guard asks for a run once it has seen it too; a candle that has closed counts without it.
        """
        believed = believed_now(known, self.floor.clock())
        if believed is None or not venue.would_execute(market, quote):
            return False
        return not venue.would_execute(market, Quote.of_price(float(believed), quote.at_ms))


def _joined(earlier: Quote | None, candle: Quote) -> Quote:
    """Return two candles, one after the other, as one."""
    if earlier is None:
        return candle
    return replace(candle, open=earlier.open, high=max(earlier.high, candle.high), low=min(earlier.low, candle.low))


@asynccontextmanager
async def open_account(floor: Floor, name: str, *, holder: str, patience: float = PATIENCE_SECONDS) -> AsyncIterator[AccountDesk]:
    """Give a paper or live account of the settings, open for trading while the block lasts. Raises as `open_gateway`."""
    account = floor.account(name)
    async with open_gateway(floor, account, holder=holder, patience=patience) as gateway:
        yield AccountDesk(floor, account, gateway)
