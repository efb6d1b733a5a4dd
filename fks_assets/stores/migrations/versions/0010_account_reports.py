"""Reports of accounts: a day, a week, a month."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE account_reports (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            account TEXT NOT NULL,
            type TEXT NOT NULL,
            start TIMESTAMP WITH TIME ZONE NOT NULL,
            through TIMESTAMP WITH TIME ZONE NOT NULL,
            document JSON NOT NULL,
            content_hash VARCHAR(64) NOT NULL,
            run_id TEXT NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
            CONSTRAINT pk_account_reports PRIMARY KEY (id),
            CONSTRAINT fk_account_reports_account FOREIGN KEY (account) REFERENCES accounts (name),
            CONSTRAINT ck_account_reports_type_known CHECK (type IN ('daily', 'weekly', 'monthly')),
            CONSTRAINT ck_account_reports_tells_of_some_time CHECK (through > start),
            CONSTRAINT ck_account_reports_document_has_names CHECK (json_typeof(document) = 'object'),
            CONSTRAINT ck_account_reports_content_hash_form CHECK (content_hash ~ '^[0-9a-f]{64}$')
        )
        """
    )
    op.execute("CREATE INDEX ix_account_reports_account_type_start_id ON account_reports (account, type, start, id)")
    op.execute(
        "COMMENT ON TABLE account_reports IS 'Reports of accounts, the newest row of a period counts; rows are only ever added'"
    )
    op.execute("COMMENT ON COLUMN account_reports.start IS 'of the period'")
    op.execute("COMMENT ON COLUMN account_reports.through IS 'up to when it tells of the period'")
    op.execute("COMMENT ON COLUMN account_reports.document IS 'as text, so that the same report is the same bytes'")


def downgrade() -> None:
    op.execute("DROP TABLE account_reports")
