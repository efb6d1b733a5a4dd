"""Candle heads, partition inputs, synchronisation status, rate budgets."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        r"""
        CREATE TABLE dataset_heads (
            dataset TEXT NOT NULL,
            timeframe TEXT NOT NULL,
            market TEXT NOT NULL,
            month VARCHAR(7) NOT NULL,
            content_hash VARCHAR(64) NOT NULL,
            row_count INTEGER DEFAULT '0' NOT NULL,
            first_open TIMESTAMP WITH TIME ZONE,
            last_open TIMESTAMP WITH TIME ZONE,
            revision_count INTEGER DEFAULT '0' NOT NULL,
            known_at TIMESTAMP WITH TIME ZONE,
            confirmed_holes JSONB DEFAULT '[]' NOT NULL,
            object_name TEXT,
            revisions_name TEXT,
            updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_dataset_heads PRIMARY KEY (dataset, timeframe, market, month),
            CONSTRAINT ck_dataset_heads_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_dataset_heads_month_form CHECK (month ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
            CONSTRAINT ck_dataset_heads_content_hash_form CHECK (content_hash ~ '^[0-9a-f]{64}$'),
            CONSTRAINT ck_dataset_heads_counts_not_negative CHECK (row_count >= 0 AND revision_count >= 0),
            CONSTRAINT ck_dataset_heads_object_holds_rows CHECK ((row_count = 0) = (object_name IS NULL)),
            CONSTRAINT ck_dataset_heads_revisions_hold_rows CHECK ((revision_count = 0) = (revisions_name IS NULL)),
            CONSTRAINT ck_dataset_heads_first_open_of_rows CHECK ((row_count = 0) = (first_open IS NULL)),
            CONSTRAINT ck_dataset_heads_last_open_of_rows CHECK ((row_count = 0) = (last_open IS NULL)),
            CONSTRAINT ck_dataset_heads_bounds_in_order CHECK (first_open <= last_open)
        )
        """
    )
    op.execute("COMMENT ON TABLE dataset_heads IS 'For each partition, the immutable object that holds its rows now'")
    op.execute("COMMENT ON COLUMN dataset_heads.dataset IS 'ohlcv, indicators or signals.<strategy>'")
    op.execute("COMMENT ON COLUMN dataset_heads.market IS 'BASE-QUOTE@exchange'")
    op.execute("COMMENT ON COLUMN dataset_heads.month IS 'UTC month, YYYY-MM'")
    op.execute("COMMENT ON COLUMN dataset_heads.content_hash IS 'SHA-256 of the rows without their knowledge time'")
    op.execute("COMMENT ON COLUMN dataset_heads.first_open IS 'open time of the oldest row'")
    op.execute("COMMENT ON COLUMN dataset_heads.last_open IS 'open time of the newest row'")
    op.execute("COMMENT ON COLUMN dataset_heads.revision_count IS 'rows that were replaced or removed'")
    op.execute("COMMENT ON COLUMN dataset_heads.known_at IS 'when the newest change became known'")
    op.execute("COMMENT ON COLUMN dataset_heads.confirmed_holes IS '[start_ms, end_ms) without candles'")
    op.execute("COMMENT ON COLUMN dataset_heads.object_name IS 'Parquet object of the rows, below the root of the candle store'")
    op.execute("COMMENT ON COLUMN dataset_heads.revisions_name IS 'Parquet object of the replaced and removed rows'")
    op.execute(
        r"""
        CREATE TABLE partition_inputs (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            asset TEXT NOT NULL,
            partition TEXT NOT NULL,
            content_hash TEXT NOT NULL,
            code_version TEXT NOT NULL,
            settings_hash TEXT NOT NULL,
            run_id TEXT NOT NULL,
            inputs JSONB NOT NULL,
            row_count INTEGER NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
            CONSTRAINT pk_partition_inputs PRIMARY KEY (id),
            CONSTRAINT ck_partition_inputs_row_count_not_negative CHECK (row_count >= 0),
            CONSTRAINT ck_partition_inputs_inputs_are_a_list CHECK (jsonb_typeof(inputs) = 'array')
        )
        """
    )
    op.execute("CREATE INDEX ix_partition_inputs_asset_partition_id ON partition_inputs (asset, partition, id)")
    op.execute("COMMENT ON TABLE partition_inputs IS 'What each materialised partition was made from; rows are only ever added'")
    op.execute("COMMENT ON COLUMN partition_inputs.inputs IS '[{asset, partition, content_hash}] that this result was made from'")
    op.execute(
        r"""
        CREATE TABLE rate_budgets (
            exchange TEXT NOT NULL,
            address TEXT NOT NULL,
            tokens DOUBLE PRECISION NOT NULL,
            refilled_at TIMESTAMP WITH TIME ZONE NOT NULL,
            blocked_until TIMESTAMP WITH TIME ZONE,
            reason TEXT,
            CONSTRAINT pk_rate_budgets PRIMARY KEY (exchange, address),
            CONSTRAINT ck_rate_budgets_tokens_is_a_number CHECK (tokens <> 'NaN')
        )
        """
    )
    op.execute("COMMENT ON TABLE rate_budgets IS 'Request weight that all processes of one network address share'")
    op.execute("COMMENT ON COLUMN rate_budgets.address IS 'network address from which the exchange counts the requests'")
    op.execute("COMMENT ON COLUMN rate_budgets.tokens IS 'request weight left'")
    op.execute("COMMENT ON COLUMN rate_budgets.blocked_until IS 'no request before this time'")
    op.execute("COMMENT ON COLUMN rate_budgets.reason IS 'why requests are blocked'")
    op.execute(
        r"""
        CREATE TABLE sync_status (
            market TEXT NOT NULL,
            timeframe TEXT NOT NULL,
            state TEXT NOT NULL,
            oldest_open TIMESTAMP WITH TIME ZONE,
            newest_open TIMESTAMP WITH TIME ZONE,
            total_candles BIGINT,
            error_message TEXT,
            last_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL,
            last_success_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT pk_sync_status PRIMARY KEY (market, timeframe),
            CONSTRAINT ck_sync_status_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_sync_status_state_known CHECK (state IN ('PENDING', 'SYNCING', 'COMPLETED', 'ERROR')),
            CONSTRAINT ck_sync_status_error_has_words CHECK (state <> 'ERROR' OR error_message IS NOT NULL),
            CONSTRAINT ck_sync_status_total_not_negative CHECK (total_candles >= 0),
            CONSTRAINT ck_sync_status_opens_in_order CHECK (oldest_open <= newest_open)
        )
        """
    )
    op.execute("COMMENT ON TABLE sync_status IS 'How the synchronisation of each market and timeframe stands'")
    op.execute("COMMENT ON COLUMN sync_status.market IS 'BASE-QUOTE@exchange'")
    op.execute("COMMENT ON COLUMN sync_status.error_message IS 'why the last sync failed, empty after a success'")


def downgrade() -> None:
    op.execute("DROP TABLE sync_status, rate_budgets, partition_inputs, dataset_heads")
