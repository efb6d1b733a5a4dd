"""Which candles were restated, and which partitions were made from them while they were as they had been."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import Timeframe, month_window
from fks_assets.stores.candles import CandleStore, PartitionId
from fks_assets.stores.canonical import SUPERSEDED_AT, content_hash, times_of

SEARCH_SECONDS = 60


@dataclass(frozen=True, order=True, slots=True)
class Lineage:
    """A partition of an asset, and the ids of the records of what it was made from, oldest first."""

    asset: str
    partition: str
    records: tuple[int, ...]


_RESTATED = sa.text("""
    SELECT market, month FROM dataset_heads
    WHERE dataset = 'ohlcv' AND timeframe = :timeframe AND market = ANY (CAST(:markets AS text[])) AND revision_count > 0
      AND known_at >= to_timestamp(:since / 1000.0)
    ORDER BY market COLLATE "C", month
""")
_DEPENDENTS = sa.text("""
    SELECT p.asset, p.partition, array_agg(DISTINCT p.id)
    FROM partition_inputs p, unnest(CAST(:wanted AS jsonb[])) w WHERE p.inputs @> w GROUP BY 1, 2
""")
_RECORDED = sa.text("""
    SELECT min(id) FROM partition_inputs
    WHERE asset = :asset AND partition = :partition AND content_hash = :content_hash AND id > :after
""")
_DATASETS = sa.text("""
    SELECT dataset FROM dataset_heads
    WHERE timeframe = :timeframe AND market = :market AND month = :month
      AND (dataset = CAST(:name AS text) OR starts_with(dataset, CAST(:name AS text) || '.'))
    ORDER BY dataset COLLATE "C"
""")
_LONG = sa.text(f"SET LOCAL statement_timeout = '{SEARCH_SECONDS}s'")


def restated_months(
    connection: sa.Connection, timeframe: Timeframe, markets: Sequence[Market], since_ms: int
) -> list[PartitionId]:
    """Return the months of candles that have revisions and in which something became known at that time or later."""
    values = {"timeframe": timeframe.name, "markets": [market.key for market in markets], "since": since_ms}
    return [
        PartitionId("ohlcv", parse_market(key), timeframe.name, month) for key, month in connection.execute(_RESTATED, values)
    ]


def restated_since(
    connection: sa.Connection, candles: CandleStore, timeframe: Timeframe, markets: Sequence[Market], since_ms: int
) -> dict[Market, list[int]]:
    """Return the open times of the candles of each market that were replaced or removed since a time, one for each time that
    happened; markets without any are left out."""
    found: dict[Market, list[int]] = {}
    for partition in restated_months(connection, timeframe, markets, since_ms):
        table = candles.revisions(partition)
        times = times_of(table)[times_of(table, SUPERSEDED_AT) >= since_ms]
        if len(times):
            found.setdefault(partition.market, []).extend(times.tolist())
    return found


def dependents_of(connection: sa.Connection, asset: str, partition: str) -> list[Lineage]:
    """Return every partition that was ever made from this one, directly or through others, by asset and partition."""
    connection.execute(_LONG)
    found: dict[tuple[str, str], set[int]] = {}
    seen = wanted = {(asset, partition)}
    while wanted:
        given = [json.dumps([{"asset": each, "partition": key}]) for each, key in sorted(wanted)]
        wanted = set()
        for each, key, records in connection.execute(_DEPENDENTS, {"wanted": given}):
            found.setdefault((each, key), set()).update(records)
            if (each, key) not in seen:
                wanted.add((each, key))
        seen = seen | wanted
    return [Lineage(each, key, tuple(sorted(records))) for (each, key), records in sorted(found.items())]


def record_as_of(
    connection: sa.Connection, candles: CandleStore, partition: PartitionId, moment_ms: int, after: int = 0
) -> int | None:
    """Return the id of the first record, after another id, of a month of candles as it was known at a time.

    None when there is none: the month was written without being recorded.
    """
    start, end = month_window(partition.month)
    table = candles.read_table("ohlcv", partition.market, partition.timeframe, start, end, as_of_ms=moment_ms)
    values = {
        "asset": f"ohlcv_{partition.timeframe}",
        "partition": partition.key,
        "content_hash": content_hash(table),
        "after": after,
    }
    return connection.execute(_RECORDED, values).scalar()


def datasets_of(connection: sa.Connection, name: str, partition: PartitionId) -> list[str]:
    """Return the datasets of which an asset's partition of this market, timeframe and month consists, such as each strategy's."""
    values = {"name": name, "timeframe": partition.timeframe, "market": partition.market.key, "month": partition.month}
    return list(connection.execute(_DATASETS, values).scalars())
