"""Report materialised partitions one by one, so that an event says what one market and month went through.

Dagster 1.13 lets one result speak for all partitions of a run at once; a desk needs a content hash and a picture for each,
keeps the finished ones when a later one fails, and writes nothing for a partition in which nothing changed. So the asset yields
its own events and closes with an output that is marked as already reported, which lets the assets after it in the run go on.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as ALREADY_REPORTED

from fks_assets.errors import ExchangeUnavailable, InvalidInput, RateLimited
from fks_assets.resources.reports import SavedReport

PARTITIONS_PER_RUN = 60
SCHEDULED_TAGS = ("dagster/schedule_name", "dagster/sensor_name")


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """One materialised partition: its content hash, the same-partition inputs it was made from, and metadata for people."""

    partition: str
    content_hash: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def link_to(saved: SavedReport) -> dg.MetadataValue:
    """Return where a person finds a saved report: the address that shows it, or its file where nobody serves it."""
    return dg.MetadataValue.url(saved.url) if saved.url else dg.MetadataValue.path(str(saved.path))


def asked_by_a_person(context: dg.AssetExecutionContext) -> bool:
    """Return whether a person or a backfill asked for this run: they get an answer for every partition, changed or not."""
    return not any(tag in context.run.tags for tag in SCHEDULED_TAGS)


def materialization(asset: str, code_version: str, report: PartitionReport) -> dg.AssetMaterialization:
    """Return the event for one partition, with the tags from which the web UI tells fresh from stale."""
    tags = {
        CODE_VERSION_TAG: code_version,
        DATA_VERSION_TAG: report.content_hash,
        DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
    }
    for upstream, content_hash in report.inputs.items():
        tags[get_input_data_version_tag(dg.AssetKey(upstream))] = content_hash
        tags[get_input_event_pointer_tag(dg.AssetKey(upstream))] = "NULL"
    return dg.AssetMaterialization(asset, partition=report.partition, metadata=report.metadata, tags=tags)


def finished(**metadata: Any) -> dg.Output[None]:
    """Return the closing output of an asset that has reported its partitions itself."""
    return dg.Output(None, metadata={ALREADY_REPORTED: True, **metadata})


def raise_for_failures(failures: Sequence[tuple[str, Exception]], total: int, *, tolerate_some: bool) -> None:
    """Raise dg.Failure naming the failed partitions, unless some succeeded and `tolerate_some` says that is enough.

    Dagster repeats the step only when an exchange was unavailable or limited us: all else would fail again.
    """
    if not failures or (tolerate_some and len(failures) < total):
        return
    shown = "; ".join(f"{partition}: {error}" for partition, error in failures[:5])
    more = f"; and {len(failures) - 5} more" if len(failures) > 5 else ""
    passing = any(isinstance(error, ExchangeUnavailable | RateLimited) for _, error in failures)
    raise dg.Failure(f"{len(failures)} of {total} partitions failed: {shown}{more}", allow_retries=passing)


@contextmanager
def final_errors() -> Iterator[None]:
    """Let bad settings and bad input end the step with their one line, at once instead of after its retries."""
    try:
        yield
    except InvalidInput as error:
        raise dg.Failure(str(error), allow_retries=False) from error
