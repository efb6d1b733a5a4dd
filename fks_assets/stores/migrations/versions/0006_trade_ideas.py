"""Trade ideas and what became of them."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        r"""
        CREATE TABLE trade_ideas (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            market TEXT NOT NULL,
            timeframe TEXT NOT NULL,
            candle TIMESTAMP WITH TIME ZONE NOT NULL,
            content_hash VARCHAR(64) NOT NULL,
            action TEXT NOT NULL,
            score INTEGER NOT NULL,
            band TEXT NOT NULL,
            document JSONB NOT NULL,
            status TEXT NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            decided_at TIMESTAMP WITH TIME ZONE,
            decided_by TEXT,
            decision_reason TEXT,
            CONSTRAINT pk_trade_ideas PRIMARY KEY (id),
            CONSTRAINT uq_trade_ideas_content UNIQUE (market, timeframe, candle, content_hash),
            CONSTRAINT ck_trade_ideas_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_trade_ideas_content_hash_form CHECK (content_hash ~ '^[0-9a-f]{64}$'),
            CONSTRAINT ck_trade_ideas_action_known CHECK (action IN ('BUY', 'SELL')),
            CONSTRAINT ck_trade_ideas_score_in_bounds CHECK (score BETWEEN 0 AND 100),
            CONSTRAINT ck_trade_ideas_band_known CHECK (band IN ('observe', 'pending_only', 'wait_rr', 'open_or_scale')),
            CONSTRAINT ck_trade_ideas_status_known CHECK (status IN ('open', 'approved', 'rejected', 'expired')),
            CONSTRAINT ck_trade_ideas_decision_has_who_when_why CHECK (
                num_nulls(decided_at, decided_by, decision_reason) = CASE WHEN status = 'open' THEN 3 ELSE 0 END)
        )
        """
    )
    op.execute("CREATE INDEX ix_trade_ideas_open ON trade_ideas (timeframe, market) WHERE status = 'open'")
    op.execute("CREATE INDEX ix_trade_ideas_created_at ON trade_ideas (created_at)")
    op.execute("COMMENT ON TABLE trade_ideas IS 'What the strategies say of closed candles, and what a person made of it'")
    op.execute("COMMENT ON COLUMN trade_ideas.market IS 'BASE-QUOTE@exchange'")
    op.execute("COMMENT ON COLUMN trade_ideas.candle IS 'its open time'")
    op.execute("COMMENT ON COLUMN trade_ideas.document IS 'the whole idea: points, strategies, prices, sizes'")
    op.execute("COMMENT ON COLUMN trade_ideas.expires_at IS 'when the candle is two timeframes old'")
    op.execute("COMMENT ON COLUMN trade_ideas.decided_by IS 'a person, or the desk'")


def downgrade() -> None:
    op.execute("DROP TABLE trade_ideas")
