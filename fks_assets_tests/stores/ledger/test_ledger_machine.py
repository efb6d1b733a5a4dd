"""Ten thousand steps of orders, fills, cancels, partials, duplicates and money that moves break no invariant of the ledger."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fks_assets.stores.database import Database
from fks_assets_tests.stores.ledger.machine import LedgerMachine

STEPS = 50


@pytest.mark.parametrize(
    ("runs", "steps"),
    [pytest.param(245, 10_000, id="10,000 steps"), pytest.param(2450, 100_000, id="100,000 steps", marks=pytest.mark.nightly)],
)
def test_no_sequence_of_events_breaks_an_invariant(database: Database, runs: int, steps: int) -> None:
    """O3, C13 (freqtrade#7444, #12343, #8374): after every step debits equal credits, positions and orders are sums of their
    fills, wallets are sums of their entries, and all of it computed anew in fractions differs by nothing."""
    LedgerMachine.steps = LedgerMachine.booked = 0
    run_state_machine_as_test(
        lambda: LedgerMachine(database),
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            database=None,
        ),
    )
    assert LedgerMachine.steps >= steps
    assert LedgerMachine.booked >= steps / 25
