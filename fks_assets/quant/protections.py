"""Protections: small rules that look at closed trades and equity and lock an account, a strategy or a market for a while.

The idea, and the names, are freqtrade's. A lock ends so long after the evidence for it, so the same evidence always says the same
lock. A person who lifts a lock forgives what has been: only what comes afterwards counts again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fks_assets.clock import MILLISECONDS_PER_DAY, iso
from fks_assets.quant.account_rules import Fraction
from fks_assets.quant.counting import counted
from fks_assets.quant.markets import Market
from fks_assets.quant.money import DERIVED, EXACT, money_text, rounded, total
from fks_assets.quant.risk import distinct_percent, percent_text

Scope = Literal["account", "strategy", "market"]
Share = Annotated[Fraction, Field(gt=0, lt=1)]
Minutes = Annotated[int, Field(ge=1, le=525_600)]
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """A position that is over. `pnl` after fees and `stake`, what was paid to enter, in the quote coin; `closed_at` UTC ms."""

    strategy: str
    market: Market
    closed_at: int
    pnl: Decimal
    stake: Decimal
    is_stopped: bool


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """What 1 that was in the account from the beginning is worth at a time (UTC ms), deposits left out."""

    at: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Record:
    """What an account has done: closed trades in any order, its equity oldest first, and when locks were last lifted.

    `lifted` is by (scope, name), in UTC milliseconds.
    """

    account: str
    trades: Sequence[ClosedTrade] = ()
    equity: Sequence[EquityPoint] = ()
    lifted: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def groups(self, scope: Scope, since_ms: int) -> Iterator[tuple[str, list[ClosedTrade]]]:
        """Yield, by name, the trades of each account, strategy or market closed after a time and after its last lift."""
        found: dict[str, list[ClosedTrade]] = {}
        for trade in self.trades:
            name = {"account": self.account, "strategy": trade.strategy, "market": trade.market.key}[scope]
            if trade.closed_at > max(since_ms, self.lifted.get((scope, name), since_ms)):
                found.setdefault(name, []).append(trade)
        yield from sorted(found.items())

    def curve(self, since_ms: int) -> list[EquityPoint]:
        """Return the equity from a time on, or from the account's last lift if that is later; first the value then."""
        begin = max(since_ms, self.lifted.get(("account", self.account), since_ms))
        first = max((place for place, point in enumerate(self.equity) if point.at <= begin), default=0)
        return list(self.equity[first:])


@dataclass(frozen=True, slots=True)
class Lock:
    """What a protection forbids new risk to, until when (UTC ms), and why."""

    scope: Scope
    name: str
    until: int
    reason: str
    protection: str


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def described(self) -> dict[str, Any]:
        """Return the settings but for the rule's name and scope; fractions as exact text."""
        values = self.model_dump(exclude={"rule", "scope"})
        return {name: money_text(value) if isinstance(value, Decimal) else value for name, value in values.items()}


class _Windowed(_Rule):
    window_minutes: Minutes = 1440
    lock_minutes: Minutes = 720

    def look_back_ms(self, at_ms: int) -> int:
        return at_ms - self.window_minutes * MINUTE_MS


class StoplossGuard(_Windowed):
    """Locks after `stops` trades that their stops ended with a loss within the window, from the last of them on."""

    rule: Literal["stoploss_guard"]
    scope: Scope = "account"
    stops: int = Field(4, ge=1, le=1000)

    def locks(self, protection: str, record: Record, at_ms: int) -> Iterator[Lock]:
        for name, trades in record.groups(self.scope, self.look_back_ms(at_ms)):
            stopped = [trade for trade in trades if trade.is_stopped and trade.pnl < 0]
            if len(stopped) >= self.stops:
                lost = money_text(rounded(total(trade.pnl.copy_negate() for trade in stopped), 8))
                words = f"{counted(len(stopped), 'stop')} in {_span(self.window_minutes)} lost {lost}, the bound is {self.stops}"
                yield _lock(self, name, _last(stopped) + self.lock_minutes * MINUTE_MS, words, protection)


class LowProfit(_Windowed):
    """Locks what returned less than `least_profit` on what was staked, in `trades` or more trades within the window."""

    rule: Literal["low_profit_markets"]
    scope: Scope = "market"
    trades: int = Field(3, ge=1, le=1000)
    least_profit: Annotated[Fraction, Field(gt=-1, lt=1)] = Decimal(0)

    def locks(self, protection: str, record: Record, at_ms: int) -> Iterator[Lock]:
        for name, trades in record.groups(self.scope, self.look_back_ms(at_ms)):
            gained, staked = total(trade.pnl for trade in trades), total(trade.stake for trade in trades)
            if len(trades) >= self.trades and staked and gained < EXACT.multiply(self.least_profit, staked):
                made = distinct_percent(DERIVED.divide(gained, staked), self.least_profit)
                found = f"{counted(len(trades), 'trade')} in {_span(self.window_minutes)} returned {made}"
                words = f"{found}, less than {percent_text(self.least_profit)}"
                yield _lock(self, name, _last(trades) + self.lock_minutes * MINUTE_MS, words, protection)


class Cooldown(_Rule):
    """Locks for a while after each exit."""

    rule: Literal["cooldown"]
    scope: Scope = "market"
    lock_minutes: Minutes = 60

    def look_back_ms(self, at_ms: int) -> int:
        return at_ms - self.lock_minutes * MINUTE_MS

    def locks(self, protection: str, record: Record, at_ms: int) -> Iterator[Lock]:
        for name, trades in record.groups(self.scope, self.look_back_ms(at_ms)):
            words = f"it was left at {iso(_last(trades))} and rests for {_span(self.lock_minutes)}"
            yield _lock(self, name, _last(trades) + self.lock_minutes * MINUTE_MS, words, protection)


class MaxDrawdown(_Windowed):
    """Locks the account when its equity falls more than `drawdown` below its highest of the window, from its newest low on."""

    rule: Literal["max_drawdown"]
    scope: Literal["account"] = "account"
    window_minutes: Minutes = 10_080
    lock_minutes: Minutes = 1440
    drawdown: Share = Decimal("0.15")

    def locks(self, protection: str, record: Record, at_ms: int) -> Iterator[Lock]:
        fall = _last_fall(record.curve(self.look_back_ms(at_ms)), self.drawdown)
        if fall is not None:
            deep = distinct_percent(_depth(fall), self.drawdown)
            words = f"equity fell by {deep} within {_span(self.window_minutes)}, more than {percent_text(self.drawdown)}"
            yield _lock(self, record.account, fall[1].at + self.lock_minutes * MINUTE_MS, words, protection)


class DailyLossLimit(_Rule):
    """Locks the account until 00:00 UTC when it has lost more than `loss` of what it was worth when the UTC day began."""

    rule: Literal["daily_loss_limit"]
    scope: Literal["account"] = "account"
    loss: Share = Decimal("0.05")

    def look_back_ms(self, at_ms: int) -> int:
        return at_ms - at_ms % MILLISECONDS_PER_DAY

    def locks(self, protection: str, record: Record, at_ms: int) -> Iterator[Lock]:
        midnight = self.look_back_ms(at_ms)
        curve = record.curve(midnight)
        if not curve:
            return
        lowest = min(curve, key=lambda point: (point.value, point.at))
        if _is_beyond((curve[0], lowest), self.loss):
            lost = distinct_percent(_depth((curve[0], lowest)), self.loss)
            words = f"the account lost {lost} on this UTC day, more than {percent_text(self.loss)}"
            yield _lock(self, record.account, midnight + MILLISECONDS_PER_DAY, words, protection)


Protection = Annotated[StoplossGuard | LowProfit | Cooldown | MaxDrawdown | DailyLossLimit, Field(discriminator="rule")]


def locks_now(protections: Mapping[str, Protection], record: Record, at_ms: int) -> list[Lock]:
    """Return the locks that are due at a time (UTC ms), for each account, strategy and market the one that lasts longest."""
    longest: dict[tuple[str, str], Lock] = {}
    for lock in (each for name, rule in protections.items() for each in rule.locks(name, record, at_ms) if each.until > at_ms):
        known = longest.get((lock.scope, lock.name))
        if known is None or lock.until > known.until:
            longest[lock.scope, lock.name] = lock
    return list(longest.values())


def _lock(rule: Any, name: str, until: int, words: str, protection: str) -> Lock:
    return Lock(rule.scope, name, until, f"{protection}: {words}", protection)


def _last(trades: Iterable[ClosedTrade]) -> int:
    return max(trade.closed_at for trade in trades)


def _last_fall(curve: Sequence[EquityPoint], bound: Decimal) -> tuple[EquityPoint, EquityPoint] | None:
    """Return the highest point before, and the newest point at which a curve came, or sank further, below the bound."""
    found: tuple[EquityPoint, EquityPoint] | None = None
    peak: EquityPoint | None = None
    lowest: EquityPoint | None = None
    for point in curve:
        peak = point if peak is None or point.value > peak.value else peak
        if not _is_beyond((peak, point), bound):
            lowest = None
        elif lowest is None or point.value < lowest.value:
            lowest, found = point, (peak, point)
    return found


def _depth(fall: tuple[EquityPoint, EquityPoint]) -> Decimal:
    peak, point = (each.value for each in fall)
    return DERIVED.divide(EXACT.subtract(peak, point), peak) if peak > 0 else Decimal(0)


def _is_beyond(fall: tuple[EquityPoint, EquityPoint], bound: Decimal) -> bool:
    peak, point = (each.value for each in fall)
    return EXACT.subtract(peak, point) > EXACT.multiply(bound, peak)


def _span(minutes: int) -> str:
    if minutes > 1440 and minutes % 1440 == 0:
        return f"{minutes // 1440} d"
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
