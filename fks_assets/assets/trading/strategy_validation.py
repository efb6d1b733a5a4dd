"""Daily at 01:00: certificates for what has none, then each strategy is judged by its own backtest of the day."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import PartitionReport, asked_by_a_person, finished, materialization
from fks_assets.assets.jobs import RESEARCH_LANE, ScheduledAsset
from fks_assets.assets.schedules import running_schedule
from fks_assets.assets.trading.standard import standard_timeframe
from fks_assets.clock import now_ms
from fks_assets.ids import document_hash
from fks_assets.partitions import day_of, day_partitions
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import InputRef, RecordedInputs, latest_inputs, record_many

if TYPE_CHECKING:
    from fks_assets.assets.trading.validation import Verdict

ASSET = "strategy_validation"
CODE_VERSION = "3"


def build_strategy_validation(settings: Settings) -> ScheduledAsset:
    """Return the asset `strategy_validation`, its job and its schedule."""

    class ValidationConfig(dg.Config):
        """The candles on which a strategy without a certificate is certified: so many days before now, of this timeframe."""

        lookback_days: int = 365
        timeframe: str = standard_timeframe(settings)

    @dg.asset(
        description=(
            "Whether each strategy may go on trading. One whose own backtest of the day has a Sharpe ratio below 1, no gain or a "
            "drawdown of 30 % or more is switched off, with a message; only a person switches it on again, and that word stands "
            "for a time. One not judged for too long may not trade (`[backtests]`). What searches and walk-forward windows "
            "say of it (deflated Sharpe, overfitting, stability, efficiency) is shown. A version of a strategy's code without a "
            "certificate that it uses the past alone gets one, or the reason why not. A past day is judged without switching "
            "anything."
        ),
        group_name="trading",
        kinds={"postgres"},
        owners=["team:research"],
        partitions_def=day_partitions(settings),
        deps=["backtests"],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.single_run(),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def strategy_validation(context: dg.AssetExecutionContext, config: ValidationConfig, stores: dg.ResourceParam[Stores]):
        from fks_assets.assets.trading.promotion import certify_missing
        from fks_assets.assets.trading.validation import validate_strategies
        from fks_assets.quant.timeframes import parse_timeframe

        by_person, today = asked_by_a_person(context), day_of(now_ms())
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        certified: dict[str, str] = {}
        if today in context.partition_keys:
            certified = certify_missing(stores, parse_timeframe(config.timeframe), config.lookback_days)
            for name, words in certified.items():
                context.log.info(f"certificate of {name}: {words}")
        judged = 0
        for day in context.partition_keys:
            verdicts = validate_strategies(stores, day=day, change=day == today)
            for verdict in verdicts:
                if not verdict.passed:
                    context.log.warning(f"{day}: {verdict.name}: {verdict.words}")
            judged += sum(verdict.unjudged is None for verdict in verdicts)
            metadata = _metadata(stores, verdicts, certified if day == today else {})
            content = _hash(verdicts)
            with stores.database.transaction() as connection:
                record_many(connection, [_record(day, verdicts, content, context.run.run_id)])
            if by_person or day not in recorded or recorded[day].content_hash != content:
                yield materialization(ASSET, CODE_VERSION, PartitionReport(day, content, metadata=metadata))
        if not judged:
            raise dg.Failure("no strategy has a backtest to be judged by: `fks run backtest` makes them", allow_retries=False)
        yield finished()

    job = dg.define_asset_job(
        "validation",
        selection=[strategy_validation],
        description="Judges every strategy by its own backtest of this day.",
        tags={**RESEARCH_LANE, "dagster/max_runtime": "3000"},
    )

    @running_schedule(
        "validation_schedule",
        job,
        "0 1 * * *",
        "Requests the validation of the day on which it ticks.",
    )
    def schedule() -> dg.RunRequest:
        day = day_of(now_ms())
        return dg.RunRequest(run_key=f"{ASSET}:{day}", partition_key=day)

    return ScheduledAsset(strategy_validation, job, schedule)


def _hash(verdicts: "Sequence[Verdict]") -> str:
    return document_hash([{**verdict.document(), "disabled_now": None} for verdict in verdicts])


def _record(day: str, verdicts: "Sequence[Verdict]", content_hash: str, run_id: str) -> RecordedInputs:
    inputs = [
        InputRef("backtests", f"{day}|{verdict.name}", verdict.result.content_hash)
        for verdict in verdicts
        if verdict.result is not None
    ]
    inputs += sorted({ref for verdict in verdicts for ref in verdict.evidence.refs})
    return RecordedInputs(ASSET, day, content_hash, CODE_VERSION, "", run_id, tuple(inputs), len(verdicts))


def _metadata(stores: Stores, verdicts: "Sequence[Verdict]", certified: dict[str, str]) -> dict[str, Any]:
    from fks_assets.assets.trading.promotion import may_trade

    rows = []
    with stores.database.transaction() as connection:
        for verdict in verdicts:
            allowed, reason = may_trade(connection, stores.settings, verdict.name)
            document = {name: "–" if value is None else value for name, value in verdict.document().items()}
            rows.append({**document, "may trade": allowed, "why": reason})
    return {
        "dagster/row_count": len(rows),
        "strategies": dg.MetadataValue.table([dg.TableRecord(row) for row in rows]),
        "passed": sum(verdict.passed for verdict in verdicts),
        "switched off": [verdict.name for verdict in verdicts if verdict.disabled_now],
        **({"certificates": certified} if certified else {}),
    }
