"""The tables of the desk's database. Migrations create them; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    func,
    text,
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
STRATEGY_PATTERN = "^[a-z][a-z0-9_]{0,39}$"
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
    Column("holes", JSONB, comment="[start_ms, end_ms) between the rows that lack one, NULL: not noted yet"),
    Column(
        "storage", Text, nullable=False, server_default="hot", comment="hot, or cold when archived: where the rows' object is"
    ),
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
    CheckConstraint("storage IN ('hot', 'cold')", name="storage_known"),
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
    Index("ix_partition_inputs_inputs", "inputs", postgresql_using="gin", postgresql_ops={"inputs": "jsonb_path_ops"}),
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

GAP_RECORDS = Table(
    "gap_records",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _market(),
    Column("timeframe", Text, nullable=False),
    Column("interval_minutes", Integer, nullable=False),
    Column("gap_start", TIME, nullable=False, comment="open time of the first missing candle"),
    Column("gap_end", TIME, nullable=False, comment="open time after the last missing candle"),
    Column("missing_candles", Integer, nullable=False, comment="candles that are missing now; of a FILLED gap, that were"),
    Column("is_api_fillable", Boolean, nullable=False, comment="the exchange can still be asked for all of it"),
    Column(
        "overflow_candles", Integer, nullable=False, server_default="0", comment="missing candles that the API no longer reaches"
    ),
    Column("candles_from_today", Integer, nullable=False, comment="candles between the start of the gap and its last judgement"),
    Column("status", Text, nullable=False),
    Column("cause", Text, comment="empty until it is known"),
    Column("detected_at", TIME, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("attempted_at", TIME),
    Column("next_attempt_at", TIME, comment="a FAILED gap is tried again from then on"),
    Column("filled_at", TIME),
    Column("filled_candles", Integer, nullable=False, server_default="0"),
    Column("required_csv_file", Text, comment="the file of the exchange's dump that holds what the API does not"),
    Column("error_message", Text),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    CheckConstraint("status IN ('DETECTED', 'BACKFILLING', 'FILLED', 'UNFILLABLE', 'FAILED')", name="status_known"),
    CheckConstraint(
        "cause IN ('never_listed', 'venue_down', 'no_trades', 'fetch_failed', 'beyond_api_limit')", name="cause_known"
    ),
    CheckConstraint("gap_start < gap_end", name="bounds_in_order"),
    CheckConstraint("missing_candles > 0 AND overflow_candles BETWEEN 0 AND missing_candles", name="counts_in_bounds"),
    CheckConstraint("(status = 'FILLED') = (filled_at IS NOT NULL)", name="filled_has_time"),
    CheckConstraint("status <> 'FAILED' OR error_message IS NOT NULL", name="failed_has_words"),
    Index("uq_gap_records_open", "market", "timeframe", "gap_start", unique=True, postgresql_where=text("status <> 'FILLED'")),
    Index("ix_gap_records_status", "status", "next_attempt_at"),
    comment="Holes in the candles, one row each, updated until they are filled or explained",
)

QUARANTINED_ROWS = Table(
    "quarantined_rows",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _market(),
    Column("timeframe", Text, nullable=False),
    Column("open_time", TIME, nullable=False, comment="as the row gave it, on the grid or not"),
    Column("open", Double),
    Column("high", Double),
    Column("low", Double),
    Column("close", Double),
    Column("volume", Double),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False, comment="exchange, or the file that it came from"),
    Column("first_seen_at", TIME, nullable=False),
    Column("last_seen_at", TIME, nullable=False),
    Column("times_seen", Integer, nullable=False, server_default="1"),
    Column("resolved_at", TIME),
    Column("resolution", Text, comment="what ended it: replaced by a usable row, or accepted by a person"),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    CheckConstraint(
        "kind IN ('not_a_number', 'not_finite', 'not_positive', 'crossed', 'off_grid', 'future', 'spike', 'stuck', 'malformed')",
        name="kind_known",
    ),
    CheckConstraint("(resolved_at IS NULL) = (resolution IS NULL)", name="resolution_has_time"),
    Index(
        "uq_quarantined_rows_open",
        "market",
        "timeframe",
        "open_time",
        "kind",
        unique=True,
        postgresql_where=text("resolved_at IS NULL"),
    ),
    comment="Rows that reach no indicator, stop or balance, with the reason",
)

MARKET_CHECKS = Table(
    "market_checks",
    METADATA,
    _market(primary_key=True),
    Column("timeframe", Text, primary_key=True),
    Column("name", Text, primary_key=True, comment="complete, sane, fresh, quarantine or revisions"),
    Column("passed", Boolean, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("since", TIME, nullable=False, comment="when it last turned"),
    Column("checked_at", TIME, nullable=False),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    CheckConstraint("passed OR reason <> ''", name="failure_has_words"),
    comment="Whether the candles of each market may be traded on",
)

NOTIFICATIONS = Table(
    "notifications",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("dedup_key", Text, nullable=False, unique=True, comment="one message for each key, however often it is raised"),
    Column("created_at", TIME, nullable=False, server_default=func.clock_timestamp()),
    CheckConstraint("severity IN ('INFO', 'WARN', 'HIGH', 'URGENT')", name="severity_known"),
    comment="Messages to people, written in the transaction of what they tell of",
)

MARKET_RULES = Table(
    "market_rules",
    METADATA,
    _market(primary_key=True),
    Column("valid_from", TIME, primary_key=True, comment="when these rules were first seen"),
    Column("status", Text, nullable=False, comment="trading, halted or delisted"),
    Column("tick_size", Numeric(38, 18)),
    Column("lot_size", Numeric(38, 18)),
    Column("min_quantity", Numeric(38, 18)),
    Column("max_quantity", Numeric(38, 18)),
    Column("min_notional", Numeric(38, 18)),
    Column("maker_fee", Numeric(38, 18), comment="fraction of the value, 0.001 is 0.1 %"),
    Column("taker_fee", Numeric(38, 18), comment="fraction of the value"),
    Column("content_hash", String(64), nullable=False),
    Column("last_seen_at", TIME, nullable=False, comment="when they were last seen unchanged"),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    CheckConstraint("status IN ('trading', 'halted', 'delisted')", name="status_known"),
    CheckConstraint("content_hash ~ '^[0-9a-f]{64}$'", name="content_hash_form"),
    CheckConstraint("valid_from <= last_seen_at", name="times_in_order"),
    comment="Trading rules of each market, a row for each time they changed",
)

STRATEGY_PARAMETERS = Table(
    "strategy_parameters",
    METADATA,
    Column("name", Text, primary_key=True, comment="of the parameter set"),
    Column("version", Integer, primary_key=True, comment="1, 2, 3, …"),
    Column("strategy", Text, nullable=False, comment="the strategy that the parameters are for"),
    Column("parameters", JSONB, nullable=False, comment="every parameter by name"),
    Column("removed", Boolean, nullable=False, comment="from this version on the set is not in force"),
    Column("changed_at", TIME, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    CheckConstraint(f"name ~ '{STRATEGY_PATTERN}' AND strategy ~ '{STRATEGY_PATTERN}'", name="names_form"),
    CheckConstraint("version > 0", name="version_counts_from_one"),
    CheckConstraint("jsonb_typeof(parameters) = 'object'", name="parameters_have_names"),
    CheckConstraint("changed_by <> ''", name="changed_by_someone"),
    comment="Every version of every parameter set; rows are only ever added",
)

STRATEGY_STATES = Table(
    "strategy_states",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, comment="of the parameter set"),
    Column("enabled", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_at", TIME, nullable=False),
    Column("changed_by", Text, nullable=False, comment="a person, or validation"),
    CheckConstraint(f"name ~ '{STRATEGY_PATTERN}'", name="name_form"),
    CheckConstraint("reason <> ''", name="reason_has_words"),
    CheckConstraint("changed_by <> ''", name="changed_by_someone"),
    Index(None, "name", "id"),
    comment="Each time a strategy was switched off or on; rows are only ever added, without any it is on",
)

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("strategy", Text, nullable=False),
    Column("code_version", Text, nullable=False),
    Column("parameters_hash", Text, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("accused", Boolean, nullable=False, comment="something was found, which no later certificate of this version undoes"),
    Column("document", JSONB, nullable=False, comment="what was checked, on which candles, and what was found"),
    Column("issued_at", TIME, nullable=False),
    CheckConstraint(f"strategy ~ '{STRATEGY_PATTERN}'", name="strategy_form"),
    CheckConstraint("NOT (passed AND accused)", name="passed_without_findings"),
    Index(None, "strategy", "code_version", "parameters_hash", "id"),
    comment="Whether a version of a strategy's code uses the past alone; rows are only ever added",
)

BACKTEST_RESULTS = Table(
    "backtest_results",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, comment="of the parameter set"),
    Column("day", Date, nullable=False, comment="the backtest ends where this UTC day begins"),
    Column("document", JSONB, nullable=False, comment="rules, markets, period, metrics and inputs"),
    Column("order_list_hash", String(64), nullable=False),
    Column("code_version", Text, nullable=False),
    Column("parameters_hash", Text, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("run_id", Text, nullable=False),
    Column("recorded_at", TIME, nullable=False, server_default=func.clock_timestamp()),
    CheckConstraint(f"name ~ '{STRATEGY_PATTERN}'", name="name_form"),
    CheckConstraint("order_list_hash ~ '^[0-9a-f]{64}$' AND content_hash ~ '^[0-9a-f]{64}$'", name="hashes_form"),
    Index(None, "name", "day", "id"),
    comment="Daily backtests, the newest row of a name and day counts; rows are only ever added",
)
