"""Trading rules and parameters as people type them: limits that can be switched off, and values that are refused."""

import pytest

from fks_assets.assets.trading.rule_options import assignments
from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.named_rules import DESK_RULES, rules_from


@pytest.mark.parametrize("name", ["daily_trades", "oldest_signal_candles", "stop_percent"])
def test_none_switches_a_limit_off(name: str) -> None:
    leg, _ = rules_from(assignments([f"{name}=none"], "--rule"))
    assert getattr(leg, name) is None
    assert DESK_RULES.daily_trades == 10 and DESK_RULES.oldest_signal_candles == 2.0, "both are set otherwise"


def test_none_is_read_in_groups_and_for_the_book_too() -> None:
    leg, book = rules_from(assignments(["sizing.size=none", "max_positions=none"], "--rule"))
    assert leg.sizing.size is None and book.max_positions is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("leverage=none", "leverage: Input should be a valid number, was 'none'"),
        ("short=none", "short: Input should be a valid boolean, was 'none'"),
        ("initial_cash=true", "initial_cash: Input should be a valid number, was True"),
        ("short=true\nfoo=1", "--rule 'short=true\\nfoo=1' is more than one line"),
        ("nothing=none", "rule 'nothing' is unknown; known: "),
        ("costs.nothing=none", "rule 'costs.nothing' is unknown; known: "),
    ],
)
def test_what_is_no_value_of_a_rule_is_refused(text: str, words: str) -> None:
    """S3.29, F16: nothing is dropped silently."""
    with pytest.raises(InvalidInput) as refused:
        rules_from(assignments([text], "--rule"))
    assert words in str(refused.value)
