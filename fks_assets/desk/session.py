"""What everything that trades for one account works with: its venue, its ledger, the fence that lets it trade, and a clock."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

import sqlalchemy as sa

from fks_assets.clock import now_ms
from fks_assets.errors import Denied
from fks_assets.exchanges.orders.venue import Venue
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.fences import Fence
from fks_assets.stores.ledger.reconciliations import newest_reconciliations

# Compared every minute; after five without it nobody knows what the account holds.
RECONCILED_FOR_MS = 300_000
Result = TypeVar("Result")


class TradingSession:
    """One account at its venue, in the hands of the process that holds the fence. `clock` gives UTC milliseconds."""

    def __init__(
        self,
        database: Database,
        venue: Venue,
        account: str,
        fence: Fence,
        rules: Mapping[Market, MarketRules],
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.database = database
        self.venue = venue
        self.account = account
        self.fence = fence
        self.rules = rules
        self.clock = clock

    async def transact(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Return what the work gives in a transaction of its own, off the event loop."""
        return await asyncio.to_thread(self._transact, work)

    def require_reconciled(self, connection: sa.Connection) -> None:
        """Raise Denied unless the account was compared with its venue under this fence within the last five minutes."""
        found = next(iter(newest_reconciliations(connection, self.account)), None)
        if found is None or found.detail.get("epoch") != self.fence.epoch or not found.detail.get("passed"):
            raise Denied(f"account {self.account} has not been compared with {self.venue.name}: nothing is sent before that")
        age = self.clock() - found.at
        if not 0 <= age <= RECONCILED_FOR_MS:
            last = f"account {self.account} was last compared with {self.venue.name} {age / 1000:.0f} s ago"
            raise Denied(f"{last}, at most {RECONCILED_FOR_MS // 1000} s: nothing is sent before that is done again")

    def _transact(self, work: Callable[[sa.Connection], Result]) -> Result:
        with self.database.transaction() as connection:
            return work(connection)
