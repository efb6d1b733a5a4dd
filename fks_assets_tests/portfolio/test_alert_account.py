"""Alert mode: the desk tells, a person executes and records; position, stop and balance follow."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from fks_assets.desk.recording import Execution, Recorded, give_up_unexecuted, record_execution
from fks_assets.desk.valuing import balance_of
from fks_assets.errors import InvalidInput
from fks_assets.quant.orders import DealStatus, Leg, Mode, OrderStatus, ProcessedSide
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import journal
from fks_assets.stores.ledger.deals import Deal, read_deal
from fks_assets.stores.ledger.fills import read_fills
from fks_assets.stores.ledger.journal import wallets
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.ledger.recompute import recompute
from fks_assets.stores.ledger.stops import StopState, read_stops
from fks_assets_tests.portfolio.test_risk_gate import AT, HOUR, Gate, account_rules, signal

ENTRY = Execution(Leg.ENTRY, Decimal(101), Decimal(40), Decimal("4.04"), "USDT", AT + 60_000, "ex-1")
EXIT = Execution(Leg.EXIT, Decimal(110), Decimal(40), Decimal("4.4"), "USDT", AT + 120_000, "ex-2")


@pytest.fixture
def gate(database: Database) -> Gate:
    """An alert account with 10,000 USDT."""
    gate = Gate(database, account_rules(mode="alert", initial_cash="0"), Mode.ALERT)
    with database.transaction() as connection:
        journal.deposit(connection, "main", "USDT", Decimal(10_000), "bank", at_ms=AT - 30 * HOUR, by="Ada")
    return gate


@pytest.fixture
def deal(gate: Gate) -> Iterator[Deal]:
    made = gate.ask().deal
    assert made is not None and made.refusal is None
    yield made


def record(gate: Gate, deal: Deal, execution: Execution, at_ms: int = AT + 180_000) -> Recorded:
    with gate.database.transaction() as connection:
        return record_execution(connection, deal.id, execution, at_ms=at_ms)


def test_what_a_person_executed_is_a_fill_a_position_a_stop_and_a_balance(gate: Gate, deal: Deal) -> None:
    """S1.13, S1.14: bought 40 at 101, marked at 105, sold at 110: 40 * 9 - 8.44 = 351.56."""
    made = record(gate, deal, ENTRY)
    assert (made.order.status, made.position.quantity, made.position.entry_price) == (OrderStatus.FILLED, 40, 101)
    [stop] = read_stops(gate.database)
    assert (stop.level, stop.target, stop.state) == (Decimal(90), Decimal(120), StopState.NONE)
    assert wallets(gate.database, "main") == {"USDT": Decimal("5955.96"), "BTC": Decimal(40)}
    assert read_deal(gate.database, deal.id).processed_side is ProcessedSide.BUY
    record(gate, deal, EXIT)
    [position] = read_positions(gate.database)
    assert (position.is_open, position.pnl) == (False, Decimal("351.56"))
    over = read_deal(gate.database, deal.id)
    assert (over.status, over.is_active, over.processed_side) == (DealStatus.STOPPED, False, ProcessedSide.BUY_AND_SELL)
    with gate.database.transaction() as connection:
        balance = balance_of(connection, gate.account, at_ms=AT + HOUR)
    assert (balance.equity, balance.cumulative_pnl, balance.net_deposits) == (Decimal("10351.56"), Decimal("351.56"), 10_000)
    assert balance.time_weighted_return == Decimal("0.035156")
    assert recompute(gate.database) == []


def test_parts_add_up_in_any_number(gate: Gate, deal: Deal) -> None:
    """C13."""
    for number, part in enumerate(("10", "5.5", "24.5")):
        record(gate, deal, replace(ENTRY, quantity=Decimal(part), fee=Decimal(0), reference=f"part {number}"))
    record(gate, deal, replace(EXIT, quantity=Decimal("39.999"), reference=None))
    [position] = read_positions(gate.database)
    assert (position.quantity, position.is_open) == (Decimal("0.001"), True)
    assert read_deal(gate.database, deal.id).is_active
    record(gate, deal, replace(EXIT, leg=Leg.STOP, quantity=Decimal("0.001"), reference=None))
    assert not read_positions(gate.database)[0].is_open
    assert len(read_fills(gate.database)) == 5


def test_the_same_trade_is_booked_once_and_not_with_other_numbers(gate: Gate, deal: Deal) -> None:
    assert record(gate, deal, ENTRY).is_new
    again = record(gate, deal, ENTRY)
    assert (again.is_new, len(read_fills(gate.database))) == (False, 1)
    with pytest.raises(InvalidInput, match="is booked with other numbers"):
        record(gate, deal, replace(ENTRY, price=Decimal(102)))


@pytest.mark.parametrize(
    ("execution", "words"),
    [
        (EXIT, "holds 0 BTC, less than 40"),
        (replace(ENTRY, quantity=Decimal(0)), "quantity 0 is not above 0"),
        (replace(ENTRY, price=Decimal(-1)), "price -1 is not above 0"),
        (replace(ENTRY, price=Decimal("1E-19")), "outside 20 digits before and 18 after the point"),
    ],
    ids=["more than is held", "nothing", "below 0", "too fine"],
)
def test_what_cannot_have_happened_is_refused(gate: Gate, deal: Deal, execution: Execution, words: str) -> None:
    """O5: never short on spot."""
    with pytest.raises(InvalidInput, match=words):
        record(gate, deal, execution)
    assert read_fills(gate.database) == []


def test_a_deal_that_nobody_executes_ends_and_one_that_was_executed_after_all_goes_on(gate: Gate, deal: Deal) -> None:
    """T4: after two candles a signal is nobody's; what really happened is booked all the same."""
    close = deal.signal_time + HOUR
    with gate.database.transaction() as connection:
        assert give_up_unexecuted(connection, gate.account, gate.rules, at_ms=close + 2 * HOUR) == []
        [over] = give_up_unexecuted(connection, gate.account, gate.rules, at_ms=close + 2 * HOUR + 1)
    assert over.refusal == "nobody has executed it within 2 candles" and not over.is_active
    record(gate, deal, ENTRY, at_ms=close + 3 * HOUR)
    assert (read_deal(gate.database, deal.id).is_active, read_deal(gate.database, deal.id).refusal) == (True, None)
    with gate.database.transaction() as connection:
        assert give_up_unexecuted(connection, gate.account, gate.rules, at_ms=close + 9 * HOUR) == []


def test_refused_deals_and_deals_of_the_desk_are_not_recorded(gate: Gate, database: Database) -> None:
    refused = gate.ask(signal(1), obstacles=["not today"]).deal
    assert refused is not None
    with pytest.raises(InvalidInput, match="was refused: not today"):
        record(gate, refused, ENTRY)


def test_the_desk_books_its_own_fills(database: Database) -> None:
    paper = Gate(database, account_rules())
    deal = paper.ask().deal
    assert deal is not None
    with pytest.raises(InvalidInput, match="mode paper: the desk books its fills itself"):
        record(paper, deal, ENTRY)
