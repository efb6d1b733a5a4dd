"""The table of trade ideas."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, Integer, String, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from fks_assets.stores.table_base import MARKET_PATTERN, METADATA, TIME, market_column

TRADE_IDEAS = Table(
    "trade_ideas",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    market_column(),
    Column("timeframe", Text, nullable=False),
    Column("candle", TIME, nullable=False, comment="its open time"),
    Column("content_hash", String(64), nullable=False),
    Column("action", Text, nullable=False),
    Column("score", Integer, nullable=False),
    Column("band", Text, nullable=False),
    Column("document", JSONB, nullable=False, comment="the whole idea: points, strategies, prices, sizes"),
    Column("status", Text, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False, comment="when the candle is two timeframes old"),
    Column("decided_at", TIME),
    Column("decided_by", Text, comment="a person, or the desk"),
    Column("decision_reason", Text),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    CheckConstraint("content_hash ~ '^[0-9a-f]{64}$'", name="content_hash_form"),
    CheckConstraint("action IN ('BUY', 'SELL')", name="action_known"),
    CheckConstraint("score BETWEEN 0 AND 100", name="score_in_bounds"),
    CheckConstraint("band IN ('observe', 'pending_only', 'wait_rr', 'open_or_scale')", name="band_known"),
    CheckConstraint("status IN ('open', 'approved', 'rejected', 'expired')", name="status_known"),
    CheckConstraint(
        "num_nulls(decided_at, decided_by, decision_reason) = CASE WHEN status = 'open' THEN 3 ELSE 0 END",
        name="decision_has_who_when_why",
    ),
    UniqueConstraint("market", "timeframe", "candle", "content_hash", name="uq_trade_ideas_content"),
    Index("ix_trade_ideas_open", "timeframe", "market", postgresql_where=text("status = 'open'")),
    Index(None, "created_at"),
    comment="What the strategies say of closed candles, and what a person made of it",
)
