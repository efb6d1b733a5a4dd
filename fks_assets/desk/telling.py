"""What people are told of stops and targets: once for each thing that happened, in the transaction that notes it."""

import sqlalchemy as sa

from fks_assets.desk.guard_case import Case, News, Step
from fks_assets.quant.money import money_text, rounded
from fks_assets.quant.orders import Leg
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.order_rows import Order
from fks_assets.stores.ledger.positions import Position
from fks_assets.stores.notifications import notify

STOP_KIND, TRADE_KIND = "stop", "trade"
STOP_WORDS = "🛑 STOP LOSS TRIGGERED!"
TARGET_WORDS = "🎯 TARGET REACHED!"
# A position that cannot be left is told of again every hour.
AGAIN_MS = 3_600_000


def deal_words(deal: Deal) -> str:
    """Return which deal a message is about."""
    return f"{deal.market}, account {deal.account}, {deal.strategy}, deal {deal.id}"


def exit_words(deal: Deal, position: Position | None) -> str:
    """Return at which average price a position was left and what that brought."""
    if position is None or position.exit_price is None:
        return "it is over"
    profit = "unknown" if position.pnl is None else f"{money_text(rounded(position.pnl, 8))} {deal.market.quote}"
    return f"out at {position.exit_price:.10g}, profit {profit}"


def tell_step(connection: sa.Connection, case: Case, step: Step) -> bool:
    """Write the message of a step, if it has one and it was not told before; return whether it is new."""
    deal, news, what = case.deal, step.news, f"{deal_words(case.deal)}: {step.words}"
    if news is News.STOPPED:
        return notify(
            connection, STOP_KIND, "URGENT", f"{STOP_WORDS} {what}; the position is left at the market.", f"stopped:{deal.id}"
        )
    if news is News.REACHED:
        return notify(
            connection, TRADE_KIND, "INFO", f"{TARGET_WORDS} {what}; the position is left at the market.", f"target:{deal.id}"
        )
    if news is News.UNGUARDED:
        gap = None if case.stop is None else case.stop.gap_deadline
        return notify(connection, STOP_KIND, "URGENT", f"⚠️ Position without a stop! {what}.", f"unguarded:{deal.id}:{gap}")
    if news is News.STUCK:
        hour = case.now_ms // AGAIN_MS
        words = f"⚠️ Position that cannot be left! {what}. {money_text(case.held)} {deal.market.base} are held."
        return notify(connection, STOP_KIND, "URGENT", words, f"stuck:{deal.id}:{hour}")
    if news is News.LATE:
        return notify(connection, STOP_KIND, "HIGH", f"⚠️ {what}.", f"late:{deal.id}:{money_text(case.held)}")
    if news is News.OVERSOLD:
        return notify(connection, STOP_KIND, "URGENT", f"⚠️ {what}. Look at the account.", f"oversold:{deal.id}")
    return False


def tell_end(connection: sa.Connection, deal: Deal, position: Position | None, orders: tuple[Order, ...]) -> bool:
    """Write how a position came to its end: by its stop, by its target, or by leaving; return whether it is new."""
    if position is None:
        return False
    if position.exit_price is None:
        words = f"{deal_words(deal)}: {money_text(position.dust_quantity)} {deal.market.base} were too little to sell."
        return notify(connection, TRADE_KIND, "WARN", words, f"dust:{deal.id}") if position.dust_quantity else False
    result = f"{deal_words(deal)}: {exit_words(deal, position)}"
    by = {leg: [order for order in orders if order.leg is leg and order.executed_quantity] for leg in (Leg.STOP, Leg.TARGET)}
    if by[Leg.STOP]:
        level = by[Leg.STOP][-1].stop_price
        at = "" if level is None else f", the stop was at {money_text(level)}"
        return notify(connection, STOP_KIND, "URGENT", f"{STOP_WORDS} {result}{at}.", f"stopped:{deal.id}")
    if by[Leg.TARGET]:
        return notify(connection, TRADE_KIND, "INFO", f"{TARGET_WORDS} {result}.", f"target:{deal.id}")
    return notify(connection, TRADE_KIND, "INFO", f"Position left. {result}.", f"closed:{deal.id}")
