"""How much money a strategy of an account has left, to the last digit as a backtest counts it."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import sqlalchemy as sa

from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.markets import Market
from fks_assets.quant.money import EXACT, ZERO, total, value_of
from fks_assets.quant.orders import PositionSide
from fks_assets.stores.ledger import journal
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.deals import Deal, read_deals
from fks_assets.stores.ledger.positions import Position, read_positions


def budget(
    connection: sa.Connection,
    account: Account,
    rules: AccountRules,
    strategy: str,
    taker_fees: Mapping[Market, Decimal] = MappingProxyType({}),
) -> tuple[Decimal, Decimal]:
    """Return (cash left to a strategy, its share of the equity) at the positions' marks; orders on their way count as paid."""
    positions = read_positions(connection, account=account.name, is_open=True)
    entered = {position.deal_id for position in positions}
    waiting = [deal for deal in read_deals(connection, account=account.name, active=True) if deal.id not in entered]
    share = rules.strategies[strategy]
    pending = {deal.id: _cost(deal, rules.costs.fee_rate(taker_fees.get(deal.market), rests=False)) for deal in waiting}
    wallet = journal.wallets(connection, account.name).get(account.quote, ZERO)
    cash = EXACT.subtract(wallet, total(pending.values()))
    held = total([_value(position) for position in positions] + [value_of(deal.price, deal.quantity) for deal in waiting])
    equity = EXACT.multiply(EXACT.add(cash, held), share)
    if share < 1:
        committed = total(
            [_stake(position) for position in positions if position.strategy == strategy]
            + [value_of(deal.price, deal.quantity) for deal in waiting if deal.strategy == strategy]
        )
        cash = min(cash, EXACT.subtract(equity, committed))
    return cash, equity


def _cost(deal: Deal, taker_fee: Decimal) -> Decimal:
    value = value_of(deal.price, deal.quantity)
    return total((value, value_of(taker_fee, value)))


def _value(position: Position) -> Decimal:
    mark = position.mark_price if position.mark_price is not None else position.entry_price
    return EXACT.multiply(position.net_quantity, mark or ZERO)


def _stake(position: Position) -> Decimal:
    """Return what the open quantity cost to enter; of a SHORT, what was received for it."""
    left = position.sold_quantity if position.side is PositionSide.LONG else position.bought_quantity
    if not left and not position.fee_base:
        return position.entry_sum
    return EXACT.multiply(position.quantity, position.entry_price or ZERO) if position.net_quantity else ZERO
