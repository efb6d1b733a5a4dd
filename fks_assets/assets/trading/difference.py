"""One day of one parameter set: what was decided and traded, held against what a backtest of the stored candles says of it."""

from collections.abc import Sequence

from fks_assets.assets.trading.booked_trades import booked, sold_at_open
from fks_assets.assets.trading.day_of_set import DayOfSet
from fks_assets.assets.trading.decided import first_words
from fks_assets.assets.trading.followers import Follower, followers_of, terms_of
from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.assets.trading.market_decisions import MarketDecisions
from fks_assets.assets.trading.missed_entries import missed_entries
from fks_assets.assets.trading.missed_levels import missed_levels
from fks_assets.assets.trading.recorded_deals import RecordedDeal, read_recorded_deals
from fks_assets.assets.trading.recorded_exits import read_exits
from fks_assets.assets.trading.recorded_trades import RecordedTrade, read_trades
from fks_assets.assets.trading.series import read_series
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.partitions import day_window
from fks_assets.quant.backtest.rules import LegRules
from fks_assets.quant.difference import Cause, Mismatch, Trade, trade_mismatches
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import BUY, SELL
from fks_assets.quant.timeframes import Timeframe, months_between
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import InputRef, latest_inputs
from fks_assets.stores.strategies import parameters_history


def compare_day(
    stores: Stores, subject: StrategyInForce, day: str, markets: Sequence[Market], timeframes: Sequence[Timeframe]
) -> DayOfSet:
    """Compare the decisions of a UTC day, those at candles that closed on it, with what `subject` says of the stored candles now,
    the entries that followed from them and those that did not, the exits, and the stops and targets executed on it, with what the
    backtest of each account books.

    What can still be followed is left out: on the day itself each such decision, on the next one a word that may still come and
    an entry that may still be made. Errors of the strategy's own code are not caught.
    """
    found = DayOfSet(subject, day)
    versions = parameters_history(stores.database, subject.name)
    start_ms, end_ms = day_window(day)
    followers = followers_of(stores.settings, subject.name)
    deals = read_recorded_deals(stores.database, subject.name, start_ms, end_ms)
    for timeframe in timeframes:
        step = timeframe.milliseconds
        series, _ = read_series(
            stores, markets, timeframe, start_ms - step, end_ms - step, lookback_rows=subject.strategy.lookback_rows
        )
        for market in markets:
            # The words of what closed since say until when those of the day could be followed.
            until = end_ms + MILLISECONDS_PER_DAY
            words = first_words(stores, subject.name, market, timeframe, start_ms - step, until)
            legs = _legs(followers, deals, market, timeframe)
            compared = MarketDecisions(stores, subject, versions, market, timeframe, series.get(market), words, legs, end_ms)
            compared.into(found)
        keys = [f"{market.key}|{month}" for market in markets for month in months_between(start_ms - step, end_ms - step)]
        signals = latest_inputs(stores.database, f"signals_{timeframe}", keys).values()
        found.inputs.update(InputRef(record.asset, record.partition, record.content_hash) for record in signals)
    _compare_trades(stores, found, markets, timeframes)
    missed = missed_entries(stores, found.said, found.decided, followers, deals)
    found.trades += len(missed)
    found.mismatches += missed
    places = {(market.key, timeframe.name) for market in markets for timeframe in timeframes}
    for each in missed_levels(stores, subject.name, start_ms, end_ms):
        entered = each.market, each.timeframe, each.candle
        if entered[:2] in places and (entered not in found.said or found.said_at(entered) == BUY):
            found.mismatches.append(each)
    return found


def _legs(
    followers: Sequence[Follower], deals: Sequence[RecordedDeal], market: Market, timeframe: Timeframe
) -> Sequence[LegRules]:
    """Return the rules of all accounts that follow what is said of a market; usual ones for those that do so no longer."""
    legs = [each.rules.leg_rules() for each in followers if each.hears(market, timeframe)]
    has_traded = any((deal.market, deal.timeframe) == (market.key, timeframe.name) for deal in deals)
    return legs or [LegRules()] * has_traded


def _compare_trades(stores: Stores, found: DayOfSet, markets: Sequence[Market], timeframes: Sequence[Timeframe]) -> None:
    trades = read_trades(stores.database, found.subject.name, *day_window(found.day))
    keys, names = {market.key for market in markets}, {timeframe.name for timeframe in timeframes}
    differing = {(each.market, each.timeframe, each.candle) for each in found.mismatches}
    pairs = []
    for trade in trades:
        if trade.market in keys and trade.timeframe in names:
            pairs.append(_pair(stores, found, trade, is_due=trade.leg != "entry" or _said_buy(found, trade)))
    pairs += _exits(stores, found)
    found.trades = len(pairs)
    found.mismatches += trade_mismatches(pairs, differing)


def _pair(stores: Stores, found: DayOfSet, trade: RecordedTrade, *, is_due: bool) -> tuple[Trade | None, Trade | None]:
    """Return what was executed, and what the backtest books for it where its decision asks for it."""
    due = booked(stores, trade, terms_of(stores.settings, trade.account)) if is_due else None
    done = trade.trade()
    if is_due and due is None and done is not None:
        words = "the candle in which the backtest would trade is not stored"
        found.mismatches.append(Mismatch(*done.place, Cause.LATE_DATA, done.words, "none", words, done.account))
        done = None
    return done, due


def _exits(stores: Stores, found: DayOfSet) -> list[tuple[Trade | None, Trade | None]]:
    """Return what was sold at each SELL that found a position held, and what the backtest sells there.

    Where one of both says SELL and the other does not, the decision differs, and its position is not followed any further; nor is
    one that the backtest never entered.
    """
    sells: dict[tuple[str, str], set[int]] = {}
    for place, decided in found.decided.items():
        if SELL in (decided.followed.action, found.said_at(place)):
            sells.setdefault(place[:2], set()).add(place[2])
    pairs = []
    for left in read_exits(stores.database, found.subject.name, *day_window(found.day), sells):
        market, timeframe, side = left.trade.market, left.trade.timeframe, -left.trade.side
        entered = market, timeframe, left.entered
        if entered in found.said and found.said_at(entered) != side:
            continue
        place = market, timeframe, left.trade.candle
        is_due = found.said_at(place) == found.decided[place].followed.action == SELL
        done, due = _pair(stores, found, left.trade, is_due=is_due)
        if left.guard is None or due is None or not sold_at_open(stores, left.guard, place[2]):
            pairs.append((done, due))
    return [pair for pair in pairs if pair != (None, None)]


def _said_buy(found: DayOfSet, trade: RecordedTrade) -> bool:
    return found.said_at((trade.market, trade.timeframe, trade.candle)) == trade.side
