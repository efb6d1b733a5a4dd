"""What the comparison of one day of one parameter set has found."""

from collections import Counter
from dataclasses import dataclass, field

from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.ids import stable_id
from fks_assets.quant.difference import HOLD, Cause, Decision, Mismatch, Place, Recorded
from fks_assets.stores.lineage import InputRef


@dataclass(slots=True)
class DayOfSet:
    """How a day of a parameter set compares: so many `decisions` and `trades` were compared, `mismatches` differ.

    `inputs` is what was read; by market, timeframe and candle `said` holds the backtest's decisions, `decided` what was decided.
    """

    subject: StrategyInForce
    day: str
    decisions: int = 0
    trades: int = 0
    said: dict[Place, Decision] = field(default_factory=dict)
    decided: dict[Place, Recorded] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    inputs: set[InputRef] = field(default_factory=set)

    @property
    def unexplained(self) -> list[Mismatch]:
        return [each for each in self.mismatches if each.cause is Cause.UNEXPLAINED]

    def said_at(self, place: Place) -> int:
        """Return the backtest's action at a candle, HOLD where it has none."""
        return self.said.get(place, HOLD).action

    @property
    def content_hash(self) -> str:
        """An id of all that was found."""
        return stable_id(self.subject.name, f"{self.decisions} {self.trades}", *(repr(each) for each in self.mismatches))

    def counts(self) -> dict[str, int]:
        """Return how many mismatches each cause has, those that occur."""
        return {str(cause): count for cause, count in sorted(Counter(each.cause for each in self.mismatches).items())}
