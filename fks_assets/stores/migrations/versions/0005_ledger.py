"""The ledger: accounts, deals, orders, fills, double-entry journal, positions, stops, balances, halts, fences."""

from alembic import op

from fks_assets.stores.migrations.versions.ledger import books, guards, trading

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (*trading.STATEMENTS, *books.STATEMENTS, *guards.STATEMENTS):
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        """
        DROP TABLE
            reconciliations, heartbeats, fences, halts, balance_history, stops, positions, wallets, journal_entries, journal,
            fills, order_events, orders, deals, credentials, account_events, accounts
        CASCADE
        """
    )
    for function in guards.FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
