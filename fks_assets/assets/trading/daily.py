"""The daily backtests: each parameter set by itself, none stops another; results, inputs and tear sheets are stored."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from fks_assets.assets.trading.backtest_run import Backtest, backtest
from fks_assets.assets.trading.evidence import evidence_for
from fks_assets.assets.trading.in_force import StrategyInForce, moment_of, strategies_in_force
from fks_assets.assets.trading.presentation import html_of
from fks_assets.assets.trading.search_run import Searched, ground_of, keep_search, search_parameters
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.errors import InvalidInput
from fks_assets.partitions import day_window
from fks_assets.quant.markets import Market
from fks_assets.quant.optimisation import SearchRules
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.reports import Reports, SavedReport
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import RecordedInputs, record_many
from fks_assets.stores.strategies import read_parameters
from fks_assets.stores.strategy_records import BacktestRecord, record_result

FOLDER = "backtests"
FILES_KEPT = 500


@dataclass(frozen=True, slots=True)
class Period:
    """What daily backtests are run on: the days before the partition's day, the timeframe, and the markets.

    `search`: how better parameters are searched on the same period, None not at all.
    """

    lookback_days: int
    timeframe: Timeframe
    markets: Sequence[Market]
    search: SearchRules | None = None
    workers: int = 1


@dataclass(slots=True)
class DayOfStrategy:
    """The backtests of one strategy on a day, one for each of its parameter sets in force, and why one failed.

    `searches` hold what was found for each set, if it was asked for, and `not_searched` why one could not be searched.
    """

    day: str
    strategy: str
    tests: dict[str, Backtest] = field(default_factory=dict)
    reports: dict[str, SavedReport] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    searches: dict[str, Searched] = field(default_factory=dict)
    not_searched: dict[str, Exception] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.day}|{self.strategy}"

    @property
    def total(self) -> int:
        return len(self.tests) + len(self.failures)

    @property
    def content_hash(self) -> str:
        lines = [f"{name} {test.content_hash}" for name, test in sorted(self.tests.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run_strategy_day(
    stores: Stores, reports: Reports, day: str, strategy: str, period: Period, *, code_version: str, run_id: str
) -> DayOfStrategy:
    """Run and store the backtests of a strategy's parameter sets that were in force on a day, up to where the day begins.

    Any error of one set, also one that a user's code raises, is noted and stops no other. Raises InvalidInput for a period that
    is none.
    """
    if period.lookback_days < 1:
        raise InvalidInput(f"lookback_days must be at least 1, was {period.lookback_days}")
    found = DayOfStrategy(day, strategy)
    subjects, found.failures = _sets_of(stores, strategy, day)
    end_ms, _ = day_window(day)
    start_ms = end_ms - period.lookback_days * MILLISECONDS_PER_DAY
    for subject in subjects:
        try:
            test = backtest(stores, subject, period.markets, period.timeframe, start_ms, end_ms, skip_missing=True)
            page = html_of(test, evidence_for(stores.database, subject).notes)
            found.reports[subject.name] = reports.save(f"{FOLDER}/{day}_{subject.name}.html", page)
        except Exception as error:
            found.failures[subject.name] = error
        else:
            found.tests[subject.name] = test
            if period.search is not None:
                _search(stores, found, test, period, period.search)
    if found.tests:
        _record(stores, found, code_version, run_id)
        reports.keep_newest(FOLDER, FILES_KEPT)
    return found


def _sets_of(stores: Stores, strategy: str, day: str) -> tuple[list[StrategyInForce], dict[str, Exception]]:
    moment = moment_of(day)
    in_force, unusable = strategies_in_force(stores.database, stores.settings, moment)
    stored = read_parameters(stores.database, moment)
    owners = {name: stored[name].strategy if name in stored else name for name in unusable}
    failures: dict[str, Exception] = {name: error for name, error in unusable.items() if owners[name] == strategy}
    return [subject for subject in in_force.values() if subject.strategy.name == strategy], failures


def _search(stores: Stores, found: DayOfStrategy, test: Backtest, period: Period, rules: SearchRules) -> None:
    """Search on what was backtested. A set that cannot be searched keeps its backtest."""
    name = test.subject.name
    try:
        ground = ground_of(stores, test.subject, period.markets, period.timeframe, *test.asked_ms, skip_missing=True)
        found.searches[name] = search_parameters(ground, rules, workers=period.workers)
    except Exception as error:
        found.not_searched[name] = error


def _record(stores: Stores, found: DayOfStrategy, code_version: str, run_id: str) -> None:
    tests = found.tests.values()
    subjects = [test.subject for test in tests]
    with stores.database.transaction() as connection:
        for name, test in found.tests.items():
            subject = test.subject
            record_result(
                connection,
                BacktestRecord(
                    name=name,
                    day=found.day,
                    document=test.document(),
                    order_list_hash=test.result.order_list_hash,
                    code_version=subject.code_version,
                    parameters_hash=subject.parameters_hash,
                    content_hash=test.content_hash,
                    run_id=run_id,
                ),
            )
        for name, searched in found.searches.items():
            keep_search(connection, searched, name, run_id=run_id)
        searched_inputs = {ref for searched in found.searches.values() for ref in searched.ground.inputs}
        record_many(
            connection,
            [
                RecordedInputs(
                    asset="backtests",
                    partition=found.key,
                    content_hash=found.content_hash,
                    code_version=f"{code_version} {subjects[0].code_version}",
                    settings_hash=" ".join(subject.parameters_hash for subject in subjects),
                    run_id=run_id,
                    inputs=tuple(sorted({ref for test in tests for ref in test.inputs} | searched_inputs)),
                    row_count=sum(len(test.result.trades) for test in tests),
                )
            ],
        )
