"""Balances, stops, reconciliations and heartbeats are kept as they were told, and contradictions are refused."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import balances, reconciliations, stops
from fks_assets.stores.ledger.balances import Balance
from fks_assets.stores.ledger.stops import StopState
from fks_assets_tests.stores.ledger.books import NOON, forgotten, intent, open_account, open_deal, sent


def balance(at: int, equity: str = "10000", daily: str = "0", **changes: Any) -> Balance:
    """A balance in cash alone, of an account with deposits of 10,000."""
    values = dict.fromkeys(
        ("position_value", "margin_used", "unrealised_pnl", "realised_pnl", "time_weighted_return"), Decimal(0)
    )
    values |= {"cash": Decimal(equity), "equity": Decimal(equity), "margin_free": Decimal(equity)}
    values |= {"net_deposits": Decimal(10000), "cumulative_pnl": Decimal(equity) - 10000, "daily_pnl": Decimal(daily)}
    return Balance("main", at, **(values | changes))


def test_a_balance_is_kept_once_for_each_time(database: Database) -> None:
    with forgotten(database) as connection:
        open_account(connection)
        first = balance(NOON, details={"wallets": {"USDT": "10000"}})
        assert balances.record_balance(connection, first)
        assert not balances.record_balance(connection, balance(NOON, "1"))
        assert balances.record_balance(connection, balance(NOON + 10, "10100"))
        assert balances.newest_balance(connection, "main") == balance(NOON + 10, "10100")
        assert balances.newest_balance(connection, "main", before_ms=NOON + 10) == first
        assert balances.newest_balance(connection, "main", before_ms=NOON) is None
        assert [each.at for each in balances.read_balances(connection, "main")] == [NOON, NOON + 10]
        assert balances.read_balances(connection, "main", since_ms=NOON, until_ms=NOON + 10) == [first]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"equity": Decimal(1)}, "balance of main: equity 1 is not cash and position_value, 10000"),
        ({"cumulative_pnl": Decimal(10000)}, "cumulative_pnl 10000 is not equity less net_deposits, 0"),
        ({"daily_pnl": Decimal("NaN")}, "not a finite number"),
    ],
)
def test_figures_that_contradict_each_other_are_no_balance(database: Database, changes: dict[str, Any], said: str) -> None:
    """C26 (hummingbot#732, freqtrade#8532): a deposit can never be stored as profit."""
    with forgotten(database) as connection:
        open_account(connection)
        with pytest.raises(InvalidInput, match=said):
            balances.record_balance(connection, replace(balance(NOON), **changes))


def test_a_stop_changes_step_by_step_and_a_stale_view_of_it_is_refused(database: Database) -> None:
    """O4: the gap is written with its deadline before the cancel; whoever looked at an older stop changes nothing."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        order = sent(connection, fence, intent(deal))
        first = stops.set_stop(
            connection, deal.id, at_ms=NOON, expected_version=0, level=Decimal(90), trailing_distance=Decimal("0.05")
        )
        assert (first.version, first.state, first.target) == (1, StopState.NONE, None)
        resting = stops.set_stop(connection, deal.id, at_ms=NOON, state=StopState.RESTING, order_id=order.id)
        assert (resting.version, resting.level, resting.trailing_distance) == (2, 90, Decimal("0.05"))
        gap = stops.set_stop(
            connection,
            deal.id,
            at_ms=NOON,
            expected_version=2,
            state=StopState.GAP,
            gap_deadline=NOON + 10_000,
            level=Decimal(95),
        )
        assert gap.gap_deadline == NOON + 10_000
        with pytest.raises(InvalidInput, match=f"the stop of deal {deal.id} is at version 3 by now, not 2"):
            stops.set_stop(connection, deal.id, at_ms=NOON, expected_version=2, level=Decimal(1))
        assert stops.read_stops(connection, account="main", states=[StopState.GAP]) == [gap]
        again = stops.set_stop(connection, deal.id, at_ms=NOON + 5, state=StopState.RESTING)
        assert (again.gap_deadline, again.level, again.updated_at) == (None, 95, NOON + 5)
        assert stops.read_stops(connection, states=[StopState.GAP]) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"level": Decimal(0)}, "level 0 is not above 0"),
        ({"trailing_distance": Decimal(1)}, "trailing_distance 1 is not a fraction between 0 and 1"),
        ({"state": StopState.GAP}, "cannot be in a gap without a deadline"),
        ({"state": StopState.RESTING}, "cannot rest without an order and a level"),
    ],
)
def test_a_stop_that_cannot_be_is_refused(database: Database, changes: dict[str, Any], said: str) -> None:
    with forgotten(database) as connection:
        open_account(connection)
        deal = open_deal(connection)
        with pytest.raises(InvalidInput, match=said):
            stops.set_stop(connection, deal.id, at_ms=NOON, **changes)
        with pytest.raises(TypeError, match="stops have no changeable colour"):
            stops.set_stop(connection, deal.id, at_ms=NOON, colour="red")
        with pytest.raises(InvalidInput, match="deal 987654 is unknown"):
            stops.set_stop(connection, 987654, at_ms=NOON)


def test_reconciliations_and_heartbeats_are_read_back(database: Database) -> None:
    with forgotten(database) as connection:
        open_account(connection)
        for number, ok in enumerate((True, False)):
            detail = {"drift": {"BTC": Decimal("0.5")}}
            reconciliations.record_reconciliation(connection, "main", ok=ok, detail=detail, at_ms=NOON + number)
        newest = reconciliations.newest_reconciliations(connection, "main", 5)
        assert [(each.ok, each.at, each.detail) for each in newest] == [
            (False, NOON + 1, {"drift": {"BTC": "0.5"}}),
            (True, NOON, {"drift": {"BTC": "0.5"}}),
        ]
        assert len(reconciliations.newest_reconciliations(connection, "main")) == 1
        reconciliations.beat(connection, "stops", at_ms=NOON)
        reconciliations.beat(connection, "stops", at_ms=NOON + 5_000, detail={"positions": 3})
        beats = reconciliations.read_heartbeats(connection)
        assert {name: (each.at, each.detail) for name, each in beats.items()} == {"stops": (NOON + 5_000, {"positions": 3})}
