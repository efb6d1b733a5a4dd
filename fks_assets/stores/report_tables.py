"""The table of account reports."""

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, ForeignKey, Identity, Index, String, Table, Text, func

from fks_assets.stores.table_base import METADATA, TIME, one_of

ACCOUNT_REPORTS = Table(
    "account_reports",
    METADATA,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("account", Text, ForeignKey("accounts.name"), nullable=False),
    Column("type", Text, nullable=False),
    Column("start", TIME, nullable=False, comment="of the period"),
    Column("through", TIME, nullable=False, comment="up to when it tells of the period"),
    Column("document", JSON, nullable=False, comment="as text, so that the same report is the same bytes"),
    Column("content_hash", String(64), nullable=False),
    Column("run_id", Text, nullable=False),
    Column("recorded_at", TIME, nullable=False, server_default=func.clock_timestamp()),
    one_of("type", ("daily", "weekly", "monthly"), "type_known"),
    CheckConstraint("through > start", name="tells_of_some_time"),
    CheckConstraint("json_typeof(document) = 'object'", name="document_has_names"),
    CheckConstraint("content_hash ~ '^[0-9a-f]{64}$'", name="content_hash_form"),
    Index(None, "account", "type", "start", "id"),
    comment="Reports of accounts, the newest row of a period counts; rows are only ever added",
)
