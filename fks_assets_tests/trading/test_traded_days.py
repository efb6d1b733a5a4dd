"""Trades in live = backtest (D7): fills and fees of the ledger, held against the open of the next candle and the usual fee.

Prices and fees expected are worked out here from the candles: an entry at the next open, 0.1 % fee, a stop at its level.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from fks_assets.quant.orders import Leg, Mode, OrderType, Side
from fks_assets.quant.strategies.registry import register_folder
from fks_assets.stores.ledger.accounts import AccountSpec, mirror
from fks_assets.stores.ledger.deals import Deal, NewDeal, open_deal
from fks_assets.stores.ledger.fills import NewFill, record_fills
from fks_assets.stores.ledger.orders import OrderIntent, record_order
from fks_assets_tests.trading.desks import HOUR
from fks_assets_tests.trading.live_days import STEP, LiveDay

QUANTITY = Decimal("0.5")
FEE = Decimal("0.001")


@pytest.fixture
def day(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveDay]:
    """A day that was lived through, with a paper account that has not traded yet."""
    day = LiveDay(home, database_url, monkeypatch)
    day.live()
    with day.desk.stores.database.transaction() as connection:
        spec = AccountSpec("main", Mode.PAPER, "simulated", "USDT", Decimal(10_000))
        mirror(connection, [spec], at_ms=day.opens[0])
    yield day
    register_folder(None)


def bought_at(day: LiveDay) -> int:
    """The number of a candle at whose close the strategy says BUY and after which another one is stored."""
    return next(place for place, move in enumerate(day.moves()[:5]) if move > 0)


def following_open(day: LiveDay, place: int) -> Decimal:
    return Decimal(str(day.candles.open[len(day.candles) - 6 + place + 1]))


def deal_at(day: LiveDay, place: int) -> Deal:
    close = Decimal(str(day.candles.close[len(day.candles) - 6 + place]))
    with day.desk.stores.database.transaction() as connection:
        deal, _ = open_deal(
            connection,
            NewDeal(
                "main", "mover", "strategies", day.market, "4h", day.opens[place], Side.BUY, close, QUANTITY, Decimal("0.9"),
                "it moved", day.opens[place] + STEP + 60_000,
            ),
        )  # fmt: skip
    return deal


def ordered(
    day: LiveDay,
    deal: Deal,
    leg: Leg,
    kind: OrderType,
    fills: list[tuple[Decimal, Decimal, Decimal, str]],
    at_ms: int,
    **prices: Decimal,
) -> None:
    """Send an order of a deal and execute it by fills of (price, quantity, fee, currency of the fee)."""
    side = deal.side if leg is Leg.ENTRY else deal.side.opposite
    with day.desk.stores.database.transaction() as connection:
        order, _ = record_order(connection, OrderIntent(deal, leg, side, kind, QUANTITY, "a test", at_ms, **prices))
        new = [
            NewFill(order.id, f"{order.id}-{number}", price, quantity, round(fee, 12), currency, at_ms + 1_000 * number)
            for number, (price, quantity, fee, currency) in enumerate(fills)
        ]
        record_fills(connection, "main", new, at_ms=at_ms)


def entered(day: LiveDay, *fills: tuple[Decimal, Decimal, Decimal, str], leaves: bool = True) -> tuple[int, Deal]:
    """Let a BUY be followed, and the SELL after it too, at the following open and for the usual fee, unless it does not leave."""
    place = bought_at(day)
    deal = deal_at(day, place)
    ordered(day, deal, Leg.ENTRY, OrderType.MARKET, list(fills), day.opens[place] + STEP + 90_000)
    if leaves and fills:
        in_coins = sum((fee for *_, fee, currency in fills if currency == "BTC"), Decimal(0))
        left(day, deal, quantity=QUANTITY - in_coins)
    return place, deal


def sold_at(day: LiveDay) -> int:
    """The number of the first candle after the BUY at whose close the strategy says SELL."""
    bought = bought_at(day)
    return next(place for place, move in enumerate(day.moves()[:5]) if place > bought and move < 0)


def left(
    day: LiveDay, deal: Deal, *, part: Decimal = Decimal(1), fee: Decimal = FEE, quantity: Decimal = QUANTITY, late_ms: int = 0
) -> None:
    """Sell at the SELL, at this part of the following open."""
    place = sold_at(day)
    price = round(following_open(day, place) * part, 12)
    fills = [(price, quantity, price * quantity * fee, "USDT")]
    ordered(day, deal, Leg.EXIT, OrderType.MARKET, fills, day.opens[place] + STEP + 90_000 + late_ms)


def bought(day: LiveDay) -> Deal:
    """Let the BUY be followed as the backtest books it, and nothing more."""
    price = following_open(day, bought_at(day))
    return entered(day, (price, QUANTITY, price * QUANTITY * FEE, "USDT"), leaves=False)[1]


def found(day: LiveDay) -> list[tuple[str, str]]:
    """Cause and words of what the comparison finds."""
    day.compare()
    [event, *_] = day.desk.events("live_backtest_difference")
    rows = event.metadata["differences"].records if "differences" in event.metadata else []
    return [(row.data["cause"], row.data["words"]) for row in rows]


def test_a_trade_filled_as_the_backtest_books_it_is_no_difference(day: LiveDay) -> None:
    """In two parts, as exchanges fill."""
    price = following_open(day, bought_at(day))
    part = QUANTITY / 2
    entered(day, (price, part, price * part * FEE, "USDT"), (price, part, price * part * FEE, "USDT"))
    assert found(day) == []
    [event] = day.desk.events("live_backtest_difference")
    [row] = event.metadata["causes"].records
    assert (row.data["decisions"], row.data["trades"]) == (6, 2)


def test_another_price_is_named_a_fill_and_nothing_else(day: LiveDay) -> None:
    price = round(following_open(day, bought_at(day)) * Decimal("1.002"), 12)
    entered(day, (price, QUANTITY, price * QUANTITY * FEE, "USDT"))
    assert found(day) == [("fill", "the price was 0.2000% worse")]


def test_another_fee_is_named_a_fee_and_nothing_else(day: LiveDay) -> None:
    price = following_open(day, bought_at(day))
    entered(day, (price, QUANTITY, price * QUANTITY * FEE / 2, "USDT"))
    assert found(day) == [("fee", "the fee was 0.0500% of the value, not 0.1000%")]


def test_a_fee_in_the_base_coin_is_counted_at_the_price(day: LiveDay) -> None:
    price = following_open(day, bought_at(day))
    entered(day, (price, QUANTITY, QUANTITY * FEE, "BTC"))
    assert found(day) == []


def test_an_order_that_was_not_filled_is_named_a_fill(day: LiveDay) -> None:
    entered(day)
    assert found(day) == [("fill", "it was decided and not filled")]


def test_a_trade_that_no_decision_asked_for_is_unexplained(day: LiveDay) -> None:
    place = next(place for place, move in enumerate(day.moves()[:5]) if move < 0)
    price = following_open(day, place)
    ordered(
        day, deal_at(day, place), Leg.ENTRY, OrderType.MARKET, [(price, QUANTITY, price * QUANTITY * FEE, "USDT")],
        day.opens[place] + STEP + 90_000,
    )  # fmt: skip
    assert found(day) == [("unexplained", "the backtest has no such trade")]


def test_a_trade_of_a_decision_that_has_changed_since_has_the_cause_of_its_decision(day: LiveDay) -> None:
    place = bought_at(day)
    price = following_open(day, place)
    entered(day, (price, QUANTITY, price * QUANTITY * FEE, "USDT"))
    day.stand_at(day.opens[5] + STEP + 2 * HOUR)
    day.restate(place, float(day.candles.close[len(day.candles) - 7 + place]) * 0.9)
    causes = {cause for cause, _ in found(day)}
    assert causes == {"data revision"}


@pytest.mark.parametrize(("part", "expected"), [("1", []), ("0.995", [("fill", "the price was 0.5000% worse")])])
def test_a_stop_is_booked_at_its_level(day: LiveDay, part: str, expected: list[tuple[str, str]]) -> None:
    """F12: the stop lies below the open of the candle in which it is reached."""
    place = bought_at(day)
    price = following_open(day, place)
    _, deal = entered(day, (price, QUANTITY, price * QUANTITY * FEE, "USDT"), leaves=False)
    level = round(price * Decimal("0.99"), 8)
    done = level * Decimal(part)
    ordered(
        day, deal, Leg.STOP, OrderType.STOP_MARKET, [(done, QUANTITY, done * QUANTITY * FEE, "USDT")],
        day.opens[place + 1] + HOUR, stop_price=level,
    )  # fmt: skip
    assert found(day) == expected


def test_a_stop_that_the_open_has_passed_is_booked_at_the_open(day: LiveDay) -> None:
    place = bought_at(day)
    price = following_open(day, place)
    _, deal = entered(day, (price, QUANTITY, price * QUANTITY * FEE, "USDT"), leaves=False)
    ordered(
        day, deal, Leg.STOP, OrderType.STOP_MARKET, [(price, QUANTITY, price * QUANTITY * FEE, "USDT")],
        day.opens[place + 1] + HOUR, stop_price=price * Decimal("1.01"),
    )  # fmt: skip
    assert found(day) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"part": Decimal("0.998")}, ("fill", "the price was 0.2000% worse")),
        ({"fee": Decimal("0.002")}, ("fee", "the fee was 0.2000% of the value, not 0.1000%")),
    ],
)
def test_an_exit_by_a_signal_that_was_filled_otherwise_is_named(
    day: LiveDay, changes: dict[str, Decimal], expected: tuple[str, str]
) -> None:
    """D7: also when the SELL was sent hours later than the open at which the backtest leaves."""
    left(day, bought(day), late_ms=2 * HOUR, **changes)
    assert found(day) == [expected]


def test_an_exit_that_sold_a_part_of_what_was_held_is_named(day: LiveDay) -> None:
    """D7: the rest is still held, where the backtest has left all of it."""
    left(day, bought(day), quantity=QUANTITY / 2)
    assert found(day) == [("fill", "50.00% of the quantity was filled")]


def test_a_sell_that_nobody_followed_is_named_a_fill(day: LiveDay) -> None:
    """D7: the position is still held, where the backtest has left it."""
    bought(day)
    assert found(day) == [("fill", "it was decided and not filled")]


@pytest.mark.parametrize("is_beyond", [True, False])
def test_a_stop_instead_of_the_exit_is_a_difference_unless_the_open_had_passed_it(day: LiveDay, is_beyond: bool) -> None:
    """A stop that rests is there before what a signal asks for; one that is reached later comes after the backtest has left."""
    deal, place = bought(day), sold_at(day)
    opened = following_open(day, place)
    level = round(opened * Decimal("1.001" if is_beyond else "0.999"), 8)
    price = min(level, opened)
    ordered(
        day, deal, Leg.STOP, OrderType.STOP_MARKET, [(price, QUANTITY, price * QUANTITY * FEE, "USDT")],
        day.opens[place + 1] + HOUR, stop_price=level,
    )  # fmt: skip
    assert found(day) == ([] if is_beyond else [("fill", "it was decided and not filled")])


def test_an_exit_by_a_signal_that_has_changed_since_has_the_cause_of_its_decision(day: LiveDay) -> None:
    """The candle of the SELL is restated, and is none any more: what was sold by it is no difference of its own."""
    left(day, bought(day))
    day.stand_at(day.opens[5] + STEP + 2 * HOUR)
    place = sold_at(day)
    day.restate(place, float(day.candles.close[len(day.candles) - 7 + place]) * 1.001)
    assert {cause for cause, _ in found(day)} == {"data revision"}
