"""Nightly at 01:30: the whole ledger computed anew, in fractions; a single difference is an alarm."""

from typing import Any

import dagster as dg

from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import now_ms
from fks_assets.partitions import day_of
from fks_assets.resources.stores import Stores

ASSET, JOB = "ledger_audit", "audit"
CODE_VERSION = "1"
SHOWN = 20


def build_ledger_audit(deps: list[str]) -> ScheduledAsset:
    """Return the asset `ledger_audit`, its job and its schedule."""

    @dg.asset(
        name=ASSET,
        description=(
            "All sums of the ledger (executed quantities, positions, wallets, every booking) computed anew from fills and "
            "entries in exact fractions. The difference must be exactly 0; if not, the run fails and people are told."
        ),
        group_name="portfolio",
        kinds={"python", "postgres"},
        owners=["team:trading"],
        deps=deps,
        code_version=CODE_VERSION,
    )
    def ledger_audit(context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]) -> dg.MaterializeResult:
        from fks_assets.stores.ledger.accounts import read_accounts
        from fks_assets.stores.ledger.recompute import recompute
        from fks_assets.stores.notifications import notify

        differences = recompute(stores.database)
        if differences:
            named = "; ".join(str(each) for each in differences[:SHOWN])
            words = f"the ledger differs from what its fills and entries make it in {len(differences)} figures: {named}"
            with stores.database.transaction() as connection:
                notify(connection, "ledger_audit", "URGENT", f"🛑 {words}", f"ledger_audit:{day_of(now_ms())}:{len(differences)}")
            raise dg.Failure(words, metadata={"differences": len(differences)}, allow_retries=False)
        metadata: dict[str, Any] = {
            "differences": 0,
            "accounts": len(read_accounts(stores.database)),
            "fills": _count(stores, "fills"),
            "entries": _count(stores, "journal_entries"),
        }
        return dg.MaterializeResult(metadata=metadata)

    job = dg.define_asset_job(
        JOB,
        selection=[ledger_audit],
        description="The ledger computed anew in fractions.",
        tags={"dagster/max_runtime": "1800"},
    )

    @running_schedule(
        "audit_schedule",
        job,
        "30 1 * * *",
        "Requests the nightly audit of the ledger.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=f"{JOB}:{context.scheduled_execution_time.isoformat()}")

    return ScheduledAsset(ledger_audit, job, schedule)


def _count(stores: Stores, name: str) -> int:
    import sqlalchemy as sa

    with stores.database.transaction() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) or 0
