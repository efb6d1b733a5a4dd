"""What all table definitions share: the naming of constraints, the forms of names, columns for times, markets and money."""

from typing import Any

from sqlalchemy import CheckConstraint, Column, MetaData, Numeric, Text
from sqlalchemy.dialects.postgresql import TIMESTAMP

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)
MARKET_PATTERN = "^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$"
MONTH_PATTERN = "^[0-9]{4}-(0[1-9]|1[0-2])$"
STRATEGY_PATTERN = "^[a-z][a-z0-9_]{0,39}$"
CURRENCY_PATTERN = "^[A-Z0-9]{1,20}$"
EXCHANGE_PATTERN = "^[a-z0-9]{1,20}$"
CLIENT_ID_PATTERN = "^[A-Z2-7]{32}$"
TIME = TIMESTAMP(timezone=True)


def market_column(**options: bool) -> Column[str]:
    """Return the column `market`."""
    return Column("market", Text, nullable=False, comment="BASE-QUOTE@exchange", **options)


def money_column(name: str, *, nullable: bool = False, **options: Any) -> Column[Any]:
    """Return a column of 20 digits before and 18 after the point. NaN has to be refused by `numbers`."""
    return Column(name, Numeric(38, 18), nullable=nullable, **options)


def numbers(*columns: str) -> CheckConstraint:
    """Return the check that none of the columns is NaN, which NUMERIC would take and which is above every bound."""
    return CheckConstraint(" AND ".join(f"{column} <> 'NaN'" for column in columns), name="numbers_are_numbers")


def one_of(column: str, values: tuple[str, ...], name: str) -> CheckConstraint:
    """Return the check that a column holds one of the values."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=name)
