"""Live against backtest: why what was decided and traded is not what a backtest of the same candles says. One cause each."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from math import isclose

from fks_assets.clock import iso
from fks_assets.quant.backtest.results import Refusal

# Sums of prices that begin at another candle differ in their last digits.
ROUNDING = 1e-9
# Exchanges round a fee to the smallest unit of its coin.
FEE_ROUNDING = 1e-6
ACTIONS = {1: "BUY", -1: "SELL", 0: "HOLD"}
# The market, the timeframe and the candle (its open time, UTC ms) of a decision.
Place = tuple[str, str, int]


class Cause(StrEnum):
    """Why a decision or a trade differs."""

    DATA_REVISION = "data revision"
    LATE_DATA = "late data"
    FILL = "fill"
    FEE = "fee"
    CODE_CHANGE = "code change"
    PARAMETER_CHANGE = "parameter change"
    UNEXPLAINED = "unexplained"


class Data(Enum):
    """Which candles a decision is judged by again: as they are `NOW`; as they were known `THEN`; or as they were known then,
    `COMPLETED` by those that came later.
    """

    NOW = 1
    THEN = 2
    COMPLETED = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """What a strategy said at a candle's close: 1 BUY, -1 SELL or 0 HOLD; without meaning for HOLD: confidence, stop, target."""

    action: int
    confidence: float
    stop: float
    target: float

    def agrees(self, other: "Decision") -> bool:
        """Return whether both say the same, but for rounding."""
        if self.action != other.action:
            return False
        pairs = ((self.confidence, other.confidence), (self.stop, other.stop), (self.target, other.target))
        return self.action == 0 or all(isclose(mine, theirs, rel_tol=ROUNDING) for mine, theirs in pairs)

    @property
    def words(self) -> str:
        """Return it in words."""
        if self.action == 0:
            return ACTIONS[0]
        return f"{ACTIONS[self.action]} {self.confidence:.3g}, stop {self.stop:.8g}, target {self.target:.8g}"


HOLD = Decision(0, 0.0, float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was decided at a candle: the first signal that was stored for it, and how it came about. Times are UTC milliseconds.

    `known_at` None: there is none to this day. After `deadline` it came too late to be followed: then HOLD was decided.
    `in_force` False: the parameter set was not in force then. `code_version` and `parameters_hash` None: they were not recorded.
    """

    decision: Decision
    known_at: int | None
    deadline: int
    in_force: bool = True
    code_version: str | None = None
    parameters_hash: str | None = None

    @property
    def in_time(self) -> bool:
        return self.known_at is not None and self.known_at <= self.deadline

    @property
    def followed(self) -> Decision:
        """The decision that could be followed."""
        return self.decision if self.in_time else HOLD


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What the backtest says at the candle; None: the candle is not stored any more."""

    decision: Decision | None
    code_version: str
    parameters_hash: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference. `candle` is the open time (UTC ms) of the decision's candle; `live` and `backtest` say what each was.

    `account` is that of a trade, "" for a decision, which all accounts have in common.
    """

    market: str
    timeframe: str
    candle: int
    cause: Cause
    live: str
    backtest: str
    words: str
    account: str = ""

    def document(self) -> dict[str, str | None]:
        """Return it for a JSON document and for a table."""
        return {
            "candle": iso(self.candle),
            "market": self.market,
            "timeframe": self.timeframe,
            "account": self.account,
            "cause": str(self.cause),
            "live": self.live,
            "backtest": self.backtest,
            "words": self.words,
        }


# Asked with the ledger's own state, the backtest's book gives these answers too.
_OF_THE_BOOK = frozenset({Refusal.COOLDOWN, Refusal.DAILY_LIMIT, Refusal.POSITIONS, Refusal.NO_STOP, Refusal.CASH, Refusal.SIZE})


def why_not_entered(refusal: str | None, known_at: int) -> tuple[Cause, str] | None:
    """Return why a BUY that was said in time, at `known_at` (UTC ms), and that the backtest enters was not entered, and in words.

    `refusal` is what the desk wrote down, None where it made no deal at all. None is returned for a limit that the account's book
    in a backtest has too; a price that had passed the levels is none, as at the open it had not.
    """
    if refusal is None:
        return Cause.FILL, f"it was said at {iso(known_at)}, and the account made no deal of it"
    told = Refusal.told_in(refusal)
    if told in _OF_THE_BOOK:
        return None
    return (Cause.LATE_DATA if told is Refusal.STALE else Cause.FILL), refusal


Judge = Callable[[Data, bool], Decision | None]


def explain(recorded: Recorded, recomputed: Recomputed, judge: Judge) -> tuple[Cause, str] | None:
    """Return why a decision is not the backtest's, and the same in words; None if both agree.

    `judge(data, parameters_then)` judges the candle again by today's code, with those candles and with the parameters that were
    used then or are now; None where it cannot. It is asked only for what differs. The first change that is enough by itself is
    the cause: candles, then parameters, then both together, then code, whose old version cannot be asked any more.
    """
    if recorded.followed.agrees(recomputed.decision or HOLD):
        return None
    if not recorded.in_force:
        return Cause.PARAMETER_CHANGE, "the parameter set was not in force then"
    if not recorded.in_time:
        return Cause.LATE_DATA, _late(recorded)
    if recomputed.decision is None:
        return Cause.DATA_REVISION, "the candle was taken back after the decision"
    return _changed(recorded, recomputed, judge)


def _changed(recorded: Recorded, recomputed: Recomputed, judge: Judge) -> tuple[Cause, str]:
    def said(data: Data, parameters_then: bool) -> bool:
        again = judge(data, parameters_then)
        return again is not None and again.agrees(recorded.decision)

    parameters = recorded.parameters_hash not in (None, recomputed.parameters_hash)
    code = recorded.code_version not in (None, recomputed.code_version)
    if said(Data.THEN, False):
        if said(Data.COMPLETED, False):
            return Cause.DATA_REVISION, f"candles that it rests on were restated after {iso(recorded.known_at)}"
        return Cause.LATE_DATA, f"candles that it rests on came after {iso(recorded.known_at)}"
    if parameters:
        used = f"parameters {recorded.parameters_hash} were used then, {recomputed.parameters_hash} now"
        if said(Data.NOW, True):
            return Cause.PARAMETER_CHANGE, used
        if said(Data.THEN, True):
            return Cause.PARAMETER_CHANGE, f"{used}; the candles have changed too"
        if not code and judge(Data.THEN, True) is None:
            return Cause.PARAMETER_CHANGE, f"{used}; those of then are not known any more"
    if code:
        also = "; the parameters have changed too" if parameters else ""
        return Cause.CODE_CHANGE, f"code {recorded.code_version} decided then, {recomputed.code_version} now{also}"
    if recorded.code_version is None:
        return Cause.UNEXPLAINED, "it is not recorded which code decided then, and the candles of then say something else"
    return Cause.UNEXPLAINED, "the same code, parameters and candles say something else"


def _late(recorded: Recorded) -> str:
    if recorded.known_at is None:
        return f"nothing was decided, neither by {iso(recorded.deadline)} nor later"
    return f"decided at {iso(recorded.known_at)}, too late to be followed by {iso(recorded.deadline)}"


@dataclass(frozen=True, slots=True)
class Trade:
    """An order of a decision as it was executed, or as the backtest books it.

    `candle` is the open time (UTC ms) of the candle of the decision; `leg` entry, exit, stop or target; `side` 1 bought, -1 sold;
    `quantity` in the base coin, above 0; `price` and `fee` in the quote coin, the fee of the whole quantity, positive when paid,
    None when it was paid in a coin that cannot be told in the quote coin.
    """

    account: str
    market: str
    timeframe: str
    candle: int
    leg: str
    side: int
    quantity: float
    price: float
    fee: float | None

    @property
    def place(self) -> Place:
        """Return the market, the timeframe and the candle of the decision."""
        return self.market, self.timeframe, self.candle

    @property
    def words(self) -> str:
        """Return it in words."""
        fee = "a fee in another coin" if self.fee is None else f"fee {self.fee:.6g}"
        return f"{self.leg} {ACTIONS[self.side]} {self.quantity:.8g} at {self.price:.8g}, {fee}"


def trade_mismatches(pairs: Iterable[tuple[Trade | None, Trade | None]], explained: Container[Place]) -> Iterator[Mismatch]:
    """Yield the differences of (what was executed, what the backtest books for the same decision), at least one of them given.

    Another price or quantity is a matter of the fill. The fee is compared as a share of the value, so that another price makes no
    other fee. What was decided and not executed is a matter of the fill. What was executed without a decision of the backtest is
    passed over when the decision itself differs, as `explained` by market, timeframe and candle, and is unexplained otherwise.
    """
    for done, due in pairs:
        if done is not None and due is not None:
            yield from _apart(done, due)
        elif due is not None:
            yield Mismatch(*due.place, Cause.FILL, "none", due.words, "it was decided and not filled", due.account)
        elif done is not None and done.place not in explained:
            yield Mismatch(*done.place, Cause.UNEXPLAINED, done.words, "none", "the backtest has no such trade", done.account)


def _apart(done: Trade, due: Trade) -> Iterator[Mismatch]:
    words = []
    if not isclose(done.price, due.price, rel_tol=ROUNDING):
        part = (done.price / due.price - 1) * done.side
        words.append(f"the price was {abs(part):.4%} {'worse' if part > 0 else 'better'}")
    if not isclose(done.quantity, due.quantity, rel_tol=ROUNDING):
        words.append(f"{done.quantity / due.quantity:.2%} of the quantity was filled")
    if words:
        yield Mismatch(*done.place, Cause.FILL, done.words, due.words, "; ".join(words), done.account)
    owed = 0.0 if due.fee is None else due.fee / (due.price * due.quantity)
    if done.fee is None:
        yield Mismatch(*done.place, Cause.FEE, done.words, due.words, "the fee was paid in another coin", done.account)
        return
    paid = done.fee / (done.price * done.quantity)
    if not isclose(paid, owed, rel_tol=FEE_ROUNDING, abs_tol=ROUNDING):
        rates = f"the fee was {paid:.4%} of the value, not {owed:.4%}"
        yield Mismatch(*done.place, Cause.FEE, done.words, due.words, rates, done.account)
