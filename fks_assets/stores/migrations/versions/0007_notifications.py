"""Deliveries of notifications, the targets they go to, acknowledgements and escalations."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COMMENTS = {
    "TABLE deliveries": "A notification on a channel, and what became of it",
    "TABLE notification_targets": "The places that messages go to: what they allow, and whether they still exist",
    "COLUMN notifications.routed_at": "when its deliveries were written",
    "COLUMN notifications.escalate_at": "when it goes on to the next channel unless somebody acknowledges it",
    "COLUMN deliveries.channel": "a channel of the settings, or log",
    "COLUMN deliveries.round": "0 at first, then one for each time it was escalated",
    "COLUMN deliveries.lease_until": "until then the sender that took it may be sending it",
    "COLUMN deliveries.last_error": "in words, without addresses",
    "COLUMN deliveries.digest_of": "the delivery whose message said this one too",
    "COLUMN deliveries.handed_to": "the channel that has it instead",
    "COLUMN notification_targets.target": "a hash of the address and its secrets: another address is another target",
    "COLUMN notification_targets.channel": "the channel that was last seen to use it",
    "COLUMN notification_targets.shown": "host and last four characters",
    "COLUMN notification_targets.reason": "what it answered last, if that was no success",
    "COLUMN notification_targets.failures": "one after the other",
    "COLUMN notification_targets.refusals": "one after the other: messages it did not take",
    "COLUMN notification_targets.not_before": "nothing is sent there before",
    "COLUMN notification_targets.bucket_at": "when its bucket will be full again",
    "COLUMN notification_targets.lease_until": "until then one sender has it for itself",
    "COLUMN notification_targets.delivered_at": "the last success",
    "COLUMN notification_targets.seen_at": "when a sender last had it in its settings",
    "COLUMN notification_targets.changed_at": "when its state last changed",
}


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE notifications
            ADD COLUMN routed_at TIMESTAMP WITH TIME ZONE,
            ADD COLUMN acknowledged_at TIMESTAMP WITH TIME ZONE,
            ADD COLUMN acknowledged_by TEXT,
            ADD COLUMN escalate_at TIMESTAMP WITH TIME ZONE,
            ADD COLUMN escalations INTEGER DEFAULT 0 NOT NULL,
            ADD CONSTRAINT ck_notifications_acknowledged_by_someone
                CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL)),
            ADD CONSTRAINT ck_notifications_acknowledged_is_quiet CHECK (acknowledged_at IS NULL OR escalate_at IS NULL),
            ADD CONSTRAINT ck_notifications_escalations_not_negative CHECK (escalations >= 0)
        """
    )
    # What was written before anything could be sent is history: nobody waits for it.
    op.execute("UPDATE notifications SET routed_at = clock_timestamp()")
    op.execute("CREATE INDEX ix_notifications_unrouted ON notifications (id) WHERE routed_at IS NULL")
    op.execute("CREATE INDEX ix_notifications_escalating ON notifications (escalate_at) WHERE escalate_at IS NOT NULL")
    op.execute(
        """
        CREATE TABLE deliveries (
            id BIGINT GENERATED ALWAYS AS IDENTITY,
            notification_id BIGINT NOT NULL,
            channel TEXT NOT NULL,
            round INTEGER NOT NULL,
            state TEXT DEFAULT 'PENDING' NOT NULL,
            attempts INTEGER DEFAULT 0 NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE NOT NULL,
            next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL,
            lease_until TIMESTAMP WITH TIME ZONE,
            leased_by TEXT,
            delivered_at TIMESTAMP WITH TIME ZONE,
            last_error TEXT,
            digest_of BIGINT,
            handed_to TEXT,
            CONSTRAINT pk_deliveries PRIMARY KEY (id),
            CONSTRAINT fk_deliveries_notification_id FOREIGN KEY (notification_id) REFERENCES notifications (id),
            CONSTRAINT fk_deliveries_digest_of FOREIGN KEY (digest_of) REFERENCES deliveries (id),
            CONSTRAINT uq_deliveries_once UNIQUE (notification_id, channel, round),
            CONSTRAINT ck_deliveries_state_known
                CHECK (state IN ('PENDING', 'SENDING', 'DELIVERED', 'DIGESTED', 'FAILED', 'DEAD')),
            CONSTRAINT ck_deliveries_lease_of_sending CHECK ((state = 'SENDING') = (lease_until IS NOT NULL)),
            CONSTRAINT ck_deliveries_lease_has_sender CHECK ((lease_until IS NULL) = (leased_by IS NULL)),
            CONSTRAINT ck_deliveries_delivered_has_time
                CHECK ((state IN ('DELIVERED', 'DIGESTED')) = (delivered_at IS NOT NULL)),
            CONSTRAINT ck_deliveries_digested_in_one CHECK ((state = 'DIGESTED') = (digest_of IS NOT NULL)),
            CONSTRAINT ck_deliveries_failed_has_words CHECK (state NOT IN ('FAILED', 'DEAD') OR last_error IS NOT NULL),
            CONSTRAINT ck_deliveries_counts_not_negative CHECK (attempts >= 0 AND round >= 0)
        )
        """
    )
    op.execute(
        "CREATE INDEX ix_deliveries_waiting ON deliveries (channel, next_attempt_at) WHERE state IN ('PENDING', 'SENDING')"
    )
    op.execute("CREATE INDEX ix_deliveries_stuck ON deliveries (id) WHERE state IN ('FAILED', 'DEAD') AND handed_to IS NULL")
    op.execute(
        """
        CREATE TABLE notification_targets (
            target TEXT NOT NULL,
            channel TEXT NOT NULL,
            shown TEXT NOT NULL,
            state TEXT DEFAULT 'UP' NOT NULL,
            reason TEXT,
            failures INTEGER DEFAULT 0 NOT NULL,
            refusals INTEGER DEFAULT 0 NOT NULL,
            not_before TIMESTAMP WITH TIME ZONE,
            bucket_at TIMESTAMP WITH TIME ZONE,
            lease_until TIMESTAMP WITH TIME ZONE,
            leased_by TEXT,
            delivered_at TIMESTAMP WITH TIME ZONE,
            seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
            changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_notification_targets PRIMARY KEY (target),
            CONSTRAINT ck_notification_targets_state_known CHECK (state IN ('UP', 'DEAD')),
            CONSTRAINT ck_notification_targets_dead_has_words CHECK (state <> 'DEAD' OR reason IS NOT NULL),
            CONSTRAINT ck_notification_targets_lease_has_sender CHECK ((lease_until IS NULL) = (leased_by IS NULL)),
            CONSTRAINT ck_notification_targets_counts_not_negative CHECK (failures >= 0 AND refusals >= 0)
        )
        """
    )
    for what, comment in COMMENTS.items():
        op.execute(f"COMMENT ON {what} IS '{comment}'")


def downgrade() -> None:
    op.execute("DROP TABLE deliveries, notification_targets")
    op.execute(
        "ALTER TABLE notifications DROP COLUMN routed_at, DROP COLUMN acknowledged_at, DROP COLUMN acknowledged_by, "
        "DROP COLUMN escalate_at, DROP COLUMN escalations"
    )
