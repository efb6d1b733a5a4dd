"""What people are told by the stop guard: once for each thing that happened, in the transaction that notes it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import sqlalchemy as sa

from fks_assets.desk.alerts import back_words
from fks_assets.desk.telling import STOP_KIND, STOP_WORDS, TRADE_KIND, deal_words, exit_words
from fks_assets.quant.money import money_text
from fks_assets.quant.orders import Leg, Mode
from fks_assets.stores.database import Database
from fks_assets.stores.guard import Guarded, StopCheck
from fks_assets.stores.ledger.accounts import read_accounts
from fks_assets.stores.ledger.deals import Deal, read_deals
from fks_assets.stores.ledger.order_rows import read_orders
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.notifications import notify, read_notifications

GUARD_KIND = "guard"
# A group of positions of which ever more are not watched is told of again after this time.
AGAIN_MS = 60_000
_NAMED = 5


def tell_triggered(
    connection: sa.Connection, deal: Deal, position: Guarded, check: StopCheck, price: Decimal, *, is_ours: bool
) -> bool:
    """Say that the stop of a paper or live position was passed; who leaves the position has the same key and says it no more.

    `is_ours` False: the account has left the settings, and nobody leaves its positions.
    """
    again = "" if check.triggers == 1 else f":{check.triggers}"
    left = "are being left" if is_ours else f"stay: account {position.account} is not in the settings, so nobody leaves them"
    words = f"the stop{_level(position)} is passed at {price:.10g}; {_held(position)} {left}"
    return notify(connection, STOP_KIND, "URGENT", f"{STOP_WORDS} {deal_words(deal)}: {words}.", f"stopped:{deal.id}{again}")


def tell_overdue(connection: sa.Connection, deal: Deal, position: Guarded, check: StopCheck, price: Decimal, now_ms: int) -> bool:
    """Say that a stop at the exchange was passed and has not executed (C10)."""
    ago = (now_ms - (check.event_at or now_ms)) / 1000
    what = f"⚠️ Stop that does not execute! {deal_words(deal)}: the price is {price:.10g}, the stop{_level(position)} was passed"
    words = f"{what} {ago:.0f} s ago and {_held(position)} are still held. Look at the exchange."
    return notify(connection, STOP_KIND, "URGENT", words, f"stop_not_executed:{deal.id}:{check.triggers}")


def tell_back(connection: sa.Connection, deal: Deal, position: Guarded, before: StopCheck, price: Decimal) -> bool:
    """Say that the price has come back from beyond a stop while the position was still held."""
    words = back_words(deal, float(price), 0.0 if position.level is None else float(position.level))
    return notify(connection, STOP_KIND, "INFO", words, f"stop_back:{deal.id}:trigger {before.triggers}")


def tell_left(connection: sa.Connection, checks: Sequence[StopCheck]) -> int:
    """Say of paper and live positions that are over, and whose stop was told of, what leaving them brought.

    Returns how many messages are new. The keys are those of `telling.tell_end`, so that one of the two says it.
    """
    ids = [check.deal_id for check in checks if check.triggers]
    if not ids:
        return 0
    positions = {each.deal_id: each for each in read_positions(connection, deal_ids=ids)}
    at_target = {
        each.deal_id for each in read_orders(connection, deal_ids=ids) if each.leg is Leg.TARGET and each.executed_quantity
    }
    modes = {account.name: account.mode for account in read_accounts(connection)}
    told = 0
    for deal in read_deals(connection, ids=ids):
        if modes[deal.account] is not Mode.ALERT:
            words = f"Position left. {deal_words(deal)}: {exit_words(deal, positions.get(deal.id))}."
            key = f"target:{deal.id}" if deal.id in at_target else f"closed:{deal.id}"
            told += notify(connection, TRADE_KIND, "INFO", words, key)
    return told


def tell_unwatched(
    connection: sa.Connection, group: tuple[str, str], whys: Mapping[Guarded, str], seconds: float, now_ms: int
) -> bool:
    """Say that stops of an account are not watched, once for all of its positions at an exchange, and why (D12)."""
    account, exchange = group
    markets: dict[str, str] = {}
    for position, why in whys.items():
        markets.setdefault(str(position.market), why)
    named = "; ".join(f"{market}: {why}" for market, why in list(markets.items())[:_NAMED])
    more = f"; and {len(markets) - _NAMED} markets more" if len(markets) > _NAMED else ""
    words = (
        f"⚠️ Stops that nobody watches! {len(whys)} positions of account {account} at {exchange} were not checked for "
        f"{seconds:.0f} s: {named}{more}."
    )
    return notify(connection, GUARD_KIND, "URGENT", words, f"unwatched:{account}:{exchange}:{now_ms // AGAIN_MS}")


def count_breaches(source: Database | sa.Connection, account: str, start_ms: int, end_ms: int) -> int:
    """Return how often it was told in [start_ms, end_ms) that stops of an account are not watched."""
    told = (each.dedup_key.split(":") for each in read_notifications(source, [GUARD_KIND]))
    return sum(
        1 for what, *rest in told if what == "unwatched" and rest[0] == account and start_ms <= int(rest[-1]) * AGAIN_MS < end_ms
    )


def tell_watched(connection: sa.Connection, group: tuple[str, str], since_ms: int, now_ms: int) -> bool:
    """Say, once, that all stops of an account at an exchange are watched again."""
    account, exchange = group
    words = f"The stops of account {account} at {exchange} are watched again, after {(now_ms - since_ms) / 1000:.0f} s."
    return notify(connection, GUARD_KIND, "INFO", words, f"watched:{account}:{exchange}:{since_ms}")


def _held(position: Guarded) -> str:
    return f"{money_text(position.quantity)} {position.market.base}"


def _level(position: Guarded) -> str:
    return "" if position.level is None else f" {money_text(position.level)}"
