"""The stop guard: prices it knows, the proof of its checks, coverage by hour."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COMMENTS = {
    "TABLE guard_prices": "The prices that the stop guard knows, a row a market",
    "COLUMN guard_prices.market": "BASE-QUOTE@exchange",
    "COLUMN guard_prices.price": "the last one that was believed",
    "COLUMN guard_prices.price_at": "when what the exchange says of the market last changed",
    "COLUMN guard_prices.told_at": "by the exchange, where it tells",
    "COLUMN guard_prices.digest": "a hash of all that the exchange says of the market",
    "COLUMN guard_prices.suspect": "a price far from the believed one that waits to be seen again",
    "TABLE stop_checks": "The proof that each open position is watched: when it was last checked, with which price",
    "COLUMN stop_checks.since": "when the position was opened, or became known",
    "COLUMN stop_checks.checked_at": "the last check on a price that counts",
    "COLUMN stop_checks.price": "of that check",
    "COLUMN stop_checks.price_at": "of that price",
    "COLUMN stop_checks.event": "what the price asks for",
    "COLUMN stop_checks.event_at": "since when",
    "COLUMN stop_checks.confirmed_at": "when it was seen a second time and acted upon",
    "COLUMN stop_checks.triggers": "how often its stop was passed",
    "COLUMN stop_checks.breached_at": "since when it is known that it is not checked in time",
    "COLUMN stop_checks.accounted_to": "up to when the time is counted as covered or not",
    "COLUMN stop_checks.covered_ms": "of the running hour",
    "COLUMN stop_checks.uncovered_ms": "of the running hour",
    "TABLE stop_coverage": "For how long of each hour a position was watched, and for how long not; rows are kept",
    "COLUMN stop_coverage.hour": "its beginning",
}


def upgrade() -> None:
    op.execute(
        r"""
        CREATE TABLE guard_prices (
            market TEXT NOT NULL,
            price NUMERIC(38, 18),
            price_at TIMESTAMP WITH TIME ZONE NOT NULL,
            told_at TIMESTAMP WITH TIME ZONE,
            digest TEXT NOT NULL,
            suspect NUMERIC(38, 18),
            suspect_at TIMESTAMP WITH TIME ZONE,
            CONSTRAINT pk_guard_prices PRIMARY KEY (market),
            CONSTRAINT ck_guard_prices_market_form CHECK (market ~ '^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}@[a-z0-9]{1,20}$'),
            CONSTRAINT ck_guard_prices_numbers_are_numbers CHECK (coalesce(price, 0) <> 'NaN' AND coalesce(suspect, 0) <> 'NaN'),
            CONSTRAINT ck_guard_prices_prices_positive CHECK (price > 0 AND suspect > 0),
            CONSTRAINT ck_guard_prices_suspect_has_time CHECK ((suspect IS NULL) = (suspect_at IS NULL))
        )
        """
    )
    op.execute(
        r"""
        CREATE TABLE stop_checks (
            deal_id BIGINT NOT NULL,
            since TIMESTAMP WITH TIME ZONE NOT NULL,
            checked_at TIMESTAMP WITH TIME ZONE,
            price NUMERIC(38, 18),
            price_at TIMESTAMP WITH TIME ZONE,
            event TEXT,
            event_at TIMESTAMP WITH TIME ZONE,
            confirmed_at TIMESTAMP WITH TIME ZONE,
            triggers INTEGER DEFAULT '0' NOT NULL,
            breached_at TIMESTAMP WITH TIME ZONE,
            accounted_to TIMESTAMP WITH TIME ZONE NOT NULL,
            covered_ms BIGINT DEFAULT '0' NOT NULL,
            uncovered_ms BIGINT DEFAULT '0' NOT NULL,
            CONSTRAINT pk_stop_checks PRIMARY KEY (deal_id),
            CONSTRAINT ck_stop_checks_numbers_are_numbers CHECK (coalesce(price, 0) <> 'NaN'),
            CONSTRAINT ck_stop_checks_event_known CHECK (event IN ('STOPPED', 'REACHED')),
            CONSTRAINT ck_stop_checks_event_has_time CHECK (
                (event IS NULL) = (event_at IS NULL) AND (confirmed_at IS NULL OR event IS NOT NULL)),
            CONSTRAINT ck_stop_checks_check_has_price CHECK (num_nulls(checked_at, price, price_at) IN (0, 3)),
            CONSTRAINT ck_stop_checks_counts_not_negative CHECK (covered_ms >= 0 AND uncovered_ms >= 0 AND triggers >= 0),
            CONSTRAINT fk_stop_checks_deal_id FOREIGN KEY(deal_id) REFERENCES deals (id)
        )
        """
    )
    op.execute(
        r"""
        CREATE TABLE stop_coverage (
            deal_id BIGINT NOT NULL,
            hour TIMESTAMP WITH TIME ZONE NOT NULL,
            covered_ms BIGINT NOT NULL,
            uncovered_ms BIGINT NOT NULL,
            CONSTRAINT pk_stop_coverage PRIMARY KEY (deal_id, hour),
            CONSTRAINT ck_stop_coverage_times_not_negative CHECK (covered_ms >= 0 AND uncovered_ms >= 0),
            CONSTRAINT fk_stop_coverage_deal_id FOREIGN KEY(deal_id) REFERENCES deals (id)
        )
        """
    )
    op.execute("CREATE INDEX ix_stop_coverage_hour ON stop_coverage (hour)")
    for name, text in COMMENTS.items():
        op.execute(f"COMMENT ON {name} IS '{text}'")


def downgrade() -> None:
    op.execute("DROP TABLE stop_coverage, stop_checks, guard_prices")
