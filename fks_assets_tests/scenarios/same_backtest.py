"""The backtest of an account, and what its ledger says beside it: fills and equity, digit for digit."""

from dataclasses import dataclass
from decimal import Decimal

from fks_assets.assets.trading.account_backtest import account_book
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.backtest.book import Book, MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import ExitReason
from fks_assets.quant.orders import Leg as OrderLeg
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.balances import read_balances
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fills import read_fills
from fks_assets.stores.ledger.orders import read_orders
from fks_assets_tests.quant.backtest.ledger import exact_equity
from fks_assets_tests.scenarios.recorded_signals import Recorded

REASONS = {0: "entry", **{int(reason): reason.name.lower() for reason in ExitReason}}
LEGS = {OrderLeg.ENTRY: "entry", OrderLeg.STOP: "stop", OrderLeg.TARGET: "target", OrderLeg.EXIT: "signal"}


@dataclass(frozen=True, order=True)
class Booked:
    """A fill as either side books it; `time` is UTC ms, that of the candle's close for what happens inside it."""

    time: int
    strategy: str
    market: str
    reason: str
    side: int
    price: Decimal
    quantity: Decimal
    fee: Decimal


@dataclass(frozen=True)
class Told:
    """What a backtest or a ledger tells: every fill, and the equity by the close of the candles (UTC ms)."""

    fills: list[Booked]
    equity: dict[int, Decimal]


def backtest_tells(recorded: Recorded, rules: AccountRules) -> Told:
    """Return what the backtest of the account books. The last bar is left out: a backtest leaves its positions there."""
    book = book_of(recorded, rules)
    result = run_backtest(book)
    exact, legs = exact_equity(book, result), book.legs
    end = int(exact.time[-1])
    fills = [
        Booked(
            fill.time, legs[fill.leg].strategy, legs[fill.leg].series.market, REASONS[fill.reason], fill.side, fill.price,
            fill.quantity, fill.fee,
        )
        for fill in exact.fills
        if fill.reason != ExitReason.END
    ]  # fmt: skip
    equity = dict(zip(exact.time.tolist(), exact.equity, strict=True))
    del equity[end]
    return Told(sorted(fills), equity)


def book_of(recorded: Recorded, rules: AccountRules) -> Book:
    """Return the book of the account over what was recorded."""
    series = {
        market: MarketSeries(market.key, recorded.timeframe, candles, (recorded.rules[market],))
        for market, candles in recorded.candles.items()
    }
    leg_rules = dict.fromkeys(rules.strategies, rules.leg_rules())
    places = {place: series[place[1]] for place in recorded.signals}
    return account_book(places, recorded.signals, leg_rules, rules.book_rules())


def ledger_tells(database: Database, account: str, recorded: Recorded) -> Told:
    """Return what the ledger has of the account. Its balances were taken a millisecond before the close of each candle."""
    step = recorded.timeframe.milliseconds
    deals = {deal.id: deal for deal in read_deals(database, account=account)}
    orders = {order.id: order for order in read_orders(database, account=account)}
    fills = []
    for fill in read_fills(database, account=account):
        order = orders[fill.order_id]
        deal = deals[order.deal_id]
        time = -(-fill.traded_at // step) * step
        side = 1 if fill.side == "BUY" else -1
        reason = LEGS[order.leg]
        fills.append(Booked(time, deal.strategy, fill.market.key, reason, side, fill.price, fill.quantity, fill.fee))
    closes = (each for each in read_balances(database, account) if (each.at + 1) % step == 0)
    return Told(sorted(fills), {each.at + 1: each.equity for each in closes if each.at + 1 < recorded.end_ms})
