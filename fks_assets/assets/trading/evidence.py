"""What speaks for a strategy beside its own backtest: how its parameters were found, and what searching earned out of sample."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import sqlalchemy as sa

from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.clock import MILLISECONDS_PER_DAY, iso
from fks_assets.quant.counting import counted
from fks_assets.quant.search_space import search_space
from fks_assets.quant.search_trials import Stretch
from fks_assets.quant.timeframes import month_window
from fks_assets.quant.walk_forward import OutOfSample, Window, WindowOutcome, put_together
from fks_assets.stores.database import Database
from fks_assets.stores.lineage import InputRef
from fks_assets.stores.searches import SearchRecord, WindowRecord, count_other_windows, read_windows, search_of

NOT_WALKED = (
    "Out-of-sample efficiency: not known, as no walk-forward window of this code is recorded; `walk_forward_windows` makes one "
    "a month, `--walk-forward` tests without recording."
)
OF_SEARCH = ("deflated_sharpe", "overfitting_probability", "parameter_stability")


@dataclass(frozen=True, slots=True)
class StrategyEvidence:
    """What is recorded of a strategy's code as it is: a search and the walk-forward windows, None where there is none.

    `search` is the newest one that found the parameters in force, then `search_in_force` is true, or else the newest one.
    `windows_left_out` counts those that were searched in another way than `windows`.
    """

    search: SearchRecord | None
    search_in_force: bool
    windows: tuple[WindowRecord, ...]
    together: OutOfSample | None
    windows_left_out: int = 0

    @property
    def efficiency(self) -> float | None:
        """The out-of-sample efficiency of the monthly windows, or of the walk-forward test that was made with the search."""
        if self.together is not None:
            return self.together.efficiency
        walked = None if self.search is None else self.search.document.get("walk_forward")
        return None if walked is None else walked["efficiency"]

    @property
    def refs(self) -> tuple[InputRef, ...]:
        """What was read, for the record of what is made from it."""
        found = [InputRef("walk_forward", f"{each.month}|{each.strategy}", each.content_hash) for each in self.windows]
        if self.search is not None:
            found.append(InputRef("parameter_searches", self.search.name, self.search.content_hash))
        return tuple(found)

    @property
    def notes(self) -> list[str]:
        """What a reader of a backtest has to know of it, in sentences."""
        searched = [searched_words(self.search.document)] if self.search is not None and self.search_in_force else []
        return [self.out_of_sample_note, *searched]

    @property
    def out_of_sample_note(self) -> str:
        """What searching earned out of sample, in words, also where it is not known."""
        if self.together is not None:
            words = out_of_sample_words(self.together, f"{self.windows[0].month} to {self.windows[-1].month}")
            others = f" {self.windows_left_out:,} windows that were searched in another way do not count."
            return words + (others if self.windows_left_out else "")
        walked = None if self.search is None else self.search.document.get("walk_forward")
        return NOT_WALKED if walked is None else walked_words(walked)

    def document(self) -> dict[str, Any]:
        """Return the figures for a JSON document."""
        figures: Mapping[str, Any] = {} if self.search is None else self.search.document
        return {
            **{name: figures.get(name) for name in OF_SEARCH},
            "searched_at": None if self.search is None else iso(self.search.recorded_at),
            "search_in_force": self.search_in_force,
            "out_of_sample_efficiency": self.efficiency,
            "walk_forward_windows": len(self.windows),
            "walk_forward_windows_left_out": self.windows_left_out,
        }


NO_EVIDENCE = StrategyEvidence(None, False, (), None)


def evidence_for(source: Database | sa.Connection, subject: StrategyInForce) -> StrategyEvidence:
    """Return what is recorded of a strategy in force; searches and windows of another version of its code do not count."""
    code = subject.code_version
    found = search_of(source, subject.name, code, subject.parameters_hash)
    in_force = found is not None and found.parameters_hash == subject.parameters_hash
    windows = tuple(read_windows(source, subject.strategy.name, code))
    together = together_of(subject, windows) if windows else None
    others = count_other_windows(source, subject.strategy.name, code, windows[0].settings_hash) if windows else 0
    return StrategyEvidence(found, in_force, windows, together, others)


def together_of(subject: StrategyInForce, windows: tuple[WindowRecord, ...]) -> OutOfSample:
    """Return what recorded windows, oldest first, show together."""
    return put_together(search_space(subject.strategy), [outcome_of(each) for each in windows])


def outcome_of(record: WindowRecord) -> WindowOutcome:
    """Return a recorded window as it was found."""
    document = record.document
    outside = Stretch(*month_window(record.month))
    inside = Stretch(outside.start_ms - document["in_days"] * MILLISECONDS_PER_DAY, outside.start_ms)
    returns = (np.array(document[name]["daily_returns"], np.float64) for name in ("in_sample", "out_of_sample"))
    return WindowOutcome(Window(inside, outside), document["parameters"], *returns, document["trades"], document["ruined"])


def out_of_sample_words(together: OutOfSample, period: str) -> str:
    """Return the out-of-sample figures in one sentence."""
    kept = "not defined" if together.efficiency is None else f"{together.efficiency:.2f}"
    inside, outside = (f"{each or 0:.1f} %" for each in (together.in_sample_annual_pct, together.out_of_sample_annual_pct))
    return (
        f"Out-of-sample efficiency {kept} over {counted(together.windows, 'walk-forward window')}, {period}: "
        f"{outside} a year out of sample after {inside} in sample; {together.profitable_pct or 0:.0f} % of the windows gained."
    )


def walked_words(walked: Mapping[str, Any]) -> str:
    """Return the document of a walk-forward test in one sentence."""
    together = OutOfSample(**{each.name: walked[each.name] for each in fields(OutOfSample)})
    return out_of_sample_words(together, f"{walked['outcomes'][0]['out_start'][:10]} to {walked['outcomes'][-1]['out_end'][:10]}")


def searched_words(document: Mapping[str, Any]) -> str:
    """Return in one sentence what the best of a search is worth."""
    deflated, probability, stability = (_words(document[name]) for name in OF_SEARCH)
    return (
        f"These parameters are the best of {document['trials']:,} trials: deflated Sharpe {deflated}, probability of overfitting "
        f"{probability}, parameter stability {stability}."
    )


def _words(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
