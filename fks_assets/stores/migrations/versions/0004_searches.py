"""Searches of parameters, and the windows of walk-forward tests."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        r"""
        CREATE TABLE parameter_searches (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            name TEXT NOT NULL,
            strategy TEXT NOT NULL,
            document JSONB NOT NULL,
            code_version TEXT NOT NULL,
            parameters_hash TEXT,
            content_hash VARCHAR(64) NOT NULL,
            run_id TEXT NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
            CONSTRAINT pk_parameter_searches PRIMARY KEY (id),
            CONSTRAINT ck_parameter_searches_names_form CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$' AND strategy ~ '^[a-z][a-z0-9_]{0,39}$'),
            CONSTRAINT ck_parameter_searches_content_hash_form CHECK (content_hash ~ '^[0-9a-f]{64}$')
        )
        """
    )
    op.execute("CREATE INDEX ix_parameter_searches_name_id ON parameter_searches (name, id)")
    op.execute("COMMENT ON TABLE parameter_searches IS 'Searches of the parameters of a strategy; rows are only ever added'")
    op.execute("COMMENT ON COLUMN parameter_searches.name IS 'of the parameter set for which was searched'")
    op.execute(
        "COMMENT ON COLUMN parameter_searches.document IS 'what was searched on which candles, every trial, and what it is worth'"
    )
    op.execute(
        "COMMENT ON COLUMN parameter_searches.parameters_hash IS 'of the best parameters; NULL where no trial could be chosen'"
    )
    op.execute(
        r"""
        CREATE TABLE walk_forward_windows (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            strategy TEXT NOT NULL,
            month TEXT NOT NULL,
            document JSONB NOT NULL,
            code_version TEXT NOT NULL,
            settings_hash TEXT NOT NULL,
            content_hash VARCHAR(64) NOT NULL,
            run_id TEXT NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
            CONSTRAINT pk_walk_forward_windows PRIMARY KEY (id),
            CONSTRAINT ck_walk_forward_windows_strategy_form CHECK (strategy ~ '^[a-z][a-z0-9_]{0,39}$'),
            CONSTRAINT ck_walk_forward_windows_month_form CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
            CONSTRAINT ck_walk_forward_windows_content_hash_form CHECK (content_hash ~ '^[0-9a-f]{64}$')
        )
        """
    )
    op.execute("CREATE INDEX ix_walk_forward_windows_strategy_month_id ON walk_forward_windows (strategy, month, id)")
    op.execute(
        "COMMENT ON TABLE walk_forward_windows IS "
        "'Out-of-sample months, the newest row of a strategy and month counts; rows are only ever added'"
    )
    op.execute("COMMENT ON COLUMN walk_forward_windows.month IS 'out of sample; the search saw only candles before it'")
    op.execute("COMMENT ON COLUMN walk_forward_windows.document IS 'what was chosen in sample, and what it gave out of sample'")
    op.execute(
        "COMMENT ON COLUMN walk_forward_windows.settings_hash IS 'of how was searched: windows of one hash belong together'"
    )


def downgrade() -> None:
    op.execute("DROP TABLE walk_forward_windows, parameter_searches")
