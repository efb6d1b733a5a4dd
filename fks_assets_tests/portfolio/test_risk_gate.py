"""The risk gate by hand: what each rule lets through, how much, and in which words it refuses.

Numbers are worked out from the rules of the account: 10,000 USDT, a price of 100, a fee of 0.1 %, lots of 0.001.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from math import nan
from typing import Any

import pytest

from fks_assets.desk.decide import Decision, Signal, decide, obstacles_of
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.backtest.results import Refusal
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.orders import DealStatus, Mode, Side
from fks_assets.quant.timeframes import TIMEFRAMES
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import accounts, fences, journal
from fks_assets.stores.ledger.accounts import Account, AccountSpec
from fks_assets.stores.ledger.deals import update_deal
from fks_assets.stores.ledger.fills import record_fills
from fks_assets.stores.ledger.halts import HaltScope, halt, in_force
from fks_assets.stores.ledger.reconciliations import record_reconciliation
from fks_assets.stores.ledger.stops import StopState, read_stops
from fks_assets_tests.stores.ledger import books

H1 = TIMEFRAMES["1h"]
HOUR = H1.milliseconds
BTC, ETH = parse_market("BTC-USDT@binance"), parse_market("ETH-USDT@binance")
OPENED = 1_767_268_800_000  # 2026-01-01T12:00Z
AT = OPENED + HOUR + 5_000
PRICE = Decimal(100)
RULES = {
    "mode": "paper",
    "initial_cash": "10000",
    "strategies": {"technical": 1.0},
    "limits": {"max_order_notional": "100000", "max_positions": 2, "daily_trades": 2, "cooldown_minutes": 30},
}


def rules_of(market: Market = BTC, status: MarketStatus = MarketStatus.TRADING, **changes: str) -> MarketRules:
    values = {
        "tick_size": "0.01",
        "lot_size": "0.001",
        "min_notional": "5",
        "maker_fee": "0.001",
        "taker_fee": "0.001",
        **changes,
    }
    return MarketRules(market, status, **{name: Decimal(value) for name, value in values.items()})


def account_rules(**changes: Any) -> AccountRules:
    limits = RULES["limits"] | changes.pop("limits", {})
    return AccountRules.model_validate(RULES | {"limits": limits} | changes)


def signal(number: int = 0, **changes: Any) -> Signal:
    """A BUY with confidence 0.8 of the candle `number` hours after noon."""
    usual = Signal("technical", BTC, H1, OPENED + number * HOUR, 1, 0.8, 100.0, 90.0, 120.0, "by hand")
    return replace(usual, **changes)


class Gate:
    """An account in an empty ledger, and the gate in front of it."""

    def __init__(self, database: Database, rules: AccountRules, mode: Mode = Mode.PAPER) -> None:
        self.database, self.rules = database, rules
        with database.transaction() as connection:
            accounts.mirror(
                connection, [AccountSpec("main", mode, "binance", "USDT", rules.initial_cash)], at_ms=OPENED - 40 * HOUR
            )

    @property
    def account(self) -> Account:
        return accounts.read_account(self.database, "main")

    def ask(
        self,
        heard: Signal | None = None,
        *,
        price: Decimal = PRICE,
        market_rules: MarketRules | None = None,
        obstacles: Sequence[str] = (),
        at_ms: int | None = None,
    ) -> Decision:
        heard = signal() if heard is None else heard
        with self.database.transaction() as connection:
            return decide(
                connection,
                self.account,
                self.rules,
                heard,
                price=price,
                market_rules=rules_of(heard.market) if market_rules is None else market_rules,
                obstacles=obstacles,
                at_ms=heard.close_time + 5_000 if at_ms is None else at_ms,
            )

    def refusal(self, heard: Signal | None = None, **asked: Any) -> str:
        made = self.ask(heard, **asked)
        assert made.deal is not None and made.deal.refusal is not None, made
        assert (made.deal.status, made.deal.is_active) == (DealStatus.NOT_ORDERING, False)
        return made.deal.refusal

    def buy(self, decision: Decision, price: str = "100") -> None:
        """Let the entry of a deal be sent and filled."""
        deal = decision.deal
        assert deal is not None
        with self.database.transaction() as connection:
            fence = fences.take(connection, "main", "test", at_ms=AT)
            order = books.sent(connection, fence, books.intent(deal, deal.quantity, at_ms=AT), f"x{deal.id}")
            record_fills(connection, "main", [books.trade(order, f"t{deal.id}", str(deal.quantity), price)], at_ms=AT)


@pytest.fixture
def gate(database: Database) -> Gate:
    return Gate(database, account_rules())


@pytest.mark.parametrize(("confidence", "quantity"), [(0.8, "40"), (0.5, "25"), (0.123, "6.15"), (1.0, "49.950")])
def test_the_stake_is_half_the_money_times_the_confidence(database: Database, confidence: float, quantity: str) -> None:
    """S3.10: min(confidence * 50, 50) %; 1.0 of a share of 0.999 is 4,995."""
    share = 0.999 if confidence == 1.0 else 1.0
    made = Gate(database, account_rules(strategies={"technical": share})).ask(signal(confidence=confidence))
    assert made.deal is not None and made.deal.quantity == Decimal(quantity), made
    assert made.deal.confidence == Decimal(repr(confidence))


def test_two_percent_of_available_cash_is_170_of_8500(database: Database) -> None:
    """S2.4, X24: the share is of the cash that is free, the sample's 170 of 8,500."""
    made = Gate(database, account_rules(sizing="available_cash", initial_cash="8500")).ask()
    assert made.deal is not None and made.deal.quantity * PRICE == Decimal(170)


@pytest.mark.parametrize(("stop", "quantity"), [(90.0, "20"), (98.0, "99.900"), (50.0, "4")])
def test_two_percent_at_risk_is_lost_at_the_stop(database: Database, stop: float, quantity: str) -> None:
    """S2.8: 200 of 10,000 by the way to the stop: 10, or 50; at 2 the money would not suffice for 100 coins and the fee."""
    made = Gate(database, account_rules(sizing="risk")).ask(signal(stop=stop))
    assert made.deal is not None and made.deal.refusal is None and made.deal.quantity == Decimal(quantity), made


def test_what_is_sized_by_risk_needs_a_stop(database: Database) -> None:
    gate = Gate(database, account_rules(sizing="risk", risk_share="0.01"))
    refusal = gate.refusal(signal(stop=nan))
    assert "a size by risk needs a stop on the losing side of 100, was None" in refusal
    assert Refusal.told_in(refusal) is Refusal.NO_STOP
    made = gate.ask(signal(1))
    assert made.deal is not None and made.deal.quantity == 10, "1 % of 10,000, 10 away"


def test_a_deal_carries_levels_and_is_ordered_in_coins(gate: Gate) -> None:
    """F14: 40 % of the money is 40 coins at 100, and not 0.4; S3.18."""
    deal = gate.ask().deal
    assert deal is not None and deal.refusal is None
    assert (deal.stop_loss_price, deal.take_profit_price, deal.price) == (Decimal(90), Decimal(120), Decimal(100))
    assert (deal.status, deal.side, deal.signal_time, deal.reason) == (DealStatus.STARTED, Side.BUY, OPENED, "by hand")
    assert deal.quantity == Decimal(40)


def test_the_same_signal_is_one_deal_for_ever(gate: Gate) -> None:
    """P7."""
    first, again = gate.ask(), gate.ask()
    assert (first.is_new, again.is_new) == (True, False)
    assert first.deal == again.deal


def test_a_refused_signal_stays_refused(gate: Gate) -> None:
    words = gate.refusal(obstacles=["not today"])
    again = gate.ask()
    assert words == "not today" and again.deal is not None
    assert (again.deal.refusal, again.is_new) == ("not today", False)


def test_what_is_held_is_not_bought_again_and_a_sell_leaves_it(gate: Gate) -> None:
    first = gate.ask()
    gate.buy(first)
    assert gate.ask(signal(1)).words == "held already"
    made = gate.ask(signal(2, action=-1))
    assert made.leaves is not None and first.deal is not None and made.leaves.id == first.deal.id
    assert [stop.state for stop in read_stops(gate.database)] == [StopState.EXITING]
    assert not gate.ask(signal(3, action=-1)).is_new


def test_a_sell_leaves_nothing_that_came_later_and_a_spot_account_is_never_short(gate: Gate) -> None:
    """O5."""
    assert gate.ask(signal(action=-1)).words == "nothing is held"
    gate.ask(signal(1))
    assert gate.ask(signal(0, action=-1)).words == "nothing is held"
    assert gate.ask(signal(action=0)).words == "HOLD"


def test_an_obstacle_refuses_an_entry_and_stops_no_exit(gate: Gate) -> None:
    """C16 (hummingbot#2534, #1145): a halt blocks new risk alone."""
    gate.buy(gate.ask())
    assert gate.refusal(signal(market=ETH), obstacles=["desk is halted: storm"]) == "desk is halted: storm"
    assert gate.ask(signal(2, action=-1), obstacles=["desk is halted: storm"]).leaves is not None


def test_obstacles_are_the_account_the_strategy_its_data_and_halts(gate: Gate) -> None:
    with gate.database.transaction() as connection:
        halt(connection, HaltScope.MARKET, BTC.key, reason="odd news", by="Ada", at_ms=AT)
        halts = {each.name: str(each) for each in in_force(connection, at_ms=AT)}
        account = accounts.enable(connection, "main", False, by="Ada", reason="holiday", at_ms=AT)
    assert obstacles_of(standing="no certificate", blocked="a check fails", account=account, halts=halts) == (
        "account main may not take new risk",
        "no certificate",
        "a check fails",
        f"market {BTC.key} is halted: odd news",
    )
    assert obstacles_of(standing=None, blocked=None, account=replace(account, enabled=True), halts={}) == ()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"market_rules": rules_of(status=MarketStatus.HALTED)}, "say that it is halted"),
        ({"at_ms": OPENED + 3 * HOUR + 1}, "the signal is 120 min old"),
        ({"price": Decimal("89.99")}, "89.99"),
        ({"price": Decimal("90")}, "90"),
        ({"price": Decimal("120")}, "120"),
        ({"market_rules": rules_of(min_notional="4001")}, "smallest order"),
        ({"market_rules": rules_of(lot_size="41")}, "smallest order"),
    ],
    ids=["halted", "stale", "below its stop", "at its stop", "at its target", "too little", "less than a lot"],
)
def test_each_reason_refuses_in_its_own_words(gate: Gate, asked: dict[str, Any], words: str) -> None:
    """T4: two candles after its close a signal is nobody's."""
    assert words in gate.refusal(**asked)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"min_notional": "3600.01"}, "its stop: 40 at 90 are worth 3600, the market takes no less than 3600.01"),
        ({"min_notional": "3600"}, None),
        ({"min_quantity": "40.001"}, "smallest order"),
        ({"min_quantity": "40"}, None),
    ],
)
def test_what_is_bought_must_be_worth_an_order_at_its_stop_too(gate: Gate, rules: dict[str, str], words: str | None) -> None:
    """C12, F13: a stop that the market would not take leaves the position bare, to be sold after ten seconds."""
    made = gate.ask(market_rules=rules_of(**rules))
    assert made.deal is not None
    refusal = made.deal.refusal
    assert refusal is None if words is None else words in str(refusal)


@pytest.mark.parametrize("mode", [Mode.LIVE, Mode.ALERT])
def test_a_fee_in_coins_must_leave_enough_for_the_stop(database: Database, mode: Mode) -> None:
    """Real exchanges may keep the fee of 0.1 % in coins: 39.96 of 40 are left, worth 3,596.40 at 90."""
    gate = Gate(database, account_rules(mode=mode.value, initial_cash="0"), mode)
    with database.transaction() as connection:
        journal.deposit(connection, "main", "USDT", Decimal(10000), "bank", at_ms=OPENED, by="Ada")
    words = "its stop: 39.96 at 90 are worth 3596.4, the market takes no less than 3596.41"
    assert words in gate.refusal(market_rules=rules_of(min_notional="3596.41"))
    assert "its stop: 39.96 are left" in gate.refusal(signal(1), market_rules=rules_of(min_quantity="39.961"))
    made = gate.ask(signal(2), market_rules=rules_of(min_notional="3596.4", min_quantity="39.96"))
    assert made.deal is not None and made.deal.refusal is None


def test_without_a_stop_nothing_is_asked_of_it(gate: Gate) -> None:
    made = gate.ask(signal(stop=float("nan")), market_rules=rules_of(min_notional="4000"))
    assert made.deal is not None and (made.deal.refusal, made.deal.stop_loss_price) == (None, None)


def test_unknown_trading_rules_refuse(gate: Gate) -> None:
    """C12: nothing is rounded by rules that nobody knows."""
    with gate.database.transaction() as connection:
        made = decide(connection, gate.account, gate.rules, signal(), price=PRICE, market_rules=None, obstacles=(), at_ms=AT)
    assert made.deal is not None and made.deal.refusal == f"the trading rules of {BTC} are not known"


def test_no_money_and_no_place_refuse(database: Database) -> None:
    gate = Gate(database, account_rules(limits={"max_order_notional": "3999.99"}))
    assert gate.refusal() == "4000 USDT is above max_order_notional 3999.99"
    gate.rules = account_rules(stake=1.0, cap=1.0, limits={"max_positions": 1})
    gate.buy(gate.ask(signal(1, confidence=1.0)))
    assert gate.refusal(signal(1, market=ETH)).endswith(": 1")
    gate.rules = account_rules(limits={"max_positions": 2})
    assert gate.refusal(signal(2, market=ETH, confidence=0.5)) == Refusal.SIZE.words, "a quarter of the 10 USDT that are left"
    with database.transaction() as connection:
        journal.withdraw(connection, "main", "USDT", Decimal(10), "all of it", at_ms=AT, by="Ada")
    assert gate.refusal(signal(3, market=ETH)) == Refusal.CASH.words


def test_a_live_account_that_was_never_compared_says_so(database: Database) -> None:
    """O2: until then nobody knows what it has, which is not the same as nothing."""
    gate = Gate(database, account_rules(mode="live", initial_cash="0"), Mode.LIVE)
    assert gate.refusal() == "account main has not been compared with binance yet, so what it has is not known"
    for number, (passed, ending) in enumerate([(False, "not known: bad key"), (True, Refusal.CASH.words)], start=1):
        with database.transaction() as connection:
            detail = {"passed": passed, "fault": "" if passed else "bad key"}
            record_reconciliation(connection, "main", ok=passed, detail=detail, at_ms=AT)
        assert gate.refusal(signal(number)).endswith(ending)


def test_within_the_cooldown_a_strategy_does_not_trade_a_market_again(gate: Gate) -> None:
    """S3.11: 30 minutes after the last deal of this strategy in this market, by the ledger."""
    made = gate.ask()
    assert made.deal is not None
    _end(gate, made.deal.id)
    early, late = AT + 30 * 60_000 - 1, AT + 30 * 60_000
    again = replace(signal(), open_time=OPENED + HOUR // 2, timeframe=TIMEFRAMES["1h"])
    assert "30 min" in gate.refusal(again, at_ms=early)
    assert gate.ask(signal(market=ETH), at_ms=early).deal.refusal is None, "another market"
    third = replace(signal(), open_time=OPENED + HOUR // 4)
    assert gate.ask(third, at_ms=late).deal.refusal is None


def test_the_cooldown_holds_for_another_process(gate: Gate) -> None:
    """F15: ALGO's cooldown lived in an object that each run made anew."""
    made = gate.ask()
    assert made.deal is not None
    _end(gate, made.deal.id)
    script = (
        "import sys\n"
        "from fks_assets.stores.database import Database\n"
        "from fks_assets_tests.portfolio.test_risk_gate import AT, Gate, HOUR, OPENED, account_rules, signal\n"
        "from dataclasses import replace\n"
        "gate = Gate.__new__(Gate)\n"
        "gate.database, gate.rules = Database(sys.argv[1]), account_rules()\n"
        "print(gate.refusal(replace(signal(), open_time=OPENED + HOUR // 2), at_ms=AT + 60_000))\n"
    )
    url = gate.database.url
    answer = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60, check=False)
    assert "cooldown of 30 min" in answer.stdout, answer.stderr


def test_a_day_has_so_many_trades_and_the_next_one_as_many_again(gate: Gate) -> None:
    """S3.12, F15: by strategy and market, by UTC days; refused deals do not count."""
    for number in range(2):
        made = gate.ask(signal(number))
        assert made.deal is not None and made.deal.refusal is None
        _end(gate, made.deal.id)
    assert gate.refusal(signal(2)).endswith(": 2")
    assert gate.ask(signal(2, market=ETH)).deal.refusal is None
    midnight = OPENED + 12 * HOUR
    assert gate.refusal(signal(10), at_ms=midnight - 1).endswith(": 2")
    assert gate.ask(signal(11), at_ms=midnight).deal.refusal is None


def test_budgets_of_strategies_do_not_borrow_from_each_other(database: Database) -> None:
    """C28: half of 10,000 each; what one has in a deal that waits counts as spent."""
    gate = Gate(database, account_rules(strategies={"technical": 0.5, "breakout": 0.5}, stake=1.0, cap=1.0))
    first = gate.ask(signal(confidence=1.0))
    assert first.deal is not None and first.deal.quantity == Decimal("49.950"), "the fee has to be paid too: 5,000 / 100.1"
    rest = gate.refusal(signal(market=ETH, confidence=1.0))
    other = gate.ask(signal(strategy="breakout", market=ETH, confidence=1.0))
    assert rest == Refusal.SIZE.words, "2.5 USDT are left of its half"
    assert other.deal is not None and other.deal.quantity == Decimal("49.925"), "half of 9,995.005: the first fee is gone"


def test_in_alert_mode_the_desk_does_not_order(database: Database) -> None:
    """X13: a person executes."""
    gate = Gate(database, account_rules(mode="alert", initial_cash="0"), Mode.ALERT)
    with database.transaction() as connection:
        journal.deposit(connection, "main", "USDT", Decimal(10000), "bank", at_ms=OPENED, by="Ada")
    deal = gate.ask().deal
    assert deal is not None and deal.refusal is None
    assert (deal.status, deal.is_active) == (DealStatus.NOT_ORDERING, True)


def _end(gate: Gate, deal_id: int) -> None:
    with gate.database.transaction() as connection:
        update_deal(connection, deal_id, at_ms=AT, status=DealStatus.STOPPED)
