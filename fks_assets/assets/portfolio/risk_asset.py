"""Every 30 minutes: what each account risks, by bounds that a person has set; its page, and a check that is red when HIGH."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import link_to
from fks_assets.assets.jobs import UnresolvedAssetJobDefinition
from fks_assets.assets.portfolio.account_asset import TRADING_TAGS, AccountLook, build_account_asset, input_of
from fks_assets.assets.portfolio.looks import POSITIONS
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import now_ms
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings

if TYPE_CHECKING:
    from fks_assets.assets.portfolio.risk_figures import AccountRisk
    from fks_assets.desk.floor import Floor

ASSET, JOB, CHECK = "portfolio_risk", "account_risk", "risk_is_bounded"
OLDEST_MS = 3_600_000
WATCHED_MS = 7 * 86_400_000
FOLDER = "risk"
_SHOWN = (
    "level",
    "equity",
    "exposure_percent",
    "unrealised_pnl",
    "unrealised_percent",
    "margin_percent",
    "drawdown_percent",
    "correlated_exposure_percent",
    "value_at_risk",
    "expected_shortfall",
    "statistics",
)


@dataclass(frozen=True, slots=True)
class PortfolioRisk:
    """The asset, the check of what it found, the job of both, and its schedule."""

    asset: dg.AssetsDefinition
    check: dg.AssetChecksDefinition
    job: UnresolvedAssetJobDefinition
    schedule: dg.ScheduleDefinition


def build_portfolio_risk(settings: Settings, positions: dg.AssetsDefinition, reports: Reports) -> PortfolioRisk:
    """Return the risk of every account as an asset. The job marks the positions first; accounts need a job of their own."""
    day = day_timeframe(settings)

    def look(context: dg.AssetExecutionContext, floor: "Floor", stores: Stores, name: str) -> AccountLook:
        return look_at_risk(floor, stores, reports, name)

    asset = build_account_asset(
        settings,
        ASSET,
        look,
        description=(
            "What each account risks: exposure, unrealised loss, concentration and margin against its balance, drawdown, value "
            "at risk and correlation-adjusted exposure, with a level and its reasons. HIGH is told once, and once when it ends."
        ),
        deps=[POSITIONS, f"ohlcv_{day}"],
        kinds={"python", "postgres", "html"},
    )
    check = _build_check(asset)
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(positions, asset),
        description="The newest price of each open position, then the risk of the account.",
        executor_def=dg.in_process_executor,
        tags={**TRADING_TAGS, "dagster/max_runtime": "120"},
    )

    @running_schedule(
        f"{JOB}_schedule",
        job,
        "*/30 * * * *",
        "Requests the risk of every account.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, stores: dg.ResourceParam[Stores]) -> list[dg.RunRequest]:
        moment = context.scheduled_execution_time.isoformat()
        return [dg.RunRequest(run_key=f"{JOB}:{moment}:{name}", partition_key=name) for name in stores.settings.accounts]

    return PortfolioRisk(asset, check, job, schedule)


def day_timeframe(settings: Settings) -> Timeframe:
    """Return the longest timeframe of the desk: days are made of its closes."""
    return max(settings.timeframe_list(), key=lambda timeframe: timeframe.milliseconds)


def look_at_risk(floor: "Floor", stores: Stores, reports: Reports, name: str) -> AccountLook:
    """Judge an account by what it holds now, store that, tell people what changed, and let the protections look too (S2.7)."""
    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.assets.portfolio.risk_alerts import store_risk
    from fks_assets.assets.portfolio.risk_page import risk_page
    from fks_assets.desk.protections import apply_protections
    from fks_assets.desk.stop_proof import coverage
    from fks_assets.stores.ledger.halts import in_force

    risk = risk_now(floor, stores, name)
    store_risk(stores.database, risk, stores.settings.risk)
    with stores.database.transaction() as connection:
        apply_protections(connection, stores.settings.protections, risk.account, at_ms=risk.at)
        halts = in_force(connection, account=name, at_ms=risk.at)
    within = stores.settings.guard.check_within_seconds * 1000
    watched = coverage(stores.database, risk.at - WATCHED_MS, risk.at, now_ms=risk.at, within_ms=within, account=name).percent
    badge = "SIMULATED" if stores.settings.is_simulated else None
    saved = reports.save(f"{FOLDER}/{name}.html", risk_page(risk.document, [str(halt) for halt in halts], badge, watched=watched))
    document = dict(risk.document)
    return AccountLook(
        rows=[{key: value for key, value in document.items() if key != "at"}],
        inputs=input_of(stores, POSITIONS, name),
        metadata={
            **{key.replace("_percent", " [%]").replace("_", " "): _shown(document[key]) for key in _SHOWN},
            "stops watched, 7 days [%]": _shown(watched),
            "reasons": dg.MetadataValue.md(_list([reason["text"] for reason in document["reasons"]])),
            "not known": dg.MetadataValue.md(_list(document["unknown"])),
            "page": link_to(saved),
            "risk": document,
            "exchange": exchange_badge(stores),
        },
        summary={"level": document["level"], "reasons": [reason["text"] for reason in document["reasons"]]},
    )


def risk_now(floor: "Floor", stores: Stores, name: str) -> "AccountRisk":
    """Return the risk of an account by its marks and stored candles as they are; nothing is written."""
    from fks_assets.assets.portfolio.risk_figures import risk_of

    account, settings = floor.account(name), stores.settings
    return risk_of(stores.database, stores.candles, account, settings, day_timeframe(settings), at_ms=floor.clock())


def unbounded_risks(stores: Stores, at_ms: int) -> dict[str, str]:
    """Return, by account, what is wrong with its newest figures at a time (UTC ms): too old, HIGH, or not known.

    An account that the ledger has not had for an hour may have none yet.
    """
    from fks_assets.assets.portfolio.risk_alerts import LONGEST_LOOK_MS
    from fks_assets.quant.risk import RiskLevel
    from fks_assets.stores.ledger.accounts import read_accounts
    from fks_assets.stores.risk import newest_risk

    since = {account.name: account.changed_at for account in read_accounts(stores.database)}
    found: dict[str, str] = {}
    for name in stores.settings.accounts:
        row = newest_risk(stores.database, name)
        if row is None:
            if at_ms - since.get(name, at_ms) > OLDEST_MS:
                found[name] = "there are no figures"
        elif at_ms - row.at > OLDEST_MS:
            found[name] = f"the figures are {(at_ms - row.at) // 60_000} min old, more than {OLDEST_MS // 60_000}"
        elif row.at - at_ms > LONGEST_LOOK_MS:
            found[name] = f"the figures are of {(row.at - at_ms) // 60_000} min from now"
        elif row.level is RiskLevel.HIGH:
            found[name] = "HIGH: " + "; ".join(reason["text"] for reason in row.document["reasons"])
        elif row.level is RiskLevel.UNKNOWN:
            found[name] = "not known: " + "; ".join(row.document["unknown"])
    return found


def _build_check(asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=CHECK,
        description="No account is at HIGH risk, and the figures of each are known and not older than an hour.",
    )
    def risk_is_bounded(stores: dg.ResourceParam[Stores]) -> dg.AssetCheckResult:
        failing: Mapping[str, Any] = unbounded_risks(stores, now_ms())
        return dg.AssetCheckResult(
            passed=not failing,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"failing": dict(failing), "accounts": len(stores.settings.accounts)},
        )

    return risk_is_bounded


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "–"


def _shown(value: Any) -> Any:
    return "–" if value is None else value
