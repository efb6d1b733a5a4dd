"""What most strategies are made of: rules in order of precedence, comparisons that rounding cannot decide, exits by ATR."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator

from fks_assets.quant.indicators import WARMUP_ROWS
from fks_assets.quant.strategies.base import HOLD, Parameters, SignalColumns, overwrite, scattered

# Sums of prices differ in their last digits with the candle they begin at; two of a tick's size differ by far more.
MARGIN = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """`rows` (bool, one a candle) are `side` (BUY or SELL) with `confidence` (0..1], because of `reason`."""

    rows: np.ndarray
    side: int
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What the rules say of each candle, before there are prices for it; `rows` are those that act."""

    rows: np.ndarray
    action: np.ndarray
    confidence: np.ndarray
    reason_codes: np.ndarray
    reasons: tuple[str, ...]

    def at(self, stop: np.ndarray, target: np.ndarray) -> SignalColumns:
        """Return the signals with these stop and target prices."""
        return SignalColumns(self.action, self.confidence, stop, target, self.reason_codes, self.reasons)

    def at_distance(self, close: np.ndarray, stop: np.ndarray, target: np.ndarray) -> SignalColumns:
        """Return the signals with a stop and a target so far from the close, on the losing and the winning side."""
        return self._at(close, stop[self.rows], target[self.rows])

    def at_parts(self, close: np.ndarray, stop: float, target: float) -> SignalColumns:
        """Return the signals with a stop and a target at these fractions of the close from it."""
        price = close[self.rows]
        return self._at(close, price * stop, price * target)

    def _at(self, close: np.ndarray, stop: np.ndarray, target: np.ndarray) -> SignalColumns:
        price, side = close[self.rows], self.action[self.rows]
        levels = (scattered(len(close), self.rows, level, np.nan) for level in (price - side * stop, price + side * target))
        return self.at(*levels)


class AtrExits(Parameters):
    """Stop and target in multiples of the average true range."""

    atr_period: int = Field(14, ge=1, le=200)
    stop_atr: float = Field(2.0, gt=0, le=20)
    target_atr: float = Field(3.0, gt=0, le=50)

    @model_validator(mode="after")
    def _rewarding(self) -> "AtrExits":
        require_order(self, "stop_atr", "target_atr")
        return self


def require_order(parameters: Parameters, lower: str, upper: str) -> None:
    """Raise ValueError with both fields and their values unless `lower` is below `upper`."""
    low, high = getattr(parameters, lower), getattr(parameters, upper)
    if low >= high:
        raise ValueError(f"{lower} must be below {upper}, was {low} and {high}")


def decide(rules: Sequence[Rule], otherwise: str) -> Decision:
    """Return for each candle what the first rule that holds says; HOLD with the reason `otherwise` where none does."""
    length = len(rules[0].rows)
    codes = np.full(length, len(rules), np.int16)
    for place in reversed(range(len(rules))):
        overwrite(codes, rules[place].rows, place)
    rows = np.flatnonzero(codes != len(rules))
    chosen = codes[rows]
    return Decision(
        rows,
        scattered(length, rows, np.array([rule.side for rule in rules], np.int8)[chosen], HOLD, np.int8),
        scattered(length, rows, np.array([rule.confidence for rule in rules])[chosen], 0.0),
        codes,
        (*(rule.reason for rule in rules), otherwise),
    )


def above(first: np.ndarray, second: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Return where `first` is above `second` by more than a billionth of the price, so by more than rounding."""
    return first - second > MARGIN * price


def sides(first: np.ndarray, second: np.ndarray, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where `first` is above `second`, and where it is below, both as `above` means it."""
    apart, margin = first - second, MARGIN * price
    return apart > margin, apart < -margin


def begins(rows: np.ndarray) -> np.ndarray:
    """Return where `rows` (bool) hold and did not hold in the row before; never in the first."""
    return rows & ~np.concatenate([rows[:1], rows[:-1]])


def longest(*lookbacks: int) -> int:
    """Return the look-back of a strategy whose parts have these: the longest, at least that of the stored indicators, and one
    row more, so that the row before is as sure as the row itself.
    """
    return max(*lookbacks, WARMUP_ROWS) + 1
