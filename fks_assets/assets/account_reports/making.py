"""A report is made: its page and its file are written, then its row together with the message to people."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fks_assets.assets.account_reports.account_report import AccountReport, report_of
from fks_assets.assets.account_reports.page import report_page
from fks_assets.assets.account_reports.words import message_of
from fks_assets.crashpoints import crashpoint
from fks_assets.quant.report_periods import Period
from fks_assets.resources.reports import Reports, SavedReport
from fks_assets.stores.account_reports import StoredReport, record_report
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.notifications import notify

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores

FOLDER = "accounts"


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report with its page and its file, the one that was stored before, and whether people are told of it now."""

    report: AccountReport
    page: SavedReport
    file: SavedReport
    before: StoredReport | None
    is_told: bool

    @property
    def status(self) -> str:
        """What this making did: new, unchanged, completed, or rewritten with the sections that differ."""
        if self.before is None:
            return "new"
        if self.before.content_hash == self.report.content_hash:
            return "unchanged"
        if self.before.through < self.report.through:
            return "completed"
        return f"rewritten: {', '.join(_differing(self.before.document, self.report.document))}"


def make_report(stores: "Stores", reports: Reports, account: Account, period: Period, *, now_ms: int, run_id: str) -> MadeReport:
    """Make an account's report of a period as it can be made now, and tell people of it once.

    The files come first: whoever is told, and whoever reads the row, finds them. Made again, the same figures write the same
    bytes and no row. A period is told of once for ever; not at all when the one after it is over already, or when the account
    had not begun. Raises InvalidInput for a period that is not over.
    """
    report = report_of(stores, account, period, now_ms=now_ms)
    name = f"{FOLDER}/{account.name}/{period.type}/{period.key}"
    page = reports.save(f"{name}.html", report_page(report))
    file = reports.save(f"{name}.json", report.text)
    crashpoint("report.saved")
    with stores.database.transaction() as connection:
        before = record_report(connection, account.name, period, report.through, report.text, report.content_hash, run_id)
        is_told = (not report.document["empty"] and period.is_news(now_ms)) and notify(
            connection,
            f"{period.type}_report",
            "INFO",
            message_of(report.document, period),
            f"{period.type}_report:{account.name}:{period.key}",
        )
        crashpoint("report.uncommitted")
    crashpoint("report.made")
    return MadeReport(report, page, file, before, is_told)


def _differing(before: Any, after: Any) -> list[str]:
    return [name for name in after if before.get(name) != after[name]]
