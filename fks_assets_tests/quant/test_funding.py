"""When funding is due, and how much of it is known."""

from decimal import Decimal

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.funding import NOTHING_DUE, Coverage, FundingRate, coverage_of

HOUR = 3_600_000
NOON = 1_767_268_800_000  # 2026-01-01T12:00Z, half way between two fundings


def test_due_is_every_eighth_hour_of_the_window_and_what_is_missing_is_named() -> None:
    """C23. From noon on: 16, 24 and 32 o'clock; the end is excluded."""
    due = [NOON + hours * HOUR for hours in (4, 12, 20)]
    assert coverage_of(due, (NOON, NOON + 28 * HOUR)) == Coverage(3, 3, ())
    assert coverage_of(due[:1], (NOON, NOON + 28 * HOUR)) == Coverage(3, 1, (due[1], due[2]))
    assert coverage_of([], (due[0], due[1])) == Coverage(1, 0, (due[0],))
    assert coverage_of(due, (NOON, NOON)) == coverage_of(due, (NOON, NOON - HOUR)) == NOTHING_DUE


def test_a_rate_that_was_told_between_two_of_the_grid_was_due_as_well() -> None:
    """Some markets charge every four hours."""
    assert coverage_of([NOON, NOON + 4 * HOUR, NOON + 8 * HOUR], (NOON, NOON + 13 * HOUR)) == Coverage(4, 3, (NOON + 12 * HOUR,))


@pytest.mark.parametrize(("known", "due", "percent"), [(0, 0, None), (0, 9, 0), (999, 1000, 99), (1000, 1000, 100)])
def test_the_share_is_rounded_down_so_that_100_means_all(known: int, due: int, percent: int | None) -> None:
    """C23."""
    assert Coverage(due, known, ()).known_pct == percent


def test_coverages_add_up() -> None:
    assert sum([Coverage(3, 2, (5,)), Coverage(2, 1, (7,))], NOTHING_DUE) == Coverage(5, 3, (5, 7))


@pytest.mark.parametrize(
    ("time", "rate", "words"),
    [
        (NOON, "1.0001", "funding rate of 2026-01-01T12:00:00Z is 1.0001, not a number from -1 to 1"),
        (NOON, "NaN", "is NaN, not a number from -1 to 1"),
        (NOON + 1, "0.0001", "funding time 1767268800001 is not a whole hour"),
    ],
)
def test_what_no_market_charges_is_no_rate(time: int, rate: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        FundingRate(time, Decimal(rate))
