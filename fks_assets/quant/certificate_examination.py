"""The examination behind a certificate: in a process that has seen no candles yet, it shows them in the order of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fks_assets.clock import iso
from fks_assets.quant.candles import PRICE_COLUMNS, Candles
from fks_assets.quant.certificate_guards import Outside, other_clock, random_numbers
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.lookahead import columns_of, differing, first_difference
from fks_assets.quant.strategies.base import BUY, HOLD, SELL, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import STILL_CANDLES, Columns

ROUNDING = 1e-12
PROMISE = 1e-9
PASTS, SWEPT, REPEATED, SEEDS, CLOCKED = 24, 48, 32, 6, 3
SHAKES, SHAKE = 8, 1e-12
MOST_TIES = 500
MOST_AFTER_WARM_UP = 50
HOUR_SECONDS = 3600.0
SIDES = {BUY: "BUY", HOLD: "HOLD", SELL: "SELL"}

Word = dict[str, Any]

# Others that are asked for the word of the same candles, before a difference is the future's and not chance.
ASKED_AGAIN = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `kind` is future, warm_up, repetition, memory, process, inputs, clock, randomness, outside or
    error; where it is of a row: the row, its open time (ms), the column, and what the column said in the two cases.
    """

    kind: str
    words: str
    row: int | None = None
    open_time: int | None = None
    column: str | None = None
    said: tuple[str, str] | None = None


class Proven(Exception):
    """Something was found that makes it useless to look further."""


def difference_in_words(
    kind: str,
    candles: Candles,
    some: Mapping[str, np.ndarray],
    others: Mapping[str, np.ndarray],
    cases: tuple[str, str],
    *,
    rounding: float = ROUNDING,
    at_row: int = 0,
) -> Finding | None:
    """Return the finding for the first row in which columns differ, None if none does. `cases` name the two sides; `at_row` is
    the row of the candles that the first row of the columns is.
    """
    found = first_difference(some, others, rounding=rounding)
    if found is None:
        return None
    row, column = found
    said = _in_words(column, some[column][row]), _in_words(column, others[column][row])
    open_time = int(candles.open_time[at_row + row])
    words = f"row {at_row + row} ({iso(open_time)}): {column} is {said[0]} {cases[0]} and {said[1]} {cases[1]}"
    return Finding(kind, words, at_row + row, open_time, column, said)


def finding_of_error(error: Exception, rows: int) -> Finding:
    """Return the finding that a strategy raised this on so many candles."""
    return Finding("error", f"with {rows} candles it raised {type(error).__name__}: {' '.join(str(error).split())}"[:400])


class Examination:
    """Examines one strategy on one series. `checked` are the rows judged from their look-back alone, in the order of time."""

    def __init__(self, strategy: Strategy[Any], candles: Candles, checked: Sequence[int], seed: int) -> None:
        self.strategy = strategy
        self.candles = candles
        self.checked = np.asarray(checked)
        self.lookback = strategy.lookback_rows
        self.random = np.random.default_rng(seed)
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self._still = _still_rows(candles)
        self.outside = Outside()

    def run(self) -> dict[str, np.ndarray] | None:
        """Examine everything; return the columns of the whole series, None if something was found that ended it before."""
        try:
            alone = self._judge_in_order_of_time()
            whole = columns_of(self._evaluate(self.candles, guarded=True))
            self._compare_pasts(whole)
            self._compare_rows(alone, whole)
            self._ask_again(alone, whole)
            self._change_the_world(whole)
        except Proven:
            return None
        finally:
            self.outside.close()
        if self.outside.touched:
            self.findings.append(Finding("outside", f"while it judged, it {self.outside.touched[0]}: candles are all it may use"))
        return whole

    @property
    def checks(self) -> tuple[str, ...]:
        """What is looked at, in words."""
        clocks = 1 + CLOCKED * len(_SHIFTS)
        return (
            f"{len(self.checked)} of {len(self.candles) - self.lookback} candles judged from {self.lookback} candles of history, "
            "in the order of time, by a process that had seen no later one",
            f"{PASTS} random pasts, every row of them; {SWEPT} candles from longer histories",
            f"asked twice, by two instances, and for {REPEATED} candles once more after it had seen all",
            f"with {SEEDS} seeds and {clocks} times of the clock; what it was given compared before and after",
            "no file, connection or process used while it judged",
            "in this process and in another with another hash seed",
        )

    def _judge_in_order_of_time(self) -> dict[str, np.ndarray]:
        """Judge each checked row from its look-back, some from longer histories and some whole pasts, never a later row first."""
        rows = len(self.candles)
        self.pasts: list[tuple[int, dict[str, np.ndarray]]] = []
        pasts = {*self.random.choice(rows - 1, min(PASTS, rows - 1), replace=False).tolist(), rows - 2}
        swept = set(self.random.choice(self.checked, min(SWEPT, len(self.checked)), replace=False).tolist())
        words: dict[int, Word] = {}
        for row in sorted(pasts.union(self.checked.tolist())):
            if row >= self.lookback:
                words[row] = self._word(row, row - self.lookback)
                self.outside.watch()
            if row in swept:
                self._sweep(row, words[row])
            if row in pasts:
                self._note_past(row)
        alone = {name: np.array([words[row][name] for row in self.checked.tolist()]) for name in ("confidence", "stop", "target")}
        alone["action"] = np.array([words[row]["action"] for row in self.checked.tolist()], np.int8)
        alone["reason"] = np.array([words[row]["reason"] for row in self.checked.tolist()], dtype=object)
        return {name: alone[name] for name in ("action", "confidence", "stop", "target", "reason")}

    def _sweep(self, row: int, word: Word) -> None:
        if any(each.kind == "warm_up" for each in self.findings):
            return
        some = int(self.random.integers(4, 1000))
        for more in (1, 2, 3, some, self.lookback, 3 * self.lookback):
            start = row - self.lookback - more
            longer = word if start < 0 else self._word(row, start)
            if not (_same(word, longer, PROMISE) or self._still[row] or self._rounding_decides(row, word)):
                cases = f"with {self.lookback} candles before it", f"with {self.lookback + more}"
                self._add("warm_up", row, word, longer, cases, PROMISE)

    def _note_past(self, row: int) -> None:
        past = self.candles.slice(0, row + 1)
        now = columns_of(self._evaluate(past, guarded=True))
        self._end_with("repetition", now, columns_of(self._evaluate(past)), ("when asked first", "when asked again"))
        if self.pasts:
            before, columns = self.pasts.pop()
            self._add_future(columns, {name: column[: before + 1] for name, column in now.items()}, row)
        self.pasts.append((row, now))

    def _compare_pasts(self, whole: Mapping[str, np.ndarray]) -> None:
        row, columns = self.pasts.pop()
        self._add_future(columns, {name: column[: row + 1] for name, column in whole.items()}, len(self.candles) - 1)

    def _add_future(self, without: Mapping[str, np.ndarray], later: Mapping[str, np.ndarray], known: int) -> None:
        cut = len(without["action"]) - 1
        cases = f"with the candles up to row {known}", f"with those up to row {cut} only"
        if difference_in_words("future", self.candles, later, without, cases) is not None:
            # Chance differs as the future does, but then others of the same parameters also differ among themselves.
            past, cls = self.candles.slice(0, cut + 1), type(self.strategy)
            words = [columns_of(self._evaluate(past, strategy=cls(self.strategy.parameters))) for _ in range(ASKED_AGAIN)]
            for word in words[1:]:
                self._end_with("repetition", words[0], word, ("by one instance", "by another of the same parameters"))
        self._end_with("future", later, without, cases)

    def _end_with(
        self, kind: str, some: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray], cases: tuple[str, str]
    ) -> None:
        found = difference_in_words(kind, self.candles, some, others, cases)
        if found is not None:
            self.findings.append(found)
            raise Proven

    def _compare_rows(self, alone: Mapping[str, np.ndarray], whole: Mapping[str, np.ndarray]) -> None:
        """Find out why rows say another thing than with the whole series: for the future, earlier history, or rounding."""
        at_rows = {name: column[self.checked] for name, column in whole.items()}
        apart = np.logical_or.reduce([differing(column, at_rows[name], PROMISE) for name, column in alone.items()])
        rows, still, ties, looked = self.checked[apart].tolist(), 0, 0, 0
        for row in rows:
            too_short = any(each.kind == "warm_up" for each in self.findings)
            looked += too_short
            if looked > MOST_AFTER_WARM_UP:
                break
            with_future = {name: column[row] for name, column in whole.items()}
            past = self._word(row, 0)
            if not _same(past, with_future, ROUNDING):
                self._add("future", row, with_future, past, ("with the later candles", "without them"), ROUNDING)
                raise Proven
            if self._still[row]:
                still += 1
            elif not too_short and ties < MOST_TIES:
                word = self._word(row, row - self.lookback)
                if self._rounding_decides(row, word):
                    ties += 1
                else:
                    cases = f"with {self.lookback} candles before it, which are its lookback_rows,", "with all that are known"
                    self._add("warm_up", row, word, past, cases, PROMISE)
        if ties:
            least = "at least " if ties == MOST_TIES else ""
            self.notes.append(
                f"rounding decides in {least}{ties} of {len(self.checked)} rows: compare with a margin, as "
                "fks_assets.quant.strategies.rules.above does"
            )
        if still:
            self.notes.append(f"{still} rows after {STILL_CANDLES} candles at one price were not held against its look-back")

    def _ask_again(self, alone: Mapping[str, np.ndarray], whole: Mapping[str, np.ndarray]) -> None:
        fresh = type(self.strategy)(self.strategy.parameters)
        for strategy, cases in (
            (self.strategy, ("when asked first", "when asked again")),
            (fresh, ("by one instance", "by another of the same parameters")),
        ):
            self._end_with("repetition", whole, columns_of(self._evaluate(self.candles, strategy=strategy)), cases)
        places = self.random.choice(len(self.checked), min(REPEATED, len(self.checked)), replace=False).tolist()
        for place in places:
            row = int(self.checked[place])
            before = {name: column[place] for name, column in alone.items()}
            cases = "before it had seen later candles", "after, with the same candles given"
            if self._add("memory", row, before, self._word(row, row - self.lookback), cases, ROUNDING):
                raise Proven

    def _change_the_world(self, whole: Mapping[str, np.ndarray]) -> None:
        for seed in range(SEEDS):
            with random_numbers(seed):
                self._end_with(
                    "randomness", whole, columns_of(self._evaluate(self.candles)), ("with some random numbers", "with others")
                )
        modules = [cls.__module__ for cls in type(self.strategy).__mro__]
        acting = self.checked[whole["action"][self.checked] != HOLD]
        rows = self.random.choice(acting, min(CLOCKED, len(acting)), replace=False).tolist()
        # Forty days and each quarter of a day later, so that a strategy that is silent at this hour is caught as well.
        quarters = [40 * 24 + 1.0 + 6 * quarter for quarter in range(4)]
        parts = [(0, len(self.candles), quarters), *((row - self.lookback, row + 1, _SHIFTS) for row in rows)]
        for start, stop, shifts in parts:
            part = self.candles.slice(start, stop)
            usual = columns_of(self._evaluate(part))
            for hours in shifts:
                with other_clock(hours * HOUR_SECONDS, modules):
                    then = columns_of(self._evaluate(part))
                cases = "now", f"with a clock {hours:g} hours ahead"
                found = difference_in_words("clock", self.candles, usual, then, cases, at_row=start)
                if found is not None:
                    self.findings.append(found)
                    raise Proven

    def _evaluate(self, part: Candles, *, strategy: Strategy[Any] | None = None, guarded: bool = False) -> SignalColumns:
        """Return the strategy's word on copies of the candles; `guarded` finds out whether it changes what it is given."""
        given = Candles(*(getattr(part, field.name).copy() for field in fields(Candles)))
        indicators, warm = compute_indicators(given), warm_rows(len(given))
        inputs = _contents(given, indicators, warm) if guarded else {}
        try:
            signals = Strategy.evaluate(strategy or self.strategy, given, indicators, warm)
        except Exception as error:
            self.findings.append(finding_of_error(error, len(given)))
            raise Proven from error
        after = _contents(given, indicators, warm) if guarded else {}
        changed = [name for name in inputs.keys() | after.keys() if inputs.get(name) != after.get(name)]
        if changed and not any(each.kind == "inputs" for each in self.findings):
            words = f"it changes what it is given: {', '.join(sorted(changed))}; others are given the same"
            self.findings.append(Finding("inputs", words))
        return signals

    def _word(self, row: int, start: int) -> Word:
        return _last_word(self._evaluate(self.candles.slice(start, row + 1)))

    def _rounding_decides(self, row: int, word: Word) -> bool:
        """Whether the look-back says another thing than `word`, which it said, once its prices change in their twelfth digit."""
        part = self.candles.slice(row - self.lookback, row + 1)
        for _ in range(SHAKES):
            shaken = {name: getattr(part, name) * (1 + SHAKE * self.random.uniform(-1, 1, len(part))) for name in PRICE_COLUMNS}
            if not _same(_last_word(self._evaluate(Candles(part.open_time, volume=part.volume, **shaken))), word, PROMISE):
                return True
        return False

    def _add(self, kind: str, row: int, some: Word, others: Word, cases: tuple[str, str], rounding: float) -> bool:
        columns = [{name: np.array([word[name]]) for name in word} for word in (some, others)]
        found = difference_in_words(kind, self.candles, columns[0], columns[1], cases, rounding=rounding, at_row=row)
        if found is None or any(each.kind == kind for each in self.findings):
            return found is not None
        self.findings.append(found)
        return True


_SHIFTS = [25.25 * step for step in range(1, 29)]


def _still_rows(candles: Candles) -> np.ndarray:
    """Return which rows come after 20 candles of one price: indicators there are ratios of two nothings."""
    return Columns(candles, {}).stands_still()


def _contents(candles: Candles, indicators: Mapping[str, np.ndarray], warm: np.ndarray) -> dict[str, bytes]:
    columns = {**{field.name: getattr(candles, field.name) for field in fields(Candles)}, **indicators, "warm": warm}
    return {name: column.tobytes() for name, column in columns.items()}


def _last_word(signals: SignalColumns) -> Word:
    return {
        "action": int(signals.action[-1]),
        "confidence": float(signals.confidence[-1]),
        "stop": float(signals.stop[-1]),
        "target": float(signals.target[-1]),
        "reason": signals.reason(-1),
    }


def _same(some: Word, others: Word, rounding: float) -> bool:
    return not any(differing(np.array([value]), np.array([others[name]]), rounding)[0] for name, value in some.items())


def _in_words(column: str, value: Any) -> str:
    if column == "action":
        return SIDES.get(int(value), str(value))
    return repr(str(value)) if column == "reason" else f"{float(value):.12g}"
