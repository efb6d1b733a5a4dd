"""The way assets report single partitions relies on one private name of Dagster; these tests fail if a release changes it."""

import dagster as dg
import pytest

from fks_assets.assets.events import PartitionReport, finished, materialization, raise_for_failures

PARTITIONS = dg.MultiPartitionsDefinition(
    {
        "market": dg.StaticPartitionsDefinition(["A", "B", "C"]),
        "month": dg.TimeWindowPartitionsDefinition(start="2026-01", fmt="%Y-%m", cron_schedule="0 0 1 * *", end_offset=1),
    }
)
RANGE = {"dagster/asset_partition_range_start": "A|2026-01", "dagster/asset_partition_range_end": "C|2026-02"}
ran: list[list[str]] = []


@dg.asset(partitions_def=PARTITIONS, code_version="1", output_required=False, dagster_type=dg.Nothing)
def upstream(context: dg.AssetExecutionContext):
    for key in ("A|2026-01", "C|2026-02"):
        yield materialization("upstream", "1", PartitionReport(key, f"hash of {key}", metadata={"rows": 3}))
    yield finished()


@dg.asset(partitions_def=PARTITIONS, deps=[upstream], code_version="1", output_required=False, dagster_type=dg.Nothing)
def downstream(context: dg.AssetExecutionContext):
    ran.append(list(context.partition_keys))
    yield materialization("downstream", "1", PartitionReport("A|2026-01", "b", inputs={"upstream": "hash of A|2026-01"}))
    yield finished()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        ran.clear()
        result = (
            dg.Definitions([upstream, downstream])
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(instance=instance, tags=RANGE)
        )
        assert result.success
        yield instance


def test_only_reported_partitions_are_materialised_and_each_once(instance: dg.DagsterInstance) -> None:
    records = instance.fetch_materializations(dg.AssetKey("upstream"), limit=20).records
    assert sorted(record.partition_key for record in records) == ["A|2026-01", "C|2026-02"]
    assert {record.asset_materialization.tags["dagster/data_version"] for record in records} == {
        "hash of A|2026-01",
        "hash of C|2026-02",
    }


def test_assets_after_it_in_the_run_still_execute(instance: dg.DagsterInstance) -> None:
    assert [len(keys) for keys in ran] == [6]
    assert instance.get_materialized_partitions(dg.AssetKey("downstream")) == {"A|2026-01"}


def test_the_event_carries_the_version_of_the_input_it_was_made_from(instance: dg.DagsterInstance) -> None:
    record = instance.fetch_materializations(dg.AssetKey("downstream"), limit=1).records[0]
    assert record.asset_materialization.tags["dagster/input_data_version/upstream"] == "hash of A|2026-01"


def test_failures_are_tolerated_only_while_something_succeeded() -> None:
    failure = [("A|2026-01", RuntimeError("503"))]
    raise_for_failures([], 2, tolerate_some=False)
    raise_for_failures(failure, 2, tolerate_some=True)
    with pytest.raises(dg.Failure, match=r"1 of 1 partitions failed: A\|2026-01: 503"):
        raise_for_failures(failure, 1, tolerate_some=True)
    with pytest.raises(dg.Failure, match="1 of 2 partitions failed"):
        raise_for_failures(failure, 2, tolerate_some=False)
