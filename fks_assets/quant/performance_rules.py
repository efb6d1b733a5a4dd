"""The rules by which a strategy may trade: each names a figure of `Performance`, so none can judge what is not measured."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from fks_assets.errors import InvalidInput
from fks_assets.quant.performance import (
    FIGURES,
    MAX_DRAWDOWN_INTRADAY_PCT,
    SHARPE,
    TOTAL_RETURN_PCT,
    Performance,
)

COMPARISONS = {">=": operator.ge, ">": operator.gt, "<": operator.lt, "<=": operator.le}
DECIMALS = 9  # 110 → 77 is a fall of 30 %, whatever its last bit says
RUINED_FROM_PCT = 99.9999  # what `after_ruin` leaves of an account is less than this drawdown allows


@dataclass(frozen=True, slots=True)
class Rule:
    """A figure must compare so to a bound; a figure that is not defined fails. Raises InvalidInput for unknown names."""

    figure: str
    comparison: str
    bound: float

    def __post_init__(self) -> None:
        if self.figure not in FIGURES or self.comparison not in COMPARISONS:
            raise InvalidInput(f"rule {self.figure} {self.comparison} {self.bound}: no such figure or comparison")

    def broken(self, performance: Performance) -> str | None:
        """Return in words how the rule is broken, None when it holds."""
        value = getattr(performance, self.figure)
        if value is not None and COMPARISONS[self.comparison](round(value, DECIMALS), self.bound):
            return None
        shown = FIGURES[self.figure]
        unit = f" {shown.unit}" if shown.unit else ""
        was = "is not defined" if value is None else f"was {value:.4f}{unit}"
        return f"{shown.label} {was}, must be {self.comparison} {self.bound:g}{unit}"


RULES = (Rule(SHARPE, ">=", 1.0), Rule(TOTAL_RETURN_PCT, ">", 0.0), Rule(MAX_DRAWDOWN_INTRADAY_PCT, "<", 30.0))


def broken_rules(performance: Performance, rules: Sequence[Rule] = RULES) -> tuple[str, ...]:
    """Return one line for each rule that the figures break, before them one that says so if nothing was left of the account; none
    when the strategy may trade.
    """
    lines = [line for line in (rule.broken(performance) for rule in rules) if line is not None]
    fall = performance.max_drawdown_intraday_pct
    if fall is not None and fall >= RUINED_FROM_PCT:
        lines.insert(0, "The account was ruined: it lost all of its equity")
    return tuple(lines)
