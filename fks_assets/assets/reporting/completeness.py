"""Daily at 08:00 UTC: how complete the candles are, as figures, files, a picture and a heat map."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from fks_assets.assets.events import final_errors, link_to
from fks_assets.assets.jobs import MARKET_DATA_LANE, ScheduledAsset
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings

FOLDER = "data-completeness"
FILES_KEPT = 180
WORST_SHOWN = 20


def build_completeness_report(settings: Settings) -> ScheduledAsset:
    """Return the asset, its job and its schedule; runs without configuration report on every market and timeframe."""
    offered = [timeframe.seconds // 60 for timeframe in settings.timeframe_list()]

    class CompletenessConfig(dg.Config):
        """TIER1 to TIER4 or ALL, timeframes by their minutes, and how many days the heat map shows."""

        tier: str = "ALL"
        intervals: list[int] = offered
        days: int = 90

    @dg.asset(
        description=(
            "How complete the stored candles are: by market and by candle, with what the exchange itself lacks told apart from "
            "what is still to be fetched; a heat map of market × day, coloured by cause, whose cells lead to the repair."
        ),
        group_name="reporting",
        kinds={"html"},
        owners=["team:market-data"],
        code_version="1",
        deps=[f"ohlcv_{timeframe}" for timeframe in settings.timeframes],
    )
    def data_completeness(
        config: CompletenessConfig, stores: dg.ResourceParam[Stores], reports: dg.ResourceParam[Reports]
    ) -> dg.MaterializeResult:
        with final_errors():
            return dg.MaterializeResult(metadata=report_completeness(stores, reports, config.tier, config.intervals, config.days))

    job = dg.define_asset_job(
        "completeness",
        selection=[data_completeness],
        description="Reports how complete the candles are.",
        tags={**MARKET_DATA_LANE, "dagster/priority": "-1", "dagster/max_runtime": "900"},
    )
    schedule = dg.ScheduleDefinition(
        name="completeness_schedule",
        job=job,
        cron_schedule="0 8 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The completeness of every market and timeframe, once a day.",
    )
    return ScheduledAsset(data_completeness, job, schedule)


def report_completeness(stores: Stores, reports: Reports, tier: str, intervals: Sequence[int], days: int) -> dict[str, Any]:
    """Write the report and its heat map for today and return the metadata that shows them; raise InvalidInput for bad input."""
    import json

    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.assets.reporting.heatmap import heatmap_page
    from fks_assets.assets.reporting.measured import measure
    from fks_assets.clock import iso, now_ms
    from fks_assets.quant.charts import markdown_image
    from fks_assets.quant.completeness_chart import completeness_chart_svg
    from fks_assets.resources.reports import partition_url

    at = now_ms()
    measured = measure(stores, tier, intervals, at, days)
    document = {**measured.document, "generated_at": iso(at), "simulated": stores.settings.is_simulated}
    badge = "SIMULATED" if stores.settings.is_simulated else None
    rows = {timeframe.name: [row for _, row in measured.of(timeframe)] for timeframe in measured.timeframes}
    title = f"Candles stored, {tier}"
    overview = completeness_chart_svg(rows, measured.first_day_ms, title=title, badge=badge)
    name = f"{FOLDER}/{(iso(at) or '')[:10]}-{tier.lower()}"
    web, first_month = reports.addresses.web, stores.settings.first_month

    def link(asset: str, partition: str) -> str | None:
        return partition_url(web, asset, partition) if partition.split("|")[1] >= first_month else None

    page = reports.save(f"{name}.html", heatmap_page(measured, document, link, badge, stores.settings.exchange))
    figures = reports.save(f"{name}.json", json.dumps({**document, "markets": measured.markets()}, indent=1) + "\n")
    reports.keep_newest(FOLDER, FILES_KEPT)
    return {
        "overview": dg.MetadataValue.md(markdown_image(overview, title)),
        "heat map": link_to(page),
        "report": dg.MetadataValue.json(document),
        "assets without a gap [%]": _shown(document["completeness_pct"]),
        "candles stored [%]": _shown(document["candle_completeness_pct"]),
        "candles stored, of what the exchange has [%]": _shown(document["candle_completeness_of_exchange_pct"]),
        "least complete": dg.MetadataValue.table(
            [
                dg.TableRecord({name: _shown(value) for name, value in market.items() if not isinstance(value, dict)})
                for market in measured.markets()[:WORST_SHOWN]
            ]
        ),
        "file": dg.MetadataValue.path(str(figures.path)),
        "exchange": exchange_badge(stores),
    }


def _shown(value: Any) -> Any:
    return "–" if value is None else value
