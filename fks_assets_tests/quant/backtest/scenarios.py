"""Small books with the trades they must make, worked out by hand. Each says in words what it shows.

Unless a scenario says otherwise: 10,000 in cash, no costs, hourly candles, the first signal in the first candle, so the entry is
at the open of the second. A trade is (side, entry price, exit price, quantity, profit, reason).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from fks_assets.quant.backtest.book import Book, Funding, Leg
from fks_assets.quant.backtest.rules import BookRules, Budget, Costs, PartialExit, Sizing
from fks_assets.quant.candles import Candles
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets_tests.quant.backtest.books import MARKET, book, candles, free, series, signals
from fks_assets_tests.quant.series import HOUR_MS, START_MS

Trade = tuple[int, float, float, float, float, str]
FREE = Costs(maker_fee=0, taker_fee=0)
NONE = float("nan")
MINUTE_MS = 60_000
CALM = (100, 101, 99, 100)
BUY, SELL = {0: (1, 95, 110)}, {0: (-1, 105, 90)}
NO_LEVELS = {0: (1, NONE, NONE)}


@dataclass(frozen=True)
class Scenario:
    words: str
    book: Callable[[], Book]
    trades: list[Trade]
    hash: str
    refused: dict[str, int] = field(default_factory=dict)
    ambiguous: tuple[int, int] = (0, 0)
    skipped: int = 0


def one(rows: list[tuple[float, ...]], acting: dict[int, Any], cash: float = 10_000.0, **rest: Any) -> Callable[[], Book]:
    """Return a maker of a book of one leg; what is no rule of the leg goes to its series or the book's rules."""
    elsewhere = ("costs", "max_positions", "budgets", "rules_of_market", "funding", "finer", "timeframe")
    outer = {"costs": FREE} | {name: rest.pop(name) for name in elsewhere if name in rest}
    return lambda: book(candles(rows), acting, free(**rest), cash, **outer)


def rising(points: tuple[float, ...]) -> Candles:
    """Return finer candles of the second hour, each from one point straight to the next."""
    of = candles([(a, max(a, b), min(a, b), b) for a, b in itertools.pairwise(points)], step_ms=MINUTE_MS)
    of.open_time[:] += HOUR_MS
    return of


def market_rules(valid_from: int | None = None, **rules: str) -> MarketRules:
    """Return trading rules with a tick of 0.01 and a lot of 0.00001 unless they are given."""
    given = {name: Decimal(value) for name, value in ({"tick_size": "0.01", "lot_size": "0.00001"} | rules).items()}
    return MarketRules(parse_market(MARKET), MarketStatus.TRADING, **given, valid_from=valid_from)


def two_markets(budgets: dict[str, Budget], names: tuple[str, str] = ("drawn", "drawn"), **rules: Any) -> Callable[[], Book]:
    """Return a maker of a book in which both markets give a signal at the same time; the second one rises, the first stands."""
    first = candles([CALM, CALM, CALM])
    second = candles([(50, 51, 49, 50), (50, 51, 49, 50), (50, 56, 49, 55)])

    def make() -> Book:
        legs = (
            Leg(names[0], series(first), signals(3, NO_LEVELS), free(**rules)),
            Leg(names[1], series(second, "ETH-USDT@binance"), signals(3, NO_LEVELS), free(**rules)),
        )
        return Book(legs, BookRules(initial_cash=10_000.0, costs=FREE, budgets=budgets))

    return make


def mixed_timeframes() -> Book:
    """Return a book in which a 2h position is closed intrabar while a 1h signal asks for the same cash at the same moment."""
    slow = candles([CALM, CALM, (100, 111, 99, 105)], step_ms=2 * HOUR_MS)
    fast = candles([(50, 51, 49, 50)] * 6)
    legs = (
        Leg("slow", series(slow, timeframe="2h"), signals(3, {0: (1, 95, 105)}), free()),
        Leg("fast", series(fast, "ETH-USDT@binance"), signals(6, {3: (1, NONE, NONE), 4: (1, NONE, NONE)}), free()),
    )
    return Book(legs, BookRules(initial_cash=10_000.0, costs=FREE))


def over_an_outage() -> Book:
    """Return a book whose signal comes in the last candle before five hours without any."""
    of = candles([CALM] * 4)
    of.open_time[1:] += 5 * HOUR_MS
    return book(of, NO_LEVELS, free(oldest_signal_candles=2.0), costs=FREE)


def days(rows: int, acting: list[int], **rest: Any) -> Callable[[], Book]:
    """Return a book of calm candles with a signal to buy in each of the rows given; a target of 101 ends each trade at once."""
    return one([(100, 101, 99, 100)] * rows, dict.fromkeys(acting, (1, 95, 101)), **rest)


SCENARIOS = [
    Scenario(
        "a target is filled at its price, two candles after the entry",
        one([CALM, (100, 104, 98, 103), (103, 109, 102, 108), (108, 112, 107, 111)], BUY),
        [(1, 100, 110, 100, 1000, "TARGET")],
        "9c069f4b7656077c90b2ffc2d54f6fff5e27be7fec1563b91d63a4c2e11aa207",
    ),
    Scenario(
        "a stop is tested from the very candle of the entry",
        one([CALM, (100, 101, 94, 96), CALM], BUY),
        [(1, 100, 95, 100, -500, "STOP")],
        "56e67df47a90173cf1ce168f8e9fa65410f7f4a8857e3a00d76b3ac6327e4f50",
    ),
    Scenario(
        "a stop that the open has passed is filled at the open",
        one([CALM, CALM, (90, 92, 89, 91)], BUY),
        [(1, 100, 90, 100, -1000, "STOP")],
        "44ee2e0294717c778526c57f2f674d5aefec8872f5f2ac22ccda93e4a94630b5",
    ),
    Scenario(
        "a target that the open has passed gets its own price, no better one",
        one([CALM, CALM, (115, 116, 114, 115)], BUY),
        [(1, 100, 110, 100, 1000, "TARGET")],
        "057f54bf0d8068b9185f3d7d576b815e4eb126de6f1933ed2e5c937384886d1f",
    ),
    Scenario(
        "a candle that reaches stop and target is a loss by default",
        one([CALM, (100, 111, 94, 105), CALM], BUY),
        [(1, 100, 95, 100, -500, "STOP")],
        "56e67df47a90173cf1ce168f8e9fa65410f7f4a8857e3a00d76b3ac6327e4f50",
        ambiguous=(1, 0),
    ),
    Scenario(
        "the same candle is a win by the optimistic rule",
        one([CALM, (100, 111, 94, 105), CALM], BUY, tie_rule="optimistic"),
        [(1, 100, 110, 100, 1000, "TARGET")],
        "40d94381637a85be629345fc238ad693ba8d2156fe231c146eb404622d1e07d7",
        ambiguous=(1, 0),
    ),
    Scenario(
        "finer candles know that the target came first",
        one(
            [CALM, (100, 111, 94, 105), CALM],
            BUY,
            tie_rule="finer",
            finer=candles([CALM, CALM, (100, 111, 100, 110), (110, 110, 94, 105)], step_ms=HOUR_MS // 2),
        ),
        [(1, 100, 110, 100, 1000, "TARGET")],
        "40d94381637a85be629345fc238ad693ba8d2156fe231c146eb404622d1e07d7",
        ambiguous=(1, 1),
    ),
    Scenario(
        "finer candles that miss the hour leave the loss",
        one([CALM, (100, 111, 94, 105), CALM], BUY, tie_rule="finer", finer=candles([CALM, CALM], step_ms=HOUR_MS // 2)),
        [(1, 100, 95, 100, -500, "STOP")],
        "56e67df47a90173cf1ce168f8e9fa65410f7f4a8857e3a00d76b3ac6327e4f50",
        ambiguous=(1, 0),
    ),
    Scenario(
        "finer candles that end half way leave the loss at the stop of the open, not where they had trailed it to",
        one(
            [CALM, (100, 111, 94, 105), CALM],
            BUY,
            tie_rule="finer",
            trailing_percent=5,
            finer=candles([CALM, CALM, (100, 103, 99.5, 102)], step_ms=HOUR_MS // 2),
        ),
        [(1, 100, 95, 100, -500, "STOP")],
        "56e67df47a90173cf1ce168f8e9fa65410f7f4a8857e3a00d76b3ac6327e4f50",
        ambiguous=(1, 0),
    ),
    Scenario(
        "a stop that trails by 5 % follows the high of a candle and holds in the next",
        one([CALM, CALM, (108, 110, 105, 109), (109, 109, 104, 106)], NO_LEVELS, trailing_percent=5),
        [(1, 100, 104.5, 100, 450, "TRAILING")],
        "80847faa2aa9d9e67e58ab5fed25dada2911837e143e0ec61484663c1419de93",
    ),
    Scenario(
        "a trailing stop of a short position follows the low",
        one([CALM, CALM, (91, 94, 90, 92), (92, 95, 91, 94)], {0: (-1, NONE, NONE)}, trailing_percent=5),
        [(-1, 100, 94.5, 100, 550, "TRAILING")],
        "1ef43b19a43bd4811fec7d9c8d7cc3ce35b62467038d101da0f1f68cc10bf771",
    ),
    Scenario(
        "a candle whose high raises the stop to 104.5 may have fallen to its low of 99 as soon as the stop was there",
        one([CALM, (100, 110, 99, 109), CALM], NO_LEVELS, trailing_percent=5),
        [(1, 100, 99, 100, -100, "TRAILING")],
        "d83f428530857d06836af8349845011de45ef85ab8177e54efe1c5127d29b6d6",
        ambiguous=(1, 0),
    ),
    Scenario(
        "the same for a short position: out at the high of 101, though the low of 90 makes the stop 94.5",
        one([CALM, (100, 101, 90, 92), CALM], {0: (-1, NONE, NONE)}, trailing_percent=5),
        [(-1, 100, 101, 100, -100, "TRAILING")],
        "2f9b1d669e35e6fbaec3f2d9c29205b18aac0b7f4b09f173012ef21739854a3f",
        ambiguous=(1, 0),
    ),
    Scenario(
        "by the optimistic rule the low came first, and the close of 109 is above the stop of 104.5",
        one([CALM, (100, 110, 99, 109), (109, 109, 108, 108.5)], NO_LEVELS, trailing_percent=5, tie_rule="optimistic"),
        [(1, 100, 108.5, 100, 850, "END")],
        "6dd7b9d5b1bdc14e60f32dbb8b70dd9ab052d3456c0d785054d0739eb12d64c1",
        ambiguous=(1, 0),
    ),
    Scenario(
        "a close of 104 below the stop of 104.5 that the candle's own high has raised is out there, by the optimistic rule too",
        one([CALM, (100, 110, 99, 104), CALM], NO_LEVELS, trailing_percent=5, tie_rule="optimistic"),
        [(1, 100, 104.5, 100, 450, "TRAILING")],
        "48e52e8c9881262f3468b4e3f46e2362c2da3ba2f68e993b9bc391021c7ba154",
        ambiguous=(1, 0),
    ),
    Scenario(
        "finer candles show a stop that trails by 2 % hit at 107.8 after the high of 110",
        one(
            [CALM, (100, 110, 99.5, 109), (109, 130, 109, 130)],
            NO_LEVELS,
            trailing_percent=2,
            tie_rule="finer",
            finer=rising((100, 99.5, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 107, 109)),
        ),
        [(1, 100, 107.8, 100, 780, "TRAILING")],
        "9710cd3c68acb09303971a66a13227533a8b666d29c5856761fcb61f10af49fe",
        ambiguous=(1, 1),
    ),
    Scenario(
        "finer candles in which the low came first hold on to the next candle",
        one(
            [CALM, (100, 110, 99.5, 109), (109, 109, 104, 106)],
            NO_LEVELS,
            trailing_percent=5,
            tie_rule="finer",
            finer=rising((100, 99.5, 102, 104, 106, 108, 110, 109)),
        ),
        [(1, 100, 104.5, 100, 450, "TRAILING")],
        "78e491f7598d56fbae227d5f32b61928664f0827202f9ee742bdd4dabc3cb141",
        ambiguous=(1, 1),
    ),
    Scenario(
        "finer candles that have not seen the low of 99.5 do not say that the position was held",
        one(
            [CALM, (100, 110, 99.5, 109), CALM],
            NO_LEVELS,
            trailing_percent=5,
            tie_rule="finer",
            finer=rising((100, 102, 104, 106, 108, 110, 109)),
        ),
        [(1, 100, 99.5, 100, -50, "TRAILING")],
        "27f83ab6d505337b8e0b0210dda8989e721f2fa026b0f7e5ff80f65ea3ccd4fd",
        ambiguous=(1, 0),
    ),
    Scenario(
        "a finer candle that reaches both stop and target itself decides nothing",
        one(
            [CALM, (100, 111, 94, 105), CALM],
            BUY,
            tie_rule="finer",
            finer=candles([CALM, CALM, (100, 111, 94, 105), (105, 105, 105, 105)], step_ms=HOUR_MS // 2),
        ),
        [(1, 100, 95, 100, -500, "STOP")],
        "56e67df47a90173cf1ce168f8e9fa65410f7f4a8857e3a00d76b3ac6327e4f50",
        ambiguous=(1, 0),
    ),
    Scenario(
        "a target of 110 does not save what the stop, at 104.5 by then, may have sold at the low of 99",
        one([CALM, (100, 111, 99, 105), CALM], {0: (1, 90, 110)}, trailing_percent=5),
        [(1, 100, 99, 100, -100, "TRAILING")],
        "d83f428530857d06836af8349845011de45ef85ab8177e54efe1c5127d29b6d6",
        ambiguous=(1, 0),
    ),
    Scenario(
        "half is sold at 105, where the stop is at 99.75 and the low of 99.9 beyond its reach; the rest may have met it on 104.5",
        one(
            [CALM, (100, 110, 99.9, 109), CALM],
            NO_LEVELS,
            trailing_percent=5,
            partial_exits=[PartialExit(part=0.5, gain_percent=5)],
        ),
        [(1, 100, 105, 50, 250, "PARTIAL"), (1, 100, 99.9, 50, -5, "TRAILING")],
        "73488942413ccb6304df85e66016b41601e95e0e3c55a727316e7f4d0d02264f",
        ambiguous=(1, 0),
    ),
    Scenario(
        "half is closed at a gain of 5 %, the stop takes the rest",
        one([CALM, (100, 106, 99, 103), (103, 104, 94, 96)], BUY, partial_exits=[PartialExit(part=0.5, gain_percent=5)]),
        [(1, 100, 105, 50, 250, "PARTIAL"), (1, 100, 95, 50, -250, "STOP")],
        "7e3b9ba3943afd2147adbb046d9be02c4783873707ae11c73cdd9741886d015c",
    ),
    Scenario(
        "a candle that reaches stop and partial exit closes everything at the stop",
        one([CALM, (100, 106, 94, 103), CALM], BUY, partial_exits=[PartialExit(part=0.5, gain_percent=5)]),
        [(1, 100, 95, 100, -500, "STOP")],
        "56e67df47a90173cf1ce168f8e9fa65410f7f4a8857e3a00d76b3ac6327e4f50",
        ambiguous=(1, 0),
    ),
    Scenario(
        "two halves of three lots are one lot and what is left",
        one(
            [CALM, (100, 103, 99, 102), CALM],
            NO_LEVELS,
            sizing=Sizing(kind="notional", size=300),
            partial_exits=[PartialExit(part=0.5, gain_percent=1), PartialExit(part=0.5, gain_percent=2)],
            rules_of_market=(market_rules(lot_size="1"),),
        ),
        [(1, 100, 101, 1, 1, "PARTIAL"), (1, 100, 102, 2, 4, "PARTIAL")],
        "89bddc193556c01b668b8af61c4ad9a8423775da31c1c06b91cda5f4c4c510fe",
    ),
    Scenario(
        "the first half of one lot is no order, the second half closes all of it",
        one(
            [CALM, (100, 103, 99, 102), CALM],
            NO_LEVELS,
            sizing=Sizing(kind="notional", size=100),
            partial_exits=[PartialExit(part=0.5, gain_percent=1), PartialExit(part=0.5, gain_percent=2)],
            rules_of_market=(market_rules(lot_size="1"),),
        ),
        [(1, 100, 102, 1, 2, "PARTIAL")],
        "69d91de95f41b4eb7e29a104eae1aefe344702f7b452dfc9b27864c684e941be",
        skipped=1,
    ),
    Scenario(
        "a signal against the position closes it at the next open and turns it round",
        one([CALM, (100, 104, 98, 103), (103, 104, 102, 104), (104, 105, 97, 98)], {0: (1, 90, 120), 2: (-1, 115, 98)}),
        [(1, 100, 104, 100, 400, "SIGNAL"), (-1, 104, 98, 100, 600, "TARGET")],
        "05d62e88d48ec94561051bbefcfe8c20654c49732a33286fafffd4f0b37c19fe",
    ),
    Scenario(
        "an open beyond the target is the target's, also where a signal asks for the exit at that open",
        one([CALM, CALM, (115, 116, 114, 115), CALM], {0: (1, 95, 110), 1: (-1, 130, 90)}, short=False),
        [(1, 100, 110, 100, 1000, "TARGET")],
        "057f54bf0d8068b9185f3d7d576b815e4eb126de6f1933ed2e5c937384886d1f",
    ),
    Scenario(
        "an open beyond the stop is the stop's, and the signal against the position still turns it round",
        one([CALM, CALM, (90, 91, 89, 90), (90, 91, 84, 85)], {0: (1, 95, 110), 1: (-1, 99, 85)}),
        [(1, 100, 90, 100, -1000, "STOP"), (-1, 90, 85, 100, 500, "TARGET")],
        "b32a3752e09dc0e01bfa58dbd4104fa2633da0cc737e6d3a7c72c7dec1d1c0f9",
    ),
    Scenario(
        "an open beyond a partial exit gives that part its level, the signal takes the rest at the open",
        one(
            [CALM, CALM, (108, 109, 107, 108), CALM],
            {0: (1, 95, 120), 1: (-1, 130, 90)},
            short=False,
            partial_exits=[PartialExit(part=0.5, gain_percent=5)],
        ),
        [(1, 100, 105, 50, 250, "PARTIAL"), (1, 100, 108, 50, 400, "SIGNAL")],
        "db7d9f95166fd086d190edee0e022bfbdbcca4f0ee3b0a733ca88e301e83d303",
    ),
    Scenario(
        "a strategy that may not sell short only closes, and ignores signals to sell without a position",
        one([CALM, CALM, (100, 105, 100, 104), CALM], {0: (1, 90, 120), 1: (-1, 115, 80), 2: (-1, 115, 80)}, short=False),
        [(1, 100, 100, 100, 0, "SIGNAL")],
        "4ac2deda918b6991870413e9a323944f9be21a1131e619844b3a40c6a1a613a0",
        refused={"SIDE": 1},
    ),
    Scenario(
        "a short position gains when the price falls to its target",
        one([CALM, CALM, (100, 101, 89, 90)], SELL),
        [(-1, 100, 90, 100, 1000, "TARGET")],
        "27146da84f7c566ce42c488d66bfd1f161f5fbcbb34b30f97eaa6093e65017fc",
    ),
    Scenario(
        "ten times leverage is liquidated where 0.5 % of margin are left, 100 * 0.9 / 0.995, and those are the exchange's",
        one([CALM, (100, 101, 90, 95), CALM], NO_LEVELS, leverage=10.0, sizing=Sizing(size=0.5)),
        [(1, 100, 90.45226130653266, 500, -5000, "LIQUIDATION")],
        "52effa8dfaeeeb9bcdd567449609c722848c9d1c8e026df58a51bff90bd39219",
    ),
    Scenario(
        "a liquidation without a fee leaves the 0.5 % to the trader",
        one([CALM, (100, 101, 90, 95), CALM], NO_LEVELS, leverage=10.0, liquidation_fee=0.0),
        [(1, 100, 90.45226130653266, 1000, -9547.738693467337, "LIQUIDATION")],
        "fcdcc20301f5db49f8b9f5eba0f83e896f08a1ac2c13217effa0fd1c44bfb3ad",
    ),
    Scenario(
        "a gap beyond the liquidation costs the margin and no more: the exchange bears the rest",
        one([CALM, CALM, (80, 82, 79, 81)], NO_LEVELS, leverage=10.0, liquidation_fee=0.0),
        [(1, 100, 90, 1000, -10_000, "LIQUIDATION")],
        "258eb4250e50c2e0746a7a77c30f18550a366bd185f324feaeec24edfbc105d9",
    ),
    Scenario(
        "a stop above the liquidation price comes first",
        one([CALM, (100, 101, 90, 95), CALM], BUY, leverage=10.0),
        [(1, 100, 95, 1000, -5000, "STOP")],
        "8dd033a66be05d231f1619d492781b0f56fe13be414a166f7f1af835e8641bde",
    ),
    Scenario(
        "after a loss the next entry waits until 120 minutes after the last entry",
        one([CALM, (100, 101, 94, 96), CALM, CALM], {0: (1, 95, 110), 1: (1, 95, 110), 2: (1, 95, 110)}, cooldown_minutes=120),
        [(1, 100, 95, 100, -500, "STOP"), (1, 100, 100, 95, 0, "END")],
        "75c80c2375548295437d7b626223fc4e5b91fced8e1a10452d1508f68fdc0f47",
        refused={"COOLDOWN": 1},
    ),
    Scenario(
        "a cooldown from the exit counts from the close of the candle that held it",
        one(
            [CALM, (100, 101, 94, 96), CALM, CALM, CALM],
            {0: (1, 95, 110), 1: (1, 95, 110), 2: (1, 95, 110), 3: (1, 95, 110)},
            cooldown_minutes=120,
            cooldown_after="exit",
        ),
        [(1, 100, 95, 100, -500, "STOP"), (1, 100, 100, 95, 0, "END")],
        "6511e1134914ea58cd02e89ec250773f65c89e8b7843b379f0f95d1d2c3b25c5",
        refused={"COOLDOWN": 2},
    ),
    Scenario(
        "two trades a UTC day and no more; midnight gives two new ones",
        days(27, [0, 2, 4, 22, 23, 24, 25], daily_trades=2, sizing=Sizing(kind="notional", size=1000)),
        [(1, 100, 101, 10, 10, "TARGET")] * 4,
        "d0b6055a9cafe002d1344dcaff19065bdd5a78f151912e9d100cf77cedcb540d",
        refused={"DAILY_LIMIT": 3},
    ),
    Scenario(
        "an order below the smallest value is refused",
        one([CALM, CALM, CALM], NO_LEVELS, cash=9.99, rules_of_market=(market_rules(min_notional="10"),)),
        [],
        "52bb58bb87336eea657823a2f08b641c106c0256f1249286f4547f86c7bcc32c",
        refused={"SIZE": 1},
    ),
    Scenario(
        "an order whose stop at 95 would be below the smallest value is refused, one whose stop is just worth it is not",
        one(
            [CALM, CALM, CALM, CALM],
            {0: (1, 95, 110), 1: (1, 96, 110)},
            cash=100.0,
            rules_of_market=(market_rules(min_notional="96"),),
        ),
        [(1, 100, 100, 1, 0, "END")],
        "d3e87213e0b7122257f00c7529d09192b52491f2e0c9d1353544daf50c291cf7",
        refused={"SIZE": 1},
    ),
    Scenario(
        "the quantity is rounded down to the lot: 10,000 / 101.01 = 99.00009... becomes 99",
        one(
            [CALM, (101.01, 102, 101, 101.5), (101.5, 103, 101, 102.01)],
            NO_LEVELS,
            rules_of_market=(market_rules(lot_size="0.001"),),
        ),
        [(1, 101.01, 102.01, 99, 99, "END")],
        "555365f64d2b67425cded2d07476e43c66e3c02dd751a19ba0db8d5b4d26499c",
    ),
    Scenario(
        "slippage and tick both go against the trader: 100.05 becomes 100.1, 94.9525 becomes 94.9",
        one(
            [CALM, CALM, (100, 101, 94, 96)],
            BUY,
            sizing=Sizing(kind="notional", size=1001),
            costs=Costs(maker_fee=0, taker_fee=0, slippage=0.0005),
            rules_of_market=(market_rules(tick_size="0.1"),),
        ),
        [(1, 100.1, 94.9, 10, -52, "STOP")],
        "5bdade0a3a5bdaec9a921dbf7315c7c7cc756e77707d01d7d0eec24df7f43690",
    ),
    Scenario(
        "market orders pay the taker's fee, a target the maker's: 1 on 1,000 in, 0.55 on 1,100 out",
        one(
            [CALM, CALM, (100, 111, 99, 110)],
            BUY,
            sizing=Sizing(kind="notional", size=1000),
            costs=Costs(maker_fee=0.0005, taker_fee=0.001),
        ),
        [(1, 100, 110, 10, 98.45, "TARGET")],
        "b8a8a64bb029ccc432c188823c347501a71669751cedcac7dda1450ecee1dc0e",
    ),
    Scenario(
        "a maker's fee that is given goes before that of the market's rules: 2 on 1,000 in, 0.55 on 1,100 out",
        one(
            [CALM, CALM, (100, 111, 99, 110)],
            BUY,
            sizing=Sizing(kind="notional", size=1000),
            costs=Costs(maker_fee=0.0005),
            rules_of_market=(market_rules(maker_fee="0", taker_fee="0.002"),),
        ),
        [(1, 100, 110, 10, 97.45, "TARGET")],
        "a96f967aa2078343669f2494355b9354ca7b0743884f1c105fae4dc02a162d5b",
    ),
    Scenario(
        "without fees that are given or stated both are 0.1 %: 1 on 1,000 in, 1.10 on 1,100 out",
        one(
            [CALM, CALM, (100, 111, 99, 110)],
            BUY,
            sizing=Sizing(kind="notional", size=1000),
            costs=Costs(),
            rules_of_market=(market_rules(),),
        ),
        [(1, 100, 110, 10, 97.9, "TARGET")],
        "08d45d550cd6fd34928e4e9d709af8ce949348e2ac6564ea262fa0102282751a",
    ),
    Scenario(
        "fees that are not given are those of the market's rules",
        one(
            [CALM, CALM, (100, 111, 99, 110)],
            BUY,
            sizing=Sizing(kind="notional", size=1000),
            costs=Costs(),
            rules_of_market=(market_rules(maker_fee="0", taker_fee="0.002"),),
        ),
        [(1, 100, 110, 10, 98, "TARGET")],
        "da7b2ed5a5c49f9109c64a838db5f55535f8ec3cc95c266dcdce74f4ee876e09",
    ),
    Scenario(
        "half the spread of 0.2 % and 0.1 times the squared share of a tenth of the volume: 0.1 % + 0.1 %",
        one(
            [CALM, CALM, (100, 101, 99, 100)],
            NO_LEVELS,
            sizing=Sizing(kind="notional", size=10_000 * 1.001),
            cash=1e6,
            costs=Costs(maker_fee=0, taker_fee=0, spread=0.002, impact=0.1),
        ),
        [(1, 100.2, 99.8, 100, -40, "END")],
        "507bc56f22bc21eaf602831996e05646788caeeaca367a20d029f6ec00178aca",
    ),
    Scenario(
        "rules hold as of the date: the lot is 1 at first and 10 from the third candle on",
        one(
            [CALM] * 5,
            {0: (1, 95, 101), 2: (1, 95, 101)},
            cash=1550.0,
            rules_of_market=(market_rules(START_MS, lot_size="1"), market_rules(START_MS + 2 * HOUR_MS, lot_size="10")),
        ),
        [(1, 100, 101, 15, 15, "TARGET"), (1, 100, 101, 10, 10, "TARGET")],
        "ab4d04f7c0e3fef88f05c9a4107bec1a8624b590d9c3c73be38df4c72217a841",
    ),
    Scenario(
        "a long position pays a positive rate at 08:00, on its value at that open",
        one(
            [CALM] * 7 + [(100, 101, 99, 100), (102, 103, 101, 102), (102, 103, 101, 102)],
            {5: (1, NONE, NONE)},
            sizing=Sizing(kind="notional", size=1000),
            funding=Funding(8 * HOUR_MS, np.array([START_MS + 8 * HOUR_MS]), np.array([0.001])),
        ),
        [(1, 100, 102, 10, 20 - 1.02, "END")],
        "7a982b1cbe05d818c12ef6bfd49c0c443cb7aa9bc76b3ff5036d253b5244a0a8",
    ),
    Scenario(
        "2 % at risk over a distance of 5 to the stop is 40 coins",
        one([CALM, (100, 101, 94, 96), CALM], BUY, sizing=Sizing(kind="risk")),
        [(1, 100, 95, 40, -200, "STOP")],
        "33e8aa1dc9c16c365fde4baf809c261d2b2fe7e28f700ba5b406551771ede459",
    ),
    Scenario(
        "confidence 0.6 stakes 30 %, as min(confidence * 50, 50) % has it",
        one([CALM, (100, 111, 99, 110), CALM], {0: (1, 95, 110, 0.6)}, sizing=Sizing(kind="confidence")),
        [(1, 100, 110, 30, 300, "TARGET")],
        "89f21fe0bf2d1f03e22f6d238f0ef33e56697e02af55d607a993ef8d8c65de89",
    ),
    Scenario(
        "a stake by confidence is capped: 80 % of the cash at full confidence, but no more than half",
        one([CALM, (100, 111, 99, 110), CALM], BUY, sizing=Sizing(kind="confidence", size=0.8)),
        [(1, 100, 110, 50, 500, "TARGET")],
        "38413e80c2f9680ad2919fb3805ea1c22e0f72aaefd08ad572684c0376ab3cb1",
    ),
    Scenario(
        "cash that is a ten-billionth short of ten lots buys nine",
        one([CALM] * 3, NO_LEVELS, cash=999.9999999999, rules_of_market=(market_rules(lot_size="1"),)),
        [(1, 100, 100, 9, 0, "END")],
        "64653595dc594966d11b2e444268a976613480e1aed30edd94734afaafb1f5eb",
    ),
    Scenario(
        "100 and a gain of 0.30 pay for one lot at 100.30 to the last digit, though no float is 100.3",
        one(
            [CALM, (100, 100.3, 99.9, 100.3), (100.3, 100.4, 100.2, 100.3)],
            {0: (1, 95, 100.3), 1: (1, 95, NONE)},
            cash=100.0,
            rules_of_market=(market_rules(tick_size="0.1", lot_size="1"),),
        ),
        [(1, 100, 100.3, 1, 0.3, "TARGET"), (1, 100.3, 100.3, 1, 0, "END")],
        "f9348634b3413999a665a1f780220f7285c871d2e7e744defbd4cfa08c9bf440",
    ),
    Scenario(
        "a signal whose stop the next open has passed is not traded",
        one([CALM, (94, 96, 93, 95), CALM], BUY),
        [],
        "52bb58bb87336eea657823a2f08b641c106c0256f1249286f4547f86c7bcc32c",
        refused={"LEVELS": 1},
    ),
    Scenario(
        "a stop below 0 and a target at 0 are no prices: neither signal is traded",
        one([CALM] * 4, {0: (1, -5, 110), 1: (-1, 105, 0)}),
        [],
        "52bb58bb87336eea657823a2f08b641c106c0256f1249286f4547f86c7bcc32c",
        refused={"LEVELS": 2},
    ),
    Scenario(
        "levels measured from the fill keep their distance: 95 and 110 of 100 become 96.9 and 112.2 of 102",
        one([CALM, (102, 113, 101, 112), CALM], BUY, levels_from="fill", sizing=Sizing(kind="notional", size=1020)),
        [(1, 102, 112.2, 10, 102, "TARGET")],
        "d34a943364be9c1d36ef49d213323db502e18f16684ddda8231f84b2254e4491",
    ),
    Scenario(
        "a signal before an outage is too old when trading begins again",
        over_an_outage,
        [],
        "52bb58bb87336eea657823a2f08b641c106c0256f1249286f4547f86c7bcc32c",
        refused={"STALE": 1},
    ),
    Scenario(
        "two markets, one strategy: the first in the book takes the cash",
        two_markets({}),
        [(1, 100, 100, 100, 0, "END")],
        "52ae5ad46451efd7d55c90f1314baed2fe1aacac1069b847c2d49db9714ceaec",
        refused={"CASH": 1},
    ),
    Scenario(
        "two markets in one budget of half the book, a quarter of it each: 2,500 in both",
        two_markets({"drawn": Budget(share=0.5)}, sizing=Sizing(size=0.5, base="equity")),
        [(1, 100, 100, 25, 0, "END"), (1, 50, 55, 50, 250, "END")],
        "1cd1f57550ac52b533e7d64711939f06bfa69dc27705e0f68b3c84c20ea238bb",
    ),
    Scenario(
        "a budget of half the book that its first position takes whole leaves nothing for the second market",
        two_markets({"drawn": Budget(share=0.5)}),
        [(1, 100, 100, 50, 0, "END")],
        "633b309ab72fddf08ac951ac0d408b8c6fc86f333688ce20ce5dc3f8ce6c755c",
        refused={"CASH": 1},
    ),
    Scenario(
        "a liquidation costs its fee on top: 0.1 % of 90,452.26",
        one([CALM, (100, 101, 90, 95), CALM], NO_LEVELS, leverage=10.0, liquidation_fee=0.001),
        [(1, 100, 90.45226130653266, 1000, -9547.738693467337 - 90.45226130653266, "LIQUIDATION")],
        "f4441f614a1338eaa254256e78740904608ffc0030e7e19dce5f644aff6f1926",
    ),
    Scenario(
        "a strategy that does not leave on signals holds against them to the end",
        one([CALM, CALM, CALM, CALM], {0: (1, NONE, NONE), 1: (-1, NONE, NONE)}, exit_on_signal=False),
        [(1, 100, 100, 100, 0, "END")],
        "7911588d53bc07455af41337f3241b98640b0922e25bab35f60bfdc6eae69530",
    ),
    Scenario(
        "two strategies with half the book each do not touch each other's money",
        two_markets({"one": Budget(share=0.5), "other": Budget(share=0.5)}, ("one", "other")),
        [(1, 100, 100, 50, 0, "END"), (1, 50, 55, 100, 500, "END")],
        "838fd173cd6623b07b6347ac65bf1e2cd76f23b4b1fdbb020d6233ab26983b27",
    ),
    Scenario(
        "one position at a time: the second market's signal is refused",
        two_markets({"drawn": Budget(max_positions=1)}, sizing=Sizing(size=0.1)),
        [(1, 100, 100, 10, 0, "END")],
        "43271fdb7c5571829ba00de135e94ae6f26ccad2b19a1799832424d0dbc91499",
        refused={"POSITIONS": 1},
    ),
    Scenario(
        "cash from an exit inside a 2h candle is there at its close, not before",
        mixed_timeframes,
        [(1, 100, 105, 100, 500, "TARGET")],
        "9e3d9537ebd2a36c03b61f8a216e98405bced98cb329f7588275f5528d90376b",
        refused={"CASH": 2},
    ),
]
