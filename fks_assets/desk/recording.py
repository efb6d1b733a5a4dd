"""Alert mode: a person executes a deal and says so; its position, stop and balance follow from that as from any fill."""

from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.money import money, money_text
from fks_assets.quant.orders import DealStatus, Leg, Mode, OrderType
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.stores.ledger.accounts import Account, read_account
from fks_assets.stores.ledger.deals import Deal, read_deal, read_deals, update_deal
from fks_assets.stores.ledger.fills import Fill, NewFill, read_fills, record_fills
from fks_assets.stores.ledger.orders import Order, OrderIntent, read_order, read_orders, record_order
from fks_assets.stores.ledger.positions import Position, read_positions
from fks_assets.stores.ledger.reading import locked_accounts
from fks_assets.stores.ledger.stops import StopState, read_stops, set_stop

NOT_EXECUTED = "nobody has executed it within {candles:g} candles"
LEGS = (Leg.ENTRY, Leg.EXIT, Leg.STOP, Leg.TARGET)


@dataclass(frozen=True, slots=True)
class Execution:
    """What a person did at the exchange for one leg of a deal. Price in the quote coin, quantity in the base coin.

    `reference` is the exchange's id of the trade: the same one is booked once. `traded_at` is UTC milliseconds.
    """

    leg: Leg
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    traded_at: int
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded execution: its order and fill, and the position that follows. `is_new` False: it was booked before."""

    order: Order
    fill: Fill
    position: Position
    is_new: bool


def record_execution(connection: sa.Connection, deal_id: int, execution: Execution, *, at_ms: int) -> Recorded:
    """Book what a person executed for a deal, in the caller's transaction, and return it.

    A first entry gives the deal its stop; the last exit ends it. A deal that was given up because nobody seemed to execute it
    goes on. Raises InvalidInput for an unknown deal, one that the desk itself executes or that was refused, an exit of more than
    is held, and amounts that are no money or not above 0.
    """
    deal = read_deal(connection, deal_id)
    locked_accounts(connection, [deal.account])
    deal = read_deal(connection, deal_id)
    _require_alert(connection, deal, execution)
    earlier = [order for order in read_orders(connection, deal_id=deal.id) if order.leg is execution.leg]
    reference = execution.reference or f"deal {deal.id} {execution.leg} {len(earlier) + 1}"
    known = [fill for fill in read_fills(connection, account=deal.account, deal_id=deal.id) if fill.trade_id == reference]
    if known:
        return _known(connection, deal, known[0], execution)
    if execution.leg is not Leg.ENTRY:
        _require_held(connection, deal, execution.quantity)
    intent = OrderIntent(
        deal=deal,
        leg=execution.leg,
        side=deal.side if execution.leg is Leg.ENTRY else deal.side.opposite,
        type=OrderType.LIMIT,
        quantity=execution.quantity,
        price=execution.price,
        reason="executed by a person",
        at_ms=at_ms,
        generation=len(earlier),
    )
    if deal.refusal is not None:
        update_deal(connection, deal.id, at_ms=at_ms, refusal=None, is_active=True)
    order, _ = record_order(connection, intent)
    trade = NewFill(
        order.id,
        reference,
        execution.price,
        execution.quantity,
        execution.fee,
        execution.fee_currency if execution.fee else None,
        execution.traded_at,
    )
    (fill,) = record_fills(connection, deal.account, [trade], at_ms=at_ms)
    position = _follow(connection, deal, at_ms)
    return Recorded(read_order(connection, order.id), fill, position, is_new=True)


def give_up_unexecuted(connection: sa.Connection, account: Account, rules: AccountRules, *, at_ms: int) -> list[Deal]:
    """End the deals of an alert account that nobody has executed while their signal was fresh, and return them."""
    leg, over = rules.leg_rules(), []
    for deal in read_deals(connection, account=account.name, active=True):
        step = parse_timeframe(deal.timeframe).milliseconds
        if not deal.is_processed and at_ms > leg.signal_deadline(deal.signal_time + step, step):
            words = NOT_EXECUTED.format(candles=leg.oldest_signal_candles)
            over.append(update_deal(connection, deal.id, at_ms=at_ms, refusal=words))
    return over


def _require_alert(connection: sa.Connection, deal: Deal, execution: Execution) -> None:
    account = read_account(connection, deal.account)
    if account.mode is not Mode.ALERT:
        raise InvalidInput(f"deal {deal.id} is of account {account.name}, mode {account.mode}: the desk books its fills itself")
    if execution.leg not in LEGS:
        raise InvalidInput(f"leg {execution.leg} cannot be recorded; {', '.join(LEGS)} can")
    if deal.refusal is not None and not deal.refusal.startswith(NOT_EXECUTED.split("{")[0]):
        raise InvalidInput(f"deal {deal.id} was refused: {deal.refusal}")
    if deal.status is DealStatus.STOPPED:
        raise InvalidInput(f"deal {deal.id} is over")
    for name in ("price", "quantity"):
        if money(getattr(execution, name)) <= 0:
            raise InvalidInput(f"{name} {getattr(execution, name)} is not above 0")


def _require_held(connection: sa.Connection, deal: Deal, quantity: Decimal) -> None:
    held = next((each.quantity for each in read_positions(connection, deal_ids=[deal.id])), Decimal(0))
    if quantity > held:
        raise InvalidInput(f"deal {deal.id} holds {money_text(held)} {deal.market.base}, less than {money_text(quantity)}")


def _known(connection: sa.Connection, deal: Deal, fill: Fill, execution: Execution) -> Recorded:
    if (fill.price, fill.quantity, fill.fee) != (execution.price, execution.quantity, execution.fee):
        raise InvalidInput(f"trade {fill.trade_id} of deal {deal.id} is booked with other numbers")
    (position,) = read_positions(connection, deal_ids=[deal.id])
    return Recorded(read_order(connection, fill.order_id), fill, position, is_new=False)


def _follow(connection: sa.Connection, deal: Deal, at_ms: int) -> Position:
    """Bring deal and stop to where the position is, and return it."""
    (position,) = read_positions(connection, deal_ids=[deal.id])
    if not position.is_open:
        update_deal(connection, deal.id, at_ms=at_ms, status=DealStatus.STOPPED)
        return position
    if not read_stops(connection, deal_ids=[deal.id]):
        set_stop(
            connection,
            deal.id,
            at_ms=at_ms,
            level=deal.stop_loss_price,
            target=deal.take_profit_price,
            trailing_distance=deal.trailing_stop_distance,
            state=StopState.NONE,
        )
    return position
