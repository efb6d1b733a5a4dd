"""Ids of orders and deals, and which changes of an order are legal."""

import pytest

from fks_assets.quant.orders import ACTIVE, FILL_TRANSITIONS, TRANSITIONS, OrderStatus, client_deal_id, client_order_id


def test_ids_of_orders_are_repeatable_and_differ_in_every_part() -> None:
    """O1: base32 of the SHA-256 of account, strategy, market, candle, leg and generation, 32 characters; by coreutils:
    printf 'main\\037technical\\037BTC-USDT@binance\\0370\\037entry\\0370' | openssl dgst -sha256 -binary | base32 | cut -c-32."""
    parts = ("main", "technical", "BTC-USDT@binance", 0, "entry", 0)
    assert client_order_id(*parts) == "TZP2URMX7XG7MQ4IEI6TSW57BDWP435Y"
    others = [("other", *parts[1:]), (*parts[:1], "breakout", *parts[2:]), (*parts[:2], "ETH-USDT@binance", *parts[3:])]
    others += [(*parts[:3], 1, *parts[4:]), (*parts[:4], "exit", 0), (*parts[:5], 1)]
    ids = {client_order_id(*each) for each in (parts, *others)}
    assert len(ids) == 7
    assert all(len(each) == 32 and each.isalnum() for each in ids)
    assert client_deal_id("main", "technical", "BTC-USDT@binance", "1h", 0) != client_deal_id(
        "main", "technical", "BTC-USDT@binance", "1d", 0
    )


@pytest.mark.parametrize("status", list(OrderStatus))
def test_an_order_that_is_over_stays_over_but_for_fills(status: OrderStatus) -> None:
    """O3: terminal states change by fills alone."""
    assert bool(TRANSITIONS.get(status)) == (status in ACTIVE) == status.is_active
    fills = {OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED}
    assert not fills & TRANSITIONS.get(status, frozenset())
    never_sent = {OrderStatus.INTENT, OrderStatus.DENIED, OrderStatus.FILLED}
    assert (status in FILL_TRANSITIONS) == (status not in never_sent)


def test_nothing_but_the_exchange_or_proof_of_absence_ends_an_unknown_order() -> None:
    """O2: UNKNOWN is never sent again and never taken for denied."""
    assert not TRANSITIONS[OrderStatus.UNKNOWN] & {OrderStatus.INTENT, OrderStatus.SUBMITTING, OrderStatus.DENIED}
    assert [status for status in OrderStatus if OrderStatus.ABSENT in TRANSITIONS.get(status, ())] == [OrderStatus.UNKNOWN]
