"""Open an account for trading: alone, under a new fence, at the venue that its mode means."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fks_assets.desk.floor import Floor, order_limits
from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.prices import quote_of
from fks_assets.desk.settling import venue_order
from fks_assets.desk.switches import read_switches, trading_mode
from fks_assets.errors import Denied
from fks_assets.exchanges.orders.paper import PaperVenue
from fks_assets.exchanges.orders.paper_book import PaperState, Resting
from fks_assets.exchanges.orders.venue import Venue
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Mode, OrderStatus
from fks_assets.redaction import no_secrets_in_errors
from fks_assets.stores.database import alone
from fks_assets.stores.ledger import fences
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import read_api_key
from fks_assets.stores.ledger.journal import wallets
from fks_assets.stores.ledger.orders import read_orders

# Whoever trades for an account does so for a few seconds at a time.
PATIENCE_SECONDS = 20.0
_LOOK_SECONDS = 0.25
_AT_THE_VENUE = (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)


@asynccontextmanager
async def open_gateway(
    floor: Floor, account: Account, *, holder: str, patience: float = PATIENCE_SECONDS
) -> AsyncIterator[OrderGateway]:
    """Give the gateway of a paper or live account, the only one of that account while the block lasts.

    Raises Denied when another process trades for the account all the while, when a live account lacks one of its switches, and
    for an account in alert mode, whose orders a person sends.
    """
    rules = floor.rules(account.name)
    mode = trading_mode(account.name, rules.mode, read_switches(rules.mode, account.enabled, floor.environment))
    if mode is Mode.ALERT:
        raise Denied(f"account {account.name} is in alert mode: a person sends its orders")
    async with AsyncExitStack() as stack:
        stack.enter_context(no_secrets_in_errors())
        await _alone(stack, floor, account, patience)
        market_rules = floor.market_rules(account)
        venue = await _venue(stack, floor, account, mode, market_rules)
        with floor.database.transaction() as connection:
            fence = fences.take(connection, account.name, holder, at_ms=floor.clock())
        yield OrderGateway(floor.database, venue, account.name, fence, order_limits(rules), market_rules, clock=floor.clock)


async def _alone(stack: AsyncExitStack, floor: Floor, account: Account, patience: float) -> None:
    """Hold the account's lock until the stack ends."""
    lock = int.from_bytes(hashlib.sha256(f"fks account {account.name}".encode()).digest()[:8], "big", signed=True)
    for _ in range(max(1, round(patience / _LOOK_SECONDS))):
        held = alone(floor.database.url, lock)
        if held.__enter__():
            stack.push(held)
            return
        held.__exit__(None, None, None)
        await asyncio.sleep(_LOOK_SECONDS)
    raise Denied(f"another process has traded for account {account.name} for the last {patience:g} s: try again")


async def _venue(stack: AsyncExitStack, floor: Floor, account: Account, mode: Mode, rules: Mapping[Market, MarketRules]) -> Venue:
    if mode is Mode.PAPER:
        return paper_venue(floor, account, rules)
    from fks_assets.exchanges.orders.private_limits import venue_budgets
    from fks_assets.exchanges.orders.signing import ApiKey

    profile = floor.settings.exchange_profile(account.exchange)
    kind = _venue_class(profile.dialect)
    stored = read_api_key(floor.database, load_keys(floor.settings.home, floor.environment), account.name)
    key = ApiKey(stored.key.get_secret_value(), stored.secret.get_secret_value())
    budgets = venue_budgets(floor.database.engine, profile, account.name)
    return await stack.enter_async_context(kind(profile, key, budgets, floor.markets(account), wall_ms=floor.clock))


def paper_venue(floor: Floor, account: Account, rules: Mapping[Market, MarketRules]) -> PaperVenue:
    """Return the venue of a paper account as the ledger left it: its wallets and its resting orders.

    A pair ends together: of one that rests alone the other has executed, and a process died before it wrote down what ended with
    it. It is not at the venue, and ends when that is asked for it.
    """
    feed = floor.prices(account.exchange)
    with floor.database.transaction() as connection:
        orders = read_orders(connection, account=account.name, statuses=_AT_THE_VENUE)
        pairs = Counter(order.list_id for order in orders)
        resting = [
            Resting(venue_order(order), order.submitted_at or order.created_at, order.list_id or "")
            for order in orders
            if not order.list_id or pairs[order.list_id] > 1
        ]
        state = PaperState(wallets(connection, account.name), resting)
    costs = floor.rules(account.name).costs
    return PaperVenue(account.exchange, rules, costs, state, lambda market: quote_of(feed, market), floor.clock)


def _venue_class(dialect: str) -> Any:
    from fks_assets.exchanges.orders.binance import BinanceVenue
    from fks_assets.exchanges.orders.kraken import KrakenVenue
    from fks_assets.exchanges.orders.nobitex import NobitexVenue
    from fks_assets.exchanges.orders.wallex import WallexVenue

    return {"binance": BinanceVenue, "kraken": KrakenVenue, "wallex": WallexVenue, "nobitex": NobitexVenue}[dialect]
