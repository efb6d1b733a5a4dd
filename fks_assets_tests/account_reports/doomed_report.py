"""A report made in a process of its own, which dies where the test says."""

import os
from dataclasses import dataclass
from pathlib import Path

from fks_assets.assets.account_reports.making import make_report
from fks_assets.quant.report_periods import Period
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import read_settings
from fks_assets.stores.ledger.accounts import read_account


@dataclass(frozen=True)
class Doomed:
    """Where the desk is, what is reported at which time (UTC ms), and the point at which the process dies."""

    home: Path
    environment: dict[str, str]
    period: Period
    now_ms: int
    point: str


def main(doomed: Doomed) -> None:
    """Make the report of the account main, and die in it."""
    stores = Stores(read_settings(doomed.environment, doomed.home))
    os.environ["FKS_CRASHPOINT"] = doomed.point
    account = read_account(stores.database, "main")
    make_report(stores, Reports(stores.settings, lambda: None), account, doomed.period, now_ms=doomed.now_ms, run_id="doomed")
