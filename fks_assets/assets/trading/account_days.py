"""The daily backtests of accounts: each by itself, none stops another; inputs and tear sheets are stored."""

from dataclasses import dataclass, field

from fks_assets.assets.trading.account_backtest import AccountBacktest, account_backtest
from fks_assets.assets.trading.account_presentation import account_html, evidence_notes
from fks_assets.assets.trading.in_force import moment_of
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.errors import InvalidInput
from fks_assets.ids import document_hash, stable_id
from fks_assets.partitions import day_window
from fks_assets.resources.reports import Reports, SavedReport
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import RecordedInputs, record_many

ASSET = "account_backtests"
FOLDER = "account_backtests"
FILES_KEPT = 500


@dataclass(slots=True)
class DayOfAccounts:
    """The backtests of a desk's accounts up to where a UTC day begins, by account, and why one failed."""

    day: str
    tests: dict[str, AccountBacktest] = field(default_factory=dict)
    reports: dict[str, SavedReport] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)

    @property
    def content_hash(self) -> str:
        """The SHA-256, in hexadecimal, of everything that the backtests say."""
        return document_hash({name: test.content_hash for name, test in self.tests.items()})

    @property
    def trades(self) -> int:
        """How many trades the books made together."""
        return sum(len(test.result.trades) for test in self.tests.values())


def run_account_day(
    stores: Stores, reports: Reports, day: str, lookback_days: int, *, code_version: str, run_id: str
) -> DayOfAccounts:
    """Run and keep the backtest of every account of the settings over the days before a day, by the strategies of that day.

    Any error of one account, also one that a user's strategy raises, is noted and stops no other. Raises InvalidInput for a
    number of days below 1.
    """
    if lookback_days < 1:
        raise InvalidInput(f"lookback_days must be at least 1, was {lookback_days}")
    found = DayOfAccounts(day)
    end_ms, _ = day_window(day)
    start_ms = end_ms - lookback_days * MILLISECONDS_PER_DAY
    for account in stores.settings.accounts:
        try:
            test = account_backtest(stores, account, start_ms, end_ms, at_ms=moment_of(day))
            page = account_html(test, evidence_notes(stores, test))
            found.reports[account] = reports.save(f"{FOLDER}/{day}_{account}.html", page)
        except Exception as error:
            found.failures[account] = error
        else:
            found.tests[account] = test
    if found.tests:
        _record(stores, found, code_version, run_id)
        reports.keep_newest(FOLDER, FILES_KEPT)
    return found


def _record(stores: Stores, found: DayOfAccounts, code_version: str, run_id: str) -> None:
    tests = found.tests.values()
    subjects = sorted(
        {(name, subject.code_version, subject.parameters_hash) for test in tests for name, subject in test.subjects.items()}
    )
    rules = [test.rules.model_dump_json() for test in tests]
    record = RecordedInputs(
        asset=ASSET,
        partition=found.day,
        content_hash=found.content_hash,
        code_version=" ".join([code_version, *(code for _, code, _ in subjects)]),
        settings_hash=stable_id(*rules, *(f"{name} {parameters}" for name, _, parameters in subjects)),
        run_id=run_id,
        inputs=tuple(sorted({ref for test in tests for ref in test.inputs})),
        row_count=found.trades,
    )
    with stores.database.transaction() as connection:
        record_many(connection, [record])
