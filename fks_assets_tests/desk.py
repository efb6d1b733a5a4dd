"""A desk for tests: settings for a private home, its definitions, and runs as a schedule or a person would start them."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from fks_assets.definitions import build_definitions
from fks_assets.partitions import partition_key
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import SHIPPED_DESK, Settings, read_settings


@dataclass
class Desk:
    """A whole desk in this process, with an instance of its own."""

    settings: Settings
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    @property
    def stores(self) -> Stores:
        return self.definitions.resources["stores"]

    @property
    def market_data(self) -> MarketData:
        return self.definitions.resources["market_data"]

    def run(
        self,
        assets: Sequence[str],
        months: Sequence[str],
        *,
        scheduled: bool = False,
        config: dict[str, Any] | None = None,
        markets: Sequence[str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialise assets over every market (or those named) and all months from the first to the last, in one run."""
        chosen = self.settings.market_list() if markets is None else [m for m in self.settings.market_list() if m.key in markets]
        job = dg.define_asset_job("test_job", selection=dg.AssetSelection.assets(*assets))
        definitions = dg.Definitions.merge(self.definitions, dg.Definitions(jobs=[job]))
        tags = {
            "dagster/asset_partition_range_start": partition_key(chosen[0], min(months)),
            "dagster/asset_partition_range_end": partition_key(chosen[-1], max(months)),
        }
        if scheduled:
            tags["dagster/schedule_name"] = "test_schedule"
        return definitions.resolve_job_def("test_job").execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False, run_config=config or {}
        )

    def materialised(self, asset: str) -> set[str]:
        return self.instance.get_materialized_partitions(dg.AssetKey(asset))

    def events(self, asset: str) -> list[dg.AssetMaterialization]:
        """Return every materialisation of an asset, newest first."""
        return [
            record.asset_materialization
            for record in self.instance.fetch_materializations(dg.AssetKey(asset), limit=10_000).records
        ]


def build_desk(
    home: Path,
    database_url: str,
    exchange_url: str,
    *,
    symbols: Sequence[str] | None = None,
    dialect: str = "binance",
    **values: str,
) -> Desk:
    """Return a desk whose exchange is at `exchange_url`, with the shipped markets or these.

    `values` are settings as the environment would give them (FKS_ left off).
    """
    if symbols is not None:
        shipped = tomllib.loads(SHIPPED_DESK.read_text(encoding="utf-8"))
        tables = "".join(f'[[markets]]\nsymbol = "{symbol}"\ngroup = "alts"\ntier = "TIER1"\n' for symbol in symbols)
        head = SHIPPED_DESK.read_text(encoding="utf-8").split("[[markets]]")[0]
        exchanges = '[exchanges.simulated]\ndialect = "binance"\n' + "".join(
            f"[strategies.{name}]\n" for name in shipped["strategies"]
        )
        (home / "desk.toml").write_text(head + tables + exchanges, encoding="utf-8")
        values = {"DESK": str(home / "desk.toml"), **values}
    environment = {
        "FKS_HOME": str(home),
        "FKS_DATABASE_URL": database_url,
        "FKS_EXCHANGES__simulated__url": exchange_url,
        "FKS_EXCHANGES__simulated__dialect": dialect,
        **{f"FKS_{name}": value for name, value in values.items()},
    }
    settings = read_settings(environment, home)
    return Desk(settings, build_definitions(settings), dg.DagsterInstance.ephemeral())
