"""Partitions of a dataset and the rows of PostgreSQL that head them."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.ids import unique_name
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import month_window, parse_timeframe
from fks_assets.stores.canonical import EMPTY_HASH, Grid
from fks_assets.stores.objects import SUFFIX

LOCK_SECONDS = 60
_DATASET = re.compile(r"[a-z][a-z0-9_]{0,40}(\.[a-z][a-z0-9_]{0,40})?")


@dataclass(frozen=True, order=True, slots=True)
class PartitionId:
    """One month of one market of a dataset (`ohlcv`, `indicators`, `signals.<strategy>`) in a timeframe.

    Raises InvalidInput for any part that is not of its form, so that an id can always be used in a path.
    """

    dataset: str
    market: Market
    timeframe: str
    month: str

    def __post_init__(self) -> None:
        if not _DATASET.fullmatch(self.dataset):
            raise InvalidInput(f"dataset {self.dataset!r} is not of the form name or name.name of small letters, digits and _")
        if not isinstance(self.market, Market) or parse_market(self.market.key) != self.market:
            raise InvalidInput(f"market {self.market!r} is not a market")
        parse_timeframe(self.timeframe)
        month_window(self.month)

    @property
    def key(self) -> str:
        """The key of the Dagster partition, `BTC-USDT@binance|2026-11`."""
        return f"{self.market.key}|{self.month}"

    @property
    def grid(self) -> Grid:
        start, end = month_window(self.month)
        return Grid(str(self), start, end, parse_timeframe(self.timeframe).milliseconds)

    def new_object_name(self, kind: str = "") -> str:
        """Return a name that no object has: one directory holds a month of all markets, so that one flush serves them all."""
        market = f"{self.market.exchange}_{self.market.base}-{self.market.quote}"
        return f"{self.dataset}/{self.timeframe}/{self.month}/{market}_{unique_name()}{kind}{SUFFIX}"

    def __str__(self) -> str:
        return f"{self.dataset} {self.market.key} {self.timeframe} {self.month}"


@dataclass(frozen=True, slots=True)
class PartitionHead:
    """What a partition holds. Times are UTC milliseconds, ranges half-open.

    `confirmed_holes` are ranges that the exchange confirmed to lack; `holes` are those between the first and the last row that
    hold no row, None when they were not noted (rows written before 0002). `storage` is hot, or cold when archived.
    """

    partition: PartitionId
    content_hash: str
    row_count: int
    first_open: int | None
    last_open: int | None
    revision_count: int
    known_at_ms: int | None
    confirmed_holes: tuple[tuple[int, int], ...]
    object_name: str | None
    revisions_name: str | None = None
    holes: tuple[tuple[int, int], ...] | None = ()
    storage: str = "hot"

    @classmethod
    def empty(cls, partition: PartitionId) -> "PartitionHead":
        return cls(partition, EMPTY_HASH, 0, None, None, 0, None, (), None, None)


@dataclass(frozen=True, slots=True)
class Change:
    """What a merge did to a partition, in rows. Holes alone are no change."""

    head: PartitionHead
    inserted: int
    restated: int
    removed: int

    @property
    def changed(self) -> bool:
        return bool(self.inserted or self.restated or self.removed)


@dataclass(frozen=True, slots=True)
class StorageUse:
    """How many months of all datasets hold rows, how many of them are archived, and in how many objects they lie.

    Every merge rewrites its month as one sorted object, so `objects` equals `months`: there is never anything to compact.
    """

    months: int
    archived_months: int
    objects: int
    revision_objects: int


_COLUMNS = """
    h.dataset, h.timeframe, h.market, h.month, h.content_hash, h.row_count, (extract(epoch FROM h.first_open) * 1000)::bigint,
    (extract(epoch FROM h.last_open) * 1000)::bigint, h.revision_count, (extract(epoch FROM h.known_at) * 1000)::bigint,
    h.confirmed_holes, h.object_name, h.revisions_name, h.holes, h.storage
"""
_KEYS = "unnest(CAST(:datasets AS text[]), CAST(:timeframes AS text[]), CAST(:markets AS text[]), CAST(:months AS text[]))"
_LOCK_LIMITS = sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; SET LOCAL statement_timeout = '{LOCK_SECONDS + 5}s'")
_USUAL_LIMITS = sa.text("SET LOCAL lock_timeout TO DEFAULT; SET LOCAL statement_timeout TO DEFAULT")
_INSERT = sa.text(f"""
    INSERT INTO dataset_heads (dataset, timeframe, market, month, content_hash, holes)
    SELECT d, t, m, o, '{EMPTY_HASH}', '[]' FROM {_KEYS} AS k (d, t, m, o)
    ORDER BY d COLLATE "C", t COLLATE "C", m COLLATE "C", o COLLATE "C"
    ON CONFLICT DO NOTHING RETURNING dataset, timeframe, market, month
""")  # noqa: S608 - constants only
_LOCK = sa.text(f"""
    SELECT {_COLUMNS} FROM dataset_heads h
    WHERE (h.dataset, h.timeframe, h.market, h.month) IN (SELECT d, t, m, o FROM {_KEYS} AS k (d, t, m, o))
    ORDER BY h.dataset COLLATE "C", h.timeframe COLLATE "C", h.market COLLATE "C", h.month COLLATE "C" FOR UPDATE
""")  # noqa: S608 - constants only
_SELECT = sa.text(f"""
    SELECT {_COLUMNS} FROM dataset_heads h
    WHERE h.dataset = :dataset AND h.timeframe = :timeframe
      AND (CAST(:markets AS text[]) IS NULL OR h.market = ANY (CAST(:markets AS text[])))
      AND (CAST(:months AS text[]) IS NULL OR h.month = ANY (CAST(:months AS text[])))
      AND h.month BETWEEN :first_month AND :last_month
    ORDER BY h.market, h.month
""")  # noqa: S608 - constants only
_SELECT_HOT_BEFORE = sa.text(f"""
    SELECT {_COLUMNS} FROM dataset_heads h
    WHERE h.dataset = :dataset AND h.storage = 'hot' AND h.month < :month AND (h.row_count > 0 OR h.revision_count > 0)
    ORDER BY h.month, h.timeframe COLLATE "C", h.market COLLATE "C"
""")  # noqa: S608 - constants only
_UPDATE = sa.text("""
    UPDATE dataset_heads h SET content_hash = c.content_hash, row_count = c.row_count,
        first_open = to_timestamp(c.first_open / 1000.0), last_open = to_timestamp(c.last_open / 1000.0),
        revision_count = c.revision_count, known_at = to_timestamp(c.known_at / 1000.0), confirmed_holes = c.confirmed_holes,
        object_name = c.object_name, revisions_name = c.revisions_name, holes = c.holes, storage = c.storage,
        updated_at = clock_timestamp()
    FROM jsonb_to_recordset(CAST(:changes AS jsonb)) AS c (dataset text, timeframe text, market text, month text,
        content_hash text, row_count int, first_open bigint, last_open bigint, revision_count int, known_at bigint,
        confirmed_holes jsonb, object_name text, revisions_name text, holes jsonb, storage text)
    WHERE h.dataset = c.dataset AND h.timeframe = c.timeframe AND h.market = c.market AND h.month = c.month
""")
_DELETE = sa.text(f"""
    DELETE FROM dataset_heads h USING {_KEYS} AS k (d, t, m, o)
    WHERE h.dataset = k.d AND h.timeframe = k.t AND h.market = k.m AND h.month = k.o
""")  # noqa: S608 - constants only
_USAGE = sa.text("""
    SELECT count(object_name), count(object_name) FILTER (WHERE storage = 'cold'), count(DISTINCT object_name),
        count(DISTINCT revisions_name)
    FROM dataset_heads
""")
_REFERENCED = sa.text("SELECT object_name, revisions_name FROM dataset_heads")


def lock_heads(
    connection: sa.Connection, partitions: Sequence[PartitionId]
) -> tuple[dict[PartitionId, PartitionHead], set[PartitionId]]:
    """Lock the heads of partitions until the transaction ends; return them and those that did not exist before.

    Missing rows are inserted first and all are then locked, both in one order, so that writers never wait for each other in a
    circle. A writer waits up to LOCK_SECONDS for another one of the same partition.
    """
    if not partitions:
        return {}, set()
    keys = _keys(partitions)
    connection.execute(_LOCK_LIMITS)
    fresh = {_id(row) for row in connection.execute(_INSERT, keys)}
    heads = {head.partition: head for head in map(_head, connection.execute(_LOCK, keys))}
    connection.execute(_USUAL_LIMITS)
    return heads, fresh


def select_heads(
    connection: sa.Connection,
    dataset: str,
    timeframe: str,
    markets: Sequence[Market] | None = None,
    months: Sequence[str] | None = None,
    *,
    first_month: str = "",
    last_month: str = "9999",
) -> dict[PartitionId, PartitionHead]:
    """Return the heads of a dataset, oldest month first for each market; None means all."""
    rows = connection.execute(
        _SELECT,
        {
            "dataset": dataset,
            "timeframe": timeframe,
            "markets": None if markets is None else [market.key for market in markets],
            "months": None if months is None else list(months),
            "first_month": first_month,
            "last_month": last_month,
        },
    )
    return {head.partition: head for head in map(_head, rows)}


def select_hot_before(connection: sa.Connection, dataset: str, month: str) -> list[PartitionHead]:
    """Return the heads of a dataset, oldest first, of months before this one that hold something and are not archived."""
    return [_head(row) for row in connection.execute(_SELECT_HOT_BEFORE, {"dataset": dataset, "month": month})]


def update_heads(connection: sa.Connection, heads: Iterable[PartitionHead]) -> None:
    """Write locked heads in one statement."""
    changes = [
        {
            "dataset": head.partition.dataset,
            "timeframe": head.partition.timeframe,
            "market": head.partition.market.key,
            "month": head.partition.month,
            "content_hash": head.content_hash,
            "row_count": head.row_count,
            "first_open": head.first_open,
            "last_open": head.last_open,
            "revision_count": head.revision_count,
            "known_at": head.known_at_ms,
            "confirmed_holes": head.confirmed_holes,
            "object_name": head.object_name,
            "revisions_name": head.revisions_name,
            "holes": head.holes,
            "storage": head.storage,
        }
        for head in heads
    ]
    if changes:
        connection.execute(_UPDATE, {"changes": json.dumps(changes)})


def delete_heads(connection: sa.Connection, partitions: Sequence[PartitionId]) -> None:
    """Remove head rows that a transaction inserted to lock them and did not use."""
    if partitions:
        connection.execute(_DELETE, _keys(partitions))


def referenced_objects(connection: sa.Connection) -> set[str]:
    """Return the names of all objects that a head refers to."""
    return {name for row in connection.execute(_REFERENCED) for name in row if name is not None}


def storage_use(connection: sa.Connection) -> StorageUse:
    """Return how many months are stored and in how many objects."""
    return StorageUse(*connection.execute(_USAGE).one())


def _keys(partitions: Sequence[PartitionId]) -> dict[str, list[str]]:
    return {
        "datasets": [partition.dataset for partition in partitions],
        "timeframes": [partition.timeframe for partition in partitions],
        "markets": [partition.market.key for partition in partitions],
        "months": [partition.month for partition in partitions],
    }


def _id(row: Any) -> PartitionId:
    return PartitionId(row[0], parse_market(row[2]), row[1], row[3])


def _head(row: Any) -> PartitionHead:
    confirmed = tuple((start, end) for start, end in row[10])
    holes = None if row[13] is None else tuple((start, end) for start, end in row[13])
    return PartitionHead(_id(row), row[4], row[5], row[6], row[7], row[8], row[9], confirmed, row[11], row[12], holes, row[14])
