"""Walk-forward: choose parameters on one stretch of the past, try them on the stretch after it, and so on through time.

What the out-of-sample stretches give, one after another, is what the procedure of searching would have earned; what the searches
showed in sample is what it promised. Nothing that is chosen for a window has seen a candle of the window or of later.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from fks_assets.errors import InsufficientData
from fks_assets.quant.backtest.rules import Rules
from fks_assets.quant.optimisation import Found, SearchRules, Told, search
from fks_assets.quant.performance import Performance
from fks_assets.quant.performance_series import DAY_MS
from fks_assets.quant.performance_statistics import DAYS_PER_YEAR
from fks_assets.quant.search_space import SearchSpace
from fks_assets.quant.search_trials import SearchedMarket, Stretch, Terms, Track, measured


class WindowRules(Rules):
    """How long the stretches are, in days: `in_days` to choose on, `out_days` after it to try, then `step_days` further on.

    `step_days` is `out_days` if not given, and never less: no day may be out of sample twice. `anchored` in-sample stretches all
    begin where the first one does and grow.
    """

    in_days: int = Field(180, ge=7, le=3_650)
    out_days: int = Field(30, ge=1, le=3_650)
    step_days: int | None = Field(None, ge=1, le=3_650)
    anchored: bool = False

    @model_validator(mode="after")
    def _once(self) -> "WindowRules":
        if self.step_days is not None and self.step_days < self.out_days:
            raise ValueError(f"step_days must be at least out_days, {self.out_days}, was {self.step_days}")
        return self

    @property
    def step(self) -> int:
        return self.out_days if self.step_days is None else self.step_days


@dataclass(frozen=True, slots=True)
class Window:
    """Where is chosen and where is tried; the second begins where the first ends."""

    inside: Stretch
    outside: Stretch


@dataclass(frozen=True, slots=True, eq=False)
class WindowOutcome:
    """What was chosen in a window and what it gave: daily returns as fractions, inside those of the best trial.

    `values` is None where no trial could be chosen: the strategy then stays out of the market, and both returns are zeros.
    """

    window: Window
    values: Mapping[str, Any] | None
    inside: np.ndarray
    outside: np.ndarray
    trades: int
    ruined: bool

    @property
    def gain(self) -> float:
        """What the out-of-sample stretch gave, as a fraction."""
        return float(np.prod(1.0 + self.outside) - 1.0)

    def annual_pct(self, side: Literal["inside", "outside"]) -> float | None:
        """Return the mean daily return of one side times 365, in percent."""
        return annual_pct(self.inside if side == "inside" else self.outside)


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """What several windows show together.

    Annual returns are the mean daily return times 365, in percent: no compounding, so that short windows can be compared.
    `efficiency` is that out of sample over that in sample: 1 when what was promised was kept, 0 when nothing came of it, negative
    when money was lost; None when the searches themselves found nothing that gained, since a share of a loss means nothing.
    `profitable_pct` of the windows gained. `drift` is how far the chosen parameters move from one window to the next, as a mean
    share of their ranges: 0 never, 1/3 as if drawn at random; None with fewer than two windows in which something was chosen.
    """

    windows: int
    days: int
    in_sample_annual_pct: float | None
    out_of_sample_annual_pct: float | None
    efficiency: float | None
    profitable_pct: float | None
    drift: float | None

    def document(self) -> dict[str, Any]:
        """Return the figures for a JSON document."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True, eq=False)
class WalkForward:
    """Every window in the order of time, what they show together, and the figures of all out-of-sample days as one curve."""

    windows: tuple[WindowOutcome, ...]
    together: OutOfSample
    performance: Performance
    searches: tuple[Found, ...]


def windows_of(stretch: Stretch, rules: WindowRules) -> tuple[Window, ...]:
    """Return the windows that lie wholly in the period, cut at midnight UTC; raise InsufficientData when there is none."""
    start = -(-stretch.start_ms // DAY_MS) * DAY_MS
    found: list[Window] = []
    cut = start + rules.in_days * DAY_MS
    while cut + rules.out_days * DAY_MS <= stretch.end_ms:
        inside = Stretch(start if rules.anchored else cut - rules.in_days * DAY_MS, cut)
        found.append(Window(inside, Stretch(cut, cut + rules.out_days * DAY_MS)))
        cut += rules.step * DAY_MS
    if not found:
        raise InsufficientData(
            f"a walk-forward window needs {rules.in_days} + {rules.out_days} days, the period has {stretch.days:.1f}: "
            "choose a longer one, or fewer in_days or out_days"
        )
    return tuple(found)


def walk_forward(
    space: SearchSpace,
    markets: Sequence[SearchedMarket],
    windows: Sequence[Window],
    terms: Terms,
    rules: SearchRules | None = None,
    *,
    workers: int = 1,
    told: Told | None = None,
) -> WalkForward:
    """Return what each window chose and gave. `told` is called with (trials done, trials in all of all windows)."""
    rules = rules or SearchRules()
    total = rules.trials * len(windows)
    outcomes, searches = list[WindowOutcome](), list[Found]()
    for place, window in enumerate(windows):
        told_here = None if told is None else lambda done, _, before=place * rules.trials: told(before + done, total)
        outcome, found = run_window(space, markets, window, terms, rules, workers=workers, told=told_here)
        outcomes.append(outcome)
        searches.append(found)
    together = put_together(space, outcomes)
    returns = np.concatenate([outcome.outside for outcome in outcomes])
    performance = measured(returns, windows[0].outside.start_ms, terms.book.initial_cash)
    return WalkForward(tuple(outcomes), together, performance, tuple(searches))


def run_window(
    space: SearchSpace,
    markets: Sequence[SearchedMarket],
    window: Window,
    terms: Terms,
    rules: SearchRules,
    *,
    workers: int = 1,
    told: Told | None = None,
) -> tuple[WindowOutcome, Found]:
    """Return what one window chose and gave, and its search.

    Nothing is tried but what the search proposes: parameters that are in force today may have been chosen on these very candles.
    """
    found = search(space, markets, window.inside, terms, rules, workers=workers, told=told)
    track = Track([each for each in (market.until(window.outside.end_ms) for market in markets) if each], window.outside, terms)
    best = found.best
    strategy = None if best is None else space.strategy_of(best.values)
    if best is None or strategy is None:
        inside = np.zeros(max(len(trial.returns) for trial in found.trials))
        idle = np.zeros(round(window.outside.days))
        return WindowOutcome(window, None, inside, idle, 0, ruined=False), found
    passed = track.run(strategy)
    return WindowOutcome(window, best.values, best.returns, passed.returns, passed.trades, passed.ruined), found


def put_together(space: SearchSpace, outcomes: Sequence[WindowOutcome]) -> OutOfSample:
    """Return what windows, oldest first, show together."""
    inside, outside = (
        annual_pct(np.concatenate([getattr(each, name) for each in outcomes] or [np.empty(0)])) for name in ("inside", "outside")
    )
    chosen = [each.values for each in outcomes if each.values is not None]
    moves = [space.distance(before, after) for before, after in itertools.pairwise(chosen)]
    return OutOfSample(
        windows=len(outcomes),
        days=sum(len(each.outside) for each in outcomes),
        in_sample_annual_pct=inside,
        out_of_sample_annual_pct=outside,
        efficiency=efficiency(inside, outside),
        profitable_pct=100 * sum(each.gain > 0 for each in outcomes) / len(outcomes) if outcomes else None,
        drift=float(np.mean(moves)) if moves else None,
    )


def efficiency(in_sample: float | None, out_of_sample: float | None) -> float | None:
    """Return the annual return out of sample over that in sample; None unless the latter is above zero."""
    if in_sample is None or out_of_sample is None or in_sample <= 0:
        return None
    return out_of_sample / in_sample


def annual_pct(returns: np.ndarray) -> float | None:
    """Return the mean of daily returns times 365, in percent; None without any."""
    return float(np.mean(returns)) * DAYS_PER_YEAR * 100 if len(returns) else None
