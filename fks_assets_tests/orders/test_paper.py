"""The paper venue: fills as in the backtest, to the last digit, and nothing that could reach an account."""

import asyncio
import gc
import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fks_assets.errors import ExchangeUnavailable, StoreError
from fks_assets.exchanges.orders.paper import PaperVenue
from fks_assets.exchanges.orders.paper_book import PaperState, Quote, Resting
from fks_assets.exchanges.orders.venue import (
    Accepted,
    Canceled,
    Denied,
    NotOpen,
    OcoOutcome,
    Rejected,
    ReplaceOutcome,
    VenueBalance,
    VenueOrder,
)
from fks_assets.quant.backtest.rules import Costs
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import OrderStatus, OrderType, Side
from fks_assets_tests.orders.venues import NOW_MS, an_id

MARKET = Market("BTC", "USDT", "binance")
RULES = MarketRules(
    MARKET,
    MarketStatus.TRADING,
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    maker_fee=Decimal("0.0008"),
    taker_fee=Decimal("0.001"),
)
RICH = {"USDT": Decimal(1_000_000), "BTC": Decimal(10)}


class Prices:
    """The live price of every market; none: the source fails."""

    def __init__(self, price: float | None, volume: float = 0.0) -> None:
        self.price, self.volume = price, volume

    async def __call__(self, market: Market) -> Quote:
        if self.price is None:
            raise ExchangeUnavailable(f"no price of {market}", exchange="paper")
        return Quote.of_price(self.price, NOW_MS, self.volume)


def venue(
    price: float | None = 60_000.0,
    *,
    costs: Costs | None = None,
    rules: MarketRules = RULES,
    volume: float = 0.0,
    balances: dict[str, Decimal] | None = None,
    resting: Sequence[Resting] = (),
) -> PaperVenue:
    state = PaperState(balances or dict(RICH), list(resting))
    return PaperVenue("paper", {MARKET: rules}, costs or Costs(slippage=0.0005), state, Prices(price, volume), lambda: NOW_MS)


def order(
    type_: OrderType = OrderType.MARKET,
    side: Side = Side.BUY,
    *,
    quantity: str = "0.5",
    price: str | None = None,
    stop: str | None = None,
    number: int = 0,
) -> VenueOrder:
    levels = [None if each is None else Decimal(each) for each in (price, stop)]
    return VenueOrder(MARKET, an_id(number), side, type_, Decimal(quantity), *levels)


def place(paper: PaperVenue, one: VenueOrder) -> Any:
    async def run() -> Any:
        return await paper.place(one, await paper.ready())

    return asyncio.run(run())


def pair(paper: PaperVenue, stop: VenueOrder, target: VenueOrder) -> OcoOutcome:
    async def run() -> OcoOutcome:
        return await paper.place_oco(stop, target, await paper.ready())

    return asyncio.run(run())


def test_a_fee_that_the_account_states_goes_before_that_of_the_market():
    """0.05 % of 0.5 coins at 60,000 in place of the market's 0.1 %; without one it is the market's, without both 0.1 %."""
    bare = replace(RULES, taker_fee=None)
    paid = [
        place(venue(costs=costs, rules=rules), order()).fills[0].fee
        for costs, rules in ((Costs(taker_fee=0.0005), RULES), (Costs(maker_fee=0.0005), RULES), (Costs(), bare))
    ]
    assert paid == [Decimal(15), Decimal(30), Decimal(30)]


def test_market_orders_cost_what_they_cost_in_the_backtest():
    """The compiled kernel of the backtest says price and fee of 2,000 random orders: equal to the last digit; seed 7."""
    from fks_assets.quant.backtest.compiled import compiled
    from fks_assets.quant.backtest.pricing import market_price

    kernel = compiled(market_price)
    draw = random.Random(7)
    for number in range(2000):
        tick = Decimal(draw.choice((1, 5, 25))).scaleb(-draw.randint(0, 6))
        rules = replace(RULES, tick_size=tick)
        costs = Costs(
            slippage=round(draw.uniform(0, 0.01), 6),
            spread=round(draw.uniform(0, 0.01), 6),
            impact=draw.choice((0.0, round(draw.uniform(0, 0.5), 4))),
            impact_limit=round(draw.uniform(0.01, 1), 3),
        )
        price, volume = round(draw.uniform(1, 90_000), 2), round(draw.uniform(0, 50), 3)
        side = draw.choice(list(Side))
        one = order(side=side, quantity=str(Decimal(draw.randint(1, 100_000)).scaleb(-5)))
        outcome = place(
            venue(price, costs=costs, rules=rules, volume=volume, balances={"USDT": Decimal(10**9), "BTC": Decimal(10)}), one
        )
        numerator, denominator = tick.as_integer_ratio()
        expected = kernel(
            price,
            1 if side is Side.BUY else -1,
            float(one.quantity),
            volume,
            costs.slippage + costs.spread / 2,
            costs.impact,
            costs.impact_limit,
            float(numerator),
            float(denominator),
        )
        assert isinstance(outcome, Accepted), f"order {number}: {outcome}"
        (fill,) = outcome.fills
        assert float(fill.price) == expected and fill.price % tick == 0, f"order {number}"
        assert fill.fee == fill.price * fill.quantity * Decimal("0.001")


def test_a_trade_with_stop_and_target_ends_as_in_the_backtest():
    """S3.8, O6: 300 random paths of candles; the trade of the backtest kernel says price, fee and candle; seed 11."""
    from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
    from fks_assets.quant.backtest.engine import run_backtest
    from fks_assets.quant.backtest.rules import BookRules, LegRules, Sizing
    from fks_assets.quant.candles import Candles
    from fks_assets.quant.strategies.base import SignalColumns
    from fks_assets.quant.timeframes import parse_timeframe

    draw = np.random.default_rng(11)
    hour = parse_timeframe("1h")
    costs = Costs(slippage=0.0005)
    ends: set[str] = set()
    for _ in range(300):
        count = 30
        close = np.round(60_000 * np.exp(np.cumsum(draw.normal(0, 0.004, count))), 2)
        open_ = np.round(np.concatenate([[60_000.0], close[:-1]]) * (1 + draw.normal(0, 0.001, count)), 2)
        high = np.round(np.maximum(open_, close) * (1 + np.abs(draw.normal(0, 0.002, count))), 2)
        low = np.round(np.minimum(open_, close) * (1 - np.abs(draw.normal(0, 0.002, count))), 2)
        volume = np.full(count, 100.0)
        times = NOW_MS + np.arange(count, dtype=np.int64) * hour.milliseconds
        candles = Candles(times, open_, high, low, close, volume)
        action = np.zeros(count, np.int8)
        action[0] = 1
        stop, target = round(float(close[0]) * 0.99, 2), round(float(close[0]) * 1.012, 2)
        blank = np.full(count, np.nan)
        signals = SignalColumns(
            action,
            np.ones(count),
            np.where(action, stop, blank),
            np.where(action, target, blank),
            np.zeros(count, np.int16),
            ("",),
        )
        sizing = Sizing(kind="notional", size=1000.0)
        leg = Leg(
            "s", MarketSeries(MARKET.key, hour, candles, rules=(RULES,)), signals, LegRules(sizing=sizing, cooldown_minutes=0)
        )
        trades = run_backtest(Book([leg], BookRules(initial_cash=100_000.0, costs=costs))).trades
        if not len(trades):
            continue
        row = {
            name: getattr(trades, name)[0]
            for name in ("quantity", "entry_price", "exit_price", "entry_fee", "exit_fee", "exit_time")
        }
        quantity = str(Decimal(repr(float(row["quantity"]))))
        paper = venue(float(open_[1]), costs=costs)
        bought = place(paper, order(quantity=quantity, number=0))
        assert float(bought.fills[0].price) == row["entry_price"]
        assert float(bought.fills[0].fee) == pytest.approx(row["entry_fee"], rel=1e-12)
        pair(
            paper,
            order(OrderType.STOP_MARKET, Side.SELL, quantity=quantity, stop=str(stop), number=1),
            order(OrderType.LIMIT, Side.SELL, quantity=quantity, price=str(target), number=2),
        )
        fills: list[Any] = []
        for at in range(1, count):
            candle = Quote(open_[at], high[at], low[at], close[at], volume[at], int(times[at]))
            fills += [(fill, int(times[at])) for fill in paper.advance(MARKET, candle)]
        if not fills:
            assert row["exit_time"] == times[-1]
            continue
        ((fill, when),) = fills
        ends.add("target" if fill.is_maker else "stop")
        assert (float(fill.price), when) == (row["exit_price"], row["exit_time"])
        assert float(fill.fee) == pytest.approx(row["exit_fee"], rel=1e-12)
        assert asyncio.run(paper.open_orders([MARKET])) == []
    assert ends == {"stop", "target"}


def test_stop_and_target_lock_the_coins_once_and_one_of_them_executes():
    """F13, O5: the other leg is gone with the first; never short."""
    paper = venue(balances={"BTC": Decimal("0.5"), "USDT": Decimal(0)})
    outcome = pair(
        paper,
        order(OrderType.STOP_MARKET, Side.SELL, stop="59000", number=1),
        order(OrderType.LIMIT, Side.SELL, price="61000", number=2),
    )
    assert isinstance(outcome.stop, Accepted) and isinstance(outcome.target, Accepted)
    assert asyncio.run(paper.balances())["BTC"] == VenueBalance(Decimal(0), Decimal("0.5"))
    (fill,) = paper.advance(MARKET, Quote(60_000, 61_500, 58_500, 60_000, 10, NOW_MS))
    assert (fill.price, fill.is_maker) == (Decimal("58970.5"), False)
    reports = [asyncio.run(paper.order(MARKET, an_id(number))) for number in (1, 2)]
    assert [report and report.status for report in reports] == [OrderStatus.FILLED, OrderStatus.EXPIRED]
    assert paper.advance(MARKET, Quote(61_500, 61_500, 58_500, 60_000, 10, NOW_MS)) == []
    assert asyncio.run(paper.balances()) == {
        "BTC": VenueBalance(Decimal(0), Decimal(0)),
        "USDT": VenueBalance(Decimal("29455.76475"), Decimal(0)),
    }


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (order(quantity="0.000015"), "LOT"),
        (order(OrderType.LIMIT, price="59000.001"), "TICK"),
        (order(OrderType.STOP_MARKET, Side.SELL, stop="60000"), "TRIGGERED"),
        (order(quantity="20"), "BALANCE"),
        (order(side=Side.SELL, quantity="10.00001"), "BALANCE"),
        (replace(order(), market=Market("ETH", "USDT", "binance")), "MARKET"),
    ],
)
def test_what_a_strict_exchange_refuses_is_refused(one: VenueOrder, code: str):
    """E10, O5."""
    outcome = place(venue(), one)
    assert isinstance(outcome, Rejected) and outcome.code == code


def test_a_second_sale_of_the_same_coins_is_refused():
    """O5: what rests in one order cannot be sold by another."""
    paper = venue(balances={"BTC": Decimal("0.5")})
    assert isinstance(place(paper, order(OrderType.LIMIT, Side.SELL, price="61000", number=1)), Accepted)
    outcome = place(paper, order(OrderType.STOP_MARKET, Side.SELL, stop="59000", number=2))
    assert isinstance(outcome, Rejected) and outcome.code == "BALANCE"


@pytest.mark.parametrize("price", [None, 0.0, -1.0, float("nan"), float("inf"), 1e-30, 1e30])
@pytest.mark.parametrize(
    "one", [order(), order(OrderType.LIMIT, price="59000"), order(OrderType.STOP_MARKET, Side.SELL, stop="59000")]
)
def test_without_a_price_nothing_is_filled(price: float | None, one: VenueOrder):
    """F8, F15: no fallback price; a price that is none fills nothing, and nothing is of unknown outcome."""
    paper = venue(price)
    outcome = place(paper, one)
    assert isinstance(outcome, Denied) and "price" in outcome.words
    assert asyncio.run(paper.my_trades([MARKET], {})) == [] == asyncio.run(paper.open_orders([MARKET]))


@pytest.mark.parametrize("fault", [KeyError("BTC"), TimeoutError("10 s"), StoreError("the limiter is away"), ValueError("x")])
def test_whatever_is_wrong_with_the_price_is_an_outcome_and_no_error(fault: Exception):
    """C14: the order was sent to nobody; an error would leave it SUBMITTING until somebody looks for it."""

    class Faulty(Prices):
        async def __call__(self, market: Market) -> Quote:
            raise fault

    paper = PaperVenue("paper", {MARKET: RULES}, Costs(), PaperState(dict(RICH)), Faulty(None), lambda: NOW_MS)
    stop, target = order(OrderType.STOP_MARKET, Side.SELL, stop="59000"), order(OrderType.LIMIT, Side.SELL, price="61000")
    placed, both = place(paper, order()), pair(paper, stop, target)
    assert all(isinstance(each, Denied) and str(MARKET) in each.words for each in (placed, both.stop, both.target))


def test_a_replaced_stop_is_one_stop_at_the_new_level():
    """O4: cancel and place in one step."""
    paper = venue(balances={"BTC": Decimal("0.5")})
    place(paper, order(OrderType.STOP_MARKET, Side.SELL, stop="59000", number=1))

    async def run(number: int) -> ReplaceOutcome:
        new = order(OrderType.STOP_MARKET, Side.SELL, stop="59500", number=2 + number)
        return await paper.replace(an_id(1), new, await paper.ready())

    first, second = asyncio.run(run(0)), asyncio.run(run(1))
    assert isinstance(first.canceled, Canceled) and isinstance(first.placed, Accepted)
    assert isinstance(second.canceled, NotOpen) and isinstance(second.placed, Rejected)
    (fill,) = paper.advance(MARKET, Quote.of_price(59_500.0, NOW_MS))
    assert fill.exchange_order_id == f"P{an_id(2)}"


def test_resting_orders_outlive_the_process_in_the_ledger():
    """A restart: the state that the desk hands in is all there is, and a fill has the same trade id as before."""
    stop = order(OrderType.STOP_MARKET, Side.SELL, stop="59000", number=1)
    books = [venue(resting=[Resting(stop, NOW_MS)]) for _ in range(2)]
    fills = [paper.advance(MARKET, Quote.of_price(58_000.0, NOW_MS)) for paper in books]
    assert fills[0] == fills[1] and fills[0][0].trade_id == f"{an_id(1)}-1"


def test_a_cancelled_order_is_gone_and_a_used_permit_sends_nothing():
    paper = venue()
    place(paper, order(OrderType.LIMIT, price="50000", number=1))

    async def run() -> list[Any]:
        permit = await paper.ready()
        first = await paper.place(order(number=2), permit)
        return [
            await paper.cancel(MARKET, an_id(1), None),
            await paper.cancel(MARKET, an_id(1), None),
            first,
            await paper.place(order(number=3), permit),
        ]

    assert [type(each) for each in asyncio.run(run())] == [Canceled, NotOpen, Accepted, Denied]


def test_a_triggered_stop_beyond_its_limit_waits_there():
    paper = venue(balances={"BTC": Decimal("0.5")})
    place(paper, order(OrderType.STOP_LIMIT, Side.SELL, stop="59000", price="58990", number=1))
    assert paper.advance(MARKET, Quote.of_price(58_000.0, NOW_MS)) == []
    (fill,) = paper.advance(MARKET, Quote.of_price(59_200.0, NOW_MS))
    assert (fill.price, fill.is_maker) == (Decimal(58990), True)


def test_a_paper_venue_holds_nothing_that_can_sign_or_send():
    """O6: no key, no signer, no connection is reachable from it."""
    from fks_assets.exchanges.orders.signed_transport import SignedTransport
    from fks_assets.exchanges.orders.signing import ApiKey, Signer

    paper = venue()
    seen: set[int] = set()
    waiting: list[Any] = [paper]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__name__ in ("module", "function", "builtin_function_or_method"):
            continue
        seen.add(id(one))
        assert not isinstance(one, ApiKey | Signer | SignedTransport)
        waiting += gc.get_referents(one)
    assert len(seen) > 20
