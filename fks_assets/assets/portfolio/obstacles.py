"""What forbids new risk for a signal: its strategy, its market's data, halts, the account."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from fks_assets.assets.trading.promotion import may_trade
from fks_assets.clock import now_ms
from fks_assets.desk.decide import Signal, obstacles_of
from fks_assets.desk.deciding import Obstacles
from fks_assets.resources.stores import Stores
from fks_assets.stores.ledger.accounts import Account, read_account
from fks_assets.stores.ledger.halts import HaltScope, in_force
from fks_assets.stores.market_checks import read_blocked


def desk_obstacles(stores: Stores, clock: Callable[[], int] = now_ms) -> Obstacles:
    """Return the question that the risk gate of this desk asks of every BUY, in the transaction of the decision."""

    def ask(connection: sa.Connection, account: Account, signal: Signal) -> Sequence[str]:
        allowed, why = may_trade(connection, stores.settings, signal.strategy)
        blocked = read_blocked(connection, [signal.market], signal.timeframe).get(signal.market)
        named = [
            (HaltScope.DESK, ""),
            (HaltScope.ACCOUNT, account.name),
            (HaltScope.STRATEGY, signal.strategy),
            (HaltScope.MARKET, signal.market.key),
        ]
        halts = in_force(connection, named, at_ms=clock())
        return obstacles_of(
            standing=None if allowed else why,
            blocked=None if blocked is None else f"the candles of {signal.market} fail a check: {blocked}",
            account=read_account(connection, account.name),
            halts={f"{halt.scope} {halt.name}": str(halt) for halt in halts},
        )

    return ask
