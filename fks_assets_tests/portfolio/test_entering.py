"""Entries of decided deals at a paper venue: sent once, late never, and each reason why not is kept with the deal."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fks_assets.desk.cycle import AccountDesk, open_account
from fks_assets.desk.decide import NewRisk
from fks_assets.desk.deciding import Obstacles, decide_signals
from fks_assets.desk.floor import Floor
from fks_assets.errors import Denied as Refused
from fks_assets.exchanges.orders.venue import Denied
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus
from fks_assets.settings import read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import Deal, read_deals
from fks_assets.stores.ledger.halts import HaltScope, halt
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.portfolio.test_deciding import Feed, heard
from fks_assets_tests.portfolio.test_risk_gate import AT, BTC, HOUR, OPENED, rules_of, signal


@dataclass
class Clock:
    ms: int = AT

    def __call__(self) -> int:
        return self.ms


@dataclass
class Paper:
    """The shipped paper account, with one deal that is decided and not sent: 20 BTC at 100, stop 90, target 120."""

    floor: Floor
    feed: Feed
    clock: Clock

    def run(self, work: Callable[[AccountDesk], Coroutine[Any, Any, Any]], patience: float = 1.0) -> Any:
        async def opened() -> Any:
            async with open_account(self.floor, "main", holder="test", patience=patience) as desk:
                return await work(desk)

        return asyncio.run(opened())

    def trade(self, obstacles: Obstacles = lambda *_: ()) -> Any:
        return self.run(lambda desk: desk.trade(obstacles))

    def say(self, action: int, number: int = 0, strategy: str = "technical") -> None:
        account = self.floor.account("main")
        said = heard(signal(number, action=action, strategy=strategy))
        asyncio.run(decide_signals(self.floor, account, said, lambda *_: ()))

    @property
    def deal(self) -> Deal:
        return read_deals(self.floor.database)[0]

    @property
    def entries(self) -> list[OrderStatus]:
        return [order.status for order in read_orders(self.floor.database) if order.leg is Leg.ENTRY]


@pytest.fixture
def paper(database: Database, home: Path) -> Paper:
    settings = read_settings({"FKS_HOME": str(home), "FKS_EXCHANGE": "binance"}, home)
    with database.transaction() as connection:
        record_rules(connection, [rules_of()], OPENED - 100 * HOUR)
    feed, clock = Feed({BTC: 100.0}), Clock()
    paper = Paper(Floor(database, settings, lambda exchange: feed, clock), feed, clock)
    paper.say(1)
    return paper


def test_an_entry_is_sent_once_and_then_guarded(paper: Paper) -> None:
    """P7, F14."""
    _, [entered] = paper.trade()
    assert entered.words == "entry FILLED: 20 of 20" and paper.deal.status is DealStatus.RUNNING
    before = read_orders(paper.floor.database)
    assert [order.leg for order in before] == [Leg.ENTRY, Leg.STOP, Leg.TARGET]
    for _ in range(3):
        assert paper.trade()[1] == []
    assert read_orders(paper.floor.database) == before


@pytest.mark.parametrize(
    ("minutes", "price", "words"),
    [
        (121, 100.0, "its entry comes too late: the signal is 121 min old"),
        (1, 102.01, "the price 102.01 has left the band of 0.02 around 100"),
        (1, 97.99, "the price 97.99 has left the band of 0.02 around 100"),
    ],
    ids=["late", "above", "below"],
)
def test_what_was_decided_is_not_entered_later_or_elsewhere(paper: Paper, minutes: int, price: float, words: str) -> None:
    """T4, O8."""
    paper.clock.ms = OPENED + HOUR + minutes * 60_000
    paper.feed.now = {BTC: price}
    paper.trade()
    assert (paper.deal.refusal, paper.deal.is_active, paper.entries) == (words, False, [])


def test_a_sell_before_the_entry_was_sent_ends_the_deal(paper: Paper) -> None:
    paper.say(-1, number=1)
    paper.trade()
    assert (paper.deal.is_active, paper.entries) == (False, [])


def test_a_halt_between_decision_and_order_ends_the_deal(paper: Paper) -> None:
    """C16, S3.31."""
    with paper.floor.database.transaction() as connection:
        halt(connection, HaltScope.DESK, "", reason="storm", by="Ada", at_ms=AT)
    paper.trade()
    assert paper.deal.refusal == "desk is halted: storm" and paper.entries == []


@pytest.mark.parametrize("asked", [1, 2])
def test_consent_is_asked_when_an_order_is_written_and_again_right_before_it_is_sent(paper: Paper, asked: int) -> None:
    """Also for an order that has waited in between for a place within the exchange's limits."""
    words = "strategy technical was switched off"
    times = 0

    def consent(*_: Any) -> list[str]:
        nonlocal times
        times += 1
        return [words] if times == asked else []

    paper.trade(consent)
    assert (paper.deal.refusal, paper.deal.is_active, times) == (words, False, asked)
    assert [order for order in read_orders(paper.floor.database) if order.submitted_at is not None] == []
    paper.trade(consent)
    assert paper.entries == [OrderStatus.DENIED] * (asked - 1) and times == asked


def test_a_question_that_breaks_ends_its_deal_and_the_others_are_entered_and_guarded(paper: Paper) -> None:
    """S3.4: a strategy whose file is gone."""
    paper.say(1, strategy="breakout")

    def consent(connection: Any, account: Any, risk: NewRisk) -> list[str]:
        if risk.strategy == "technical":
            raise OSError("the file is gone")
        return []

    paper.trade(consent)
    technical, breakout = read_deals(paper.floor.database)
    assert technical.refusal == "it cannot be told whether technical may trade: OSError: the file is gone"
    assert [order.leg for order in read_orders(paper.floor.database, deal_id=breakout.id)] == [Leg.ENTRY, Leg.STOP, Leg.TARGET]


def test_an_entry_waits_for_a_price_and_a_position_is_left_without_one(paper: Paper) -> None:
    """F15; and what guards is placed by the levels alone."""
    price = paper.feed.now
    paper.feed.now = {}
    _, [waiting] = paper.trade()
    assert waiting.words == f"waits: {BTC} has no price now" and paper.deal.status is DealStatus.STARTED
    paper.feed.now = price
    assert paper.trade()[1][0].words == "entry FILLED: 20 of 20"


def test_what_never_left_is_tried_again_under_a_new_id_three_times(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """O2: a new try is a new generation."""
    from fks_assets.exchanges.orders.paper import PaperVenue

    async def no_place(*_: Any) -> Denied:
        return Denied("the permit to send is 6.0 s old")

    monkeypatch.setattr(PaperVenue, "place", no_place)
    for tries in (1, 2, 3):
        assert paper.trade()[1][0].words == "waits: DENIED"
        assert paper.entries == [OrderStatus.DENIED] * tries
    paper.trade()
    assert paper.deal.refusal == "the entry did not reach binance in 3 tries"
    assert len({order.client_order_id for order in read_orders(paper.floor.database)}) == 3


def test_one_process_at_a_time_trades_for_an_account(paper: Paper) -> None:
    """E10: whoever comes second waits, and then says so."""

    async def second(desk: AccountDesk) -> None:
        async with open_account(paper.floor, "main", holder="second", patience=0.3):
            raise AssertionError("two at once")

    with pytest.raises(Refused, match="another process has traded for account main"):
        paper.run(second)
    assert paper.trade()[1][0].words == "entry FILLED: 20 of 20"


def test_a_stop_executes_within_the_candles_that_began_after_it(paper: Paper) -> None:
    """A wick between two looks stops a paper position; a candle that began before the order does not count."""
    from fks_assets.desk.prices import Moment
    from fks_assets.exchanges.orders.paper_book import Quote

    paper.trade()
    wick = Quote(100.0, 101.0, 89.0, 100.0, 1.0, AT + 300_000)
    looked = []

    async def since(market: Any, began_ms: int) -> list[Moment]:
        looked.append(began_ms)
        return [moment for moment in moments if moment.began_ms >= began_ms or not moment.is_over]

    paper.feed.since = since  # type: ignore[method-assign]
    paper.clock.ms = AT + 400_000
    moments = [Moment(AT - 1, Quote.of_price(100.0, AT - 1))]
    paper.trade()
    assert paper.deal.is_active
    moments = [Moment(AT + 1, wick)]
    paper.trade()
    paper.trade()
    stops = [order for order in read_orders(paper.floor.database) if order.leg is Leg.STOP]
    assert [stop.status for stop in stops] == [OrderStatus.FILLED] and not paper.deal.is_active
    assert paper.deal.status is DealStatus.STOPPED and looked[0] == AT


def test_the_cycle_leaves_before_it_enters(paper: Paper) -> None:
    """The money and the place of what is left are free for what is entered in the same cycle."""
    paper.trade()
    tight = paper.floor.settings.accounts["main"]
    tight = tight.model_copy(update={"limits": tight.limits.model_copy(update={"max_positions": 1, "cooldown_minutes": 0})})
    settings = paper.floor.settings.model_copy(update={"accounts": {"main": tight}})
    paper.floor = replace(paper.floor, settings=settings)
    paper.clock.ms = AT + HOUR
    signals = heard(signal(1, strategy="breakout"), signal(1, action=-1))
    done = paper.run(lambda desk: desk.cycle(signals, lambda *_: ()))
    assert [deal.strategy for deal in done.decided.deals] == ["breakout"]
    assert [each.words.split(":")[0] for each in done.entered] == ["entry FILLED"]
    assert [deal.status for deal in read_deals(paper.floor.database)] == [DealStatus.STOPPED, DealStatus.RUNNING]
    assert done.balance.equity == done.balance.cash + done.balance.position_value
