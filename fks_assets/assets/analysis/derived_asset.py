"""An asset whose months are derived from candles: plan what is out of date, compute it, store it, report it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import (
    PARTITIONS_PER_RUN,
    PartitionReport,
    asked_by_a_person,
    final_errors,
    finished,
    materialization,
    raise_for_failures,
)
from fks_assets.clock import now_ms
from fks_assets.errors import InsufficientData, TradingError
from fks_assets.partitions import split_partition_key
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

if TYPE_CHECKING:
    import pyarrow as pa

    from fks_assets.assets.analysis.derive import Derivation
    from fks_assets.assets.analysis.write import Derived
    from fks_assets.stores.lineage import InputRef


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a month is made: with how many candles before it, by which function, what the web UI shows of it, and from which
    `inputs` besides market data; `settings_hash` is of all that is set.
    """

    lookback_rows: int
    compute: "Callable[[Stores, Derivation], Mapping[str, pa.Table]]"
    metadata: "Callable[[Stores, Derived], Mapping[str, Any]]"
    settings_hash: str = ""
    inputs: "tuple[InputRef, ...]" = ()


def build_derived_asset(
    dataset: str,
    timeframe: Timeframe,
    partitions: dg.PartitionsDefinition,
    recipe: Callable[[Stores, Callable[[str], None]], Recipe],
    *,
    description: str,
    kinds: set[str],
    upstream: Sequence[str],
    code_version: str,
    for_trading: bool = False,
) -> dg.AssetsDefinition:
    """Return the asset `dataset`_`timeframe`; `recipe` is called in the run, so that defining it loads none of its libraries.

    It is given the stores, and a function that writes a warning into the log.

    `for_trading`: a market of which a check fails is left out in the month of its newest candle, until it passes again.
    """
    name = f"{dataset}_{timeframe}"

    @dg.asset(
        name=name,
        description=description,
        group_name="analysis",
        kinds=kinds,
        owners=["team:research"],
        partitions_def=partitions,
        deps=[f"{each}_{timeframe}" for each in upstream],
        code_version=code_version,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def derived(context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]):
        from fks_assets.assets.analysis.derive import plan_derivations
        from fks_assets.assets.analysis.presentation import derived_metadata
        from fks_assets.assets.analysis.write import Derive
        from fks_assets.assets.market_data.blast_radius import publish_corrections
        from fks_assets.stores.market_checks import read_blocked

        by_person = asked_by_a_person(context)
        with final_errors():
            used = recipe(stores, context.log.warning)
        plan = list(
            plan_derivations(
                stores,
                name,
                timeframe,
                [split_partition_key(key) for key in context.partition_keys],
                code_version=code_version,
                settings_hash=used.settings_hash,
                upstream=upstream,
                lookback_rows=used.lookback_rows,
                also=used.inputs,
            )
        )
        derive = Derive(stores, name, timeframe, used.compute, code_version, used.settings_hash, context.run.run_id)
        failures: list[tuple[str, Exception]] = []
        stale = [month for month in plan if by_person or not (month.up_to_date or month.archived)]
        blocked = read_blocked(stores.database, list({month.market for month in stale}), timeframe) if for_trading else {}
        for month in [each for each in stale if each.market in blocked and each.month == blocked[each.market].month]:
            stale.remove(month)
            context.log.warning(f"{month.key}: no {dataset} while a check fails: {blocked[month.market]}")
            if by_person:
                failures.append((month.key, InsufficientData(f"no {dataset} while a check fails: {blocked[month.market]}")))
        for result in derive.write(stale, lambda month, error: failures.append((month.key, error))):
            month = result.month
            if by_person or result.content_hash != month.recorded_hash:
                inputs = {f"{each}_{timeframe}": head.content_hash for each, head in month.own.items()}
                metadata = {**used.metadata(stores, result), **derived_metadata(stores, result.heads[0], month.inputs)}
                yield materialization(name, code_version, PartitionReport(month.key, result.content_hash, inputs, metadata))
        if for_trading:
            try:
                publish_corrections(stores, timeframe, list({month.market for month in plan}), now_ms())
            except TradingError as error:
                context.log.warning(f"corrections are noted by a later run: {error}")
        raise_for_failures(failures, len(plan), tolerate_some=not by_person)
        yield finished()

    return derived
