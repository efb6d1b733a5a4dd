"""Funding rates of perpetual markets."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        r"""
        CREATE TABLE funding_rates (
            market TEXT NOT NULL,
            time TIMESTAMP WITH TIME ZONE NOT NULL,
            known_at TIMESTAMP WITH TIME ZONE NOT NULL,
            rate NUMERIC(38, 18) NOT NULL,
            CONSTRAINT pk_funding_rates PRIMARY KEY (market, time, known_at),
            CONSTRAINT ck_funding_rates_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_funding_rates_rate_in_bounds CHECK (abs(rate) <= 1)
        )
        """
    )
    op.execute(
        "COMMENT ON TABLE funding_rates IS 'What a long position pays, as a fraction of its value; "
        "a rate that changed is another row, rows are only ever added'"
    )
    op.execute("COMMENT ON COLUMN funding_rates.market IS 'BASE-QUOTE@exchange'")
    op.execute("COMMENT ON COLUMN funding_rates.time IS 'when it was due, whole hours'")
    op.execute("COMMENT ON COLUMN funding_rates.known_at IS 'when it was first seen so; the newest row of a time counts'")


def downgrade() -> None:
    op.execute("DROP TABLE funding_rates")
