"""The searching half of `fks backtest`: --optimize, --walk-forward and --save."""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.assets.trading.evidence import StrategyEvidence
    from fks_assets.assets.trading.in_force import StrategyInForce
    from fks_assets.assets.trading.search_run import Searched
    from fks_assets.quant.backtest.rules import BookRules, LegRules
    from fks_assets.quant.markets import Market
    from fks_assets.quant.optimisation import SearchRules, Told
    from fks_assets.quant.timeframes import Timeframe
    from fks_assets.quant.walk_forward import WindowRules
    from fks_assets.resources.stores import Stores
    from fks_assets.stores.strategies import ParameterSet

TRIALS_A_WINDOW = 50


@dataclass(frozen=True, slots=True)
class SearchWanted:
    """What was asked for: a search of the whole period, a walk-forward test, or both; `save` the best as a set, by a person."""

    rules: "SearchRules"
    whole: bool
    windows: "WindowRules | None"
    workers: int
    save: str | None
    by: str

    def run(
        self,
        stores: "Stores",
        subject: "StrategyInForce",
        markets: "Sequence[Market]",
        timeframe: "Timeframe",
        start_ms: int,
        end_ms: int,
        hold: Collection[str],
        rules: "LegRules",
        book: "BookRules",
        *,
        skip_missing: bool,
    ) -> "SearchAnswer":
        """Search; the answer's subject has the best parameters, or those it had. Nothing is stored: see `kept`."""
        from fks_assets.assets.trading.search_run import ground_of, search_parameters, walk_document, walk_through
        from fks_assets.quant.walk_forward import windows_of

        self._check_name(stores, subject)
        ground = ground_of(
            stores, subject, markets, timeframe, start_ms, end_ms, hold=hold, rules=rules, book=book, skip_missing=skip_missing
        )
        parts = int(self.whole) + (0 if self.windows is None else len(windows_of(ground.stretch, self.windows)))
        with _bar(self.rules.trials * parts) as told:
            searched = search_parameters(ground, self.rules, workers=self.workers, told=told) if self.whole else None
            walked = None
            if self.windows is not None:
                before = self.rules.trials if self.whole else 0
                through = walk_through(
                    ground, self.windows, self.rules, workers=self.workers, told=lambda done, _: told(before + done, 0)
                )
                walked = walk_document(through, self.windows)
        found = None if searched is None else searched.best
        return SearchAnswer(subject if found is None else found, searched, walked)

    def kept(self, stores: "Stores", answer: "SearchAnswer") -> "SearchAnswer":
        """Return the answer with the set that the best was stored as, if that was asked for and there is one."""
        from fks_assets.assets.trading.parameter_sets import change_parameters
        from fks_assets.assets.trading.search_run import keep_search
        from fks_assets.ids import unique_name

        searched = answer.searched
        name, run_id = self.save, f"cli-{unique_name()}"
        if name is None or searched is None or searched.best is None or searched.found.best is None:
            return answer
        rules, best = searched.found.rules, searched.found.best
        note = f"best of {len(searched.found.trials)} trials, {rules.objective} {best.score:.3f}, seed {rules.seed}"
        stored = change_parameters(
            stores,
            name,
            {},
            strategy=searched.best.strategy.name,
            replace_with=searched.best.parameters,
            by=self.by,
            note=note,
            also=lambda connection: keep_search(connection, searched, name, run_id=run_id, walked=answer.walked),
        )
        return replace(answer, saved=stored)

    def _check_name(self, stores: "Stores", subject: "StrategyInForce") -> None:
        """Refuse a name that could not be saved under, before anything is searched."""
        from fks_assets.quant.strategies.loading import NAME
        from fks_assets.quant.strategies.registry import known_strategies
        from fks_assets.stores.strategies import read_parameters

        if self.save is None:
            return
        own = subject.strategy.name
        if not NAME.fullmatch(self.save):
            raise InvalidInput(f"--save: a name is of small letters, digits and underscores, at most 40, was {self.save!r}")
        stored = read_parameters(stores.database).get(self.save)
        taken = self.save if self.save in known_strategies() else None if stored is None else stored.strategy
        if taken not in (None, own):
            raise InvalidInput(f"--save {self.save!r} is a set of {taken}: one of {own} needs a name of its own")


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What the searches gave, for people and for JSON."""

    subject: "StrategyInForce"
    searched: "Searched | None"
    walked: dict[str, Any] | None
    saved: "ParameterSet | None" = None

    def notes_beside(self, evidence: "StrategyEvidence") -> list[str]:
        """Return what a reader of the backtest has to know of the searches, in sentences, and of what is recorded beside them."""
        from fks_assets.assets.trading.evidence import searched_words, walked_words

        found = [evidence.out_of_sample_note if self.walked is None else walked_words(self.walked)]
        if self.searched is not None and self.searched.best is not None:
            found.append(searched_words(self.searched.figures()))
        return found

    def document(self) -> dict[str, Any]:
        """Return the three parts that a search adds to the document of a backtest, null where they were not asked for."""
        searched = self.searched
        tried = {} if searched is None else {"tried": [trial.document() for trial in searched.found.trials]}
        return {
            "search": None if searched is None else {**searched.figures(), **tried},
            "walk_forward": self.walked,
            "saved": None if self.saved is None else self.saved.document(),
        }


def search_wanted(
    trials: int | None,
    walk_forward: bool,
    *,
    search: Mapping[str, Any],
    windows: Mapping[str, Any],
    workers: int | None,
    save: str | None,
    by: str | None,
) -> SearchWanted | None:
    """Return what the options ask for, None for no search: so many `trials` on the whole period, and walk-forward `windows`.

    Options that were not given are None. Raises InvalidInput that names the field, its bound and the value, and for an option
    that nothing would come of.
    """
    if trials is None and not walk_forward:
        alone = {**search, "workers": workers}
        require_none({"seed": alone.pop("seed", None)}, "--optimize or --walk-forward: nothing is searched without")
        require_none(alone, "--optimize or --walk-forward, or --sweep: nothing is searched without")
    if not walk_forward:
        require_none(windows, "--walk-forward")
    if save is not None and trials is None:
        raise InvalidInput(f"--save {save!r} needs --optimize: there is nothing found to save")
    if save is not None and not (by or "").strip():
        raise InvalidInput(f"--save {save!r} needs --by: who saves it is kept, was {by!r}")
    if save is None:
        require_none({"by": by}, "--save: nothing is kept without")
    if trials is None and not walk_forward:
        return None
    from fks_assets.quant.optimisation import SearchRules, checked_workers
    from fks_assets.quant.walk_forward import WindowRules

    given = _given(search)
    given |= {"prune": False} if given.pop("no_prune", False) else {}
    rules = SearchRules(trials=TRIALS_A_WINDOW if trials is None else trials, **given)
    window_rules = WindowRules(**_given(windows)) if walk_forward else None
    return SearchWanted(
        rules, trials is not None, window_rules, checked_workers(1 if workers is None else workers), save, by or ""
    )


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def require_none(options: Mapping[str, Any], needed: str) -> None:
    """Raise InvalidInput for the first option that was given, by name, though what it needs was not; those not given are None."""
    for name, value in _given(options).items():
        shown = "" if value is True else f" {value!r}" if isinstance(value, str) else f" {value}"
        raise InvalidInput(f"--{name.replace('_', '-')}{shown} needs {needed}")


def show_search(answer: SearchAnswer) -> None:
    """Print what the searches gave, for people."""
    from fks_assets.assets.trading.search_presentation import apply_command, in_short
    from fks_assets.cli.output import print_table

    searched, walked, saved = answer.searched, answer.walked, answer.saved
    if searched is not None:
        print_table("Search", ("", ""), _search_rows(searched))
        if searched.best is None:
            print("No trial can be chosen: the figures above are of the parameters that it began with.")
        elif saved is None:
            print(f"To put them in force: {apply_command(searched)}")
        else:
            print(f"{saved.name} is at version {saved.version}: {in_short(saved.parameters)}")
    if walked is not None:
        print_table("Walk-forward", ("", ""), _walk_rows(walked))
        columns = ("out_start", "out_end", "in_sample_annual_pct", "out_of_sample_annual_pct", "return_pct", "trades")
        print_table("Windows (UTC)", columns, ([_short(row[key]) for key in columns] for row in walked["outcomes"]))


def _search_rows(searched: "Searched") -> list[tuple[str, object]]:
    from fks_assets.assets.trading.search_presentation import in_short

    found, figures = searched.found, searched.figures()
    best = found.best
    counts = f"{figures['trials']} ({figures['complete']} complete, {figures['pruned']} given up early, {figures['unfit']} unfit)"
    return [
        ("trials", counts + (", nothing was left to try" if found.exhausted else "")),
        ("objective", found.rules.objective),
        ("score of the best, over the folds", None if best is None else _short(best.score)),
        ("score of the parameters it began with", _short(found.trials[0].score)),
        ("deflated Sharpe (probability of skill)", _short(figures["deflated_sharpe"])),
        ("probability of overfitting", _short(figures["overfitting_probability"])),
        ("history in which luck alone stays below a Sharpe ratio of 1", _years(searched)),
        ("parameter stability", _short(figures["parameter_stability"])),
        ("parameters", None if searched.best is None else in_short(searched.best.parameters)),
    ]


def _years(searched: "Searched") -> str:
    stretch, figures = searched.ground.stretch, searched.figures()
    years = (stretch.end_ms - stretch.start_ms) / (365 * MILLISECONDS_PER_DAY)
    return (
        f"{figures['shortest_backtest_years']:.1f} years for the best of {figures['trials']:,} tries; searched were {years:.1f}"
    )


def _walk_rows(walked: dict[str, Any]) -> list[tuple[str, object]]:
    names = {
        "out-of-sample efficiency": "efficiency",
        "in sample, % a year": "in_sample_annual_pct",
        "out of sample, % a year": "out_of_sample_annual_pct",
        "windows that gained, %": "profitable_pct",
        "parameter drift": "drift",
        "out of sample, return %": "total_return_pct",
        "out of sample, Sharpe ratio": "sharpe",
        "out of sample, max drawdown %": "max_drawdown_pct",
    }
    return [("windows", walked["windows"]), *((label, _short(walked[name])) for label, name in names.items())]


def _short(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


@contextmanager
def _bar(total: int) -> "Iterator[Told]":
    """Yield what is told how many trials are done; a terminal shows a bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("searching"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, _: bar.update(task, completed=done)
