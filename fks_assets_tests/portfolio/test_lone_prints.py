"""A paper account and a single wrong price of its exchange: the stop guard, which reads every five seconds, has not seen it."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from fks_assets.desk.floor import Floor
from fks_assets.desk.price_reads import BELIEVED_MS
from fks_assets.desk.prices import Moment
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg
from fks_assets.settings import read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.guard import KnownPrice, write_known_prices
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.ledger.stops import read_stops, set_stop
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.portfolio.test_deciding import Feed
from fks_assets_tests.portfolio.test_entering import Clock, Paper
from fks_assets_tests.portfolio.test_risk_gate import BTC, HOUR, OPENED, rules_of


class LivingFeed(Feed):
    """Tells what the market does now, as the live prices do."""

    clock: Clock

    async def since(self, market: Market, began_ms: int) -> Sequence[Moment]:
        return [Moment(self.clock(), Quote.of_price(self.now[market], self.clock()))]


@pytest.fixture
def paper(database: Database, home: Path) -> Paper:
    """20 BTC at 100, whose stop rests at 90 and whose target at 120."""
    settings = read_settings({"FKS_HOME": str(home), "FKS_EXCHANGE": "binance"}, home)
    with database.transaction() as connection:
        record_rules(connection, [rules_of()], OPENED - 100 * HOUR)
    feed, clock = LivingFeed({BTC: 100.0}), Clock()
    feed.clock = clock
    paper = Paper(Floor(database, settings, lambda exchange: feed, clock), feed, clock)
    paper.say(1)
    paper.trade()
    return paper


def believes(paper: Paper, price: str, ago_ms: int = 0) -> None:
    """Let the stop guard have believed a price so long ago."""
    at = paper.clock() - ago_ms
    with paper.floor.database.transaction() as connection:
        write_known_prices(connection, {BTC: KnownPrice(BTC, Decimal(price), at, at, f"{price} {at}")})


def look(paper: Paper, price: float) -> list[Leg]:
    """Let five seconds pass, say a price, do what a run of the desk does, and return what has executed by then."""
    paper.clock.ms += 5_000
    paper.feed.now = {BTC: price}
    paper.trade()
    return [order.leg for order in read_orders(paper.floor.database) if order.executed_quantity]


@pytest.mark.parametrize("wrong", [1.0, 85.0, 125.0, 10_000.0])
def test_a_single_wrong_print_executes_nothing_on_paper(paper: Paper, wrong: float) -> None:
    """T5, E8, issue 6: neither the stop nor the target."""
    believes(paper, "100")
    assert look(paper, wrong) == [Leg.ENTRY]
    assert look(paper, 100.0) == [Leg.ENTRY]


@pytest.mark.parametrize(("price", "leg"), [("85", Leg.STOP), ("40", Leg.STOP), ("125", Leg.TARGET)])
def test_a_price_that_the_guard_has_seen_too_executes(paper: Paper, price: str, leg: Leg) -> None:
    """C9: the guard asks for the run once two reads have said it."""
    believes(paper, "100")
    assert look(paper, float(price)) == [Leg.ENTRY]
    believes(paper, price)
    assert look(paper, float(price)) == [Leg.ENTRY, leg]


def test_a_price_counts_alone_where_no_guard_looks(paper: Paper) -> None:
    """T5: a guard that has been silent for a minute says nothing of now, and a stop does not wait for it."""
    believes(paper, "100", BELIEVED_MS)
    assert look(paper, 85.0) == [Leg.ENTRY, Leg.STOP]


def test_a_single_wrong_print_raises_no_stop_on_paper(paper: Paper) -> None:
    """S3.8, issue 6: a print of a hundred times the price."""
    with paper.floor.database.transaction() as connection:
        set_stop(connection, paper.deal.id, at_ms=paper.clock(), trailing_distance=Decimal("0.1"))
    believes(paper, "100")
    look(paper, 10_000.0)
    assert [stop.level for stop in read_stops(paper.floor.database)] == [90]
    believes(paper, "110")
    look(paper, 110.0)
    assert [stop.level for stop in read_stops(paper.floor.database)] == [99]
