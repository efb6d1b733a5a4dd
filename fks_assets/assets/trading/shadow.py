"""Counterfactual branches: signals, backtest and figures with changed parameters, beside production, which is not touched.

A branch's signals are a dataset `shadow.<branch>` of the candle store, made and recorded like all others; what came of it, held
against production, is a document among the reports. Nothing that trades, judges or shows signals reads either.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.assets.analysis.write import signal_table
from fks_assets.assets.trading.account_backtest import Change
from fks_assets.assets.trading.backtest_run import Backtest, backtest, judge, read_period
from fks_assets.assets.trading.evidence import evidence_for
from fks_assets.assets.trading.in_force import StrategyInForce, strategy_named
from fks_assets.assets.trading.presentation import html_of, title_of
from fks_assets.assets.trading.series import SeriesRead
from fks_assets.assets.trading.shadow_account import AccountShadow, account_shadow
from fks_assets.assets.trading.standard import rules_of_markets
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.counterfactual import (
    SignalChange,
    TradeChange,
    figures_side_by_side,
    signal_changes,
    trade_changes,
)
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.strategies.loading import NAME
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import Timeframe, month_window, months_between
from fks_assets.resources.reports import Reports, SavedReport
from fks_assets.resources.stores import Stores
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.lineage import InputRef, RecordedInputs, record_many

PREFIX = "shadow."
FOLDER = "shadows"
CODE_VERSION = "1"
READ_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Question:
    """What if the strategy in force under `name` had these parameters, or were traded by these rules (`rule_options`)?

    On the candles that open in [start_ms, end_ms). With an `account` that has this strategy its book is made too, on its own
    markets and timeframe. Raises InvalidInput when nothing is changed.
    """

    name: str
    parameters: Mapping[str, Any]
    rules: Mapping[str, Any]
    markets: Sequence[Market]
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    skip_missing: bool = False
    account: str | None = None

    def __post_init__(self) -> None:
        if not (self.parameters or self.rules):
            raise InvalidInput("a branch changes something: give a parameter or a rule another value, was none")

    @property
    def usual_branch(self) -> str:
        """A name made of the strategy and what is changed."""
        changes = json.dumps([dict(self.parameters), dict(self.rules)], sort_keys=True)
        return f"{self.name[:31]}_{stable_id(changes)[:8]}"


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """A branch beside production: both backtests, what differs between them, and the same of the account that was asked for."""

    branch: str
    question: Question
    production: Backtest
    shadow: Backtest
    signals: tuple[SignalChange, ...]
    trades: tuple[TradeChange, ...]
    made_at: int
    account: AccountShadow | None

    @property
    def figures(self) -> dict[str, dict[str, float | None]]:
        """Every figure of both, and the difference."""
        return figures_side_by_side(self.production.performance, self.shadow.performance)

    def summary(self) -> dict[str, Any]:
        """Return what the branch is, for a list."""
        asked, counts = self.question, {"added": 0, "removed": 0, "changed": 0}
        for each in self.trades:
            counts[each.change] += 1
        return {
            "branch": self.branch,
            "name": asked.name,
            "changed_parameters": dict(asked.parameters),
            "changed_rules": dict(asked.rules),
            "account": asked.account,
            "timeframe": asked.timeframe.name,
            "markets": list(self.shadow.result.markets),
            "start": iso(self.shadow.start_ms),
            "end": iso(self.shadow.end_ms),
            "made_at": iso(self.made_at),
            "simulated": any(market.endswith("@simulated") for market in self.shadow.result.markets),
            "signals_changed": len(self.signals),
            **{f"trades_{change}": count for change, count in counts.items()},
        }

    def document(self) -> dict[str, Any]:
        """Return everything for a JSON document."""
        return {
            **self.summary(),
            "production": self.production.document(),
            "shadow": self.shadow.document(),
            "diff": {
                "metrics": self.figures,
                "signals": [each.document() for each in self.signals],
                "trades": [each.document() for each in self.trades],
            },
            "book": None if self.account is None else self.account.document(),
        }


def make_branch(
    stores: Stores, reports: Reports, question: Question, branch: str | None = None, *, run_id: str
) -> tuple[Shadow, SavedReport]:
    """Answer a question and keep it as a branch, in place of one of the same name; return it and its tear sheet.

    Raises InvalidInput for a bad name, parameter or rule, InsufficientData where candles are missing.
    """
    name = question.usual_branch if branch is None else branch
    if not NAME.fullmatch(name):
        raise InvalidInput(f"the name of a branch is of small letters, digits and underscores, at most 40, was {name!r}")
    before = strategy_named(stores.database, stores.settings, question.name)
    values = {**before.strategy.parameters.model_dump(), **question.parameters}
    changed = before.with_strategy(create_strategy(before.strategy.name, values))
    answer, side = _answered(stores, question, name, before, changed)
    _store(stores, answer, side, run_id)
    known = [evidence_for(stores.database, changed).out_of_sample_note]
    shown = html_of(answer.shadow, known, title=f"{title_of(answer.shadow)}, branch {name}")
    page = reports.save(f"{FOLDER}/{name}.html", shown)
    reports.save(f"{FOLDER}/{name}.json", json.dumps(answer.document(), indent=1))
    return answer, page


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One side of the comparison: a backtest, and the series and signals of each market that it was made from."""

    test: Backtest
    series: Mapping[Market, SeriesRead]
    signals: Mapping[Market, SignalColumns]

    @property
    def inputs(self) -> list[InputRef]:
        return [*self.test.inputs, *(ref for each in self.series.values() for ref in each.inputs)]


def _answered(
    stores: Stores, question: Question, branch: str, before: StrategyInForce, changed: StrategyInForce
) -> tuple[Shadow, _Side]:
    """Return the answer, and the shadow with its signals. All of it is of the same candles, or it is tried again."""
    for _ in range(READ_ATTEMPTS):
        production = _side(stores, question, before, *rules_of_markets(stores.settings, question.markets))
        shadow = _side(stores, question, changed, *rules_of_markets(stores.settings, question.markets, question.rules))
        account = None if question.account is None else _of_account(stores, question, changed)
        if _agree([*production.inputs, *shadow.inputs, *([] if account is None else account.inputs)]):
            break
    else:
        raise InsufficientData(f"the candles changed while they were read, {READ_ATTEMPTS} times: try again")
    changes: list[SignalChange] = []
    for market, old in production.signals.items():
        changes += signal_changes(market.key, production.series[market].period.open_time, old, shadow.signals[market])
    answer = Shadow(
        branch,
        question,
        production.test,
        shadow.test,
        tuple(sorted(changes, key=lambda change: (change.candle, change.market))),
        tuple(trade_changes(production.test.result, shadow.test.result)),
        now_ms(),
        account,
    )
    return answer, shadow


def _of_account(stores: Stores, question: Question, changed: StrategyInForce) -> AccountShadow:
    period = question.start_ms, question.end_ms
    return account_shadow(stores, str(question.account), Change(changed, question.rules), *period)


def _side(stores: Stores, question: Question, subject: StrategyInForce, rules: LegRules, book: BookRules) -> _Side:
    period = question.markets, question.timeframe, question.start_ms, question.end_ms
    test = backtest(stores, subject, *period, rules=rules, book=book, skip_missing=question.skip_missing)
    lookback = subject.strategy.lookback_rows
    series, _ = read_period(stores, lookback, *period, rules=rules, skip_missing=question.skip_missing)
    return _Side(test, series, {market: judge(subject, each) for market, each in series.items()})


def _agree(refs: Sequence[InputRef]) -> bool:
    """Return whether no partition was read with two contents."""
    return len({(ref.asset, ref.partition) for ref in refs}) == len(set(refs))


def _store(stores: Stores, answer: Shadow, side: _Side, run_id: str) -> None:
    """Write the branch's signals and from what they were made in one transaction; what the branch held before is gone with it."""
    dataset, timeframe, subject = f"{PREFIX}{answer.branch}", answer.question.timeframe, answer.shadow.subject
    tables = {}
    for market, judged in side.signals.items():
        times = side.series[market].period.open_time
        for month in months_between(int(times[0]), int(times[-1]) + 1):
            start, end = times.searchsorted(month_window(month))
            if start < end:
                partition = PartitionId(dataset, market, timeframe.name, month)
                tables[partition] = signal_table(times[start:end], judged, int(start))
    old = branch_partitions(stores, answer.branch)
    with stores.candles.begin([*old, *tables]) as transaction:
        for partition in old:
            transaction.drop(partition)
        records = []
        for partition, table in tables.items():
            head = transaction.merge(partition, table, known_at_ms=answer.made_at, replace=True).head
            records.append(
                RecordedInputs(
                    asset=f"{dataset}_{timeframe}",
                    partition=partition.key,
                    content_hash=head.content_hash,
                    code_version=f"{CODE_VERSION} {subject.code_version}",
                    settings_hash=subject.parameters_hash,
                    run_id=run_id,
                    inputs=side.series[partition.market].inputs,
                    row_count=head.row_count,
                )
            )
        record_many(transaction.connection, records)


_PARTITIONS = sa.text("""
    SELECT dataset, market, timeframe, month FROM dataset_heads
    WHERE starts_with(dataset, :prefix) AND (CAST(:dataset AS text) IS NULL OR dataset = :dataset) ORDER BY 1, 2, 3, 4
""")


def branch_partitions(stores: Stores, branch: str | None = None) -> list[PartitionId]:
    """Return what is stored of a branch, or of all."""
    values = {"prefix": PREFIX, "dataset": None if branch is None else f"{PREFIX}{branch}"}
    with stores.database.transaction() as connection:
        return [
            PartitionId(dataset, parse_market(market), timeframe, month)
            for dataset, market, timeframe, month in connection.execute(_PARTITIONS, values)
        ]


def read_branches(stores: Stores) -> dict[str, dict[str, Any] | None]:
    """Return the document of each branch by name; None where there is none, as of one whose writer was killed."""
    branches: dict[str, dict[str, Any] | None] = dict.fromkeys(
        partition.dataset.removeprefix(PREFIX) for partition in branch_partitions(stores)
    )
    for path in sorted((stores.settings.reports_directory / FOLDER).glob("[!.]*.json")):
        branches[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return dict(sorted(branches.items()))


def drop_branch(stores: Stores, branch: str) -> int:
    """Forget a branch and return how many months of signals it held. From what they were made stays on record.

    Raises InvalidInput, naming those that there are, for an unknown one.
    """
    known = read_branches(stores)
    if branch not in known:
        raise InvalidInput(f"branch {branch!r} is unknown; known: {', '.join(known) or 'none'}")
    partitions = branch_partitions(stores, branch)
    with stores.candles.begin(partitions) as transaction:
        for partition in partitions:
            transaction.drop(partition)
    for ending in ("html", "json"):
        (stores.settings.reports_directory / FOLDER / f"{branch}.{ending}").unlink(missing_ok=True)
    return len(partitions)
