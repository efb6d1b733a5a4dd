"""What a price asks for of a guarded position, and what follows from that: pure answers with the one stop engine."""

from dataclasses import dataclass, replace
from decimal import Decimal

from fks_assets.desk.alerts import BACK_BY
from fks_assets.desk.guarding import trailed_level
from fks_assets.desk.price_reads import APART_MS, PriceRead
from fks_assets.quant.orders import Mode
from fks_assets.quant.stops import REACHED, STOPPED, evaluate_candle
from fks_assets.settings.guard import GuardSettings
from fks_assets.stores.guard import Guarded, StopCheck
from fks_assets.stores.ledger.stops import StopState

EVENTS = {STOPPED: "STOPPED", REACHED: "REACHED"}
# A run that was asked for and changed nothing is asked for again after this time.
AGAIN_MS = 60_000


@dataclass(frozen=True, slots=True)
class Judged:
    """What a price asks for: `event` is STOPPED, REACHED or None, `raised` a trailing stop's nearer level.

    `may_raise`: a second read of the price may make the stop trail further.
    """

    event: str | None
    raised: Decimal | None
    may_raise: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """Why an account's venue has something to do for a deal; `key` is the same as long as it is for the same reason."""

    deal_id: int
    account: str
    why: str
    key: str


def judge(position: Guarded, read: PriceRead, tick: Decimal | None) -> Judged:
    """Return what a read asks for of a position; a tick of None rounds nothing. A stop follows what two reads have reached.

    Raises ValueError for a read without a price.
    """
    if read.price is None:
        raise ValueError(f"{position.market} has no price: {read.why}")
    now, raised, may_raise = float(read.price), None, False
    if position.trailing_distance is not None:
        best = read.seen_twice(position.side)
        raised = None if best is None else _trailed(position, best, tick)
        may_raise = best != read.price and _trailed(position, read.price, tick) is not None
    stop, target = (float("nan") if level is None else float(level) for level in (position.level, position.target))
    nearer = stop if raised is None else float(raised)
    event, _, _ = evaluate_candle(position.side, now, now, now, now, stop, nearer, target, False)
    return Judged(EVENTS.get(event), raised, may_raise)


def follow(check: StopCheck, position: Guarded, judged: Judged, price: Decimal, now_ms: int, since_ms: int) -> StopCheck:
    """Return the check with what a price asks for that was first seen at `since_ms`.

    It is acted upon once two reads a second apart ask for the same, and it stays until the price has come back by half a
    percent beyond the level.
    """
    if judged.event is None:
        if check.confirmed_at is not None and not _is_back(check, position, price):
            return check
        return replace(check, event=None, event_at=None, confirmed_at=None)
    if judged.event != check.event:
        check = replace(check, event=judged.event, event_at=since_ms, confirmed_at=None)
    if check.confirmed_at is None and check.event_at is not None and now_ms - check.event_at >= APART_MS:
        stopped = check.event == EVENTS[STOPPED]
        return replace(check, confirmed_at=now_ms, triggers=check.triggers + stopped)
    return check


def is_unconfirmed(check: StopCheck) -> bool:
    """Return whether a second read has to say it too before anything is done."""
    return check.event is not None and check.confirmed_at is None


def is_overdue(check: StopCheck, position: Guarded, settings: GuardSettings, now_ms: int) -> bool:
    """Return whether a stop that rests at an exchange was passed and has not executed in time (C10)."""
    if position.mode is Mode.ALERT or position.state is not StopState.RESTING or not check.is_passed or check.event_at is None:
        return False
    return now_ms - check.event_at >= settings.triggered_seconds * 1000


def asked_of(check: StopCheck, position: Guarded, judged: Judged, settings: GuardSettings, now_ms: int) -> Ask | None:
    """Return what the venue of a paper or live account has to do for a position, None where it is nothing.

    What rests at an exchange executes there by itself; a paper venue looks when it is asked.
    """
    if position.mode is Mode.ALERT:
        return None
    at_exchange = position.mode is Mode.LIVE
    if check.event is not None and check.confirmed_at is not None and check.event_at is not None:
        is_stop = check.event == EVENTS[STOPPED]
        rests = position.state is StopState.RESTING if is_stop else position.target_rests
        if at_exchange and rests and now_ms - check.event_at < settings.triggered_seconds * 1000:
            return None
        what = "the price is beyond the stop" if is_stop else "the price is at the target"
        return _ask(position, what, f"{check.event}:{check.event_at}:{(now_ms - check.confirmed_at) // AGAIN_MS}")
    if judged.raised is None or position.state not in (StopState.RESTING, StopState.NONE):
        return None
    if position.changed_at is not None and 0 <= now_ms - position.changed_at < settings.trail_seconds * 1000:
        return None
    return _ask(position, "the trailing stop is nearer", f"TRAIL:{position.version}")


def _trailed(position: Guarded, best: Decimal, tick: Decimal | None) -> Decimal | None:
    assert position.trailing_distance is not None
    return trailed_level(position.side, position.level, float(best), position.trailing_distance, tick)


def _ask(position: Guarded, why: str, what: str) -> Ask:
    return Ask(position.deal_id, position.account, f"deal {position.deal_id}: {why}", f"{position.deal_id}:{what}")


def _is_back(check: StopCheck, position: Guarded, price: Decimal) -> bool:
    level = position.level if check.event == EVENTS[STOPPED] else position.target
    if level is None:
        return True
    away = position.side if check.event == EVENTS[STOPPED] else -position.side
    return away * (float(price) - float(level)) >= BACK_BY * float(level)
