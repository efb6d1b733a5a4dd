"""A backtest as a ledger books it: every fill, fee and funding in Decimal, and an equity that is exact to the last digit.

The kernel reckons in floats, but its prices and quantities are multiples of ticks and lots, and every decision about money is
made as exact amounts would have made it (pairs.py, sizing.py). So its fills can be read back as the decimals that they are, and
a desk whose ledger books the same fills has this equity, digit for digit.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, localcontext

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.book import Book, Leg
from fks_assets.quant.backtest.results import END, ENTRY, LIQUIDATION, PARTIAL, TARGET, BacktestResult
from fks_assets.quant.market_rules import MarketRules

ZERO = Decimal(0)
# Sums and products of decimals end; more digits than this none of ours has, and a rounding would raise.
EXACT = Context(prec=400, traps=[Inexact])
_ENDED, _FUNDED_INSIDE, _CLOSED_AT_END, _BAR, _FUNDED_AT_OPEN, _TRADED_AT_OPEN = range(6)


@dataclass(frozen=True, slots=True)
class ExactFill:
    """One fill: `leg` its place in the book, `time` int UTC ms at which the book counts it, `side` 1 bought or -1 sold,
    `quantity` in the base coin, `price` and `fee` in the quote coin, `reason` as in Orders.
    """

    leg: int
    time: int
    side: int
    quantity: Decimal
    price: Decimal
    fee: Decimal
    reason: int


@dataclass(frozen=True, slots=True)
class ExactFunding:
    """What one position paid (received, if negative) at one moment, in the quote coin."""

    leg: int
    time: int
    paid: Decimal


@dataclass(slots=True)
class ExactAccount:
    """Cash and positions as the sums of what was booked, exact.

    Buying takes price * quantity and the fee out of `cash`, selling puts the price in; a short position is a negative quantity.
    `positions` are quantities by leg; one that is closed is not in it.
    """

    cash: Decimal
    positions: dict[int, Decimal] = field(default_factory=dict)

    def book(self, entry: ExactFill | ExactFunding) -> None:
        """Add a fill or a funding."""
        with localcontext(EXACT):
            if isinstance(entry, ExactFunding):
                self.cash -= entry.paid
                return
            self.cash -= entry.side * entry.quantity * entry.price + entry.fee
            held = self.positions.pop(entry.leg, ZERO) + entry.side * entry.quantity
            if held:
                self.positions[entry.leg] = held

    def equity(self, marks: Mapping[int, Decimal]) -> Decimal:
        """Return the equity with each position valued at its leg's mark."""
        with localcontext(EXACT):
            return self.cash + sum((quantity * marks[leg] for leg, quantity in self.positions.items()), ZERO)


@dataclass(frozen=True, slots=True, eq=False)
class ExactEquity:
    """The equity curve in Decimal: `time` int64 UTC ms of the bars of BacktestResult.equity, `equity` one Decimal a bar, and
    everything that was booked, in order.
    """

    time: np.ndarray
    equity: tuple[Decimal, ...]
    entries: tuple[ExactFill | ExactFunding, ...]

    @property
    def fills(self) -> tuple[ExactFill, ...]:
        """Return the fills alone."""
        return tuple(entry for entry in self.entries if isinstance(entry, ExactFill))


def exact_equity(book: Book, result: BacktestResult) -> ExactEquity:
    """Return the result of this book in Decimal.

    Prices are multiples of the market's tick and quantities of its lot as of the date; where the market states none, and for
    candles, a number is the shortest decimal that reads as the float. Raises InvalidInput where the result is not of this book.
    """
    if result.markets != book.markets or result.strategies != book.strategies or len(result.legs) != len(book.legs):
        raise InvalidInput("the result is that of another book: markets, strategies or legs differ")
    account = ExactAccount(_decimal(book.rules.initial_cash))
    readers = [_Reader(place, leg, book) for place, leg in enumerate(book.legs)]
    equity: list[Decimal] = []
    entries: list[ExactFill | ExactFunding] = []
    moments = heapq.merge(
        sorted(_orders(result)),
        ((int(time), _BAR, bar) for bar, time in enumerate(result.equity.time)),
        *(_fundings(reader) for reader in readers if reader.leg.series.funding is not None),
    )
    for time, kind, what, *rest in moments:
        if kind == _BAR:
            equity.append(account.equity({place: readers[place].mark(time) for place in account.positions}))
            continue
        reader = readers[rest[0] if kind in (_FUNDED_INSIDE, _FUNDED_AT_OPEN) else int(result.orders.leg[what])]
        held = account.positions.get(reader.place, ZERO)
        if kind in (_FUNDED_INSIDE, _FUNDED_AT_OPEN):
            if not held:
                continue
            entry: ExactFill | ExactFunding = reader.funding(time, kind, what, held, rest[1])
        else:
            entry = reader.fill(result, what, held)
        account.book(entry)
        entries.append(entry)
    return ExactEquity(result.equity.time, tuple(equity), tuple(entries))


class _Reader:
    """Reads the floats of one leg as the decimals that they are."""

    def __init__(self, place: int, leg: Leg, book: Book) -> None:
        self.place, self.leg = place, leg
        self.costs = book.rules.costs
        self.close_time = leg.series.candles.open_time + leg.series.timeframe.milliseconds
        self.entered: tuple[int, Decimal, MarketRules | None] = (0, ZERO, None)

    def rules_at(self, time: int) -> MarketRules | None:
        """Return the market's rules as of a date; before the first ones, those."""
        current: MarketRules | None = None
        for rules in self.leg.series.stated_rules:
            if current is None or (rules.valid_from is not None and rules.valid_from <= time):
                current = rules
        return current

    def mark(self, time: int) -> Decimal:
        """Return the last close since the entry, or the price of that."""
        entered, price, _ = self.entered
        row = int(np.searchsorted(self.close_time, time, side="right")) - 1
        return price if row < 0 or self.close_time[row] <= entered else _decimal(self.leg.series.candles.close[row])

    def fill(self, result: BacktestResult, row: int, held: Decimal) -> ExactFill:
        """Return the order in this row; `held` is the position before it."""
        orders = result.orders
        opened, reason = int(orders.time[row]), int(orders.reason[row])
        rules = self.rules_at(opened)
        then = rules if reason == ENTRY else self.entered[2]
        price = _multiple(orders.price[row], rules and rules.tick_size, then and then.tick_size)
        quantity = abs(held)
        if reason == ENTRY or (reason == PARTIAL and float(quantity) != orders.quantity[row]):
            quantity = _multiple(orders.quantity[row], rules and rules.lot_size)
        resting = reason in (TARGET, PARTIAL)
        stated = None if rules is None else (rules.maker_fee if resting else rules.taker_fee)
        rate = self.costs.fee_rate(stated, rests=resting)
        with localcontext(EXACT):
            if reason == LIQUIDATION:
                rate += _decimal(self.leg.rules.liquidation_rate)
            fee = rate * price * quantity
        if reason == ENTRY:
            self.entered = (opened, price, rules)
        return ExactFill(self.place, int(orders.booked_at[row]), int(orders.side[row]), quantity, price, fee, reason)

    def funding(self, time: int, kind: int, row: int, held: Decimal, rate: Decimal) -> ExactFunding:
        """Return what the position pays at the open of candle `row`, or at its close for what was due inside."""
        candles = self.leg.series.candles
        price = _decimal((candles.open if kind == _FUNDED_AT_OPEN else candles.close)[row])
        with localcontext(EXACT):
            return ExactFunding(self.place, time, rate * price * held)


def _orders(result: BacktestResult) -> Iterator[tuple[int, int, int]]:
    orders = result.orders
    for row, (opened, booked, reason) in enumerate(
        zip(orders.time.tolist(), orders.booked_at.tolist(), orders.reason.tolist(), strict=True)
    ):
        kind = _TRADED_AT_OPEN if booked == opened else _CLOSED_AT_END if reason == END else _ENDED
        yield booked, kind, row


def _fundings(reader: _Reader) -> Iterator[tuple[int, int, int, int, Decimal]]:
    """Yield (time, kind, row, leg, rate) of the known fundings, each charged where the kernel charges it."""
    series = reader.leg.series
    assert series.funding is not None
    times = series.candles.open_time
    known = ~np.isnan(series.funding.rate) & (series.funding.time >= times[0]) & (series.funding.time < reader.close_time[-1])
    for due, rate in zip(series.funding.time[known].tolist(), series.funding.rate[known].tolist(), strict=True):
        row = int(np.searchsorted(times, due, side="right")) - 1
        if times[row] == due:
            yield due, _FUNDED_AT_OPEN, row, reader.place, _decimal(rate)
        else:
            yield int(reader.close_time[row]), _FUNDED_INSIDE, row, reader.place, _decimal(rate)


def _decimal(value: float) -> Decimal:
    """Return the shortest decimal that reads as this float."""
    return Decimal(repr(float(value)))


def _multiple(value: float, *steps: Decimal | None) -> Decimal:
    """Return the multiple of the first of the steps of which the float is one, or its shortest decimal."""
    with localcontext(EXACT) as context:
        context.traps[Inexact] = False
        for step in steps:
            if step is not None:
                exact = (Decimal(float(value)) / step).to_integral_value() * step
                if float(exact) == value:
                    return exact
    return _decimal(value)
