"""What validation found is kept; a backtest says on which settings it was made; a person's word for a strategy holds for a time."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE strategy_states
            ADD COLUMN holds_until TIMESTAMP WITH TIME ZONE,
            ADD COLUMN code_version TEXT,
            ADD COLUMN parameters_hash TEXT,
            ADD CONSTRAINT ck_strategy_states_word_is_whole CHECK (
                num_nulls(holds_until, code_version, parameters_hash) IN (0, 3) AND (enabled OR holds_until IS NULL)
            )
        """
    )
    op.execute(
        "COMMENT ON COLUMN strategy_states.holds_until IS 'until then a person''s word stands for this code and these parameters'"
    )
    op.execute("COMMENT ON COLUMN strategy_states.code_version IS 'of what a person switched on'")
    op.execute("COMMENT ON COLUMN strategy_states.parameters_hash IS 'of what a person switched on'")
    op.execute("ALTER TABLE backtest_results ADD COLUMN settings_hash TEXT DEFAULT '' NOT NULL")
    op.execute("COMMENT ON COLUMN backtest_results.settings_hash IS 'of window, timeframe, markets, rules and book'")
    op.execute(
        "COMMENT ON TABLE backtest_results IS "
        "'Daily backtests, the newest row of a name, day and settings counts; rows are only ever added'"
    )
    op.execute(
        r"""
        CREATE TABLE strategy_verdicts (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            name TEXT NOT NULL,
            day DATE NOT NULL,
            judged BOOLEAN NOT NULL,
            passed BOOLEAN NOT NULL,
            reason TEXT NOT NULL,
            code_version TEXT NOT NULL,
            parameters_hash TEXT NOT NULL,
            settings_hash TEXT NOT NULL,
            judged_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_strategy_verdicts PRIMARY KEY (id),
            CONSTRAINT ck_strategy_verdicts_name_form CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
            CONSTRAINT ck_strategy_verdicts_passed_when_judged CHECK (judged OR NOT passed),
            CONSTRAINT ck_strategy_verdicts_reason_has_words CHECK (reason <> '')
        )
        """
    )
    op.execute("CREATE INDEX ix_strategy_verdicts_name_day_id ON strategy_verdicts (name, day, id)")
    op.execute("COMMENT ON TABLE strategy_verdicts IS 'What validation found of each parameter set; rows are only ever added'")
    op.execute("COMMENT ON COLUMN strategy_verdicts.name IS 'of the parameter set'")
    op.execute("COMMENT ON COLUMN strategy_verdicts.day IS 'of the backtest that was judged, or the day that has none'")
    op.execute("COMMENT ON COLUMN strategy_verdicts.reason IS 'the outcome in words'")
    op.execute("COMMENT ON COLUMN strategy_verdicts.settings_hash IS 'of the desk''s standard backtest then'")


def downgrade() -> None:
    op.execute("DROP TABLE strategy_verdicts")
    op.execute(
        "COMMENT ON TABLE backtest_results IS 'Daily backtests, the newest row of a name and day counts; rows are only ever added'"
    )
    op.execute("ALTER TABLE backtest_results DROP COLUMN settings_hash")
    op.execute("ALTER TABLE strategy_states DROP COLUMN holds_until, DROP COLUMN code_version, DROP COLUMN parameters_hash")
