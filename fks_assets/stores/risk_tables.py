"""The table of risk figures."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Identity, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from fks_assets.stores.table_base import METADATA, TIME, one_of

RISK_HISTORY = Table(
    "risk_history",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("account", Text, ForeignKey("accounts.name"), nullable=False),
    Column("at", TIME, nullable=False),
    Column("level", Text, nullable=False),
    Column("document", JSONB, nullable=False, comment="figures as exact text, reasons, what is not known and why"),
    Column("alarm", JSONB, comment="since when the risk is HIGH, why, and when people were last told; empty: it is not"),
    one_of("level", ("NONE", "LOW", "MEDIUM", "HIGH", "UNKNOWN"), "level_known"),
    CheckConstraint("jsonb_typeof(document) = 'object'", name="document_has_names"),
    CheckConstraint(
        "CASE level WHEN 'HIGH' THEN alarm IS NOT NULL WHEN 'UNKNOWN' THEN true ELSE alarm IS NULL END", name="alarm_of_high"
    ),
    UniqueConstraint("account", "at"),
    comment="The risk of each account at each look",
)
