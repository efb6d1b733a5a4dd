"""BUYs that were said in time and that the backtest enters, and an account of the desk has not: refused, or never decided on."""

from collections.abc import Mapping, Sequence

from fks_assets.assets.trading.booked_trades import entry_price
from fks_assets.assets.trading.followers import Follower, terms_of, was_there
from fks_assets.assets.trading.recorded_deals import RecordedDeal
from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms
from fks_assets.quant.difference import Cause, Decision, Mismatch, Place, Recorded, why_not_entered
from fks_assets.quant.markets import parse_market
from fks_assets.quant.strategies.base import BUY
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.resources.stores import Stores

MINUTE_MS = 60_000


def missed_entries(
    stores: Stores,
    said: Mapping[Place, Decision],
    decided: Mapping[Place, Recorded],
    followers: Sequence[Follower],
    deals: Sequence[RecordedDeal],
) -> list[Mismatch]:
    """Return a difference for each BUY of backtest and desk that an account ought to have entered, and has not.

    What can still be entered is left out. Each account is asked with its own state, as the ledger has it. So it is no difference
    where it held the market already, where it was not on the desk yet, where the open had passed the levels, and where a limit
    refused that its book in a backtest has too: cooldown, the day's trades, positions, cash, the smallest order. All else is one:
    a strategy that is off, a halt, a failing check, a limit of orders, a price that had gone, a desk that did not trade.
    """
    made = {(deal.account, *deal.place): deal for deal in deals}
    found = []
    now = now_ms()
    for place, recorded in decided.items():
        if place not in said or not said[place].action == recorded.followed.action == BUY or recorded.deadline > now:
            continue
        market, timeframe = parse_market(place[0]), parse_timeframe(place[1])
        for follower in followers:
            if follower.hears(market, timeframe) and follower.exchange == market.exchange:
                deal = made.get((follower.account, *place))
                if deal is None or deal.refusal is not None or deal.is_unsent:
                    found.append(_missed(stores, follower, place, said[place], recorded, deal, deals))
    return [each for each in found if each is not None]


def _missed(
    stores: Stores,
    follower: Follower,
    place: Place,
    said: Decision,
    recorded: Recorded,
    deal: RecordedDeal | None,
    deals: Sequence[RecordedDeal],
) -> Mismatch | None:
    assert recorded.known_at is not None
    if deal is None and not _was_asked(stores, follower, place, recorded, deals):
        return None
    market, timeframe = parse_market(place[0]), parse_timeframe(place[1])
    price = entry_price(stores, market, timeframe, place[2], said, terms_of(stores.settings, follower.account))
    if price is None:
        return None
    why: tuple[Cause, str] | None = Cause.FILL, "its entry was never sent"
    if deal is None or deal.refusal is not None:
        why = why_not_entered(None if deal is None else deal.refusal, recorded.known_at)
    if why is None:
        return None
    live = "no deal" if deal is None else "a refused deal" if deal.refusal is not None else "a deal"
    return Mismatch(*place, why[0], live, f"entry BUY at {price:.8g}", why[1], follower.account)


def _was_asked(stores: Stores, follower: Follower, place: Place, recorded: Recorded, deals: Sequence[RecordedDeal]) -> bool:
    """Return whether an account ought to have a deal of a BUY, as far as the ledger tells what it held and had done before."""
    assert recorded.known_at is not None
    if not was_there(stores.database, follower.account, recorded.known_at):
        return False
    closed = place[2] + parse_timeframe(place[1]).milliseconds
    earlier = [
        deal for deal in deals if (deal.account, *deal.place[:2]) == (follower.account, *place[:2]) and deal.candle < place[2]
    ]
    if any(deal.lived_in(closed, recorded.deadline) for deal in earlier):
        return False
    leg, entered = follower.rules.leg_rules(), [deal.created_at for deal in earlier if deal.refusal is None]
    if any(closed - at < leg.cooldown_minutes * MINUTE_MS for at in entered):
        return False
    of_the_day = sum(at >= closed - closed % MILLISECONDS_PER_DAY for at in entered)
    return leg.daily_trades is None or of_the_day < leg.daily_trades
