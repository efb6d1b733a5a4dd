"""Sixty-six books worked out by hand, pinned by the hashes of their order lists (at least 20): C8, C9, S3.10 to S3.12."""

import pytest

from fks_assets.quant.backtest.results import Refusal
from fks_assets_tests.quant.backtest.comparing import assert_equals_reference, rows_of
from fks_assets_tests.quant.backtest.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.words for scenario in SCENARIOS])
def test_the_book_makes_the_trades_worked_out_by_hand(scenario: Scenario):
    result = assert_equals_reference(scenario.book())
    made = [
        (row["side"], row["entry_price"], row["exit_price"], row["quantity"], row["pnl"], row["exit_reason"])
        for row in rows_of(result)
    ]
    assert [(side, reason) for side, *_, reason in made] == [(side, reason) for side, *_, reason in scenario.trades]
    for ours, expected in zip(made, scenario.trades, strict=True):
        assert ours[1:5] == pytest.approx(expected[1:5], rel=1e-12, abs=1e-9)
    assert {Refusal(reason).name: count for reason, count in result.refused.items()} == scenario.refused
    assert (result.ambiguous_candles, result.decided_by_finer) == scenario.ambiguous
    assert result.parts_skipped == scenario.skipped
    assert result.final_equity == pytest.approx(result.initial_cash + sum(trade[4] for trade in scenario.trades), rel=1e-12)
    assert result.order_list_hash == scenario.hash
