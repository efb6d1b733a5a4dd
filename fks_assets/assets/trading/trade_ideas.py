"""After each run of the signals job: what the signals are worth as trade ideas, for every market of the desk."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import PartitionReport, asked_by_a_person, final_errors, finished, materialization
from fks_assets.assets.jobs import UnresolvedAssetJobDefinition
from fks_assets.clock import now_ms
from fks_assets.ids import stable_id
from fks_assets.partitions import day_of, day_partitions
from fks_assets.quant.timeframes import usual_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import RecordedInputs, latest_inputs, record_many

if TYPE_CHECKING:
    from fks_assets.assets.trading.evaluation import Evaluation
    from fks_assets.quant.markets import Market

ASSET = "trade_ideas"
JOB = "ideas"
CODE_VERSION = "1"
ENDED = {"ideas_sensor": dg.DagsterRunStatus.SUCCESS, "ideas_after_failure_sensor": dg.DagsterRunStatus.FAILURE}


@dataclass(frozen=True, slots=True)
class TradeIdeas:
    """The asset, the job that materialises it, and the sensors that ask for it after each run of the signals job."""

    asset: dg.AssetsDefinition
    job: UnresolvedAssetJobDefinition
    sensors: tuple[dg.SensorDefinition, ...]


def build_trade_ideas(settings: Settings, signals_job: UnresolvedAssetJobDefinition) -> TradeIdeas:
    """Return the asset `trade_ideas`, its job, and the sensors that follow the job `signals_job`.

    Days cannot be in one Dagster job with months of markets, hence a job and a sensor of its own.
    """
    usual = usual_timeframe(settings.timeframes)

    class IdeasConfig(dg.Config):
        """The candles that are evaluated, and the markets (all of the desk if empty)."""

        timeframe: str = usual
        markets: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it

    @dg.asset(
        description=(
            "What the strategies that are switched on say of each market's newest closed candle: a score from 0 to 100 with its "
            "reasons, a band, entry, stop, target and size. Ideas of today are stored and wait for a person's word "
            "(`fks ideas`) until their candle is two timeframes old. A market whose candles are late or suspect gives none. "
            "A past day shows its last evaluation, and stores nothing."
        ),
        group_name="trading",
        kinds={"python", "postgres"},
        owners=["team:research"],
        partitions_def=day_partitions(settings),
        deps=[f"signals_{usual}", "market_rules"],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=60),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def trade_ideas(context: dg.AssetExecutionContext, config: IdeasConfig, stores: dg.ResourceParam[Stores]):
        from fks_assets.assets.trading.evaluation import evaluate_markets
        from fks_assets.assets.trading.in_force import moment_of
        from fks_assets.quant.timeframes import parse_timeframe
        from fks_assets.stores.trade_ideas import save_ideas

        with final_errors():
            timeframe, markets = parse_timeframe(config.timeframe), _markets(stores, config.markets)
        by_person = asked_by_a_person(context)
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        summaries: dict[str, dict[str, Any]] = {}
        for day in context.partition_keys:
            moment = moment_of(day)
            found = evaluate_markets(stores, timeframe, markets, moment)
            for market, why in found.without.items():
                context.log.warning(f"{day}: no idea of {market}: {why}")
            content, summaries[day] = found.content_hash, found.summary
            with stores.database.transaction() as connection:
                if moment is None:
                    save_ideas(connection, timeframe, list(found.ideas.values()), found.at_ms, found.withdrawn)
                settings_hash = stable_id(found.rules.model_dump_json())
                record = RecordedInputs(
                    ASSET, day, content, CODE_VERSION, settings_hash, context.run.run_id, found.inputs, len(found.ideas)
                )
                record_many(connection, [record])
            if by_person or day not in recorded or recorded[day].content_hash != content:
                yield materialization(ASSET, CODE_VERSION, PartitionReport(day, content, metadata=_metadata(stores, found)))
        if all(summary["errors"] == summary["total"] for summary in summaries.values()):
            raise dg.Failure(f"no market could be looked at: {next(iter(summaries.values()))['details']}", allow_retries=False)
        yield finished(**(next(iter(summaries.values())) if len(summaries) == 1 else {"days": summaries}))

    job = dg.define_asset_job(
        JOB,
        selection=[trade_ideas],
        description="The trade ideas of the newest closed candles.",
        tags={"dagster/max_runtime": "300"},
    )
    return TradeIdeas(trade_ideas, job, tuple(_sensor(job, signals_job, name, status) for name, status in ENDED.items()))


def _markets(stores: Stores, named: list[str]) -> list["Market"] | None:
    from fks_assets.errors import InvalidInput
    from fks_assets.quant.markets import parse_market

    known = stores.settings.market_list()
    for market in map(parse_market, named):
        if market not in known:
            raise InvalidInput(
                f"markets: market {market.key!r} is not on this desk; it has {', '.join(each.key for each in known)}"
            )
    return [parse_market(each) for each in named] or None


def _sensor(
    job: UnresolvedAssetJobDefinition, signals_job: UnresolvedAssetJobDefinition, name: str, status: dg.DagsterRunStatus
) -> dg.SensorDefinition:
    """Return the sensor that asks for today's ideas after each run of `signals_job` that ended so, whichever timeframes it
    refreshed: the checks of a market may have turned as well, and a run that failed for one market served the others.
    """

    @dg.run_status_sensor(
        name=name,
        run_status=status,
        monitored_jobs=[signals_job],
        request_job=job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for the trade ideas of today after each run of {signals_job.name}: {status.value.lower()}.",
    )
    def sensor(context: dg.RunStatusSensorContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=f"{JOB}:{context.dagster_run.run_id}", partition_key=day_of(now_ms()))

    return sensor


def _metadata(stores: Stores, found: "Evaluation") -> dict[str, Any]:
    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.quant.ideas import places_of

    places = places_of(found.ideas.values(), found.rules)
    rows = []
    for idea in found.by_score:
        document = idea.document()
        entry, size = idea.entry, idea.size
        rows.append(
            {
                "market": document["market"],
                "score": idea.score,
                "action": document["action"],
                "band": document["band"],
                "place": places.get(idea.market, "–"),
                "confidence": round(idea.confidence, 3),
                "reward to risk": "–" if idea.reward_risk is None else round(idea.reward_risk, 2),
                "entry": "–" if entry is None else f"{entry.kind} {entry.price:.8g}",
                "stop": "–" if idea.stop is None else f"{idea.stop:.8g}",
                "target": "–" if idea.target is None else f"{idea.target:.8g}",
                "quantity": "–" if size is None else f"{size.quantity:.8g}",
                "why": "; ".join(f"{each.points:+d} {each.reason}" for each in idea.points) or "nobody acts",
                "candle": document["candle"],
            }
        )
    summary = found.summary
    return {
        "dagster/row_count": len(rows),
        "timeframe": found.timeframe.name,
        **{name: summary[name] for name in ("status", "total", "processed", "errors", "details")},
        **({"ideas": dg.MetadataValue.table([dg.TableRecord(row) for row in rows])} if rows else {}),
        **({"no idea": {market.key: why for market, why in found.without.items()}} if found.without else {}),
        **({"strategies left out": dict(found.silent)} if found.silent else {}),
        "exchange": exchange_badge(stores),
        "content hash": found.content_hash,
    }
