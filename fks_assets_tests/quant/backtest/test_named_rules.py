"""Every rule that can be named changes what a backtest does: the orders, or the money."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fks_assets.quant.backtest.book import Book, Leg
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.named_rules import known_rules, rules_from
from fks_assets.quant.backtest.results import BacktestResult, Fees
from fks_assets.quant.backtest.rules import BookRules, Costs, LegRules
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets_tests.quant.backtest.books import MARKET, candles, series
from fks_assets_tests.quant.backtest.drawing import drawn_signals, finer_of, walk
from fks_assets_tests.quant.series import HOUR_MS, START_MS

RISK = {"sizing.kind": "risk", "sizing.size": 0.02}
MARGIN = {"leverage": 50.0, "stop_percent": None, "sizing.size": 0.1}
# What each rule is set to, and what else has to hold for it to matter.
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "long": (False, {}),
    "short": (False, {}),
    "exit_on_signal": (False, {}),
    "stop_percent": (0.4, {}),
    "target_percent": (0.4, {}),
    "levels_from": ("fill", {}),
    "trailing_percent": (0.5, {}),
    "tie_rule": ("optimistic", {}),
    "partial_exits": ([{"part": 0.5, "gain_percent": 0.3}], {}),
    "cooldown_minutes": (600, {}),
    "cooldown_after": ("exit", {"cooldown_minutes": 300}),
    "daily_trades": (1, {}),
    "oldest_signal_candles": (0.0, {}),
    "leverage": (3.0, {}),
    "maintenance_margin": (0.015, MARGIN),
    "liquidation_fee": (0.0, MARGIN),
    "initial_cash": (5000.0, {}),
    "max_positions": (1, {}),
    "sizing.kind": ("confidence", {}),
    "sizing.size": (0.1, {}),
    "sizing.cap": (0.01, {"sizing.kind": "confidence", "sizing.size": 0.9}),
    "sizing.base": ("equity", {}),
    "sizing.largest_stake": (0.01, {}),
    "costs.maker_fee": (0.0005, {}),
    "costs.taker_fee": (0.0005, {}),
    "costs.slippage": (0.001, {}),
    "costs.spread": (0.001, {}),
    "costs.impact": (0.5, {}),
    "costs.impact_limit": (0.001, {"costs.impact": 0.5}),
}
MARKETS = (MARKET, "ETH-USDT@binance")
STATED = Fees(0.0008, 0.0011)


def run(values: dict[str, Any]) -> BacktestResult:
    """Run two markets that state their fees, with holes in their candles."""
    leg, book = rules_from(values, LegRules(sizing={"size": 0.3}, cooldown_minutes=0), BookRules())
    random, legs = np.random.default_rng(5), []
    for market in MARKETS:
        of = walk(random, 250, HOUR_MS, decimals=2, jumps=True, holes=True)
        stated = {"maker_fee": Decimal("0.0008"), "taker_fee": Decimal("0.0011"), "valid_from": START_MS}
        rules = (MarketRules(parse_market(market), MarketStatus.TRADING, Decimal("0.01"), Decimal("0.00001"), **stated),)
        where = series(of, market, rules=rules, finer=finer_of(random, of, HOUR_MS, 5))
        legs.append(Leg("drawn", where, drawn_signals(random, of, often=0.4, wide=0.02, levels=True), leg))
    return run_backtest(Book(tuple(legs), book))


@pytest.mark.parametrize("name", known_rules())
def test_every_rule_that_can_be_named_changes_the_orders_or_the_money(name):
    value, besides = CHANGES[name]
    without, changed = run(besides), run({**besides, name: value})
    assert changed.order_list_hash != without.order_list_hash
    assert changed.final_equity != without.final_equity


def test_a_fee_that_is_given_is_charged_and_told_and_one_that_is_not_is_the_market_s():
    """0.05 % of what each entry was worth, in place of the 0.11 % that the market states; targets pay its 0.08 %."""
    given = run({"costs.taker_fee": 0.0005})
    trades = given.trades
    np.testing.assert_allclose(trades.entry_fee, 0.0005 * trades.entry_price * trades.quantity, rtol=1e-12)
    assert given.fees == dict.fromkeys(MARKETS, (Fees(0.0008, 0.0005),))
    assert run({}).fees == dict.fromkeys(MARKETS, (STATED,))


def test_fees_are_told_as_they_were_over_the_candles_and_where_nothing_is_stated_as_usual():
    """Rules of before and after the candles charge nothing; without any it is 0.1 %."""
    of = candles([(100, 101, 99, 100)] * 6)
    fees = {-5: "0.009", -3: "0.001", 2: "0.002", 4: "0.002", 9: "0.003"}
    rules = tuple(
        MarketRules(
            parse_market(MARKET),
            MarketStatus.TRADING,
            Decimal("0.01"),
            Decimal("0.01"),
            maker_fee=Decimal(fee),
            taker_fee=Decimal(fee),
            valid_from=START_MS + hour * HOUR_MS,
        )
        for hour, fee in fees.items()
    )
    slow = candles([(100, 101, 99, 100)] * 2, step_ms=4 * HOUR_MS)
    nothing = drawn_signals(np.random.default_rng(1), of, often=0.0, wide=0.1, levels=True)
    none = drawn_signals(np.random.default_rng(1), slow, often=0.0, wide=0.1, levels=True)
    book = Book((Leg("a", series(of, rules=rules), nothing), Leg("a", series(slow, MARKETS[1], "4h"), none)))
    assert run_backtest(book).fees == {
        MARKET: (Fees(0.001, 0.001), Fees(0.002, 0.002)),
        MARKETS[1]: (Fees(0.001, 0.001),),
    }


def test_the_usual_costs_leave_the_fees_to_the_market():
    assert Costs().fee_rate(Decimal("0.004"), rests=True) == Decimal("0.004")
    assert Costs().fee_rate(None, rests=False) == Decimal("0.001")
    assert Costs(maker_fee=0.0).fee_rate(Decimal("0.004"), rests=True) == 0
    assert Costs(maker_fee=0.0).fee_rate(Decimal("0.004"), rests=False) == Decimal("0.004")
