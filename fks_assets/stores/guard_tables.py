"""The tables of the stop guard: what it knows of prices, when it checked each position, and how much of the time that was so."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, text

from fks_assets.stores.table_base import MARKET_PATTERN, METADATA, TIME, market_column, money_column, numbers, one_of

GUARD_PRICES = Table(
    "guard_prices",
    METADATA,
    market_column(primary_key=True),
    money_column("price", nullable=True, comment="the last one that was believed"),
    Column("price_at", TIME, nullable=False, comment="when what the exchange says of the market last changed"),
    Column("told_at", TIME, comment="by the exchange, where it tells"),
    Column("digest", Text, nullable=False, comment="a hash of all that the exchange says of the market"),
    money_column("suspect", nullable=True, comment="a price far from the believed one that waits to be seen again"),
    Column("suspect_at", TIME),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    numbers("coalesce(price, 0)", "coalesce(suspect, 0)"),
    CheckConstraint("price > 0 AND suspect > 0", name="prices_positive"),
    CheckConstraint("(suspect IS NULL) = (suspect_at IS NULL)", name="suspect_has_time"),
    comment="The prices that the stop guard knows, a row a market",
)

STOP_CHECKS = Table(
    "stop_checks",
    METADATA,
    Column("deal_id", BigInteger, ForeignKey("deals.id"), primary_key=True, autoincrement=False),
    Column("since", TIME, nullable=False, comment="when the position was opened, or became known"),
    Column("checked_at", TIME, comment="the last check on a price that counts"),
    money_column("price", nullable=True, comment="of that check"),
    Column("price_at", TIME, comment="of that price"),
    Column("event", Text, comment="what the price asks for"),
    Column("event_at", TIME, comment="since when"),
    Column("confirmed_at", TIME, comment="when it was seen a second time and acted upon"),
    Column("triggers", Integer, nullable=False, server_default="0", comment="how often its stop was passed"),
    Column("breached_at", TIME, comment="since when it is known that it is not checked in time"),
    Column("accounted_to", TIME, nullable=False, comment="up to when the time is counted as covered or not"),
    Column("covered_ms", BigInteger, nullable=False, server_default="0", comment="of the running hour"),
    Column("uncovered_ms", BigInteger, nullable=False, server_default="0", comment="of the running hour"),
    numbers("coalesce(price, 0)"),
    one_of("event", ("STOPPED", "REACHED"), "event_known"),
    CheckConstraint(
        "(event IS NULL) = (event_at IS NULL) AND (confirmed_at IS NULL OR event IS NOT NULL)", name="event_has_time"
    ),
    CheckConstraint("num_nulls(checked_at, price, price_at) IN (0, 3)", name="check_has_price"),
    CheckConstraint("covered_ms >= 0 AND uncovered_ms >= 0 AND triggers >= 0", name="counts_not_negative"),
    comment="The proof that each open position is watched: when it was last checked, with which price",
)

STOP_COVERAGE = Table(
    "stop_coverage",
    METADATA,
    Column("deal_id", BigInteger, ForeignKey("deals.id"), primary_key=True, autoincrement=False),
    Column("hour", TIME, primary_key=True, comment="its beginning"),
    Column("covered_ms", BigInteger, nullable=False),
    Column("uncovered_ms", BigInteger, nullable=False),
    CheckConstraint("covered_ms >= 0 AND uncovered_ms >= 0", name="times_not_negative"),
    Index(None, "hour"),
    Index("ix_stop_coverage_gaps", "hour", postgresql_where=text("uncovered_ms > 3600000")),
    comment="For how long of each hour a position was watched, and for how long not; rows are kept",
)
