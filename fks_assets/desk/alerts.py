"""Stops of accounts in alert mode: the desk watches the price and tells, a person leaves and says so (`fks orders record`)."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.desk.guarding import trailed_level
from fks_assets.desk.price_reads import LARGEST_MOVE
from fks_assets.desk.telling import STOP_KIND, STOP_WORDS, TARGET_WORDS, TRADE_KIND, deal_words, exit_words
from fks_assets.errors import TradingError
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.money import from_analytics, money_text
from fks_assets.quant.orders import Side
from fks_assets.quant.stops import REACHED, STOPPED, evaluate_candle
from fks_assets.stores.ledger.deals import Deal, read_deal, read_deals
from fks_assets.stores.ledger.positions import Position, mark, read_positions
from fks_assets.stores.ledger.reading import locked_accounts
from fks_assets.stores.ledger.stops import Stop, StopState, read_stops, set_stop, write_stops
from fks_assets.stores.market_rules import all_rules_as_of
from fks_assets.stores.notifications import notify

_log = logging.getLogger(__name__)
# So far beyond the stop, as a fraction, the price has to come back before it is said that it has.
BACK_BY = 0.005
# Who has not left a position is told again after this time.
AGAIN_MS = 4 * 3_600_000


@dataclass(frozen=True, slots=True)
class _Message:
    kind: str
    severity: str
    words: str
    key: str


@dataclass(slots=True)
class _Watched:
    """A position with its stop as it is after this look, and what has to be said of it."""

    deal: Deal
    position: Position
    stop: Stop
    at_ms: int
    messages: list[_Message] = field(default_factory=list)
    is_changed: bool = False

    @property
    def side(self) -> int:
        return 1 if self.deal.side is Side.BUY else -1

    @property
    def held(self) -> str:
        return f"{money_text(self.position.quantity)} {self.deal.market.base}"

    def change(self, **changes: Any) -> None:
        self.stop = replace(self.stop, version=self.stop.version + 1, updated_at=self.at_ms, **changes)
        self.is_changed = True


def protect_alerts(
    connection: sa.Connection,
    account: str,
    quotes: Mapping[Market, Quote],
    *,
    at_ms: int,
    seen_twice: Mapping[Market, tuple[Decimal | None, Decimal | None]] | None = None,
    waiting: Collection[int] = (),
) -> int:
    """Compare the stops and targets of an alert account with prices, in the caller's transaction; return the new messages.

    A stop that is passed is told once (C11), and again every four hours while the position is held; that the price is back, or
    that a person has left, is told once too. Trailing stops follow the price. A market without a price, or with one that is no
    price, triggers nothing. A price that has moved by more than 20 % since the last mark counts when it is seen a second time;
    the positions are marked here. `seen_twice` gives of markets whose prices were read twice how high and how low both reads
    were, which their stops then follow. Of the deals that are `waiting` for a second read nothing is said yet.
    """
    seen_twice = seen_twice or {}
    locked_accounts(connection, [account])
    positions = {each.deal_id: each for each in read_positions(connection, account=account, is_open=True) if each.quantity > 0}
    ids = sorted(positions)
    deals = read_deals(connection, ids=ids)
    stops = {each.deal_id: each for each in read_stops(connection, deal_ids=ids)}
    held = [deal for deal in deals if deal.market in quotes and quotes[deal.market].is_sound]
    ticks = _ticks(connection, held, stops, at_ms)
    watched = []
    for deal in held:
        if deal.id in waiting:
            continue
        before = stops.get(deal.id)
        one = _Watched(deal, positions[deal.id], before or _first_stop(deal, at_ms), at_ms, is_changed=before is None)
        try:
            if _counts(one.position, quotes[deal.market]) or deal.market in seen_twice:
                _watch(one, quotes[deal.market], seen_twice.get(deal.market), ticks.get(deal.market))
                watched.append(one)
        except TradingError as error:
            _log.warning("deal %s could not be watched: %s", deal.id, error)
    write_stops(connection, [one.stop for one in watched if one.is_changed])
    told = sum(notify(connection, each.kind, each.severity, each.words, each.key) for one in watched for each in one.messages)
    mark(connection, {deal.market: from_analytics(quotes[deal.market].close) for deal in held}, at_ms=at_ms)
    for stop in read_stops(connection, account=account, states=[StopState.ALERTED]):
        if stop.deal_id not in positions:
            told += _left(connection, stop, at_ms)
    return told


def _ticks(
    connection: sa.Connection, deals: Sequence[Deal], stops: Mapping[int, Stop], at_ms: int
) -> dict[Market, Decimal | None]:
    """Return the tick of each market in which a stop trails."""
    markets = {
        deal.market
        for deal in deals
        if (stops[deal.id].trailing_distance if deal.id in stops else deal.trailing_stop_distance) is not None
    }
    return {market: rules.tick_size for market, rules in all_rules_as_of(connection, sorted(markets), at_ms).items()}


def _first_stop(deal: Deal, at_ms: int) -> Stop:
    levels = (deal.stop_loss_price, deal.take_profit_price, deal.trailing_stop_distance)
    return Stop(deal.id, *levels, 1, StopState.NONE, None, None, at_ms)


def _counts(position: Position, quote: Quote) -> bool:
    known = position.mark_price or position.entry_price
    return known is None or abs(quote.close - float(known)) <= LARGEST_MOVE * float(known)


def _watch(one: _Watched, quote: Quote, twice: tuple[Decimal | None, Decimal | None] | None, tick: Decimal | None) -> None:
    if quote.at_ms <= one.position.opened_at:
        quote = Quote.of_price(quote.close, quote.at_ms)
    side, before = one.side, one.stop.level
    highest, lowest = (quote.high, quote.low) if twice is None else twice
    best = highest if side > 0 else lowest
    if one.stop.trailing_distance is not None and best is not None:
        level = trailed_level(side, before, float(best), one.stop.trailing_distance, tick)
        if level is not None:
            one.change(level=level)
    levels = [
        float("nan") if level is None else float(level) for level in (before or one.stop.level, one.stop.level, one.stop.target)
    ]
    event, price, _ = evaluate_candle(side, quote.open, quote.high, quote.low, quote.close, *levels, False)
    if event == STOPPED:
        _stopped(one, price)
        return
    if one.stop.state is StopState.ALERTED:
        _back(one, quote)
    if event == REACHED:
        _reached(one, price)


def _stopped(one: _Watched, price: float) -> None:
    deal, stop = one.deal, one.stop
    what = f"{STOP_WORDS} {deal_words(deal)}: the stop {money_text(stop.level) if stop.level else ''} is passed at {price:.10g}"
    todo = f"leave {one.held}, then: fks orders record {deal.id} --leg stop --price … --quantity … --fee …"
    if stop.state is not StopState.ALERTED:
        one.change(state=StopState.ALERTED)
        one.messages.append(_Message(STOP_KIND, "URGENT", f"{what}; {todo}", f"stop_alert:{deal.id}:{one.stop.version}"))
    elif (times := (one.at_ms - stop.updated_at) // AGAIN_MS) > 0:
        words = f"{what}; {one.held} are still held: {todo}"
        one.messages.append(_Message(STOP_KIND, "URGENT", words, f"stop_alert:{deal.id}:{stop.version}:{times}"))


def _back(one: _Watched, quote: Quote) -> None:
    deal, stop = one.deal, one.stop
    level = 0.0 if stop.level is None else float(stop.level)
    if one.side * (quote.close - level) < BACK_BY * level:
        return
    one.change(state=StopState.NONE)
    one.messages.append(_Message(STOP_KIND, "INFO", back_words(deal, quote.close, level), f"stop_back:{deal.id}:{stop.version}"))


def _reached(one: _Watched, price: float) -> None:
    deal = one.deal
    words = (
        f"{TARGET_WORDS} {deal_words(deal)}: {price:.10g}; leave {one.held}, "
        f"then: fks orders record {deal.id} --leg target --price … --quantity … --fee …"
    )
    level = "" if one.stop.target is None else money_text(one.stop.target)
    one.messages.append(_Message(TRADE_KIND, "HIGH", words, f"target_alert:{deal.id}:{level}"))


def back_words(deal: Deal, price: float, level: float) -> str:
    """Return that the price has come back to the better side of a stop."""
    return f"{deal_words(deal)}: the price is back at {price:.10g}, the stop is {level:.10g}. It is watched again."


def _left(connection: sa.Connection, stop: Stop, at_ms: int) -> int:
    """Say that a position whose stop was told of has been left."""
    deal = read_deal(connection, stop.deal_id)
    position = next(iter(read_positions(connection, deal_ids=[stop.deal_id])), None)
    set_stop(connection, stop.deal_id, at_ms=at_ms, state=StopState.NONE)
    return notify(
        connection, STOP_KIND, "INFO", f"{deal_words(deal)}: {exit_words(deal, position)}.", f"stop_left:{deal.id}:{stop.version}"
    )
