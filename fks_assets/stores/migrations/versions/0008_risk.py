"""The risk of accounts."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE risk_history (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            account TEXT NOT NULL,
            at TIMESTAMP WITH TIME ZONE NOT NULL,
            level TEXT NOT NULL,
            document JSONB NOT NULL,
            alarm JSONB,
            CONSTRAINT pk_risk_history PRIMARY KEY (id),
            CONSTRAINT fk_risk_history_account FOREIGN KEY (account) REFERENCES accounts (name),
            CONSTRAINT uq_risk_history_account UNIQUE (account, at),
            CONSTRAINT ck_risk_history_level_known CHECK (level IN ('NONE', 'LOW', 'MEDIUM', 'HIGH', 'UNKNOWN')),
            CONSTRAINT ck_risk_history_document_has_names CHECK (jsonb_typeof(document) = 'object'),
            CONSTRAINT ck_risk_history_alarm_of_high CHECK (
                CASE level WHEN 'HIGH' THEN alarm IS NOT NULL WHEN 'UNKNOWN' THEN true ELSE alarm IS NULL END)
        )
        """
    )
    op.execute("COMMENT ON TABLE risk_history IS 'The risk of each account at each look'")
    op.execute("COMMENT ON COLUMN risk_history.document IS 'figures as exact text, reasons, what is not known and why'")
    op.execute(
        "COMMENT ON COLUMN risk_history.alarm IS "
        "'since when the risk is HIGH, why, and when people were last told; empty: it is not'"
    )


def downgrade() -> None:
    op.execute("DROP TABLE risk_history")
