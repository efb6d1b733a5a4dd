"""What all assets with a partition an account share: a look at each account, its record, an event where something changed."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import (
    PartitionReport,
    asked_by_a_person,
    final_errors,
    finished,
    materialization,
    raise_for_failures,
)
from fks_assets.errors import TradingError
from fks_assets.ids import stable_id
from fks_assets.partitions import account_partitions
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import InputRef, RecordedInputs, latest_inputs, record_many

if TYPE_CHECKING:
    from fks_assets.desk.floor import Floor

GROUP = "portfolio"
POOL = "trading"
CODE_VERSION = "1"
# Nothing that trades is ever repeated by itself: what is to be done again is found in the ledger by the next run.
TRADING_TAGS = {"dagster/max_retries": "0", "dagster/priority": "4"}


@dataclass(frozen=True, slots=True)
class AccountLook:
    """One look at an account: the rows that the partition says (for JSON), what they were made from, and what people see.

    `summary` is shown with the run, whether or not anything changed.
    """

    rows: Sequence[Mapping[str, Any]]
    inputs: Sequence[InputRef]
    metadata: Mapping[str, Any]
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(json.dumps(list(self.rows), sort_keys=True).encode()).hexdigest()


Look = Callable[[dg.AssetExecutionContext, "Floor", Stores, str], AccountLook]


def build_account_asset(
    settings: Settings, name: str, look: Look, *, description: str, deps: Sequence[Any], kinds: set[str]
) -> dg.AssetsDefinition:
    """Return the asset of this name: `look` is asked for each account; a fault of one account stops no other."""

    @dg.asset(
        name=name,
        description=description,
        group_name=GROUP,
        kinds=kinds,
        owners=["team:trading"],
        partitions_def=account_partitions(settings),
        deps=deps,
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
        pool=POOL,
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def account_asset(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores], market_data: dg.ResourceParam[MarketData]
    ):
        by_person = asked_by_a_person(context)
        recorded = latest_inputs(stores.database, name, context.partition_keys)
        floor = market_data.trading_floor()
        failures: list[tuple[str, Exception]] = []
        summaries: dict[str, Any] = {}
        for account in context.partition_keys:
            try:
                with final_errors():
                    found = look(context, floor, stores, account)
            except (TradingError, dg.Failure) as error:
                failures.append((account, error))
                continue
            except Exception as error:
                # Whatever is wrong with one account, the others keep their stops.
                context.log.exception(f"account {account} failed")
                failures.append((account, TradingError(f"{type(error).__name__}: {error}")))
                continue
            summaries[account] = dict(found.summary)
            content = found.content_hash
            rules_hash = stable_id(settings.accounts[account].model_dump_json())
            record = RecordedInputs(
                name,
                account,
                content,
                CODE_VERSION,
                rules_hash,
                context.run.run_id,
                tuple(sorted(set(found.inputs))),
                len(found.rows),
            )
            with stores.database.transaction() as connection:
                record_many(connection, [record])
            if by_person or account not in recorded or recorded[account].content_hash != content:
                metadata = {"dagster/row_count": len(found.rows), **found.metadata, "content hash": content}
                yield materialization(name, CODE_VERSION, PartitionReport(account, content, metadata=metadata))
        raise_for_failures(failures, len(context.partition_keys), tolerate_some=False)
        yield finished(**(next(iter(summaries.values())) if len(summaries) == 1 else summaries))

    return account_asset


def input_of(stores: Stores, asset: str, account: str) -> list[InputRef]:
    """Return the newest record of another asset's partition of the account as an input; none if it has none."""
    found = latest_inputs(stores.database, asset, [account])
    return [InputRef(asset, account, found[account].content_hash)] if account in found else []
