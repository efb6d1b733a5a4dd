"""What an account that sizes by risk buys is what the backtest of the account buys: each deal against the engine's entry."""

from decimal import Decimal

import numpy as np
import pytest

from fks_assets.assets.trading.account_backtest import account_book
from fks_assets.quant.backtest.book import MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import ENTRY
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market
from fks_assets.quant.money import from_analytics
from fks_assets.quant.strategies.base import BUY, SignalColumns
from fks_assets.stores.database import Database
from fks_assets_tests.portfolio.test_risk_gate import H1, HOUR, OPENED, Gate, account_rules, rules_of, signal

MARKETS = [Market(f"C{number}", "USDT", "binance") for number in range(12)]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_deal_has_the_quantity_of_the_backtest(database: Database, seed: int) -> None:
    """S2.8, C28: twelve markets at one open, bought one after another from what those before have left of the budget."""
    random = np.random.default_rng(seed)
    rules = account_rules(
        sizing="risk",
        risk_share="0.013",
        strategies={"technical": 0.9},
        initial_cash="9876.54",
        limits={"max_positions": 20},
        costs={"slippage": 0.0007},
    )
    known = {market: rules_of(market, lot_size=str(random.choice(["0.001", "0.3", "1e-8"]))) for market in MARKETS}
    closes = np.round(100 * np.exp(random.normal(0, 1, len(MARKETS))), 2)
    opens = np.round(closes * (1 + random.normal(0, 0.004, len(MARKETS))), 2)
    stops = np.round(closes * (1 - random.uniform(0.02, 0.2, len(MARKETS))), 2)
    series, signals = {}, {}
    for row, market in enumerate(MARKETS):
        prices = np.array([closes[row], opens[row]])
        candles = Candles(OPENED + HOUR * np.arange(2), prices, prices, prices, prices, np.full(2, 5.0))
        series["technical", market] = MarketSeries(market.key, H1, candles, (known[market],))
        action, stop = np.array([BUY, 0], np.int8), np.array([stops[row], np.nan])
        columns = action, np.array([0.8, 0.0]), stop, np.full(2, np.nan), np.zeros(2, np.int16)
        signals["technical", market] = SignalColumns(*columns, ("by chance",))
    orders = run_backtest(account_book(series, signals, {"technical": rules.leg_rules()}, rules.book_rules())).orders
    bought = orders.reason == ENTRY
    expected = dict(zip(orders.market[bought].tolist(), orders.quantity[bought].tolist(), strict=True))
    gate = Gate(database, rules)
    for row, market in enumerate(MARKETS):
        heard = signal(market=market, close=float(closes[row]), stop=float(stops[row]), target=np.nan)
        made = gate.ask(heard, price=from_analytics(float(opens[row])), market_rules=known[market])
        assert made.deal is not None
        if row in expected:
            assert (made.deal.refusal, float(made.deal.quantity)) == (None, expected[row]), market
        else:
            assert made.deal.refusal is not None, market
    assert len(expected) > 6
    lost = [expected[row] * (opens[row] * 1.0007 - stops[row]) for row in expected]
    assert max(lost) <= Decimal("0.013") * rules.initial_cash and min(lost) < 0.9 * max(lost), "what is left shrinks"
