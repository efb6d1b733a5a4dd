"""What forbids new risk: its strategy, its market's data, halts, the account and its switches."""

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from fks_assets.assets.trading.promotion import may_trade
from fks_assets.desk.decide import NewRisk, obstacles_of
from fks_assets.desk.deciding import Obstacles
from fks_assets.desk.floor import Floor
from fks_assets.desk.switches import read_switches
from fks_assets.quant.orders import Mode
from fks_assets.stores.ledger.accounts import Account, read_account
from fks_assets.stores.ledger.halts import HaltScope, halt_words, in_force
from fks_assets.stores.market_checks import read_blocked


def desk_obstacles(floor: Floor) -> Obstacles:
    """Return the question that this desk asks of every BUY when it is decided, and again when its entry is sent."""

    def ask(connection: sa.Connection, account: Account, risk: NewRisk) -> Sequence[str]:
        allowed, why = may_trade(connection, floor.settings, risk.strategy, floor.clock())
        judged = replace(risk.market, exchange=floor.settings.exchange)
        blocked = read_blocked(connection, [judged], risk.timeframe).get(judged)
        named = [
            (HaltScope.DESK, ""),
            (HaltScope.ACCOUNT, account.name),
            (HaltScope.STRATEGY, risk.strategy),
            *((HaltScope.MARKET, key) for key in dict.fromkeys((risk.market.key, judged.key))),
        ]
        halts = in_force(connection, named, account=account.name, at_ms=floor.clock())
        current = read_account(connection, account.name)
        found = obstacles_of(
            standing=None if allowed else why,
            blocked=None if blocked is None else f"the candles of {judged} fail a check: {blocked}",
            account=current,
            halts={halt_words(halt.scope, halt.name, halt.account): str(halt) for halt in halts},
        )
        return (*found, *_not_live(floor, current))

    return ask


def _not_live(floor: Floor, account: Account) -> Sequence[str]:
    """Return what a live account lacks: a deal that nothing would order is none."""
    mode = floor.rules(account.name).mode
    if mode is not Mode.LIVE:
        return ()
    missing = read_switches(mode, account.enabled, floor.environment).missing(account.name)
    return (f"account {account.name} does not trade live: missing {'; '.join(missing)}",) if missing else ()
