"""What the positions of an account are worth now, and what that makes of the account: S2.3 and S2.2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import MILLISECONDS_PER_DAY, iso
from fks_assets.desk.floor import Floor
from fks_assets.desk.prices import PriceFeed
from fks_assets.errors import ExchangeError
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.money import DERIVED, EXACT, ZERO, from_analytics, money_text, rounded, total
from fks_assets.quant.orders import Leg
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.balances import Balance, newest_balance, record_balance
from fks_assets.stores.ledger.journal import cash_flows, wallets
from fks_assets.stores.ledger.order_rows import read_orders
from fks_assets.stores.ledger.positions import Position, closed_result, mark, read_positions
from fks_assets.stores.ledger.reading import locked_accounts

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Marks:
    """The prices that positions were marked with, and the markets whose price was nowhere to be had."""

    quotes: Mapping[Market, Quote]
    missing: Sequence[Market]


async def mark_positions(floor: Floor, account: Account) -> Marks:
    """Note the newest price of each open position of an account: the exchange's now, else the newest stored close."""
    markets = list(dict.fromkeys(each.market for each in read_positions(floor.database, account=account.name, is_open=True)))
    quotes = await prices_or_closes(floor.prices(account.exchange), markets)
    with floor.database.transaction() as connection:
        for at in sorted({quote.at_ms for quote in quotes.values()}):
            now = {market: from_analytics(quote.close) for market, quote in quotes.items() if quote.at_ms == at}
            mark(connection, now, at_ms=at)
    return Marks(quotes, [market for market in markets if market not in quotes])


async def prices_or_closes(feed: PriceFeed, markets: Sequence[Market]) -> dict[Market, Quote]:
    """Return the price of each market now, else its newest stored close; those of which neither is known are missing."""
    found: dict[Market, Quote] = {}
    if markets:
        try:
            found = dict(await feed.quotes(markets))
        except ExchangeError:
            found = {}
    for market in markets:
        if market not in found and (close := feed.last_close(market)) is not None:
            found[market] = close
    return found


def balance_of(connection: sa.Connection, account: Account, *, at_ms: int) -> Balance:
    """Return what an account is worth at a time (UTC ms), by its wallets and the marks of its positions.

    Coins that are in no position (dust, coins that fees are paid in) count as nothing and are listed in the details. Used margin
    is what the open positions cost and what entries on their way may cost; days are UTC days, deposits are no profit.
    """
    held = read_positions(connection, account=account.name, is_open=True)
    closed, brought = closed_result(connection, account.name)
    owned = wallets(connection, account.name)
    cash = owned.get(account.quote, ZERO)
    value = total(_value(position) for position in held)
    equity = EXACT.add(cash, value)
    deposited = _deposited(connection, account, at_ms)
    promised = total(
        EXACT.multiply(order.remaining_quantity, order.price or order.reference_price or ZERO)
        for order in read_orders(connection, account=account.name, active=True)
        if order.leg is Leg.ENTRY
    )
    day = at_ms - at_ms % MILLISECONDS_PER_DAY
    before, yesterday = (newest_balance(connection, account.name, before_ms=moment) for moment in (at_ms, day))
    return Balance(
        account=account.name,
        at=at_ms,
        cash=cash,
        position_value=rounded(value),
        equity=rounded(equity),
        margin_used=rounded(EXACT.add(total(_cost(position) for position in held), promised)),
        margin_free=rounded(EXACT.subtract(cash, promised)),
        unrealised_pnl=rounded(total(position.unrealised_pnl or ZERO for position in held)),
        realised_pnl=rounded(EXACT.add(brought, total(_realised(position) for position in held))),
        net_deposits=deposited,
        daily_pnl=rounded(_profit_since(yesterday, equity, deposited)),
        cumulative_pnl=rounded(EXACT.subtract(equity, deposited)),
        time_weighted_return=_return_after(before, equity, deposited),
        details=_details(account, owned, held, closed, day),
    )


def return_of(connection: sa.Connection, account: Account, *, at_ms: int) -> Decimal:
    """Return the time-weighted return of an account at a time, as `balance_of` does, without reading what is over."""
    held = read_positions(connection, account=account.name, is_open=True)
    cash = wallets(connection, account.name).get(account.quote, ZERO)
    equity = EXACT.add(cash, total(_value(position) for position in held))
    before = newest_balance(connection, account.name, before_ms=at_ms)
    return _return_after(before, equity, _deposited(connection, account, at_ms))


def take_balance(floor: Floor, account: Account) -> Balance:
    """Store what an account is worth now, and return it; one that is there for this very moment stays as it is."""
    at = floor.clock()
    with floor.database.transaction() as connection:
        locked_accounts(connection, [account.name])
        balance = balance_of(connection, account, at_ms=at)
        record_balance(connection, balance)
    return balance


def balances_document(balances: Mapping[str, Balance], failures: Mapping[str, str]) -> dict[str, Any]:
    """Return S2.2's answer: how many accounts were synced, and what each is worth; amounts as exact text."""
    results: dict[str, dict[str, Any]] = {
        name: {
            "status": "success",
            "balance": money_text(balance.cash),
            "equity": money_text(balance.equity),
            "margin_used": money_text(balance.margin_used),
            "margin_available": money_text(balance.margin_free),
            "daily_pnl": money_text(balance.daily_pnl),
            "cumulative_pnl": money_text(balance.cumulative_pnl),
            "time_weighted_return": money_text(balance.time_weighted_return),
            "at": iso(balance.at),
        }
        for name, balance in balances.items()
    }
    results |= {name: {"status": "error", "error": words} for name, words in failures.items()}
    return {
        "status": "completed_with_errors" if failures else "success",
        "accounts_synced": len(balances),
        "results": results,
    }


def _deposited(connection: sa.Connection, account: Account, at_ms: int) -> Decimal:
    """Return what was paid into the account up to a time, less what was taken out."""
    flows = cash_flows(connection, account.name, until_ms=at_ms + 1)
    return total(flow.amount for flow in flows if flow.currency == account.quote)


def _value(position: Position) -> Decimal:
    """Return what a position would bring at its mark, at its entry price before it has one."""
    price = position.mark_price if position.mark_price is not None else position.entry_price
    return rounded(DERIVED.multiply(position.net_quantity, price or ZERO))


def _cost(position: Position) -> Decimal:
    return DERIVED.multiply(position.quantity, position.entry_price or ZERO)


def _realised(position: Position) -> Decimal:
    """Return what leaving brought and all fees cost; without a mark it is the fees that are certain."""
    return position.realised_pnl if position.realised_pnl is not None else position.fees_quote.copy_negate()


def _profit_since(earlier: Balance | None, equity: Decimal, deposited: Decimal) -> Decimal:
    if earlier is None:
        return EXACT.subtract(equity, deposited)
    gained = EXACT.subtract(equity, earlier.equity)
    return EXACT.subtract(gained, EXACT.subtract(deposited, earlier.net_deposits))


def _return_after(before: Balance | None, equity: Decimal, deposited: Decimal) -> Decimal:
    """Return the time-weighted return, a fraction: the product of the returns between balances.

    What came in or went out in between counts as having done so at the beginning: whoever books it takes a balance first. No
    more than all can be lost, though what is owed may be more.
    """
    grown, worked = ONE, deposited
    if before is not None:
        grown = DERIVED.add(ONE, before.time_weighted_return)
        worked = EXACT.add(before.equity, EXACT.subtract(deposited, before.net_deposits))
    part = DERIVED.divide(equity, worked) if worked > 0 else ONE
    return max(rounded(DERIVED.subtract(DERIVED.multiply(grown, part), ONE)), ONE.copy_negate())


def _details(account: Account, owned: Mapping[str, Decimal], held: Sequence[Position], closed: int, day: int) -> dict[str, Any]:
    in_positions = {position.market.base for position in held}
    others = {coin: money_text(amount) for coin, amount in owned.items() if amount and coin not in {account.quote, *in_positions}}
    return {
        "open_positions": len(held),
        "closed_positions": closed,
        "unmarked": [position.market.key for position in held if position.mark_price is None],
        "other_coins": others,
        "day": iso(day),
    }
