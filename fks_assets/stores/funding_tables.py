"""The table of funding rates."""

from sqlalchemy import CheckConstraint, Column, Table

from fks_assets.stores.table_base import MARKET_PATTERN, METADATA, TIME, market_column, money_column

FUNDING_RATES = Table(
    "funding_rates",
    METADATA,
    market_column(primary_key=True),
    Column("time", TIME, primary_key=True, comment="when it was due, whole hours"),
    Column("known_at", TIME, primary_key=True, comment="when it was first seen so; the newest row of a time counts"),
    money_column("rate"),
    CheckConstraint(f"market ~ '{MARKET_PATTERN}'", name="market_form"),
    CheckConstraint("abs(rate) <= 1", name="rate_in_bounds"),
    comment="What a long position pays, as a fraction of its value; a rate that changed is another row, rows are only ever added",
)
