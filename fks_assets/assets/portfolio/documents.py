"""Rows of the ledger as people and programs read them: money as exact text, times as ISO."""

from decimal import Decimal
from typing import Any

from fks_assets.clock import iso
from fks_assets.quant.money import money_text, ratio, rounded
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.balances import Balance
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.fills import Fill
from fks_assets.stores.ledger.orders import Order
from fks_assets.stores.ledger.positions import Position

PRICE_DIGITS = 10
PERCENT_DIGITS = 4


def account_document(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "mode": account.mode.value,
        "exchange": account.exchange,
        "quote": account.quote,
        "enabled": account.enabled,
        "changed_at": iso(account.changed_at),
    }


def deal_document(deal: Deal) -> dict[str, Any]:
    return {
        "id": deal.id,
        "client_deal_id": deal.client_deal_id,
        "account": deal.account,
        "strategy": deal.strategy,
        "market": deal.market.key,
        "timeframe": deal.timeframe,
        "candle": iso(deal.signal_time),
        "side": deal.side.value,
        "price": money_text(deal.price),
        "quantity": money_text(deal.quantity),
        "confidence": money_text(deal.confidence),
        "stop_loss_price": text_of(deal.stop_loss_price),
        "take_profit_price": text_of(deal.take_profit_price),
        "trailing_stop_distance": text_of(deal.trailing_stop_distance),
        "status": deal.status.value,
        "active": deal.is_active,
        "processed_side": deal.processed_side.value,
        "reason": deal.reason,
        "refusal": deal.refusal,
        "created_at": iso(deal.created_at),
        "updated_at": iso(deal.updated_at),
    }


def order_document(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "deal": order.deal_id,
        "account": order.account,
        "market": order.market.key,
        "client_order_id": order.client_order_id,
        "exchange_order_id": order.exchange_order_id,
        "leg": order.leg.value,
        "side": order.side.value,
        "type": order.type.value,
        "price": text_of(order.price),
        "stop_price": text_of(order.stop_price),
        "quantity": money_text(order.quantity),
        "executed_quantity": money_text(order.executed_quantity),
        "executed_sum": money_text(order.executed_sum),
        "executed_percent": percent_of(ratio(order.executed_quantity, order.quantity)),
        "status": order.status.value,
        "active": order.active,
        "reason": order.reason,
        "created_at": iso(order.created_at),
        "updated_at": iso(order.updated_at),
    }


def fill_document(fill: Fill) -> dict[str, Any]:
    return {
        "id": fill.id,
        "account": fill.account,
        "market": fill.market.key,
        "trade_id": fill.trade_id,
        "order": fill.order_id,
        "side": fill.side.value,
        "price": money_text(fill.price),
        "quantity": money_text(fill.quantity),
        "value": money_text(fill.value),
        "fee": money_text(fill.fee),
        "fee_currency": fill.fee_currency,
        "maker": fill.is_maker,
        "traded_at": iso(fill.traded_at),
    }


def position_document(position: Position) -> dict[str, Any]:
    """Return S2.3's figures: profits in the quote coin, after fees; percentages of what was paid to enter."""
    return {
        "deal": position.deal_id,
        "account": position.account,
        "strategy": position.strategy,
        "market": position.market.key,
        "side": position.side.value,
        "quantity": money_text(position.quantity),
        "entry_price": price_of(position.entry_price),
        "mark_price": text_of(position.mark_price),
        "exit_price": price_of(position.exit_price),
        "unrealised_pnl": price_of(position.unrealised_pnl),
        "realised_pnl": price_of(position.realised_pnl),
        "pnl": price_of(position.pnl),
        "pnl_percent": percent_of(position.pnl_fraction),
        "open": position.is_open,
        "opened_at": iso(position.opened_at),
        "closed_at": iso(position.closed_at),
        "marked_at": iso(position.marked_at),
    }


def balance_document(balance: Balance) -> dict[str, Any]:
    amounts = (
        "cash",
        "position_value",
        "equity",
        "margin_used",
        "margin_free",
        "unrealised_pnl",
        "realised_pnl",
        "net_deposits",
        "daily_pnl",
        "cumulative_pnl",
        "time_weighted_return",
    )
    return {
        "account": balance.account,
        "at": iso(balance.at),
        **{name: money_text(getattr(balance, name)) for name in amounts},
        "details": dict(balance.details),
    }


def text_of(value: Decimal | None) -> str | None:
    """Return an exact amount as text, None for None."""
    return None if value is None else money_text(value)


def price_of(value: Decimal | None) -> str | None:
    """Return a derived price or profit to 10 digits after the point, None for None."""
    return None if value is None else money_text(rounded(value, PRICE_DIGITS))


def percent_of(fraction: Decimal | None) -> str | None:
    """Return a fraction as a percentage to 4 digits after the point, None for None."""
    return None if fraction is None else money_text(rounded(fraction.scaleb(2), PERCENT_DIGITS))
