"""The matching core on candles written by hand; all expected amounts are worked out beside the test."""

import itertools
from decimal import Decimal
from pathlib import Path

import pytest

from fks_assets.simulator.binance_private import replace_order
from fks_assets.simulator.clock import SimulatedClock
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.trading.orders import OrderType, Reason, Refused, Side, Status, TimeInForce
from fks_assets_tests.simulator.trading_bench import HOUR, START, THIRD, Bench

BUY, SELL = Side.BUY, Side.SELL
MARKET, LIMIT, MAKER = OrderType.MARKET, OrderType.LIMIT, OrderType.LIMIT_MAKER
STOP, STOP_LIMIT = OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT
# open, high, low, close: the first falls (open, high, low, close), the second opens lower: a gap from 100 to 95
FALL, GAP = (110.0, 112.0, 98.0, 100.0), (95.0, 97.0, 94.0, 96.0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, [FALL, GAP, (96.0, 99.0, 96.0, 98.0)])


def refusal(bench: Bench, *order: object, **more: object) -> Reason:
    with pytest.raises(Refused) as refused:
        bench.place(*order, **more)  # type: ignore[arg-type]
    return refused.value.reason


def test_both_halves_of_a_replacement_happen_at_one_moment(tmp_path: Path) -> None:
    """O4: though the clock goes on a millisecond whenever it is read, there is none without an order."""
    readings = itertools.count()
    bench = Bench(tmp_path, [FALL], SimulatedClock(START, 1.0, lambda: next(readings) / 1000))
    exchange = SimulatedExchange(bench.core.source, bench.clock)
    exchange.trading = bench.core
    before = bench.place(SELL, LIMIT, "1", price="150")
    asked = {"symbol": "ABCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "151"}
    named = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": str(before.number)}
    assert replace_order(exchange, bench.account, {**asked, **named}).status == 200
    after = bench.core.all_orders(bench.account, "ABC-USDT")[-1]
    assert (before.status, after.status) == (Status.CANCELED, Status.NEW)
    assert before.placed_ms < before.updated_ms == after.placed_ms < bench.core.now_ms


def test_a_market_order_moves_money_and_pays_its_fee_in_what_it_receives(bench: Bench) -> None:
    order = bench.place(BUY, MARKET, "2")
    # 2 at 110 = 220; fee 0.2 % of 2 = 0.004
    assert (order.status, order.executed_sum) == (Status.FILLED, Decimal(220))
    assert bench.held("USDT") == ("9780", "0") and bench.held("ABC") == ("101.996", "0")
    sold = bench.place(SELL, MARKET, "1")
    assert sold.fills[0].fee == Decimal("0.22") and bench.held("USDT") == ("9889.78", "0")


@pytest.mark.parametrize(
    ("rule", "usdt", "abc"),
    [("quote", "9779.56", "102"), ("base", "9780", "101.996"), ("received", "9780", "101.996")],
)
def test_fees_come_from_where_the_account_says(bench: Bench, rule: str, usdt: str, abc: str) -> None:
    account = bench.add("sim-fee", fee_rule=rule)
    bench.place(BUY, MARKET, "2", account=account)
    assert (bench.held("USDT", account)[0], bench.held("ABC", account)[0]) == (usdt, abc)


def test_a_resting_limit_locks_its_cost_and_fills_at_its_own_price_as_maker(bench: Bench) -> None:
    order = bench.place(BUY, LIMIT, "1", price="105")
    assert bench.held("USDT") == ("9895", "105") and order.status is Status.NEW
    # The candle rises to 112 in its first third and falls from 112 to 98 in its second: 105 is half way down.
    bench.to(THIRD + THIRD // 2 - 1)
    assert order.status is Status.NEW
    bench.to(THIRD + THIRD // 2)
    assert order.status is Status.FILLED and order.updated_ms == START + THIRD + THIRD // 2
    assert order.fills[0].is_maker and order.fills[0].fee == Decimal("0.001")
    assert bench.held("USDT") == ("9895", "0") and bench.held("ABC") == ("100.999", "0")


def test_a_limit_beyond_the_market_takes_at_once_and_gives_back_what_it_locked_too_much(bench: Bench) -> None:
    order = bench.place(BUY, LIMIT, "1", price="111")
    assert order.status is Status.FILLED and not order.fills[0].is_maker
    assert bench.held("USDT") == ("9890", "0")


def test_a_stop_inside_a_candle_fills_at_its_level_and_in_a_gap_at_the_next_traded_price(bench: Bench) -> None:
    inside = bench.place(SELL, STOP, "1", stop_price="105")
    gapped = bench.place(SELL, STOP, "1", stop_price="96.5")
    bench.to(2 * HOUR - 1)
    assert inside.fills[0].price == 105 and inside.updated_ms == START + THIRD + THIRD // 2
    assert gapped.fills[0].price == 95 and gapped.updated_ms == START + HOUR


def test_a_stop_limit_becomes_a_limit_when_it_is_reached_and_then_waits_for_its_price(bench: Bench) -> None:
    order = bench.place(SELL, STOP_LIMIT, "1", stop_price="100.5", price="100.5")
    gapped = bench.place(SELL, STOP_LIMIT, "1", stop_price="96.5", price="98.5")
    bench.to(HOUR)
    assert order.status is Status.FILLED and order.executed_sum == Decimal("100.5")
    # Triggered by the jump to 95; 98.5 is not traded before the third candle.
    assert gapped.working_ms == START + HOUR and gapped.status is Status.NEW
    bench.to(3 * HOUR - 1)
    assert gapped.status is Status.FILLED and gapped.executed_sum == Decimal("98.5") and gapped.fills[0].is_maker


def test_of_two_listed_orders_the_first_reached_ends_the_other_and_the_balance_is_locked_once(bench: Bench) -> None:
    both = bench.core.place_list(
        bench.account, bench.order(SELL, MAKER, "60", price="111"), bench.order(SELL, STOP, "60", stop_price="104")
    )
    stop, target = bench.core.registry.orders[both.first], bench.core.registry.orders[both.second]
    assert bench.held("ABC") == ("40", "60")
    bench.to(HOUR - 1)
    assert (target.status, stop.status) == (Status.FILLED, Status.EXPIRED)
    assert bench.held("ABC") == ("40", "0") and stop.executed == 0


def test_a_stop_that_is_reached_first_ends_the_target_before_it_sells(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FALL, GAP], way="low_first")
    both = bench.core.place_list(
        bench.account, bench.order(SELL, MAKER, "100", price="111"), bench.order(SELL, STOP, "100", stop_price="104")
    )
    bench.to(HOUR - 1)
    stop, target = bench.core.registry.orders[both.first], bench.core.registry.orders[both.second]
    assert (stop.status, target.status, target.executed) == (Status.FILLED, Status.EXPIRED, 0)
    assert bench.held("ABC") == ("0", "0")


def test_a_buying_list_locks_the_dearer_of_its_two_orders(bench: Bench) -> None:
    bench.core.place_list(
        bench.account, bench.order(BUY, STOP, "10", stop_price="111.5"), bench.order(BUY, MAKER, "10", price="99")
    )
    assert bench.held("USDT") == ("8885", "1115")


def test_cancelling_one_listed_order_cancels_both_and_unlocks(bench: Bench) -> None:
    both = bench.core.place_list(
        bench.account, bench.order(SELL, MAKER, "60", price="111"), bench.order(SELL, STOP, "60", stop_price="104")
    )
    bench.core.cancel(bench.account, bench.core.registry.orders[both.second])
    assert {bench.core.registry.orders[one].status for one in (both.first, both.second)} == {Status.CANCELED}
    assert bench.held("ABC") == ("100", "0")


def test_a_trailing_stop_follows_the_high_and_sells_after_the_fall(bench: Bench) -> None:
    order = bench.place(SELL, STOP, "1", trailing="0.05")
    bench.to(THIRD + 1)
    assert order.status is Status.NEW
    bench.to(2 * HOUR)
    # The high is 112; 5 % below it is 106.4.
    assert order.fills[0].price == Decimal("106.4")


def test_a_trailing_stop_ends_the_same_however_often_one_looks(tmp_path: Path) -> None:
    found = []
    for step in (HOUR, 7 * 60_000, 61_000):
        directory = tmp_path / str(step)
        directory.mkdir()
        bench = Bench(directory, [FALL, GAP, (96.0, 120.0, 95.0, 119.0), (119.0, 119.5, 100.0, 101.0)])
        order = bench.place(SELL, STOP, "1", trailing="0.15")
        for moment in range(0, 4 * HOUR, step):
            bench.to(moment)
        bench.to(4 * HOUR - 1)
        found.append((order.fills[0].price, order.updated_ms))
    # From the high of 112 the level is 95.2: the jump to 95 at the second candle's open passes it.
    assert found == [(Decimal(95), START + HOUR)] * 3


def test_a_client_id_is_unique_among_open_orders_only_and_every_acceptance_is_counted(bench: Bench) -> None:
    """O1: sending a filled order again under its id makes a new order on the real exchange; that is what the oracle counts."""
    bench.place(BUY, MARKET, "1", client_id="deal-1")
    bench.place(BUY, MARKET, "1", client_id="deal-1")
    bench.place(BUY, LIMIT, "1", price="90", client_id="deal-2")
    assert refusal(bench, BUY, LIMIT, "1", price="90", client_id="deal-2") is Reason.DUPLICATE
    assert bench.core.registry.accepted["sim-a", "ABC-USDT", "deal-1"] == 2
    assert bench.core.registry.accepted["sim-a", "ABC-USDT", "deal-2"] == 1


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ((BUY, LIMIT, "1", {"price": "100.001"}), Reason.PRICE_STEP),
        ((BUY, LIMIT, "1.0005", {"price": "100"}), Reason.QUANTITY_STEP),
        ((BUY, LIMIT, "0.049", {"price": "100"}), Reason.NOTIONAL),
        ((BUY, MARKET, "0.045", {}), Reason.NOTIONAL),
        ((BUY, LIMIT, "1", {"price": "21.99"}), Reason.PERCENT_PRICE),
        ((SELL, LIMIT, "1", {"price": "550.01"}), Reason.PERCENT_PRICE),
        ((BUY, LIMIT, "1", {"price": "0"}), Reason.PRICE_STEP),
        ((BUY, MARKET, "91", {}), Reason.INSUFFICIENT),
        ((SELL, LIMIT, "100.001", {"price": "120"}), Reason.INSUFFICIENT),
        ((SELL, MAKER, "1", {"price": "110"}), Reason.WOULD_TAKE),
        ((SELL, STOP, "1", {"stop_price": "110"}), Reason.WOULD_TRIGGER),
        ((BUY, STOP, "1", {"stop_price": "109"}), Reason.WOULD_TRIGGER),
        ((BUY, STOP, "1", {}), Reason.MALFORMED),
        ((BUY, MARKET, "1", {"price": "110"}), Reason.MALFORMED),
        ((BUY, MARKET, None, {}), Reason.MALFORMED),
        ((BUY, MARKET, "1", {"time_in_force": TimeInForce.IOC}), Reason.MALFORMED),
        ((SELL, STOP, "1", {"trailing": "0.5"}), Reason.MALFORMED),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_for_that_rule(bench: Bench, order: tuple, reason: Reason) -> None:  # type: ignore[type-arg]
    side, kind, quantity, more = order
    assert refusal(bench, side, kind, quantity, **more) is reason
    assert bench.held("USDT") == ("10000", "0") and bench.core.registry.newest_number == 0


def test_the_largest_order_that_the_rules_allow_is_taken(bench: Bench) -> None:
    bench.place(BUY, MARKET, "0.046")  # 5.06, the minimum is 5
    bench.place(BUY, LIMIT, "1", price="22")  # a fifth of 110
    bench.place(SELL, LIMIT, "99", price="550")  # five times 110
    assert len(bench.core.open_orders(bench.account)) == 2


def test_too_many_open_orders_are_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FALL], max_orders=3, max_algo_orders=1)
    bench.place(SELL, STOP, "1", stop_price="90")
    assert refusal(bench, SELL, STOP, "1", stop_price="91") is Reason.MAX_ALGO_ORDERS
    for price in ("90", "91"):
        bench.place(BUY, LIMIT, "1", price=price)
    assert refusal(bench, BUY, LIMIT, "1", price="92") is Reason.MAX_ORDERS


def test_orders_that_must_fill_at_once_expire_when_they_cannot(bench: Bench) -> None:
    never = bench.place(BUY, LIMIT, "1", price="100", time_in_force=TimeInForce.IOC)
    whole = bench.place(BUY, LIMIT, "1", price="100", time_in_force=TimeInForce.FOK)
    assert (never.status, whole.status) == (Status.EXPIRED, Status.EXPIRED)
    assert bench.held("USDT") == ("10000", "0")


def test_parts_split_any_order_over_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FALL, GAP], parts=3, part_seconds=60)
    order = bench.place(BUY, MARKET, "1")
    assert (order.status, order.executed) == (Status.PARTIALLY_FILLED, Decimal("0.333"))
    bench.to(60_000)
    assert order.executed == Decimal("0.666")
    bench.to(119_999)
    assert order.executed == Decimal("0.666")
    bench.to(120_000)
    assert order.status is Status.FILLED and [fill.quantity for fill in order.fills] == [
        *[Decimal("0.333")] * 2,
        Decimal("0.334"),
    ]
    # The price rises from 110 to 112 within 20 minutes: 110.10 after one, 110.20 after two.
    assert [fill.price for fill in order.fills] == [Decimal(110), Decimal("110.10"), Decimal("110.20")]


def test_a_cancel_between_two_parts_keeps_what_was_filled(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FALL], parts=4, part_seconds=60)
    order = bench.place(SELL, LIMIT, "40", price="111")
    bench.to(THIRD // 2 + 60_000)  # 111 is half way from 110 to 112
    assert order.executed == 20 and bench.held("ABC") == ("60", "20")
    bench.core.cancel(bench.account, order)
    assert (order.status, order.executed, bench.held("ABC")) == (Status.CANCELED, 20, ("80", "0"))


def test_a_share_of_the_volume_limits_what_one_candle_can_fill(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FALL, (100.0, 111.0, 99.0, 110.0), (110.0, 113.0, 109.0, 112.0)], volume_share=0.1)
    order = bench.place(SELL, LIMIT, "25", price="111")
    bench.to(HOUR)
    # A tenth of 100.001 is 10.0001, cut to the lot.
    assert order.executed == Decimal("10.000") and order.status is Status.PARTIALLY_FILLED
    bench.to(2 * HOUR)
    assert order.executed == Decimal("20.000")
    bench.to(3 * HOUR - 1)
    assert order.status is Status.FILLED


def test_fills_at_the_open_are_at_the_running_candles_open(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FALL, GAP], fill_model="open", open_timeframe="1h")
    bench.to(HOUR + 61_000)
    assert bench.place(BUY, MARKET, "1").fills[0].price == 95


def test_a_book_has_levels_of_which_a_large_order_takes_several(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [FALL], fill_model="book")
    account = bench.add("sim-rich", usdt=10**9)
    order = bench.place(BUY, MARKET, "2000", account=account)
    prices = [fill.price for fill in order.fills]
    assert len(prices) > 5 and prices == sorted(prices) and prices[0] > 110
    assert sum(fill.quantity for fill in order.fills) == 2000
    limited = bench.place(BUY, LIMIT, "2000", account=account, price=f"{prices[2]}")
    assert limited.status is Status.PARTIALLY_FILLED and max(fill.price for fill in limited.fills) == prices[2]


def test_spending_a_sum_buys_whole_lots_for_no_more_than_it(bench: Bench) -> None:
    order = bench.place(BUY, MARKET, None, quote_quantity="1000")
    assert order.quantity == Decimal("9.090") and order.executed_sum == Decimal("999.90")  # 1000 / 110 = 9.0909…


def test_a_stop_that_the_account_cannot_pay_any_more_expires(bench: Bench) -> None:
    order = bench.place(BUY, STOP, "80", stop_price="111")
    bench.place(BUY, MARKET, "10")
    bench.core.accounts.bring(bench.account, "USDT", -bench.account.free["USDT"])
    order.lock, freed = Decimal(0), order.lock
    bench.account.locked["USDT"] -= freed
    bench.core.accounts.brought["USDT"] -= freed
    bench.to(HOUR)
    assert (order.status, order.executed, order.reason) == (Status.EXPIRED, 0, "Insufficient funds")
    assert bench.core.accounts.differences() == {}


def test_a_replaced_order_is_left_alone_when_the_new_one_is_refused(bench: Bench) -> None:
    order = bench.place(SELL, LIMIT, "100", price="120")
    made = bench.core.replace(bench.account, order, bench.order(SELL, LIMIT, "100", price="130"))
    assert (order.status, made.status, bench.held("ABC")) == (Status.CANCELED, Status.NEW, ("0", "100"))
    with pytest.raises(Refused):
        bench.core.replace(bench.account, made, bench.order(SELL, LIMIT, "101", price="130"))
    assert made.status is Status.NEW and bench.held("ABC") == ("0", "100")


def test_an_amended_order_keeps_its_number_and_locks_what_it_now_needs(bench: Bench) -> None:
    order = bench.place(BUY, LIMIT, "10", price="100")
    bench.core.amend(bench.account, order, quantity=Decimal(5), price=Decimal(101))
    assert (order.quantity, order.price, bench.held("USDT")) == (5, 101, ("9495", "505"))
    with pytest.raises(Refused):
        bench.core.amend(bench.account, order, quantity=Decimal(500))
    assert order.quantity == 5 and bench.held("USDT") == ("9495", "505")


def test_fees_in_bnb_are_paid_while_there_is_bnb(tmp_path: Path) -> None:
    (tmp_path / "BNB_USDT-1h.json").write_text(f"[[{START}, 50.0, 50.0, 50.0, 50.0, 9.001]]")
    bench = Bench(tmp_path, [FALL])
    account = bench.add("sim-bnb", fee_rule="BNB")
    bench.core.accounts.bring(account, "BNB", Decimal("0.01"))
    first = bench.place(BUY, MARKET, "2", account=account)
    # 0.2 % of 220 is 0.44 USDT, at 50 for a BNB 0.0088; the next one cannot be paid from what is left.
    assert (first.fills[0].fee, first.fills[0].fee_currency) == (Decimal("0.0088"), "BNB")
    second = bench.place(BUY, MARKET, "2", account=account)
    assert (second.fills[0].fee, second.fills[0].fee_currency) == (Decimal("0.004"), "ABC")
    assert bench.core.accounts.differences() == {}
