"""The rules of docs/backtest-rules.md once more: slow, in Decimal, candle by candle, leg by leg. The product never imports this.

It shares nothing with the engine but the description of a book: it visits every candle of every leg instead of jumping between
events, walks the price along straight lines between the points of a candle instead of asking which level is touched, and
reads every float as the decimal number it prints as.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
from fks_assets.quant.market_rules import MarketStatus

ZERO, ONE, HUNDRED = Decimal(0), Decimal(1), Decimal(100)
SNAP = Decimal("1e-12")
EXACT = Decimal("1e-26")
DAY_MS = 86_400_000


@dataclass
class Position:
    side: int
    quantity: Decimal
    first_quantity: Decimal
    price: Decimal
    stake: Decimal
    fee: Decimal
    funding: Decimal
    stop: Decimal | None
    trailed: bool
    target: Decimal | None
    liquidation: Decimal | None
    row: int
    mark: Decimal
    # (part, gain), the part None for what closes all that is left.
    partials: list[tuple[Decimal | None, Decimal]]


@dataclass
class Desk:
    """One leg while the book runs."""

    leg: Leg
    rows: dict[str, Any]
    position: Position | None = None
    last_trade: int | None = None
    entries_by_day: dict[int, int] = field(default_factory=dict)
    left_now: bool = False
    turning: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    ambiguous: int = 0
    decided: int = 0
    due: int = 0
    unknown: int = 0
    skipped: int = 0


@dataclass
class Outcome:
    trades: list[dict[str, Any]]
    orders: list[tuple[Any, ...]]
    equity: list[tuple[int, Decimal, Decimal]]
    desks: list[Desk]


def number(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def maybe(value: float) -> Decimal | None:
    return None if value != value else number(value)


def rounded(value: Decimal, step: Decimal | None, up: bool) -> Decimal:
    if step is None:
        return value
    steps = value / step
    whole = steps.to_integral_value(ROUND_HALF_EVEN)
    if abs(steps - whole) > SNAP * abs(steps):
        whole = steps.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    return whole * step


def reference_backtest(book: Book) -> Outcome:
    with localcontext() as context:
        context.prec = 40
        return Reference(book).run()


class Reference:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.cash = self.initial = number(book.rules.initial_cash)
        self.trades: list[dict[str, Any]] = []
        self.orders: list[tuple[Any, ...]] = []
        self.equity: list[tuple[int, Decimal, Decimal]] = []
        # What positions have gained at the levels that ended them, before slippage and fees.
        self.gained, self.now = ZERO, 0
        columns: dict[int, dict[str, Any]] = {}
        self.desks = []
        for leg in book.legs:
            series = leg.series
            if id(series) not in columns:
                columns[id(series)] = self.columns_of(series)
            self.desks.append(Desk(leg, columns[id(series)]))

    @staticmethod
    def columns_of(series: MarketSeries) -> dict[str, Any]:
        candles = series.candles
        found: dict[str, Any] = {
            name: [number(value) for value in getattr(candles, name)] for name in ("open", "high", "low", "close", "volume")
        }
        found["time"] = [int(each) for each in candles.open_time]
        found["row_at"] = {time: row for row, time in enumerate(found["time"])}
        found["dues"] = dues_of(series)
        if series.finer is not None:
            finer = series.finer
            found["finer"] = [
                (int(time), *(number(getattr(finer, name)[row]) for name in ("open", "high", "low", "close")))
                for row, time in enumerate(finer.open_time)
            ]
        return found

    def run(self) -> Outcome:
        moments: dict[int, None] = {}
        for desk in self.desks:
            step = desk.leg.series.timeframe.milliseconds
            for time in desk.rows["time"]:
                moments[time] = moments[time + step] = None
        for self.now in sorted(moments):
            now = self.now
            closed = [self.end_candle(desk, now) for desk in self.desks]
            if any(closed):
                equity, gross = self.value()
                exposure = gross / equity if equity > 0 else Decimal("Infinity")
                self.equity.append((now, equity, exposure if gross else ZERO))
            opening = [desk for desk in self.desks if now in desk.rows["row_at"]]
            for desk in opening:
                desk.left_now = desk.turning = False
                self.begin_candle(desk, desk.rows["row_at"][now])
            for desk in opening:
                self.enter(desk, desk.rows["row_at"][now])
        trades = sorted(self.trades, key=lambda trade: (trade["exit_time"], trade["entry_time"]))
        return Outcome(trades, self.orders, self.equity, self.desks)

    def value(self) -> tuple[Decimal, Decimal]:
        equity, gross = self.cash, ZERO
        for desk in self.desks:
            held = desk.position
            if held is not None:
                equity += held.stake + held.side * (held.mark - held.price) * held.quantity
                gross += held.quantity * held.mark
        return equity, gross

    # -- a candle -----------------------------------------------------------------------------------------------------------

    def begin_candle(self, desk: Desk, row: int) -> None:
        held = desk.position
        if held is None:
            return
        rules, opened = desk.leg.rules, desk.rows["open"][row]
        self.fund(desk, desk.rows["dues"].get((row, "open"), []), opened)
        signal = int(desk.leg.signals.action[row - 1])
        against = signal == -held.side and rules.exit_on_signal and not beyond(held.side, opened, held.liquidation)
        self.at_open(desk, row, opened, False)
        if against:
            desk.turning = rules.short if held.side > 0 else rules.long
            if desk.position is not None:
                self.market_exit(desk, row, opened, "SIGNAL", False)
        if desk.position is None:
            desk.left_now = True
            if rules.cooldown_after == "exit":
                desk.last_trade = desk.rows["time"][row]

    def end_candle(self, desk: Desk, now: int) -> bool:
        row = desk.rows["row_at"].get(now - desk.leg.series.timeframe.milliseconds)
        if row is None:
            return False
        if desk.position is None:
            return True
        rows, rule = desk.rows, desk.leg.rules.tie_rule
        prices = tuple(rows[name][row] for name in ("open", "high", "low", "close"))
        tie, told = self.is_tie(desk, row, prices), False
        if tie:
            desk.ambiguous += 1
        if tie and rule == "finer":
            told = self.ask_finer(desk, row, prices, now)
        if desk.position is not None and not told:
            self.take_a_way(desk, row, prices, rule == "optimistic", tie)
        if desk.position is not None:
            close = rows["close"][row]
            desk.position.mark = close
            self.fund(desk, rows["dues"].get((row, "inside"), []), close)
            if row + 1 == len(rows["time"]):
                self.market_exit(desk, row, close, "END", False)
        if desk.position is None and desk.leg.rules.cooldown_after == "exit":
            desk.last_trade = now
        return True

    def fund(self, desk: Desk, rates: list[Decimal | None], price: Decimal) -> None:
        held = desk.position
        assert held is not None
        desk.due += len(rates)
        desk.unknown += sum(rate is None for rate in rates)
        paid = held.side * sum((rate for rate in rates if rate is not None), ZERO) * price * held.quantity
        self.cash -= paid
        held.funding += paid

    def ask_finer(self, desk: Desk, row: int, prices: tuple[Decimal, ...], end: int) -> bool:
        """Live through the finer candles inside; return whether they say what became of the position, else put its stop back."""
        held, rows = desk.position, desk.rows
        assert held is not None
        stop, trailed, side = held.stop, held.trailed, held.side
        inside = [finer for time, *finer in rows.get("finer", ()) if rows["time"][row] <= time < end]
        seen, doubtful = [], False
        for finer in inside:
            if desk.position is not None:
                seen += finer
                self.at_open(desk, row, finer[0], True)
            if desk.position is not None:
                doubtful = self.is_tie(desk, row, tuple(finer)) or doubtful
                self.take_a_way(desk, row, tuple(finer), False, True)
        _, high, low, _ = prices
        complete = bool(seen) and max(seen) >= high and min(seen) <= low
        if desk.position is not None:
            # Whoever still holds cannot have met the stop that there was.
            met = any(beyond(side, low if side > 0 else high, level) for level in (stop, held.liquidation))
            if met or not complete:
                desk.position.stop, desk.position.trailed = stop, trailed
                return False
        desk.decided += not doubtful
        return True

    def take_a_way(self, desk: Desk, row: int, prices: tuple[Decimal, ...], optimistic: bool, tie: bool) -> None:
        """Go each way that the price may have gone, from the same beginning; leave things as the worst or the best one does."""
        held, worth = desk.position, []
        assert held is not None
        before = replace(held, partials=list(held.partials)), self.cash, len(self.trades), len(self.orders), desk.skipped

        def begin() -> None:
            position, self.cash, trades, orders, desk.skipped = before
            desk.position = replace(position, partials=list(position.partials))
            del self.trades[trades:], self.orders[orders:]

        ways = [self.follow_the_rise, self.walk_against, self.walk_in_favour]
        if optimistic:
            # Of ways that come to the same, the one that meets more of what is in the position's favour.
            ways.reverse()
        for way in ways:
            begin()
            self.gained = ZERO
            way(desk, row, prices, tie)
            left = desk.position
            worth.append(self.gained + (left.side * (prices[3] - left.price) * left.quantity if left is not None else ZERO))
        begin()
        ways[worth.index(max(worth) if optimistic else min(worth))](desk, row, prices, tie)

    def follow_the_rise(self, desk: Desk, row: int, prices: tuple[Decimal, ...], tie: bool) -> None:
        """Go up only so far that the stop, which follows, is just where the other extreme is, and turn back there."""
        held = desk.position
        assert held is not None
        _, high, low, _ = prices
        against, favour = (low, high) if held.side > 0 else (high, low)
        if not any(beyond(held.side, against, level) for level in (held.stop, held.liquidation)):
            stops_here = [level for level, *_ in self.levels(desk) if held.side * (favour - level) >= 0]
            for point in [*stops_here, favour]:
                if desk.position is not None and self.meets_raised(desk, row, point, against):
                    self.gained += held.side * (against - held.price) * desk.position.quantity
                    self.market_exit(desk, row, against, "TRAILING", tie)
                if desk.position is not None and point != favour:
                    self.take_levels(desk, row, point, tie)
        if desk.position is not None:
            self.walk(desk, row, prices, False, tie)

    def walk_against(self, desk: Desk, row: int, prices: tuple[Decimal, ...], tie: bool) -> None:
        self.walk(desk, row, prices, False, tie)

    def walk_in_favour(self, desk: Desk, row: int, prices: tuple[Decimal, ...], tie: bool) -> None:
        self.walk(desk, row, prices, True, tie)

    def walk(self, desk: Desk, row: int, prices: tuple[Decimal, ...], favourable_first: bool, tie: bool) -> None:
        """Move the price from point to point; each straight piece either falls towards the stop or rises towards the target."""
        held = desk.position
        assert held is not None
        _, high, low, close = prices
        against, favour = (low, high) if held.side > 0 else (high, low)
        for point in (favour, against, close) if favourable_first else (against, favour, close):
            if desk.position is not None:
                self.fall_to(desk, row, point, tie)
            if desk.position is not None:
                self.rise_to(desk, row, point, tie)

    def at_open(self, desk: Desk, row: int, price: Decimal, tie: bool) -> None:
        held = desk.position
        assert held is not None
        if beyond(held.side, price, held.liquidation):
            self.liquidate(desk, row, price, tie)
        elif beyond(held.side, price, held.stop):
            self.market_exit(desk, row, price, "TRAILING" if held.trailed else "STOP", tie)
        else:
            self.rise_to(desk, row, price, tie)

    def fall_to(self, desk: Desk, row: int, point: Decimal, tie: bool) -> None:
        held = desk.position
        assert held is not None
        met = [level for level in (held.liquidation, held.stop) if beyond(held.side, point, level)]
        if not met:
            return
        first = max(met) if held.side > 0 else min(met)  # type: ignore[type-var]
        self.gained += held.side * (first - held.price) * held.quantity
        if first == held.liquidation:
            self.liquidate(desk, row, held.liquidation, tie)
        else:
            self.market_exit(desk, row, first, "TRAILING" if held.trailed else "STOP", tie)

    def rise_to(self, desk: Desk, row: int, point: Decimal, tie: bool) -> None:
        held = desk.position
        assert held is not None
        self.take_levels(desk, row, point, tie)
        if desk.position is not None:
            self.trail(desk, row, point)
            if beyond(held.side, point, held.stop):
                self.gained += held.side * (held.stop - held.price) * held.quantity
                self.market_exit(desk, row, held.stop, "TRAILING", tie)

    def take_levels(self, desk: Desk, row: int, point: Decimal, tie: bool) -> None:
        """Fill the limit orders that a rise to `point` reaches."""
        held = desk.position
        assert held is not None
        while desk.position is not None:
            level, kind, _ = next(iter(self.levels(desk)), (None, "", False))
            if level is None or held.side * (point - level) < 0:
                break
            maker = self.terms(desk, row)["maker"]
            if kind == "TARGET":
                self.gained += held.side * (level - held.price) * held.quantity
                self.close(desk, row, held.quantity, level, maker, "TARGET", tie)
                return
            part, _ = held.partials.pop(0)
            terms = self.terms(desk, row)
            quantity = held.quantity
            if part is not None:
                quantity = rounded(part * held.first_quantity, terms["lot"], False)
                if quantity >= held.quantity * (ONE - SNAP):
                    quantity = held.quantity
            if part is not None and self.too_small(quantity, level, terms):
                desk.skipped += 1
            else:
                self.gained += held.side * (level - held.price) * quantity
                self.close(desk, row, quantity, level, maker, "PARTIAL", tie)

    def levels(self, desk: Desk) -> list[tuple[Decimal, str, bool]]:
        """Return what lies in the position's favour, the nearest first: (price, TARGET or PARTIAL, whether it ends all of it)."""
        held = desk.position
        assert held is not None
        tick = self.terms(desk, held.row)["tick"]
        found = [
            (rounded(held.price * (ONE + held.side * gain), tick, held.side > 0), "PARTIAL", part is None)
            for part, gain in held.partials
        ]
        if held.target is not None:
            found = [each for each in found if held.side * (held.target - each[0]) > 0] + [(held.target, "TARGET", True)]
        return found

    def is_tie(self, desk: Desk, row: int, prices: tuple[Decimal, ...]) -> bool:
        """Return whether it matters in which order the extremes came.

        Either both the stop that there was and something in the position's favour are met, or the stop that the favourable
        extreme (or the level that ends the position before it) raises is one that the other extreme meets.
        """
        held = desk.position
        assert held is not None
        _, high, low, _ = prices
        against, favour = (low, high) if held.side > 0 else (high, low)
        met = [level for level, *_ in self.levels(desk) if held.side * (favour - level) >= 0]
        stopped = beyond(held.side, against, held.stop) or beyond(held.side, against, held.liquidation)
        if stopped and met:
            return True
        ends = [level for level, _, is_end in self.levels(desk) if is_end]
        best = min([favour, *ends]) if held.side > 0 else max([favour, *ends])
        return self.meets_raised(desk, row, best, against)

    def meets_raised(self, desk: Desk, row: int, best: Decimal, against: Decimal) -> bool:
        """Return whether the stop, once raised by `best`, is nearer than all there was and met by the other extreme."""
        held, raised = desk.position, self.raised(desk, row, best)
        assert held is not None
        if raised is None or beyond(held.side, best, raised):
            return False
        first = [level for level in (held.stop, held.liquidation) if level is not None]
        return all(held.side * (raised - level) > 0 for level in first) and beyond(held.side, against, raised)

    def raised(self, desk: Desk, row: int, price: Decimal) -> Decimal | None:
        """Return where a trailing stop lies once the price has been there, None where none trails."""
        held, percent = desk.position, desk.leg.rules.trailing_percent
        assert held is not None
        if percent is None:
            return None
        level = price * (ONE - held.side * number(percent) / HUNDRED)
        return rounded(level, self.terms(desk, row)["tick"], held.side > 0)

    def trail(self, desk: Desk, row: int, price: Decimal) -> None:
        held, level = desk.position, self.raised(desk, row, price)
        assert held is not None
        if level is not None and (held.stop is None or held.side * (level - held.stop) > 0):
            held.stop, held.trailed = level, True

    # -- money --------------------------------------------------------------------------------------------------------------

    def terms(self, desk: Desk, row: int) -> dict[str, Any]:
        series, time = desk.leg.series, desk.rows["time"][row]
        costs = self.book.rules.costs
        found: dict[str, Any] = {"tick": None, "lot": None, "least": ZERO, "most": None, "notional": ZERO}
        fees = {"maker": costs.maker_fee, "taker": costs.taker_fee}
        found |= {name: number(0.001 if fee is None else fee) for name, fee in fees.items()}
        current = None
        for rules in series.rules:
            if rules.status is MarketStatus.DELISTED and rules.tick_size is None:
                continue
            if current is None or (rules.valid_from or 0) <= time:
                current = rules
        if current is not None:
            found |= {"tick": current.tick_size, "lot": current.lot_size, "most": current.max_quantity}
            found |= {"least": current.min_quantity or ZERO, "notional": current.min_notional or ZERO}
            for name, fee in (("maker", current.maker_fee), ("taker", current.taker_fee)):
                if fee is not None and fees[name] is None:
                    found[name] = fee
        return found

    def too_small(self, quantity: Decimal, price: Decimal, terms: dict[str, Any]) -> bool:
        least = ONE - SNAP
        return quantity <= 0 or quantity < terms["least"] * least or quantity * price < terms["notional"] * least

    def slipped(self, desk: Desk, row: int, price: Decimal, buy: bool, quantity: Decimal) -> Decimal:
        costs = self.book.rules.costs
        volume, limit = desk.rows["volume"][row], number(costs.impact_limit)
        share = min(quantity / volume, limit) if volume > 0 else limit
        part = number(costs.slippage) + number(costs.spread) / 2 + number(costs.impact) * share * share
        tick = self.terms(desk, row)["tick"]
        moved = rounded(price * (ONE + part if buy else ONE - part), tick, buy)
        return moved if tick is None or moved > 0 else tick

    def market_exit(self, desk: Desk, row: int, price: Decimal, reason: str, tie: bool) -> None:
        held = desk.position
        assert held is not None
        filled = self.slipped(desk, row, price, held.side < 0, held.quantity)
        self.close(desk, row, held.quantity, filled, self.terms(desk, row)["taker"], reason, tie)

    def liquidate(self, desk: Desk, row: int, price: Decimal, tie: bool) -> None:
        held, rules = desk.position, desk.leg.rules
        assert held is not None
        fee = rules.maintenance_margin if rules.liquidation_fee is None else rules.liquidation_fee
        rate = self.terms(desk, row)["taker"] + number(fee)
        filled = self.slipped(desk, row, price, held.side < 0, held.quantity)
        # The price at which stake + profit - fee is nothing; on the tick the exchange bears the rest.
        worst = held.price * (ONE - held.side / number(rules.leverage)) / (ONE - held.side * rate)
        if held.side * (filled - worst) < 0:
            tick = self.terms(desk, row)["tick"]
            filled = rounded(worst, tick, held.side > 0)
            filled = filled if tick is None or filled > 0 else tick
        self.close(desk, row, held.quantity, filled, rate, "LIQUIDATION", tie)

    def close(self, desk: Desk, row: int, quantity: Decimal, price: Decimal, rate: Decimal, reason: str, tie: bool) -> None:
        held = desk.position
        assert held is not None
        part = quantity / held.quantity
        stake, entry_fee, funding = held.stake * part, held.fee * part, held.funding * part
        fee = rate * price * quantity
        gross = held.side * (price - held.price) * quantity
        self.cash += stake + gross - fee
        pnl = gross - fee - entry_fee - funding
        times = desk.rows["time"]
        self.trades.append(
            {
                "market": desk.leg.series.market,
                "strategy": desk.leg.strategy,
                "side": held.side,
                "entry_time": times[held.row],
                "exit_time": times[row],
                "entry_price": held.price,
                "exit_price": price,
                "quantity": quantity,
                "entry_fee": entry_fee,
                "exit_fee": fee,
                "funding": funding,
                "pnl": pnl,
                "return_fraction": pnl / stake,
                "exit_reason": reason,
                "candles_held": row - held.row,
                "ambiguous": tie,
                "leg": self.desks.index(desk),
                "booked_at": self.now,
            }
        )
        self.orders.append((times[row], desk.leg.series.market, desk.leg.strategy, -held.side, quantity, price, fee, reason))
        held.stake -= stake
        held.fee -= entry_fee
        held.funding -= funding
        held.quantity -= quantity
        if part == 1:
            desk.position = None

    # -- entries ------------------------------------------------------------------------------------------------------------

    def enter(self, desk: Desk, row: int) -> None:
        if desk.position is not None or row == 0:
            return
        side = int(desk.leg.signals.action[row - 1])
        if side == 0 or (desk.left_now and not desk.turning):
            return
        refusal = self.refusal(desk, row, side)
        if refusal is not None:
            desk.position = None
            desk.refused[refusal] = desk.refused.get(refusal, 0) + 1

    def refusal(self, desk: Desk, row: int, side: int) -> str | None:
        """Open the position and return None, or return why not."""
        rules, times, signals = desk.leg.rules, desk.rows["time"], desk.leg.signals
        now, step = times[row], desk.leg.series.timeframe.milliseconds
        if not (rules.long if side > 0 else rules.short):
            return "SIDE"
        late = now - (times[row - 1] + step)
        if rules.oldest_signal_candles is not None and late > rules.oldest_signal_candles * step:
            return "STALE"
        if desk.last_trade is not None and now - desk.last_trade < rules.cooldown_minutes * 60_000:
            return "COOLDOWN"
        if rules.daily_trades is not None and desk.entries_by_day.get(now // DAY_MS, 0) >= rules.daily_trades:
            return "DAILY_LIMIT"
        budget = self.book.rules.budgets.get(desk.leg.strategy)
        mine = [other.position for other in self.desks if other.position and other.leg.strategy == desk.leg.strategy]
        everyone = [other for other in self.desks if other.position]
        if self.book.rules.max_positions is not None and len(everyone) >= self.book.rules.max_positions:
            return "POSITIONS"
        if budget is not None and budget.max_positions is not None and len(mine) >= budget.max_positions:
            return "POSITIONS"
        share = ONE if budget is None else number(budget.share)
        equity = share * self.value()[0]
        available = self.cash if share == 1 else min(self.cash, equity - sum((each.stake for each in mine), ZERO))
        if available <= self.initial * Decimal("1e-6"):
            return "CASH"

        opened, terms, leverage = desk.rows["open"][row], self.terms(desk, row), number(rules.leverage)
        price = self.slipped(desk, row, opened, side > 0, ZERO)
        self.place(desk, row, side, price, signals)
        held = desk.position
        assert held is not None
        sizing, base = rules.sizing, equity if rules.sizing.base == "equity" else available
        size = number(sizing.value)
        if sizing.kind == "fraction":
            wanted = leverage * size * base
        elif sizing.kind == "notional":
            wanted = size
        elif sizing.kind == "confidence":
            wanted = leverage * min(number(signals.confidence[row - 1]) * size, number(sizing.cap)) * base
        else:
            if held.stop is None or side * (price - held.stop) <= 0:
                return "NO_STOP"
            wanted = size * base / abs(price - held.stop) * price
        wanted = min(wanted, leverage * number(sizing.largest_stake) * base)
        quantity = wanted / price
        costs = self.book.rules.costs
        if costs.impact > 0:
            price = self.slipped(desk, row, opened, side > 0, quantity)
            self.place(desk, row, side, price, signals)
            held = desk.position
        quantity = min(quantity, available / (price / leverage + price * terms["taker"]))
        if terms["most"] is not None:
            quantity = min(quantity, terms["most"])
        quantity = rounded(quantity, terms["lot"], False)
        while terms["lot"] and quantity * price * (ONE / leverage + terms["taker"]) > available * (ONE + EXACT):
            quantity -= terms["lot"]
        if beyond(side, opened, held.liquidation) or any(level is not None and level <= 0 for level in (held.stop, held.target)):
            return "LEVELS"
        if beyond(side, opened, held.stop) or (held.target is not None and side * (price - held.target) >= 0):
            return "LEVELS"
        if self.too_small(quantity, price, terms) or (held.stop is not None and self.too_small(quantity, held.stop, terms)):
            return "SIZE"
        held.quantity = held.first_quantity = quantity
        held.stake, held.fee = quantity * price / leverage, terms["taker"] * quantity * price
        self.cash -= held.stake + held.fee
        desk.entries_by_day[now // DAY_MS] = desk.entries_by_day.get(now // DAY_MS, 0) + 1
        if rules.cooldown_after == "entry":
            desk.last_trade = now
        self.orders.append((now, desk.leg.series.market, desk.leg.strategy, side, quantity, price, held.fee, "ENTRY"))
        return None

    def place(self, desk: Desk, row: int, side: int, price: Decimal, signals: Any) -> None:
        """Lay down a position of no size yet, with its levels."""
        rules, tick = desk.leg.rules, self.terms(desk, row)["tick"]
        close = desk.rows["close"][row - 1]
        reference = price if rules.levels_from == "fill" else close
        found: list[Decimal | None] = []
        for given, percent, away in (
            (maybe(signals.stop[row - 1]), rules.stop_percent, -side),
            (maybe(signals.target[row - 1]), rules.target_percent, side),
        ):
            if percent is not None:
                level: Decimal | None = reference * (ONE + away * number(percent) / HUNDRED)
            else:
                level = given if given is None else given * (reference / close)
            found.append(level if level is None else rounded(level, tick, side > 0))
        leverage, maintenance = number(rules.leverage), number(rules.maintenance_margin)
        # Where the margin left is just the maintenance margin: stake + side * (p - price) = maintenance * p, all for one coin.
        liquidation = (price - side * price / leverage) / (ONE - side * maintenance)
        if tick is not None and abs(liquidation - rounded(liquidation, tick, True)) <= SNAP * liquidation:
            liquidation = rounded(liquidation, tick, True)
        if tick is not None and abs(liquidation - rounded(liquidation, tick, False)) <= SNAP * liquidation:
            liquidation = rounded(liquidation, tick, False)
        partials: list[tuple[Decimal | None, Decimal]] = []
        for each in rules.partial_exits:
            partials.append((number(each.part), number(each.gain_percent) / HUNDRED))
        if abs(sum((number(each.part) for each in rules.partial_exits), ZERO) - ONE) < Decimal("1e-9"):
            partials[-1] = (None, partials[-1][1])
        desk.position = Position(
            side, ZERO, ZERO, price, ZERO, ZERO, ZERO, found[0], False, found[1],
            liquidation if liquidation > 0 else None, row, price, partials,
        )  # fmt: skip
        self.trail(desk, row, price)


def beyond(side: int, price: Decimal, level: Decimal | None) -> bool:
    """Return whether a stop or liquidation at `level` is met at this price."""
    return level is not None and side * (price - level) <= 0


def dues_of(series: MarketSeries) -> dict[tuple[int, str], list[Decimal | None]]:
    """Return the rates due at each row's open, and between that open and the next, None where unknown."""
    funding = series.funding
    if funding is None:
        return {}
    times = [int(each) for each in series.candles.open_time]
    end = times[-1] + series.timeframe.milliseconds
    rates = {int(time): maybe(rate) for time, rate in zip(funding.time, funding.rate, strict=True)}
    moments = set(rates) | set(_grid(times[0], end, funding.interval_ms))
    found: dict[tuple[int, str], list[Decimal | None]] = {}
    for row, time in enumerate(times):
        following = times[row + 1] if row + 1 < len(times) else end
        for moment in sorted(moments):
            if time <= moment < following:
                found.setdefault((row, "open" if moment == time else "inside"), []).append(rates.get(moment))
    return found


def _grid(start: int, end: int, interval: int) -> Iterator[int]:
    moment = -(-start // interval) * interval
    while moment < end:
        yield moment
        moment += interval
