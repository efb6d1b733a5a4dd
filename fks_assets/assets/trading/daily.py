"""The daily backtests: each parameter set by itself, none stops another; results, inputs and tear sheets are stored."""

import hashlib
from dataclasses import dataclass, field, fields

from fks_assets.assets.trading.backtest_tables import equity_csv, trades_csv
from fks_assets.assets.trading.evidence import StrategyEvidence, evidence_for
from fks_assets.assets.trading.in_force import StrategyInForce, moment_of, strategies_in_force
from fks_assets.assets.trading.presentation import html_of
from fks_assets.assets.trading.search_run import Searched, ground_of, keep_search, search_parameters
from fks_assets.assets.trading.set_backtest import SetBacktest, backtest_set
from fks_assets.assets.trading.standard import BacktestPlan, standard_plan
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.partitions import day_window
from fks_assets.quant.optimisation import SearchRules
from fks_assets.resources.reports import Reports, SavedReport
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import RecordedInputs, record_many
from fks_assets.stores.strategies import read_parameters
from fks_assets.stores.strategy_records import BacktestRecord, record_result

FOLDER = "backtests"
BACKTESTS_KEPT = 500


@dataclass(frozen=True, slots=True)
class DailyOrder:
    """What daily backtests are made on, and how better parameters are searched on the same candles, None: not at all."""

    plan: BacktestPlan
    search: SearchRules | None = None
    workers: int = 1


@dataclass(frozen=True, slots=True)
class SavedBacktest:
    """The files of one book: its tear sheet, and beside it every trade and the equity curve as CSV."""

    page: SavedReport
    trades: SavedReport
    equity: SavedReport


@dataclass(slots=True)
class DayOfStrategy:
    """The backtests of one strategy on a day, one for each of its parameter sets in force, and why one failed.

    `is_standard`: they are the ones of the settings, by which strategies are judged. `reports` are their files, those of each
    book, and `evidence` is what is recorded of each set.
    `searches` hold what was found for each book, if it was asked for, and `not_searched` why one could not be searched.
    """

    day: str
    strategy: str
    is_standard: bool
    settings_hash: str
    tests: dict[str, SetBacktest] = field(default_factory=dict)
    reports: dict[str, tuple[SavedBacktest, ...]] = field(default_factory=dict)
    evidence: dict[str, StrategyEvidence] = field(default_factory=dict)
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
    stores: Stores, reports: Reports, day: str, strategy: str, order: DailyOrder, *, code_version: str, run_id: str
) -> DayOfStrategy:
    """Run and store the backtests of a strategy's parameter sets that were in force on a day, up to where the day begins.

    Any error of one set, also one that a user's code raises, is noted and stops no other. What was made on other settings than
    the desk's is kept beside the day's evidence, and is not what the partition was made from.
    """
    plan = order.plan
    settings_hash = plan.settings_hash(stores.settings)
    is_standard = settings_hash == standard_plan(stores.settings).settings_hash(stores.settings)
    found = DayOfStrategy(day, strategy, is_standard, settings_hash)
    subjects, found.failures = _sets_of(stores, strategy, day)
    end_ms, _ = day_window(day)
    start_ms = end_ms - plan.days * MILLISECONDS_PER_DAY
    for subject in subjects:
        try:
            test = backtest_set(stores, subject, plan, start_ms, end_ms)
            found.reports[subject.name] = _saved(stores, reports, found, test)
        except Exception as error:
            found.failures[subject.name] = error
        else:
            found.tests[subject.name] = test
            if order.search is not None:
                _search(stores, found, test, order, order.search)
    if found.tests:
        _record(stores, found, code_version, run_id)
        reports.keep_newest(FOLDER, BACKTESTS_KEPT * len(fields(SavedBacktest)))
    return found


def _sets_of(stores: Stores, strategy: str, day: str) -> tuple[list[StrategyInForce], dict[str, Exception]]:
    moment = moment_of(day)
    in_force, unusable = strategies_in_force(stores.database, stores.settings, moment)
    stored = read_parameters(stores.database, moment)
    owners = {name: stored[name].strategy if name in stored else name for name in unusable}
    failures: dict[str, Exception] = {name: error for name, error in unusable.items() if owners[name] == strategy}
    return [subject for subject in in_force.values() if subject.strategy.name == strategy], failures


def _saved(stores: Stores, reports: Reports, found: DayOfStrategy, test: SetBacktest) -> tuple[SavedBacktest, ...]:
    evidence = found.evidence[test.subject.name] = evidence_for(stores.database, test.subject)
    name = f"{found.day}_{test.subject.name}" if found.is_standard else f"{found.day}_{test.subject.name}_{found.settings_hash}"
    saved = []
    for book, each in zip(test.books, test.tests, strict=True):
        file = name if len(test.tests) == 1 else f"{name}_{book.quote}"
        trades = reports.save(f"{FOLDER}/{file}_trades.csv", trades_csv(each.result))
        equity = reports.save(f"{FOLDER}/{file}_equity.csv", equity_csv(each.time, each.equity, each.exposure))
        files = [("Every trade", trades.path.name), ("Equity curve", equity.path.name)]
        page = reports.save(f"{FOLDER}/{file}.html", html_of(each, evidence.notes, files=files))
        saved.append(SavedBacktest(page, trades, equity))
    return tuple(saved)


def _search(stores: Stores, found: DayOfStrategy, test: SetBacktest, order: DailyOrder, rules: SearchRules) -> None:
    """Search on what was backtested, book by book. A set that cannot be searched keeps its backtest."""
    for book, each in zip(test.books, test.tests, strict=True):
        name = test.subject.name if len(test.tests) == 1 else f"{test.subject.name} in {book.quote}"
        period = book.markets, order.plan.timeframe, *each.asked_ms
        try:
            ground = ground_of(stores, test.subject, *period, rules=book.rules, book=book.book, skip_missing=True)
            found.searches[name] = search_parameters(ground, rules, workers=order.workers)
        except Exception as error:
            found.not_searched[name] = error


def _record(stores: Stores, found: DayOfStrategy, code_version: str, run_id: str) -> None:
    tests = found.tests.values()
    subjects = [test.subject for test in tests]
    with stores.database.transaction() as connection:
        for name, test in found.tests.items():
            record_result(
                connection,
                BacktestRecord(
                    name=name,
                    day=found.day,
                    document=test.document(),
                    order_list_hash=test.order_list_hash,
                    code_version=test.subject.code_version,
                    parameters_hash=test.subject.parameters_hash,
                    content_hash=test.content_hash,
                    run_id=run_id,
                    settings_hash=found.settings_hash,
                ),
            )
        for searched in found.searches.values():
            keep_search(connection, searched, searched.ground.subject.name, run_id=run_id)
        if not found.is_standard:
            return
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
                    row_count=sum(test.exits for test in tests),
                )
            ],
        )
