"""What a backtest gives back: closed trades, the equity curve, every order, and what was refused. Columns are numpy arrays."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property
from typing import TypeVar

import numpy as np


class ExitReason(IntEnum):
    """Why a position, or a part of it, was closed; the code in Trades.exit_reason and Orders.reason."""

    STOP = 1
    TARGET = 2
    TRAILING = 3
    SIGNAL = 4
    LIQUIDATION = 5
    END = 6
    PARTIAL = 7


ENTRY = 0
STOP, TARGET, TRAILING, SIGNAL, LIQUIDATION, END, PARTIAL = (int(reason) for reason in ExitReason)


# Of layout.STATE, in the order of LegCounts.
_COUNTED = ["ambiguous", "decided", "funding_due", "funding_unknown", "before_rules", "parts_skipped"]
_LISTED = ("time", "market", "strategy", "side", "quantity", "price", "fee", "reason")


class Refusal(IntEnum):
    """Why a signal did not become a position; the place of its count in BacktestResult.refused."""

    SIDE = 0
    STALE = 1
    COOLDOWN = 2
    DAILY_LIMIT = 3
    POSITIONS = 4
    LEVELS = 5
    NO_STOP = 6
    CASH = 7
    SIZE = 8

    @property
    def words(self) -> str:
        """Return the reason in words."""
        return _REFUSALS[self]

    @classmethod
    def told_in(cls, text: str) -> "Refusal | None":
        """Return the refusal with whose words a text begins, None for the text of another reason."""
        return next((each for each in cls if text.startswith(each.words)), None)


_REFUSALS = (
    "the strategy may not trade this side",
    "the next candle opened too late",
    "within the cooldown",
    "the day's trades are used up",
    "as many positions as allowed are open",
    "the price had passed the stop, the target or the liquidation, or one of them was no price",
    "no stop to size the risk by",
    "no cash left in the budget",
    "the quantity is below the market's smallest order",
)


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """One row a closed trade or partial exit, sorted by exit_time, then entry_time, then the order in which they happened.

    `market` and `strategy` int16 are places in BacktestResult.markets and .strategies; `side` int8 is 1 long, -1 short; times are
    int64 UTC ms, the open time of the candle of the fill; prices (after slippage and tick rounding), `quantity` (base coin),
    fees, `funding` (paid positive) and `pnl` (net of all three) float64 in the quote coin; `return_fraction` is pnl to the
    capital committed at entry; `exit_reason` int8 an ExitReason; `candles_held` int32, 0 when entry and exit share a candle;
    `ambiguous` bool where that candle was a tie (quant/stops.evaluate_candle), so that a rule or finer candles decided what came
    first; `leg` int32 its place in the book; `booked_at` int64 ms as in Orders, of the exit.
    """

    market: np.ndarray
    strategy: np.ndarray
    side: np.ndarray
    entry_time: np.ndarray
    exit_time: np.ndarray
    entry_price: np.ndarray
    exit_price: np.ndarray
    quantity: np.ndarray
    entry_fee: np.ndarray
    exit_fee: np.ndarray
    funding: np.ndarray
    pnl: np.ndarray
    return_fraction: np.ndarray
    exit_reason: np.ndarray
    candles_held: np.ndarray
    ambiguous: np.ndarray
    leg: np.ndarray
    booked_at: np.ndarray

    def __len__(self) -> int:
        return len(self.side)

    def take(self, rows: np.ndarray) -> "Trades":
        """Return the rows chosen by an index or a mask."""
        return Trades(*(getattr(self, each.name)[rows] for each in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class EquityCurve:
    """One row a bar of the book, which is a moment at which a candle of any of its series closes.

    `time` int64 UTC ms of that close; `equity` in the quote coin and `exposure`, the value of all positions (long and short both
    counted up) as a fraction of equity, float64. Positions are valued at the last close of their own series.
    """

    time: np.ndarray
    equity: np.ndarray
    exposure: np.ndarray

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True, eq=False)
class Orders:
    """Every fill in the order in which it happened: `time` int64 ms (open time of its candle), `market` and `strategy` int16,
    `side` int8 (1 bought, -1 sold), `quantity`, `price` and `fee` float64, `reason` int8 (ENTRY or an ExitReason), `leg` int32
    its place in the book, `booked_at` int64 ms when the book counts it: the candle's open, its close for what happens inside.
    """

    time: np.ndarray
    market: np.ndarray
    strategy: np.ndarray
    side: np.ndarray
    quantity: np.ndarray
    price: np.ndarray
    fee: np.ndarray
    reason: np.ndarray
    leg: np.ndarray
    booked_at: np.ndarray

    def __len__(self) -> int:
        return len(self.side)


C = TypeVar("C", Trades, Orders)


@dataclass(frozen=True, slots=True, eq=False)
class LegCounts:
    """What happened in one leg besides its trades.

    `ambiguous_candles` were ties; of those, `decided_by_finer` were decided by finer candles, none of them itself a tie, and the
    others by the tie rule. `funding_due` counts the fundings that a position was held through, `funding_unknown` those without a
    rate (counted as 0). `before_rules` counts fills before the first known trading rules of the market, which were then applied.
    `parts_skipped` counts partial exits that were reached and left out, as they were below the market's smallest order.
    """

    market: str
    strategy: str
    refused: Mapping[Refusal, int]
    ambiguous_candles: int
    decided_by_finer: int
    funding_due: int
    funding_unknown: int
    before_rules: int
    parts_skipped: int


@dataclass(frozen=True, slots=True)
class Fees:
    """What a market charged, as fractions of the value: orders that rested in the book, and those that took from it."""

    maker: float
    taker: float


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """The records of a pass (layout.py): of its trades and its orders, of each leg's state at the end and its refusals."""

    trades: np.ndarray
    orders: np.ndarray
    states: np.ndarray
    refused: np.ndarray


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """Trades, equity curve and orders of one book, with the names behind their codes.

    `fees` are by market those that were charged over the candles, one after another where the market's rules changed them;
    `leg_names` are (market, strategy) in the order of the book. The columns are made of `written` when they are asked for.
    """

    markets: tuple[str, ...]
    strategies: tuple[str, ...]
    initial_cash: float
    equity: EquityCurve
    fees: Mapping[str, tuple[Fees, ...]]
    leg_names: tuple[tuple[str, str], ...]
    written: Written

    @cached_property
    def trades(self) -> Trades:
        """Return the closed trades and partial exits."""
        trades = _columns(Trades, self.written.trades)
        exits, entries = trades.exit_time, trades.entry_time
        is_sorted = (exits[1:] > exits[:-1]) | ((exits[1:] == exits[:-1]) & (entries[1:] >= entries[:-1]))
        return trades if is_sorted.all() else trades.take(np.lexsort((entries, exits)))

    @cached_property
    def orders(self) -> Orders:
        """Return every fill."""
        return _columns(Orders, self.written.orders)

    @cached_property
    def legs(self) -> tuple[LegCounts, ...]:
        """Return what happened in each leg besides its trades, in the order of the book."""
        counts = self.written.states[_COUNTED].tolist()
        return tuple(
            LegCounts(*names, {reason: count for reason, count in zip(Refusal, refused, strict=True) if count}, *counted)
            for names, counted, refused in zip(self.leg_names, counts, self.written.refused.tolist(), strict=True)
        )

    @property
    def final_equity(self) -> float:
        """Return the equity after the last bar, in the quote coin."""
        return float(self.equity.equity[-1]) if len(self.equity) else self.initial_cash

    @property
    def ambiguous_candles(self) -> int:
        """Return how many candles left open what they did to a position."""
        return sum(leg.ambiguous_candles for leg in self.legs)

    @property
    def decided_by_finer(self) -> int:
        """Return how many of the ambiguous candles were decided by finer candles, not by the tie rule."""
        return sum(leg.decided_by_finer for leg in self.legs)

    @property
    def parts_skipped(self) -> int:
        """Return how many partial exits were left out, as they were below the market's smallest order."""
        return sum(leg.parts_skipped for leg in self.legs)

    @property
    def funding_coverage(self) -> float:
        """Return the share of fundings with a known rate among those that positions were held through; 1 if there were none."""
        due = sum(leg.funding_due for leg in self.legs)
        return 1.0 - sum(leg.funding_unknown for leg in self.legs) / due if due else 1.0

    @property
    def refused(self) -> dict[Refusal, int]:
        """Return how many signals did not become a position, by reason, those that occurred."""
        totals = {reason: sum(leg.refused.get(reason, 0) for leg in self.legs) for reason in Refusal}
        return {reason: count for reason, count in totals.items() if count}

    @cached_property
    def order_list_hash(self) -> str:
        """Return the SHA-256, in hexadecimal, of the order list.

        The bytes are: the number of orders as text, markets and strategies by name, each ended by a line feed, then the columns
        `time` to `reason` of Orders one after another, little-endian, with -0.0 written as 0.0. Two runs agree in it exactly if
        all orders agree.
        """
        digest = hashlib.sha256("\n".join((str(len(self.orders)), *self.markets, *self.strategies, "")).encode())
        for name in _LISTED:
            column = getattr(self.orders, name)
            if column.dtype.kind == "f":
                column = column + 0.0
            digest.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


def _columns(kind: type[C], records: np.ndarray) -> C:
    return kind(*(records[each.name] for each in fields(kind)))
