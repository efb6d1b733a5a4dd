"""Strategies: versions of their parameters, whether they are switched on, certificates, daily backtests."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        r"""
        CREATE TABLE strategy_parameters (
            name TEXT NOT NULL,
            version INTEGER NOT NULL,
            strategy TEXT NOT NULL,
            parameters JSONB NOT NULL,
            removed BOOLEAN NOT NULL,
            changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            changed_by TEXT NOT NULL,
            note TEXT DEFAULT '' NOT NULL,
            CONSTRAINT pk_strategy_parameters PRIMARY KEY (name, version),
            CONSTRAINT ck_strategy_parameters_names_form CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$' AND strategy ~ '^[a-z][a-z0-9_]{0,39}$'),
            CONSTRAINT ck_strategy_parameters_version_counts_from_one CHECK (version > 0),
            CONSTRAINT ck_strategy_parameters_parameters_have_names CHECK (jsonb_typeof(parameters) = 'object'),
            CONSTRAINT ck_strategy_parameters_changed_by_someone CHECK (changed_by <> '')
        )
        """
    )
    op.execute("COMMENT ON TABLE strategy_parameters IS 'Every version of every parameter set; rows are only ever added'")
    op.execute("COMMENT ON COLUMN strategy_parameters.name IS 'of the parameter set'")
    op.execute("COMMENT ON COLUMN strategy_parameters.version IS '1, 2, 3, …'")
    op.execute("COMMENT ON COLUMN strategy_parameters.strategy IS 'the strategy that the parameters are for'")
    op.execute("COMMENT ON COLUMN strategy_parameters.parameters IS 'every parameter by name'")
    op.execute("COMMENT ON COLUMN strategy_parameters.removed IS 'from this version on the set is not in force'")
    op.execute(
        r"""
        CREATE TABLE strategy_states (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            name TEXT NOT NULL,
            enabled BOOLEAN NOT NULL,
            reason TEXT NOT NULL,
            changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            changed_by TEXT NOT NULL,
            CONSTRAINT pk_strategy_states PRIMARY KEY (id),
            CONSTRAINT ck_strategy_states_name_form CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
            CONSTRAINT ck_strategy_states_reason_has_words CHECK (reason <> ''),
            CONSTRAINT ck_strategy_states_changed_by_someone CHECK (changed_by <> '')
        )
        """
    )
    op.execute("CREATE INDEX ix_strategy_states_name_id ON strategy_states (name, id)")
    op.execute(
        "COMMENT ON TABLE strategy_states IS "
        "'Each time a strategy was switched off or on; rows are only ever added, without any it is on'"
    )
    op.execute("COMMENT ON COLUMN strategy_states.name IS 'of the parameter set'")
    op.execute("COMMENT ON COLUMN strategy_states.changed_by IS 'a person, or validation'")
    op.execute(
        r"""
        CREATE TABLE certificates (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            strategy TEXT NOT NULL,
            code_version TEXT NOT NULL,
            parameters_hash TEXT NOT NULL,
            passed BOOLEAN NOT NULL,
            accused BOOLEAN NOT NULL,
            document JSONB NOT NULL,
            issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_certificates PRIMARY KEY (id),
            CONSTRAINT ck_certificates_strategy_form CHECK (strategy ~ '^[a-z][a-z0-9_]{0,39}$'),
            CONSTRAINT ck_certificates_passed_without_findings CHECK (NOT (passed AND accused))
        )
        """
    )
    op.execute(
        "CREATE INDEX ix_certificates_strategy_code_version_parameters_hash_id "
        "ON certificates (strategy, code_version, parameters_hash, id)"
    )
    op.execute(
        "COMMENT ON TABLE certificates IS 'Whether a version of a strategy''s code uses the past alone; rows are only ever added'"
    )
    op.execute(
        "COMMENT ON COLUMN certificates.accused IS 'something was found, which no later certificate of this version undoes'"
    )
    op.execute("COMMENT ON COLUMN certificates.document IS 'what was checked, on which candles, and what was found'")
    op.execute(
        r"""
        CREATE TABLE backtest_results (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            name TEXT NOT NULL,
            day DATE NOT NULL,
            document JSONB NOT NULL,
            order_list_hash VARCHAR(64) NOT NULL,
            code_version TEXT NOT NULL,
            parameters_hash TEXT NOT NULL,
            content_hash VARCHAR(64) NOT NULL,
            run_id TEXT NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
            CONSTRAINT pk_backtest_results PRIMARY KEY (id),
            CONSTRAINT ck_backtest_results_name_form CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
            CONSTRAINT ck_backtest_results_hashes_form CHECK (order_list_hash ~ '^[0-9a-f]{64}$' AND content_hash ~ '^[0-9a-f]{64}$')
        )
        """
    )
    op.execute("CREATE INDEX ix_backtest_results_name_day_id ON backtest_results (name, day, id)")
    op.execute(
        "COMMENT ON TABLE backtest_results IS "
        "'Daily backtests, the newest row of a name and day counts; rows are only ever added'"
    )
    op.execute("COMMENT ON COLUMN backtest_results.name IS 'of the parameter set'")
    op.execute("COMMENT ON COLUMN backtest_results.day IS 'the backtest ends where this UTC day begins'")
    op.execute("COMMENT ON COLUMN backtest_results.document IS 'rules, markets, period, metrics and inputs'")


def downgrade() -> None:
    op.execute("DROP TABLE backtest_results, certificates, strategy_states, strategy_parameters")
