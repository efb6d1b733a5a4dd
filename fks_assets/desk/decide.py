"""From a signal to a deal: whether an account may trade it, how much, and with which levels.

The order of the questions, and every number, are those of a backtest (`quant/backtest/entering.py`): the same functions say the
size, the price and the levels, so that a paper account and the backtest of its rules come to the same equity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

import sqlalchemy as sa

from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.desk.budget import budget
from fks_assets.desk.guardable import stop_fault
from fks_assets.errors import InvalidInput
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.backtest.orders import order_levels, order_price
from fks_assets.quant.backtest.results import Refusal
from fks_assets.quant.backtest.rules import LegRules
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.money import EXACT, ZERO, from_analytics, money_text, value_of
from fks_assets.quant.orders import Mode, Side
from fks_assets.quant.sizing import order_quantity
from fks_assets.quant.strategies.base import BUY, SELL
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.deals import Deal, NewDeal, open_deal, read_deal, read_deals
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.ledger.reconciliations import newest_reconciliations
from fks_assets.stores.ledger.stops import StopState, read_stops, set_stop

# Of the account's first cash; less than that is none, as in a backtest.
LEAST_CASH = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class NewRisk:
    """What is about to be entered: a strategy, in a market, by the signal of a timeframe."""

    strategy: str
    market: Market
    timeframe: Timeframe


@dataclass(frozen=True, slots=True)
class Signal:
    """The newest word of a strategy on a market: `action` 1 BUY, -1 SELL, 0 HOLD, at the candle that opened at `open_time`.

    Times are UTC milliseconds. `close` is the candle's, stop and target are prices in the quote coin, NaN for none. `judged_at`
    is the exchange whose candles the strategy has judged, "" for the market's own.
    """

    strategy: str
    market: Market
    timeframe: Timeframe
    open_time: int
    action: int
    confidence: float
    close: float
    stop: float
    target: float
    reason: str
    judged_at: str = ""

    @property
    def is_from_elsewhere(self) -> bool:
        """Whether its prices are those of another exchange than the one on which the market is traded."""
        return self.judged_at not in ("", self.market.exchange)

    @property
    def close_time(self) -> int:
        return self.open_time + self.timeframe.milliseconds

    @property
    def risk(self) -> NewRisk:
        """What a BUY would enter."""
        return NewRisk(self.strategy, self.market, self.timeframe)


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a signal: a deal (with its refusal, if it was refused), a deal that is to be left, or nothing and why."""

    words: str
    deal: Deal | None = None
    leaves: Deal | None = None
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    price: Decimal
    quantity: Decimal
    stop: Decimal | None
    target: Decimal | None


class _Refused(Exception):
    """The gate lets the signal not through; the text says why."""


def decide(
    connection: sa.Connection,
    account: Account,
    rules: AccountRules,
    signal: Signal,
    *,
    price: Decimal,
    market_rules: MarketRules | None,
    obstacles: Sequence[str],
    at_ms: int,
    taker_fees: Mapping[Market, Decimal] = MappingProxyType({}),
) -> Decision:
    """Decide on a signal in the caller's transaction; the same signal again gives the same deal and nothing more.

    `price` is the market's now, `taker_fees` are those that the markets of the account state, `obstacles` what else forbids new
    risk, in words: a strategy without a certificate, data that fails a check, a halt. They stop no exit. A refused entry is a
    deal too, with the reason; a SELL without a position is none.
    """
    mine = [
        deal
        for deal in read_deals(connection, account=account.name, strategy=signal.strategy, market=signal.market, active=True)
        if deal.timeframe == signal.timeframe.name
    ]
    if signal.action == SELL:
        held = [deal for deal in mine if deal.side is Side.BUY and deal.signal_time < signal.open_time]
        return _leave(connection, held[0], at_ms) if held else Decision("nothing is held")
    if signal.action != BUY:
        return Decision("HOLD")
    again = next((deal for deal in mine if deal.signal_time == signal.open_time), None)
    if again is not None or mine:
        return Decision("held already", deal=again)
    if _was_held(connection, account, signal):
        return Decision("held until now: what is closed at an open is not opened again at that open")
    leg = rules.leg_rules()
    if signal.is_from_elsewhere:
        # Two exchanges are never at one price: the levels keep their distance to what is paid.
        leg = leg.model_copy(update={"levels_from": "fill"})
    entry, refusal = _Entry(price, ZERO, None, None), None
    try:
        entry = _entry(connection, account, rules, leg, signal, price, market_rules, obstacles, at_ms, taker_fees)
    except (_Refused, InvalidInput) as error:
        refusal = str(error)
    deal, is_new = open_deal(
        connection,
        NewDeal(
            account=account.name,
            strategy=signal.strategy,
            provider=account.exchange,
            market=signal.market,
            timeframe=signal.timeframe.name,
            signal_time=signal.open_time,
            side=Side.BUY,
            price=entry.price,
            quantity=entry.quantity,
            confidence=from_analytics(signal.confidence),
            reason=signal.reason,
            at_ms=at_ms,
            stop_loss_price=entry.stop,
            take_profit_price=entry.target,
            trailing_stop_distance=None if leg.trailing_percent is None else from_analytics(leg.trailing_percent / 100),
            refusal=refusal,
            ordering=account.mode is not Mode.ALERT,
        ),
    )
    return Decision(deal.refusal or f"{money_text(deal.quantity)} at about {money_text(deal.price)}", deal=deal, is_new=is_new)


def _leave(connection: sa.Connection, deal: Deal, at_ms: int) -> Decision:
    """Let a deal be left: what guards it cancels its orders and sells what is held."""
    stop = next(iter(read_stops(connection, deal_ids=[deal.id])), None)
    if stop is not None and stop.state is StopState.EXITING:
        return Decision("it is being left already", leaves=deal)
    set_stop(connection, deal.id, at_ms=at_ms, state=StopState.EXITING)
    return Decision("SELL: it is left", leaves=deal, is_new=True)


def _entry(
    connection: sa.Connection,
    account: Account,
    rules: AccountRules,
    leg: LegRules,
    signal: Signal,
    price: Decimal,
    market_rules: MarketRules | None,
    obstacles: Sequence[str],
    at_ms: int,
    taker_fees: Mapping[Market, Decimal],
) -> _Entry:
    for obstacle in obstacles:
        raise _Refused(obstacle)
    if market_rules is None or market_rules.status is not MarketStatus.TRADING:
        found = "are not known" if market_rules is None else f"say that it is {market_rules.status}"
        raise _Refused(f"the trading rules of {signal.market} {found}")
    if at_ms > leg.signal_deadline(signal.close_time, signal.timeframe.milliseconds):
        raise _Refused(f"{Refusal.STALE.words}: the signal is {(at_ms - signal.close_time) / 60_000:.0f} min old")
    _refuse_by_past(connection, account, leg, signal, at_ms)
    if len(read_deals(connection, account=account.name, active=True)) >= rules.limits.max_positions:
        raise _Refused(f"{Refusal.POSITIONS.words}: {rules.limits.max_positions}")
    available, equity = budget(connection, account, rules, signal.strategy, taker_fees)
    if available <= EXACT.multiply(LEAST_CASH, rules.initial_cash):
        raise _Refused(_no_cash(connection, account))
    fill = order_price(rules.costs, market_rules, price=price, side=BUY)
    stop, target = order_levels(
        leg,
        market_rules,
        side=BUY,
        price=fill,
        signal_close=signal.close,
        signal_stop=signal.stop,
        signal_target=signal.target,
    )
    if (stop is not None and price <= stop) or (target is not None and fill >= target):
        raise _Refused(f"{Refusal.LEVELS.words}: {money_text(price)}")
    fee = _taker_fee(rules, market_rules)
    try:
        quantity = order_quantity(
            leg.sizing,
            market_rules,
            side=BUY,
            price=fill,
            stop=stop,
            confidence=signal.confidence,
            available=available,
            equity=equity,
            fee=fee,
        )
    except InvalidInput as error:
        if leg.sizing.kind != "risk" or stop is not None:
            raise
        raise _Refused(f"{Refusal.NO_STOP.words}: {error}") from error
    if not quantity:
        raise _Refused(Refusal.SIZE.words)
    fault = stop_fault(account.mode, market_rules, quantity, stop, fee)
    if fault is not None:
        raise _Refused(fault)
    notional = value_of(fill, quantity)
    if notional > rules.limits.max_order_notional:
        raise _Refused(
            f"{money_text(notional)} {account.quote} is above max_order_notional {money_text(rules.limits.max_order_notional)}"
        )
    return _Entry(fill, quantity, stop, target)


def _refuse_by_past(connection: sa.Connection, account: Account, leg: LegRules, signal: Signal, at_ms: int) -> None:
    """Refuse what lies within the cooldown, or beyond the UTC day's trades, of this strategy in this market (S3.11, S3.12)."""
    day = at_ms - at_ms % MILLISECONDS_PER_DAY
    cooldown = round(leg.cooldown_minutes * 60_000)
    recent = [
        deal.created_at
        for deal in read_deals(
            connection,
            account=account.name,
            strategy=signal.strategy,
            market=signal.market,
            since_ms=min(day, at_ms - cooldown),
        )
        if deal.refusal is None and deal.timeframe == signal.timeframe.name
    ]
    if any(at_ms - made < cooldown for made in recent):
        raise _Refused(f"{Refusal.COOLDOWN.words} of {leg.cooldown_minutes:g} min")
    if leg.daily_trades is not None and sum(made >= day for made in recent) >= leg.daily_trades:
        raise _Refused(f"{Refusal.DAILY_LIMIT.words}: {leg.daily_trades}")


def _no_cash(connection: sa.Connection, account: Account) -> str:
    """Return in words why there is no cash: what a live account has is known once it was compared with its exchange."""
    found = next(iter(newest_reconciliations(connection, account.name)), None)
    if account.mode is not Mode.LIVE or (found is not None and found.detail.get("passed")):
        return Refusal.CASH.words
    fault = "" if found is None else f": {found.detail.get('fault')}"
    return f"account {account.name} has not been compared with {account.exchange} yet, so what it has is not known{fault}"


def _was_held(connection: sa.Connection, account: Account, signal: Signal) -> bool:
    """Return whether the strategy still held the market when its candle closed: its word was about that position then."""
    since = signal.close_time
    positions = read_positions(
        connection, account=account.name, strategy=signal.strategy, market=signal.market, closed_since=since
    )
    held = [position.deal_id for position in positions if position.opened_at < since]
    return any(read_deal(connection, deal_id).timeframe == signal.timeframe.name for deal_id in held)


def _taker_fee(rules: AccountRules, market_rules: MarketRules) -> Decimal:
    return rules.costs.fee_rate(market_rules.taker_fee, rests=False)


def obstacles_of(*, standing: str | None, blocked: str | None, account: Account, halts: Mapping[str, str]) -> tuple[str, ...]:
    """Return what forbids new risk, in words: the account, the strategy, its data, halts."""
    found = [] if account.enabled else [f"account {account.name} may not take new risk"]
    found += [words for words in (standing, blocked) if words]
    return (*found, *halts.values())
