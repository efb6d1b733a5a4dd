"""Gap records, quarantine, market checks, notifications, market rules; holes and storage of candle heads."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE dataset_heads ADD COLUMN holes JSONB, ADD COLUMN storage TEXT DEFAULT 'hot' NOT NULL")
    op.execute("ALTER TABLE dataset_heads ADD CONSTRAINT ck_dataset_heads_storage_known CHECK (storage IN ('hot', 'cold'))")
    op.execute(
        "COMMENT ON COLUMN dataset_heads.holes IS '[start_ms, end_ms) between the rows that lack one, NULL: not noted yet'"
    )
    op.execute("COMMENT ON COLUMN dataset_heads.storage IS 'hot, or cold when archived: where the rows'' object is'")
    op.execute("CREATE INDEX ix_partition_inputs_inputs ON partition_inputs USING gin (inputs jsonb_path_ops)")
    op.execute(
        r"""
        CREATE TABLE gap_records (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            market TEXT NOT NULL,
            timeframe TEXT NOT NULL,
            interval_minutes INTEGER NOT NULL,
            gap_start TIMESTAMP WITH TIME ZONE NOT NULL,
            gap_end TIMESTAMP WITH TIME ZONE NOT NULL,
            missing_candles INTEGER NOT NULL,
            is_api_fillable BOOLEAN NOT NULL,
            overflow_candles INTEGER DEFAULT '0' NOT NULL,
            candles_from_today INTEGER NOT NULL,
            status TEXT NOT NULL,
            cause TEXT,
            detected_at TIMESTAMP WITH TIME ZONE NOT NULL,
            attempts INTEGER DEFAULT '0' NOT NULL,
            attempted_at TIMESTAMP WITH TIME ZONE,
            next_attempt_at TIMESTAMP WITH TIME ZONE,
            filled_at TIMESTAMP WITH TIME ZONE,
            filled_candles INTEGER DEFAULT '0' NOT NULL,
            required_csv_file TEXT,
            error_message TEXT,
            CONSTRAINT pk_gap_records PRIMARY KEY (id),
            CONSTRAINT ck_gap_records_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_gap_records_status_known CHECK (status IN ('DETECTED', 'BACKFILLING', 'FILLED', 'UNFILLABLE', 'FAILED')),
            CONSTRAINT ck_gap_records_cause_known CHECK (cause IN ('never_listed', 'venue_down', 'no_trades', 'fetch_failed', 'beyond_api_limit')),
            CONSTRAINT ck_gap_records_bounds_in_order CHECK (gap_start < gap_end),
            CONSTRAINT ck_gap_records_counts_in_bounds CHECK (missing_candles > 0 AND overflow_candles BETWEEN 0 AND missing_candles),
            CONSTRAINT ck_gap_records_filled_has_time CHECK ((status = 'FILLED') = (filled_at IS NOT NULL)),
            CONSTRAINT ck_gap_records_failed_has_words CHECK (status <> 'FAILED' OR error_message IS NOT NULL)
        )
        """
    )
    op.execute("CREATE INDEX ix_gap_records_status ON gap_records (status, next_attempt_at)")
    op.execute("CREATE UNIQUE INDEX uq_gap_records_open ON gap_records (market, timeframe, gap_start) WHERE status <> 'FILLED'")
    op.execute("COMMENT ON TABLE gap_records IS 'Holes in the candles, one row each, updated until they are filled or explained'")
    op.execute("COMMENT ON COLUMN gap_records.market IS 'BASE-QUOTE@exchange'")
    op.execute("COMMENT ON COLUMN gap_records.gap_start IS 'open time of the first missing candle'")
    op.execute("COMMENT ON COLUMN gap_records.gap_end IS 'open time after the last missing candle'")
    op.execute("COMMENT ON COLUMN gap_records.missing_candles IS 'candles that are missing now; of a FILLED gap, that were'")
    op.execute("COMMENT ON COLUMN gap_records.is_api_fillable IS 'the exchange can still be asked for all of it'")
    op.execute("COMMENT ON COLUMN gap_records.overflow_candles IS 'missing candles that the API no longer reaches'")
    op.execute(
        "COMMENT ON COLUMN gap_records.candles_from_today IS 'candles between the start of the gap and its last judgement'"
    )
    op.execute("COMMENT ON COLUMN gap_records.cause IS 'empty until it is known'")
    op.execute("COMMENT ON COLUMN gap_records.next_attempt_at IS 'a FAILED gap is tried again from then on'")
    op.execute(
        "COMMENT ON COLUMN gap_records.required_csv_file IS 'the file of the exchange''s dump that holds what the API does not'"
    )
    op.execute(
        r"""
        CREATE TABLE market_checks (
            market TEXT NOT NULL,
            timeframe TEXT NOT NULL,
            name TEXT NOT NULL,
            passed BOOLEAN NOT NULL,
            reason TEXT DEFAULT '' NOT NULL,
            since TIMESTAMP WITH TIME ZONE NOT NULL,
            checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_market_checks PRIMARY KEY (market, timeframe, name),
            CONSTRAINT ck_market_checks_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_market_checks_failure_has_words CHECK (passed OR reason <> '')
        )
        """
    )
    op.execute("COMMENT ON TABLE market_checks IS 'Whether the candles of each market may be traded on'")
    op.execute("COMMENT ON COLUMN market_checks.market IS 'BASE-QUOTE@exchange'")
    op.execute("COMMENT ON COLUMN market_checks.name IS 'complete, sane, fresh, quarantine or revisions'")
    op.execute("COMMENT ON COLUMN market_checks.since IS 'when it last turned'")
    op.execute(
        r"""
        CREATE TABLE market_rules (
            market TEXT NOT NULL,
            valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
            status TEXT NOT NULL,
            tick_size NUMERIC(38, 18),
            lot_size NUMERIC(38, 18),
            min_quantity NUMERIC(38, 18),
            max_quantity NUMERIC(38, 18),
            min_notional NUMERIC(38, 18),
            maker_fee NUMERIC(38, 18),
            taker_fee NUMERIC(38, 18),
            content_hash VARCHAR(64) NOT NULL,
            last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_market_rules PRIMARY KEY (market, valid_from),
            CONSTRAINT ck_market_rules_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_market_rules_status_known CHECK (status IN ('trading', 'halted', 'delisted')),
            CONSTRAINT ck_market_rules_content_hash_form CHECK (content_hash ~ '^[0-9a-f]{64}$'),
            CONSTRAINT ck_market_rules_times_in_order CHECK (valid_from <= last_seen_at)
        )
        """
    )
    op.execute("COMMENT ON TABLE market_rules IS 'Trading rules of each market, a row for each time they changed'")
    op.execute("COMMENT ON COLUMN market_rules.market IS 'BASE-QUOTE@exchange'")
    op.execute("COMMENT ON COLUMN market_rules.valid_from IS 'when these rules were first seen'")
    op.execute("COMMENT ON COLUMN market_rules.status IS 'trading, halted or delisted'")
    op.execute("COMMENT ON COLUMN market_rules.maker_fee IS 'fraction of the value, 0.001 is 0.1 %'")
    op.execute("COMMENT ON COLUMN market_rules.taker_fee IS 'fraction of the value'")
    op.execute("COMMENT ON COLUMN market_rules.last_seen_at IS 'when they were last seen unchanged'")
    op.execute(
        r"""
        CREATE TABLE notifications (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            kind TEXT NOT NULL,
            severity TEXT NOT NULL,
            message TEXT NOT NULL,
            dedup_key TEXT NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
            CONSTRAINT pk_notifications PRIMARY KEY (id),
            CONSTRAINT ck_notifications_severity_known CHECK (severity IN ('INFO', 'WARN', 'HIGH', 'URGENT')),
            CONSTRAINT uq_notifications_dedup_key UNIQUE (dedup_key)
        )
        """
    )
    op.execute("COMMENT ON TABLE notifications IS 'Messages to people, written in the transaction of what they tell of'")
    op.execute("COMMENT ON COLUMN notifications.dedup_key IS 'one message for each key, however often it is raised'")
    op.execute(
        r"""
        CREATE TABLE quarantined_rows (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            market TEXT NOT NULL,
            timeframe TEXT NOT NULL,
            open_time TIMESTAMP WITH TIME ZONE NOT NULL,
            open DOUBLE PRECISION,
            high DOUBLE PRECISION,
            low DOUBLE PRECISION,
            close DOUBLE PRECISION,
            volume DOUBLE PRECISION,
            kind TEXT NOT NULL,
            reason TEXT NOT NULL,
            source TEXT NOT NULL,
            first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
            last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
            times_seen INTEGER DEFAULT '1' NOT NULL,
            resolved_at TIMESTAMP WITH TIME ZONE,
            resolution TEXT,
            CONSTRAINT pk_quarantined_rows PRIMARY KEY (id),
            CONSTRAINT ck_quarantined_rows_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_quarantined_rows_kind_known CHECK (kind IN ('not_a_number', 'not_finite', 'not_positive', 'crossed', 'off_grid', 'future', 'spike', 'stuck', 'malformed')),
            CONSTRAINT ck_quarantined_rows_resolution_has_time CHECK ((resolved_at IS NULL) = (resolution IS NULL))
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX uq_quarantined_rows_open ON quarantined_rows (market, timeframe, open_time, kind) WHERE resolved_at IS NULL"
    )
    op.execute("COMMENT ON TABLE quarantined_rows IS 'Rows that reach no indicator, stop or balance, with the reason'")
    op.execute("COMMENT ON COLUMN quarantined_rows.market IS 'BASE-QUOTE@exchange'")
    op.execute("COMMENT ON COLUMN quarantined_rows.open_time IS 'as the row gave it, on the grid or not'")
    op.execute("COMMENT ON COLUMN quarantined_rows.source IS 'exchange, or the file that it came from'")
    op.execute(
        "COMMENT ON COLUMN quarantined_rows.resolution IS 'what ended it: replaced by a usable row, or accepted by a person'"
    )


def downgrade() -> None:
    op.execute("DROP TABLE market_rules, notifications, market_checks, quarantined_rows, gap_records")
    op.execute("DROP INDEX ix_partition_inputs_inputs")
    op.execute("ALTER TABLE dataset_heads DROP COLUMN storage, DROP COLUMN holes")
