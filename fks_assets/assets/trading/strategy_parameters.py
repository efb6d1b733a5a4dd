"""Daily: which strategies are in force with which parameters, and a hash of each, so that any day can be looked up later."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from fks_assets.assets.events import PartitionReport, asked_by_a_person, finished, materialization
from fks_assets.assets.jobs import RESEARCH_LANE, ScheduledAsset
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import now_ms
from fks_assets.ids import document_hash
from fks_assets.partitions import day_of, day_partitions
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import RecordedInputs, latest_inputs, record_many

if TYPE_CHECKING:
    from fks_assets.assets.trading.in_force import StrategyInForce

ASSET = "strategy_parameters"
CODE_VERSION = "1"


def build_strategy_parameters(settings: Settings) -> ScheduledAsset:
    """Return the asset `strategy_parameters`, its job and its schedule."""

    @dg.asset(
        description=(
            "The parameters of each strategy in force on that day: those of the settings, and stored parameter sets with their "
            "version. A past day shows the sets that were in force when it ended."
        ),
        group_name="trading",
        kinds={"postgres"},
        owners=["team:research"],
        partitions_def=day_partitions(settings),
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.single_run(),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def strategy_parameters(context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]):
        from fks_assets.assets.trading.in_force import moment_of, settings_note, strategies_in_force

        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        for day in context.partition_keys:
            in_force, unusable = strategies_in_force(stores.database, stores.settings, moment_of(day))
            for name, error in unusable.items():
                context.log.warning(f"parameter set {name} cannot be used: {error}")
            content = _hash(in_force)
            with stores.database.transaction() as connection:
                record = RecordedInputs(ASSET, day, content, CODE_VERSION, "", context.run.run_id, (), len(in_force))
                record_many(connection, [record])
            if asked_by_a_person(context) or day not in recorded or recorded[day].content_hash != content:
                metadata = {
                    "dagster/row_count": len(in_force),
                    "strategies": _table(in_force),
                    "content hash": content,
                    **settings_note(day, in_force.values()),
                    **({"cannot be used": {name: str(error) for name, error in unusable.items()}} if unusable else {}),
                }
                yield materialization(ASSET, CODE_VERSION, PartitionReport(day, content, metadata=metadata))
        yield finished()

    job = dg.define_asset_job(
        "parameters",
        selection=[strategy_parameters],
        description="The parameters in force on this day.",
        tags={**RESEARCH_LANE, "dagster/max_runtime": "300"},
    )

    @running_schedule(
        "parameters_schedule",
        job,
        "5 0 * * *",
        "Notes the parameters in force on the day on which it ticks.",
    )
    def schedule() -> dg.RunRequest:
        day = day_of(now_ms())
        return dg.RunRequest(run_key=f"{ASSET}:{day}", partition_key=day)

    return ScheduledAsset(strategy_parameters, job, schedule)


def _hash(in_force: "Mapping[str, StrategyInForce]") -> str:
    return document_hash([subject.document() for _, subject in sorted(in_force.items())])


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict) else value


def _table(in_force: "Mapping[str, StrategyInForce]") -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord({name: _cell(value) for name, value in subject.document().items()})
            for _, subject in sorted(in_force.items())
        ]
    )
