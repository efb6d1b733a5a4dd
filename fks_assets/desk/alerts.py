"""Stops of accounts in alert mode: the desk watches the price and tells, a person leaves and says so (`fks orders record`)."""

import logging
from collections.abc import Mapping
from decimal import Decimal

import sqlalchemy as sa

from fks_assets.desk.guard_case import is_sound
from fks_assets.desk.guarding import trailed_level
from fks_assets.desk.telling import STOP_KIND, STOP_WORDS, TARGET_WORDS, TRADE_KIND, deal_words, exit_words
from fks_assets.errors import TradingError
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.money import from_analytics, money_text
from fks_assets.quant.orders import Side
from fks_assets.quant.stops import REACHED, STOPPED, evaluate_candle
from fks_assets.stores.ledger.deals import Deal, read_deal, read_deals
from fks_assets.stores.ledger.positions import Position, mark, read_positions
from fks_assets.stores.ledger.stops import Stop, StopState, read_stops, set_stop
from fks_assets.stores.market_rules import all_rules_as_of
from fks_assets.stores.notifications import notify

_log = logging.getLogger(__name__)
# A price that differs by more than this from the last one that was noted counts only when it is seen a second time.
LARGEST_MOVE = 0.2
# So far beyond the stop, as a fraction, the price has to come back before it is said that it has.
BACK_BY = 0.005
# Who has not left a position is told again after this time.
AGAIN_MS = 4 * 3_600_000


def protect_alerts(connection: sa.Connection, account: str, quotes: Mapping[Market, Quote], *, at_ms: int) -> int:
    """Compare the stops and targets of an alert account with prices, in the caller's transaction; return the new messages.

    A stop that is passed is told once (C11), and again every four hours while the position is held; that the price is back, or
    that a person has left, is told once too. Trailing stops follow the price. A market without a price, or with one that is no
    price, triggers nothing. A price that has moved by more than 20 % since the last mark counts when it is seen a second time;
    the positions are marked here, so nobody should mark them with the same prices before.
    """
    deals = read_deals(connection, account=account, active=True)
    ids = [deal.id for deal in deals]
    positions = {each.deal_id: each for each in read_positions(connection, deal_ids=ids) if each.quantity > 0}
    stops = {each.deal_id: each for each in read_stops(connection, deal_ids=ids)}
    told = 0
    seen: dict[Market, Decimal] = {}
    for deal in deals:
        quote = quotes.get(deal.market)
        if deal.id not in positions or quote is None or not is_sound(quote):
            continue
        seen[deal.market] = from_analytics(quote.close)
        try:
            with connection.begin_nested():
                told += _watch(connection, deal, positions[deal.id], stops.get(deal.id), quote, at_ms)
        except TradingError as error:
            _log.warning("deal %s could not be watched: %s", deal.id, error)
    mark(connection, seen, at_ms=at_ms)
    for stop in read_stops(connection, account=account, states=[StopState.ALERTED]):
        if stop.deal_id not in positions:
            told += _left(connection, stop, at_ms)
    return told


def _watch(connection: sa.Connection, deal: Deal, position: Position, stop: Stop | None, quote: Quote, at_ms: int) -> int:
    known = position.mark_price or position.entry_price
    if known is not None and abs(quote.close - float(known)) > LARGEST_MOVE * float(known):
        return 0
    if stop is None:
        levels = {"level": deal.stop_loss_price, "target": deal.take_profit_price}
        stop = set_stop(connection, deal.id, at_ms=at_ms, trailing_distance=deal.trailing_stop_distance, **levels)
    if quote.at_ms <= position.opened_at:
        quote = Quote.of_price(quote.close, quote.at_ms)
    side = 1 if deal.side is Side.BUY else -1
    before = stop.level
    stop = _trailed(connection, deal, stop, side, quote, at_ms)
    levels_now = [float("nan") if level is None else float(level) for level in (before or stop.level, stop.level, stop.target)]
    event, price, _ = evaluate_candle(side, quote.open, quote.high, quote.low, quote.close, *levels_now, False)
    if event == STOPPED:
        return _stopped(connection, deal, position, stop, price, at_ms)
    told = _back(connection, deal, stop, side, quote, at_ms) if stop.state is StopState.ALERTED else 0
    return told + (_reached(connection, deal, position, stop, price) if event == REACHED else 0)


def _trailed(connection: sa.Connection, deal: Deal, stop: Stop, side: int, quote: Quote, at_ms: int) -> Stop:
    if stop.trailing_distance is None:
        return stop
    rules = all_rules_as_of(connection, [deal.market], at_ms).get(deal.market)
    tick = None if rules is None else rules.tick_size
    level = trailed_level(side, stop.level, quote.high if side > 0 else quote.low, stop.trailing_distance, tick)
    return stop if level is None else set_stop(connection, deal.id, at_ms=at_ms, level=level)


def _stopped(connection: sa.Connection, deal: Deal, position: Position, stop: Stop, price: float, at_ms: int) -> int:
    what = f"{STOP_WORDS} {deal_words(deal)}: the stop {money_text(stop.level) if stop.level else ''} is passed at {price:.10g}"
    held = f"{money_text(position.quantity)} {deal.market.base}"
    todo = f"leave {held}, then: fks orders record {deal.id} --leg stop --price … --quantity … --fee …"
    if stop.state is not StopState.ALERTED:
        alerted = set_stop(connection, deal.id, at_ms=at_ms, state=StopState.ALERTED)
        return notify(connection, STOP_KIND, "URGENT", f"{what}; {todo}", f"stop_alert:{deal.id}:{alerted.version}")
    times = (at_ms - stop.updated_at) // AGAIN_MS
    if not times:
        return 0
    words = f"{what}; {held} are still held: {todo}"
    return notify(connection, STOP_KIND, "URGENT", words, f"stop_alert:{deal.id}:{stop.version}:{times}")


def _back(connection: sa.Connection, deal: Deal, stop: Stop, side: int, quote: Quote, at_ms: int) -> int:
    level = 0.0 if stop.level is None else float(stop.level)
    if side * (quote.close - level) < BACK_BY * level:
        return 0
    set_stop(connection, deal.id, at_ms=at_ms, state=StopState.NONE)
    words = f"{deal_words(deal)}: the price is back at {quote.close:.10g}, the stop is {level:.10g}. It is watched again."
    return notify(connection, STOP_KIND, "INFO", words, f"stop_back:{deal.id}:{stop.version}")


def _reached(connection: sa.Connection, deal: Deal, position: Position, stop: Stop, price: float) -> int:
    held = f"{money_text(position.quantity)} {deal.market.base}"
    words = (
        f"{TARGET_WORDS} {deal_words(deal)}: {price:.10g}; leave {held}, "
        f"then: fks orders record {deal.id} --leg target --price … --quantity … --fee …"
    )
    level = "" if stop.target is None else money_text(stop.target)
    return notify(connection, TRADE_KIND, "HIGH", words, f"target_alert:{deal.id}:{level}")


def _left(connection: sa.Connection, stop: Stop, at_ms: int) -> int:
    """Say that a position whose stop was told of has been left."""
    deal = read_deal(connection, stop.deal_id)
    position = next(iter(read_positions(connection, deal_ids=[stop.deal_id])), None)
    set_stop(connection, stop.deal_id, at_ms=at_ms, state=StopState.NONE)
    return notify(
        connection, STOP_KIND, "INFO", f"{deal_words(deal)}: {exit_words(deal, position)}.", f"stop_left:{deal.id}:{stop.version}"
    )
