"""Deciding on the signals of an account: each once, each by itself, none without a price."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from fks_assets.desk.decide import Signal
from fks_assets.desk.deciding import Decided, decide_signals
from fks_assets.desk.floor import Floor, account_timeframe
from fks_assets.desk.prices import Moment, PriceFeed
from fks_assets.desk.signals import Heard, decided_marks
from fks_assets.errors import ExchangeUnavailable, InvalidInput
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.settings import Settings, read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.lineage import InputRef
from fks_assets.stores.market_rules import record_rules
from fks_assets.stores.notifications import read_notifications
from fks_assets_tests.portfolio.test_risk_gate import AT, BTC, ETH, HOUR, OPENED, rules_of, signal


@dataclass
class Feed:
    """Gives the prices that it is told to, and raises where it has none."""

    now: dict[Market, float] = field(default_factory=dict)

    async def quotes(self, markets: Sequence[Market]) -> Mapping[Market, Quote]:
        if not self.now:
            raise ExchangeUnavailable("binance cannot be reached", exchange="binance")
        return {market: Quote.of_price(self.now[market], AT) for market in markets if market in self.now}

    async def since(self, market: Market, began_ms: int) -> Sequence[Moment]:
        return []

    def last_close(self, market: Market) -> Quote | None:
        return None


@pytest.fixture
def settings(home: Path) -> Settings:
    return read_settings({"FKS_HOME": str(home), "FKS_EXCHANGE": "binance"}, home)


@pytest.fixture
def feed() -> Feed:
    return Feed({BTC: 100.0, ETH: 100.0})


@pytest.fixture
def floor(settings: Settings, database: Database, feed: PriceFeed) -> Floor:
    with database.transaction() as connection:
        record_rules(connection, [rules_of(BTC), rules_of(ETH)], OPENED - 100 * HOUR)
    return Floor(database, settings, lambda exchange: feed, lambda: AT)


def heard(*signals: Signal) -> list[Heard]:
    return [Heard(each, InputRef("signals_1h", f"{each.market}|2026-01|{each.open_time}", each.strategy)) for each in signals]


def decided(floor: Floor, *signals: Signal, obstacles: Sequence[str] = ()) -> Decided:
    account = floor.account("main")
    return asyncio.run(decide_signals(floor, account, heard(*signals), lambda *_: obstacles))


def test_a_signal_is_decided_once_and_one_of_an_older_candle_never(floor: Floor) -> None:
    """P7, T4."""
    first = decided(floor, signal(), signal(strategy="breakout", action=0))
    assert len(first.deals) == 1 and len(first.decisions) == 2
    assert decided(floor, signal(), signal(-1), signal(strategy="breakout")).decisions == []
    with floor.database.transaction() as connection:
        marks = decided_marks(connection, "main")
    assert marks == {f"technical|{BTC.key}|1h": OPENED, f"breakout|{BTC.key}|1h": OPENED}
    assert len(read_notifications(floor.database, ["buy_signal"])) == 1


def test_without_a_price_a_buy_waits_and_a_sell_does_not(floor: Floor, feed: Feed) -> None:
    """F15: ALGO traded on a price that it had made up."""
    decided(floor, signal())
    feed.now = {}
    result = decided(floor, signal(1, action=-1), signal(1, market=ETH), signal(1, strategy="breakout", action=0))
    assert result.waiting == {("technical", ETH): "binance cannot be reached"}
    assert [made.leaves is not None for _, made in result.decisions] == [True, False]
    feed.now = {BTC: 100.0}
    assert decided(floor, signal(1, market=ETH)).waiting == {("technical", ETH): "its market has no price now"}
    assert len(read_deals(floor.database)) == 1
    feed.now = {ETH: 100.0}
    assert len(decided(floor, signal(1, market=ETH)).deals) == 1, "it was not forgotten"


def test_one_strategy_that_fails_stops_no_other_and_is_asked_again(floor: Floor) -> None:
    """S3.4: {status, total_strategies, processed, errors, details}."""
    failing = [True]

    def obstacles(connection: sa.Connection, account: Account, asked: Signal) -> Sequence[str]:
        if asked.strategy == "breakout" and failing:
            raise ZeroDivisionError("of a user's strategy")
        return ()

    signals = heard(signal(strategy="breakout"), signal())
    result = asyncio.run(decide_signals(floor, floor.account("main"), signals, obstacles))
    assert result.summary(["technical", "breakout"]) == {
        "status": "completed_with_errors",
        "total_strategies": 2,
        "processed": 1,
        "errors": 1,
        "details": {
            f"technical {BTC}": result.decisions[0][1].words,
            f"breakout {BTC}": "error: ZeroDivisionError: of a user's strategy",
        },
    }
    failing.clear()
    again = asyncio.run(decide_signals(floor, floor.account("main"), signals, obstacles))
    assert [deal.strategy for deal in again.deals] == ["breakout"]


def test_two_strategies_share_an_account_each_within_its_half(floor: Floor) -> None:
    """C28: the shipped account gives each half; 0.8 * 50 % of 5,000 at 100."""
    first, second = decided(floor, signal(), signal(strategy="breakout", market=ETH)).deals
    assert (first.quantity, first.strategy) == (20, "technical")
    assert second.strategy == "breakout" and 19 < second.quantity < 20, "the first fee is gone"


def test_a_refusal_is_kept_and_nobody_is_woken(floor: Floor) -> None:
    result = decided(floor, signal(), obstacles=["the candles fail a check"])
    assert result.deals == [] and result.decisions[0][1].words == "the candles fail a check"
    assert read_notifications(floor.database) == []
    assert [deal.refusal for deal in read_deals(floor.database)] == ["the candles fail a check"]


def test_an_account_without_rules_or_with_a_strange_timeframe_is_refused(floor: Floor, settings: Settings) -> None:
    with pytest.raises(InvalidInput, match="account 'nobody' is not in the settings; they have main"):
        floor.account("nobody")
    with pytest.raises(InvalidInput, match="timeframe '4h' of an account is not on this desk; it has 5m, 1h, 1d"):
        account_timeframe(settings, settings.accounts["main"].model_copy(update={"timeframe": "4h"}))
    assert account_timeframe(settings, settings.accounts["main"]).name == "1h"


def test_a_quote_that_is_late_by_hours_buys_nothing(floor: Floor) -> None:
    """T4."""
    late = replace(floor, clock=lambda: AT + 2 * HOUR + 1)
    [(_, made)] = asyncio.run(decide_signals(late, late.account("main"), heard(signal()), lambda *_: ())).decisions
    assert made.deal is not None and "min old" in (made.deal.refusal or "")


def test_at_another_exchange_the_levels_keep_their_distance_to_the_price_there(floor: Floor, feed: Feed) -> None:
    """By hand: a stop 10 % below and a target 20 % above the close of 100 are 94.5 and 126 where it costs 105.

    What the exchange does not list is refused, and is not waited for.
    """
    there, unlisted = replace(BTC, exchange="kraken"), replace(ETH, exchange="kraken")
    account = floor.settings.accounts["main"].model_copy(update={"exchange": "kraken"})
    floor = replace(floor, settings=floor.settings.model_copy(update={"accounts": {"main": account}}))
    with floor.database.transaction() as connection:
        record_rules(connection, [rules_of(there)], OPENED - 100 * HOUR)
    feed.now = {there: 105.0}
    buys = [signal(market=market, judged_at="binance") for market in (there, unlisted)]
    made = decided(floor, *buys)
    [deal] = made.deals
    assert (deal.price, deal.stop_loss_price, deal.take_profit_price) == (Decimal(105), Decimal("94.5"), Decimal(126))
    refusals = {each.market: each.refusal for each in read_deals(floor.database) if each.refusal}
    assert refusals == {unlisted: f"the trading rules of {unlisted} are not known"} and made.waiting == {}
