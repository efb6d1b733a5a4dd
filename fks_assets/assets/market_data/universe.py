"""The universe: which markets could be traded as a day began, one partition a day, for any day past or present."""

import hashlib
import json

import dagster as dg

from fks_assets.assets.events import PartitionReport, asked_by_a_person, final_errors, finished, materialization
from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms, to_ms
from fks_assets.partitions import day_of, day_partitions, day_window
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.quant.universe import VOLUME_DAYS, Listing, Membership, universe
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import RecordedInputs, latest_inputs, record_many
from fks_assets.stores.market_rules import all_rules_as_of

ASSET = "universe"
JOB = "daily_universe"
CODE_VERSION = "1"


def universe_of(stores: Stores, day: str) -> list[Membership]:
    """Return the membership of every market of the desk's exchange that the desk has or ever had, as a UTC day began.

    Only candles that had closed by then count, and trading rules that were known by then. Markets that the settings have dropped
    since, or the exchange, are among them as long as their rules are stored.
    """
    settings, at_ms = stores.settings, day_window(day)[0]
    known = all_rules_as_of(stores.database, None, at_ms)
    stored = [market for market in all_rules_as_of(stores.database, None, now_ms()) if market.exchange == settings.exchange]
    timeframe = volume_timeframe(settings)
    listings = []
    for market in dict.fromkeys([*settings.market_list(), *stored]):
        listed, delisted = _dates(settings, market)
        status = known[market].status if market in known else None
        listings.append(Listing(market, listed, delisted, status, _quote_volume(stores, market, timeframe, at_ms)))
    return universe(listings, at_ms)


def volume_timeframe(settings: Settings) -> Timeframe:
    """Return the timeframe whose candles tell the volume of days: the desk's longest up to a day."""
    fitting = [each for each in settings.timeframe_list() if each.milliseconds <= MILLISECONDS_PER_DAY]
    return max(fitting or settings.timeframe_list(), key=lambda each: each.milliseconds)


def build_universe(settings: Settings) -> ScheduledAsset:
    """Return the asset `universe`, its job and its schedule."""

    @dg.asset(
        name=ASSET,
        description=(
            f"Which markets could be traded as the day began, ranked by what was traded in the {VOLUME_DAYS} days before. A day "
            "knows nothing of what came after it: markets that were delisted since are members of the days on which they "
            "traded, and those that were listed later are not. Any past day can be made."
        ),
        group_name="market_data",
        kinds={"python", "postgres"},
        owners=["team:market-data"],
        partitions_def=day_partitions(settings),
        deps=["market_rules", f"ohlcv_{volume_timeframe(settings)}"],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=60),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def universe_asset(context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]):
        by_person = asked_by_a_person(context)
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        for day in context.partition_keys:
            with final_errors():
                found = universe_of(stores, day)
            rows = [each.document() for each in found]
            content = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
            record = RecordedInputs(ASSET, day, content, CODE_VERSION, "", context.run.run_id, (), len(rows))
            with stores.database.transaction() as connection:
                record_many(connection, [record])
            if by_person or day not in recorded or recorded[day].content_hash != content:
                metadata = {
                    "dagster/row_count": len(rows),
                    "members": sum(each.rank is not None for each in found),
                    "markets": dg.MetadataValue.table([dg.TableRecord(_shown(row)) for row in rows]),
                    "content hash": content,
                }
                yield materialization(ASSET, CODE_VERSION, PartitionReport(day, content, metadata=metadata))
        yield finished()

    job = dg.define_asset_job(
        JOB,
        selection=[universe_asset],
        description="Which markets could be traded as the day began.",
        tags={"dagster/max_runtime": "600"},
    )

    @running_schedule(
        f"{ASSET}_schedule",
        job,
        "25 0 * * *",
        "Requests the universe of the day on which it ticks, however late that is.",
    )
    def schedule() -> dg.RunRequest:
        day = day_of(now_ms())
        return dg.RunRequest(run_key=f"{ASSET}:{day}", partition_key=day)

    return ScheduledAsset(universe_asset, job, schedule)


def _dates(settings: Settings, market: Market) -> tuple[int | None, int | None]:
    """Return when the settings say that a market begins and ends (UTC ms)."""
    if not settings.is_desk_market(market):
        return None, None
    found = settings.market_settings(market)
    listed, delisted = (None if moment is None else to_ms(moment) for moment in (found.listed, found.delisted))
    return listed, delisted


def _quote_volume(stores: Stores, market: Market, timeframe: Timeframe, at_ms: int) -> float:
    """Return what was traded a day, in the quote coin, in candles that had closed by a time (UTC ms)."""
    start, last = at_ms - VOLUME_DAYS * MILLISECONDS_PER_DAY, at_ms - timeframe.milliseconds
    table = stores.candles.read_table("ohlcv", market, timeframe.name, start, last + 1, columns=["close", "volume"])
    closes, volumes = (table[name].to_numpy() for name in ("close", "volume"))
    return float((closes * volumes).sum()) / VOLUME_DAYS


def _shown(row: dict[str, str | int | float | None]) -> dict[str, str | int | float]:
    return {name: "–" if value is None else value for name, value in row.items()}
