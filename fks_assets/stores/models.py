"""The tables of the desk's database. Migrations create them; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)
MARKET_PATTERN = "^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$"
MONTH_PATTERN = "^[0-9]{4}-(0[1-9]|1[0-2])$"
TIME = TIMESTAMP(timezone=True)


def _market(**options: bool) -> Column[str]:
    return Column("market", Text, nullable=False, comment="BASE-QUOTE@exchange", **options)


DATASET_HEADS = Table(
    "dataset_heads",
    METADATA,
    Column("dataset", Text, primary_key=True, comment="ohlcv, indicators or signals.<strategy>"),
    Column("timeframe", Text, primary_key=True),
    _market(primary_key=True),
    Column("month", String(7), primary_key=True, comment="UTC month, YYYY-MM"),
    Column("content_hash", String(64), nullable=False, comment="SHA-256 of the rows without their knowledge time"),
    Column("row_count", Integer, nullable=False, server_default="0"),
    Column("first_open", TIME, comment="open time of the oldest row"),
    Column("last_open", TIME, comment="open time of the newest row"),
    Column("revision_count", Integer, nullable=False, server_default="0", comment="rows that were replaced or removed"),
    Column("known_at", TIME, comment="when the newest change became known"),
    Column("confirmed_holes", JSONB, nullable=False, server_default="[]", comment="[start_ms, end_ms) without candles"),
    Column("object_name", Text, comment="Parquet object of the rows, below the root of the candle store"),
    Column("revisions_name", Text, comment="Parquet object of the replaced and removed rows"),
    Column("updated_at", TIME, nullable=False, server_default=func.now()),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    CheckConstraint(f"month ~ '{MONTH_PATTERN}'", name="month_form"),
    CheckConstraint("content_hash ~ '^[0-9a-f]{64}$'", name="content_hash_form"),
    CheckConstraint("row_count >= 0 AND revision_count >= 0", name="counts_not_negative"),
    CheckConstraint("(row_count = 0) = (object_name IS NULL)", name="object_holds_rows"),
    CheckConstraint("(revision_count = 0) = (revisions_name IS NULL)", name="revisions_hold_rows"),
    CheckConstraint("(row_count = 0) = (first_open IS NULL)", name="first_open_of_rows"),
    CheckConstraint("(row_count = 0) = (last_open IS NULL)", name="last_open_of_rows"),
    CheckConstraint("first_open <= last_open", name="bounds_in_order"),
    comment="For each partition, the immutable object that holds its rows now",
)

PARTITION_INPUTS = Table(
    "partition_inputs",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("asset", Text, nullable=False),
    Column("partition", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("code_version", Text, nullable=False),
    Column("settings_hash", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("inputs", JSONB, nullable=False, comment="[{asset, partition, content_hash}] that this result was made from"),
    Column("row_count", Integer, nullable=False),
    Column("recorded_at", TIME, nullable=False, server_default=func.clock_timestamp()),
    CheckConstraint("row_count >= 0", name="row_count_not_negative"),
    CheckConstraint("jsonb_typeof(inputs) = 'array'", name="inputs_are_a_list"),
    Index(None, "asset", "partition", "id"),
    comment="What each materialised partition was made from; rows are only ever added",
)

SYNC_STATUS = Table(
    "sync_status",
    METADATA,
    _market(primary_key=True),
    Column("timeframe", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("oldest_open", TIME),
    Column("newest_open", TIME),
    Column("total_candles", BigInteger),
    Column("error_message", Text, comment="why the last sync failed, empty after a success"),
    Column("last_attempt_at", TIME, nullable=False),
    Column("last_success_at", TIME),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    CheckConstraint("state IN ('PENDING', 'SYNCING', 'COMPLETED', 'ERROR')", name="state_known"),
    CheckConstraint("state <> 'ERROR' OR error_message IS NOT NULL", name="error_has_words"),
    CheckConstraint("total_candles >= 0", name="total_not_negative"),
    CheckConstraint("oldest_open <= newest_open", name="opens_in_order"),
    comment="How the synchronisation of each market and timeframe stands",
)

RATE_BUDGETS = Table(
    "rate_budgets",
    METADATA,
    Column("exchange", Text, primary_key=True),
    Column("address", Text, primary_key=True, comment="network address from which the exchange counts the requests"),
    Column("tokens", Double, nullable=False, comment="request weight left"),
    Column("refilled_at", TIME, nullable=False),
    Column("blocked_until", TIME, comment="no request before this time"),
    Column("reason", Text, comment="why requests are blocked"),
    CheckConstraint("tokens <> 'NaN'", name="tokens_is_a_number"),
    comment="Request weight that all processes of one network address share",
)
