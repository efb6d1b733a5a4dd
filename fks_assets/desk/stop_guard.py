"""The stop guard: every few seconds, the prices of all that is held, every stop and target, and the proof that this was done.

One look reads the open positions of all accounts, asks each exchange once for all their markets, and a second time, a second
later, for those in which something would happen; none waits for another. What a price asks for is judged by the one stop engine.
Alert accounts are told (`alerts`); what the venue of a paper or live account has to do is returned as requests for a run, and
left to `protect`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import now_ms
from fks_assets.desk.alerts import protect_alerts
from fks_assets.desk.price_reads import APART_MS
from fks_assets.desk.stop_guard_round import Case, ReadTickers, Round, doubtful
from fks_assets.desk.stop_guard_words import tell_back, tell_left, tell_overdue, tell_triggered, tell_unwatched, tell_watched
from fks_assets.desk.stop_judgement import Ask, asked_of, is_overdue, is_unconfirmed
from fks_assets.desk.stop_proof import checked, count_time, is_watched, last_hour, not_ahead, unwatched_for
from fks_assets.errors import in_words
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.orders import Mode
from fks_assets.settings.guard import GuardSettings
from fks_assets.stores.database import Database
from fks_assets.stores.guard import (
    Hour,
    add_hours,
    forget_checks,
    last_beat,
    read_guarded,
    read_known_prices,
    read_over,
    write_checks,
    write_known_prices,
)
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.reconciliations import beat
from fks_assets.stores.ledger.stops import StopState
from fks_assets.stores.market_rules import all_rules_as_of

HEARTBEAT = "stop_loss"
# The pause before the second read, a little more than what makes it count.
PAUSE_SECONDS = (APART_MS + 50) / 1000
# Less time than this is not enough to read prices in.
SHORTEST_READ_SECONDS = 0.2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look did.

    `watched`: positions that were checked on a price that counts. `unwatched`: those that were not for longer than they may be;
    `changed` says that they are others than before. `asks`: what venues have to do. `faults`: what went wrong, in words.
    """

    positions: int
    watched: int
    told: int
    unwatched: tuple[int, ...]
    changed: bool
    asks: tuple[Ask, ...]
    faults: tuple[str, ...]
    took_ms: int


class StopGuard:
    """Watches the stops and targets of every open position. `read` gives tickers of an exchange within so many seconds.

    `accounts` are those of the settings, whose venues can be asked to do something; None: all are. `clock` gives UTC
    milliseconds; `pause` waits for so many seconds.
    """

    def __init__(
        self,
        database: Database,
        settings: GuardSettings,
        read: ReadTickers,
        *,
        accounts: Container[str] | None = None,
        clock: Callable[[], int] = now_ms,
        pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._settings = settings
        self._read = read
        self._accounts = accounts
        self._clock = clock
        self._pause = pause

    def look(self) -> Look:
        """Look once at everything that is held, and return what was done.

        Raises StoreError when the database cannot be read or written; then there is no heartbeat either.
        """
        return asyncio.run(self._look())

    async def _look(self) -> Look:
        started = time.monotonic()
        with self._database.transaction() as connection:
            before = last_beat(connection, HEARTBEAT)
            guarded = read_guarded(connection)
            known = read_known_prices(connection, {each.market for each in guarded})
            trailing = sorted({each.market for each in guarded if each.trailing_distance is not None})
            rules = all_rules_as_of(connection, trailing, self._clock())
        ticks = {market: known_rules.tick_size for market, known_rules in rules.items()}
        oldest_ms = self._settings.price_age_seconds * 1000
        at = self._clock()
        cases = [Case(each, not_ahead(each.check, at)) for each in guarded]
        known = {market: each.not_ahead(at) for market, each in known.items()}
        now = Round(cases, known, ticks, self._read, self._clock, oldest_ms)
        await asyncio.gather(*(self._read_twice(now, exchange, own) for exchange, own in now.by_exchange().items()))
        return self._settle(now, before, started)

    async def _read_twice(self, now: Round, exchange: str, cases: Sequence[Case]) -> None:
        """Read the prices of an exchange, a second time where that may change what is done and time is left for it."""
        asked, seconds = time.monotonic(), self._settings.read_seconds
        await now.read_prices(exchange, cases, seconds)
        left = seconds - (time.monotonic() - asked)
        if (again := doubtful(cases)) and left >= SHORTEST_READ_SECONDS:
            await self._pause(PAUSE_SECONDS)
            await now.read_prices(exchange, again, left)

    def _settle(self, now: Round, before: int | None, started: float) -> Look:
        """Write down and tell what follows, unless another guard has done so since this one began."""
        failed = self._alert(now, before)
        at = self._clock()
        with self._database.transaction() as connection:
            if last_beat(connection, HEARTBEAT) != before:
                return Look(len(now.cases), 0, now.told, (), False, (), ("another guard has looked in the meantime",), 0)
            hours = self._prove(now, failed, at)
            asks = self._act(connection, now, at)
            unwatched, changed = self._tell_proof(connection, now, failed, at)
            hours += self._finish(connection, now, at)
            write_checks(connection, [case.check for case in now.cases])
            write_known_prices(connection, now.known)
            add_hours(connection, hours)
            watched = sum(case.check.checked_at == at for case in now.cases)
            took = round((time.monotonic() - started) * 1000)
            detail = {"positions": len(now.cases), "watched": watched, "unwatched": len(unwatched), "took_ms": took}
            beat(connection, HEARTBEAT, at_ms=at, detail=detail)
        faults = tuple(dict.fromkeys(now.faults))
        return Look(len(now.cases), watched, now.told, unwatched, changed, asks, faults, took)

    def _alert(self, now: Round, before: int | None) -> dict[str, str]:
        """Tell the people of alert accounts, account by account; return those for which that failed, and why.

        Prices that were read before another guard has looked are old, and nothing is told of them.
        """
        accounts = sorted({case.position.account for case in now.cases if case.position.mode is Mode.ALERT})
        failed: dict[str, str] = {}
        for account in [*accounts, *self._alerted_before(accounts)]:
            own = [case for case in now.cases if case.position.account == account]
            waiting = {case.position.deal_id for case in own if is_unconfirmed(case.check)}
            at = self._clock()
            priced = {case.position.market: case.read for case in own if case.read is not None and case.read.price is not None}
            quotes = {market: Quote.of_price(float(read.price), at) for market, read in priced.items()}
            best = {market: (read.seen_twice(1), read.seen_twice(-1)) for market, read in priced.items()}
            try:
                with self._database.transaction() as connection:
                    if last_beat(connection, HEARTBEAT) != before:
                        return failed
                    told = protect_alerts(connection, account, quotes, at_ms=at, seen_twice=best, waiting=waiting)
                now.told += told
            except Exception as error:
                # Whatever is wrong with one account, the others are told.
                failed[account] = in_words(error)
                _log.warning("the stops of account %s could not be told of: %s", account, failed[account])
        now.faults += [f"account {account}: {why}" for account, why in failed.items()]
        return failed

    def _alerted_before(self, accounts: Sequence[str]) -> list[str]:
        """Return the other alert accounts of which somebody may still have to be told that a position was left."""
        with self._database.transaction() as connection:
            return [name for name in connection.scalars(_ALERTED) if name not in accounts]

    def _prove(self, now: Round, failed: Collection[str], at: int) -> list[Hour]:
        """Count the time of each position and note which were checked; return the hours that have ended."""
        hours: list[Hour] = []
        for case in now.cases:
            case.check, ended = count_time(case.check, at, self._settings.check_within_seconds * 1000)
            hours += ended
            read = case.read
            if read is not None and read.price is not None and read.known is not None and case.position.account not in failed:
                case.check = checked(case.check, at, read.price, read.known.price_at)
        return hours

    def _act(self, connection: sa.Connection, now: Round, at: int) -> tuple[Ask, ...]:
        """Tell what the prices of paper and live positions mean, and return what their venues have to do."""
        ordered = [case for case in now.cases if case.position.mode is not Mode.ALERT and case.price is not None]
        # What a signal has already asked to leave is being left.
        held = [case for case in ordered if case.position.state is not StopState.EXITING]
        triggered = [case for case in held if case.check.triggers > case.position.check.triggers]
        back = [case for case in ordered if case.position.check.is_passed and not case.check.is_passed]
        overdue = [case for case in ordered if is_overdue(case.check, case.position, self._settings, at)]
        ids = {case.position.deal_id for case in (*triggered, *back, *overdue)}
        deals = {deal.id: deal for deal in read_deals(connection, ids=sorted(ids))} if ids else {}
        for case in triggered:
            is_ours = self._accounts is None or case.position.account in self._accounts
            deal = deals[case.position.deal_id]
            now.told += tell_triggered(connection, deal, case.position, case.check, case.price, is_ours=is_ours)
        for case in back:
            now.told += tell_back(connection, deals[case.position.deal_id], case.position, case.position.check, case.price)
        for case in overdue:
            now.told += tell_overdue(connection, deals[case.position.deal_id], case.position, case.check, case.price, at)
        asks = (asked_of(case.check, case.position, case.judged, self._settings, at) for case in ordered)
        return tuple(ask for ask in asks if ask is not None and (self._accounts is None or ask.account in self._accounts))

    def _tell_proof(
        self, connection: sa.Connection, now: Round, failed: Mapping[str, str], at: int
    ) -> tuple[tuple[int, ...], bool]:
        """Tell which positions are not watched, and that they are again; return the former and whether they have changed."""
        within = self._settings.check_within_seconds * 1000
        groups: dict[tuple[str, str], list[Case]] = {}
        for case in now.cases:
            groups.setdefault((case.position.account, case.position.market.exchange), []).append(case)
        unwatched: list[int] = []
        changed = False
        for group, cases in groups.items():
            before = {case.position.deal_id: case.check.breached_at for case in cases if case.check.breached_at is not None}
            bad = {case.position.deal_id: case for case in cases if not is_watched(case.check, at, within)}
            new = {case.position: self._why(case, failed) for deal_id, case in bad.items() if deal_id not in before}
            is_told = False
            if new:
                longest = max(unwatched_for(bad[position.deal_id].check, at) for position in new)
                is_told = tell_unwatched(connection, group, new, longest / 1000, at)
                now.told += is_told
            elif before and not bad:
                now.told += tell_watched(connection, group, min(before.values()), at)
            for case in cases:
                # What could not be told of in this minute is new in the next one.
                since = before.get(case.position.deal_id, at if is_told else None)
                case.check = replace(case.check, breached_at=since if case.position.deal_id in bad else None)
            unwatched += bad
            changed |= bad.keys() != before.keys()
        return tuple(unwatched), changed

    @staticmethod
    def _why(case: Case, failed: Mapping[str, str]) -> str:
        why = "" if case.read is None else case.read.why
        return failed.get(case.position.account) or why or "nobody looked"

    def _finish(self, connection: sa.Connection, now: Round, at: int) -> list[Hour]:
        """Tell the end of positions that are over, and forget their checks; return what is left of their time."""
        over = read_over(connection)
        if not over:
            return []
        now.told += tell_left(connection, [check for _, check in over])
        hours: list[Hour] = []
        for ended_at, check in over:
            counted, ended = count_time(check, min(ended_at, at), self._settings.check_within_seconds * 1000)
            hours += [*ended, *last_hour(counted)]
        gone = [check.deal_id for _, check in over]
        forget_checks(connection, gone)
        now.cases = [case for case in now.cases if case.position.deal_id not in gone]
        return hours


_ALERTED = sa.text("""
    SELECT DISTINCT d.account FROM stops s JOIN deals d ON d.id = s.deal_id JOIN accounts a ON a.name = d.account
    WHERE s.state = 'ALERTED' AND a.mode = 'alert' ORDER BY 1
""")
