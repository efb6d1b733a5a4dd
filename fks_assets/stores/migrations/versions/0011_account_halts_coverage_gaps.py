"""A halt of a strategy or a market may bind one account alone; hours in which nobody looked at a stop are one row."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE halts
            ADD COLUMN account TEXT,
            ADD CONSTRAINT fk_halts_account FOREIGN KEY (account) REFERENCES accounts (name),
            ADD CONSTRAINT ck_halts_account_of_a_part CHECK (account IS NULL OR scope IN ('strategy', 'market'))
        """
    )
    op.execute("COMMENT ON COLUMN halts.account IS 'whom alone the halt of a strategy or a market binds; empty: every account'")
    op.execute("CREATE INDEX ix_stop_coverage_gaps ON stop_coverage (hour) WHERE uncovered_ms > 3600000")


def downgrade() -> None:
    op.execute("DROP INDEX ix_stop_coverage_gaps")
    # Without the column a halt of one account would bind them all.
    op.execute("ALTER TABLE halts DROP COLUMN account")
