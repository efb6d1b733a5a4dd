"""What a search may try: the bounds and the order of a strategy's parameters, read from their pydantic model."""

import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import numpy as np
from pydantic.fields import FieldInfo

from fks_assets.errors import InvalidInput
from fks_assets.quant.strategies.base import Strategy, read_parameters

if TYPE_CHECKING:
    from optuna.trial import Trial as OptunaTrial

Values = Mapping[str, Any]
LOGARITHMIC_BELOW = 0.1
OPEN_END = 1e-3
DIGITS = 4
DRAWS = 1_000
DRAWS_A_NEIGHBOUR = 50
CLIMBS, CLIMB_STEPS = 16, 4
_ORDER = re.compile(r"(\w+) must be below (\w+)")  # the words of strategies.rules.require_order


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter that is searched: a number from `low` to `high`, on a logarithmic scale or not, or one of `choices`."""

    name: str
    whole: bool = False
    low: float = 0.0
    high: float = 0.0
    logarithmic: bool = False
    choices: tuple[Any, ...] = ()

    def place(self, value: float) -> float:
        """Return where a number lies in the range: 0 at its low end, 1 at its high end."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def at(self, place: float) -> float | int:
        """Return the number at a place 0..1 as the search would try it: whole, or of four digits."""
        place = min(1.0, max(0.0, place))
        value = self.low * (self.high / self.low) ** place if self.logarithmic else self.low + (self.high - self.low) * place
        return self.tidy(value)

    def tidy(self, value: float) -> float | int:
        """Return a number as the search tries it: whole, or rounded to four significant digits, inside the range."""
        if self.whole:
            return int(min(self.high, max(self.low, round(value))))
        return min(self.high, max(self.low, float(f"{value:.{DIGITS}g}")))

    def distance(self, one: Any, other: Any) -> float:
        """Return how far two values are apart as a share 0..1 of the range; choices are 0 or 1 apart."""
        if self.choices:
            return float(one != other)
        first, second = (min(1.0, max(0.0, self.place(max(value, self.low)))) for value in (one, other))
        return abs(first - second)

    def document(self) -> dict[str, Any]:
        """Return the dimension for a JSON document."""
        if self.choices:
            return {"name": self.name, "choices": list(self.choices)}
        low, high = (int(end) if self.whole else end for end in (self.low, self.high))
        return {"name": self.name, "low": low, "high": high, "scale": "logarithmic" if self.logarithmic else "linear"}


@dataclass(frozen=True, slots=True, eq=False)
class SearchSpace:
    """The parameters of a strategy that are searched, those that are `held`, and pairs (lower, upper) that must keep their order.

    `dimensions` come with a lower one before its upper ones.
    """

    strategy: type[Strategy[Any]]
    dimensions: tuple[Dimension, ...]
    held: Values
    orders: tuple[tuple[str, str], ...]

    def strategy_of(self, values: Values) -> Strategy[Any] | None:
        """Return the strategy with these values, None where its model refuses them."""
        try:
            return self._made(values)
        except InvalidInput:
            return None

    def refusal(self, values: Values) -> str | None:
        """Return why the model refuses these values, None where it does not."""
        try:
            self._made(values)
        except InvalidInput as error:
            return str(error)
        return None

    def propose(self, trial: "OptunaTrial") -> dict[str, Any]:
        """Return the values that Optuna suggests, each lower one far enough below the upper ends of those above it."""
        ends = self._highest()
        values: dict[str, Any] = {}
        for each in self.dimensions:
            if each.choices:
                values[each.name] = trial.suggest_categorical(each.name, each.choices)
                continue
            below = [values[lower] + self._gap(each) for lower, upper in self.orders if upper == each.name]
            low, high = max((each.low, *below)), ends[each.name]
            if each.whole:
                values[each.name] = trial.suggest_int(each.name, math.ceil(low), int(high), log=each.logarithmic)
            else:
                found = trial.suggest_float(each.name, low, high, log=each.logarithmic)
                values[each.name] = min(high, max(low, each.tidy(found)))
        return values

    def drawn(self, draws: np.random.Generator) -> dict[str, Any]:
        """Return a point drawn at random, each dimension for itself; the model may refuse it."""
        return {each.name: _anywhere(each, draws) for each in self.dimensions}

    def neighbours(self, values: Values, count: int, reach: float, draws: np.random.Generator) -> list[dict[str, Any]]:
        """Return up to `count` feasible points beside one: every number is moved at once, each by at most `reach` of its range.

        Whole numbers may always move by one. Choices stay.
        """
        found: list[dict[str, Any]] = []
        for _ in range(count * DRAWS_A_NEIGHBOUR):
            if len(found) == count:
                break
            moved = {each.name: _beside(each, values[each.name], reach, draws) for each in self.dimensions}
            if moved != dict(values) and self.strategy_of(moved) is not None:
                found.append(moved)
        return found

    def distance(self, one: Values, other: Values) -> float:
        """Return the mean over all dimensions of how far two points are apart, as a share 0..1 of each range."""
        return sum(each.distance(one[each.name], other[each.name]) for each in self.dimensions) / len(self.dimensions)

    def longest_lookback(self) -> int:
        """Return how many rows of history the strategies that may be tried need, as far as can be found out; 0 if there is none.

        From points that the model takes, the one with all numbers at their upper ends and some drawn with a fixed seed, each
        number is moved towards its upper end as far as the model lets it, each choice to where the history is longest.
        """
        ends = self._highest()
        highest = {each.name: each.choices[0] if each.choices else each.tidy(ends[each.name]) for each in self.dimensions}
        draws = np.random.default_rng(0)
        feasible = (point for point in (self.drawn(draws) for _ in range(DRAWS)) if self.strategy_of(point) is not None)
        starts = itertools.islice(itertools.chain([highest] if self.strategy_of(highest) else [], feasible), CLIMBS)
        return max((self._climbed(point, ends) for point in starts), default=0)

    def _climbed(self, point: Values, ends: Mapping[str, float]) -> int:
        values, rows = dict(point), 0
        for each in self.dimensions:
            tried = each.choices or _towards(each, values[each.name], ends[each.name])
            found = [(own.lookback_rows, value) for value in tried if (own := self.strategy_of({**values, each.name: value}))]
            rows = max(length for length, _ in found)
            values[each.name] = next(value for length, value in reversed(found) if length == rows)
        return rows

    def document(self) -> dict[str, Any]:
        """Return the space for a JSON document."""
        return {
            "searched": [each.document() for each in self.dimensions],
            "held": dict(self.held),
            "orders": [list(pair) for pair in self.orders],
        }

    def _made(self, values: Values) -> Strategy[Any]:
        return self.strategy(read_parameters(self.strategy.name, self.strategy.parameters_model, {**self.held, **values}))

    def _highest(self) -> dict[str, float]:
        """Return the upper end of each number that leaves room for those that must be above it."""
        known = {each.name: each for each in self.dimensions}
        ends: dict[str, float] = {}
        for each in reversed(self.dimensions):
            above = [ends[upper] - self._gap(known[upper]) for lower, upper in self.orders if lower == each.name]
            ends[each.name] = min((each.high, *above))
        return ends

    def _gap(self, upper: Dimension) -> float:
        return 1 if upper.whole else (upper.high - upper.low) * OPEN_END


def search_space(strategy: Strategy[Any], hold: Collection[str] = ()) -> SearchSpace:
    """Return what of a strategy can be searched; parameters in `hold`, and those without bounds, keep the values they have.

    A field is searched from its lower to its upper bound, on a logarithmic scale where its default lies in the lowest tenth of
    them: lengths and ratios are thought of in multiples. The model's own rules decide what is feasible; where it says that one
    number must be below another (`require_order`), the search proposes no others. Raises InvalidInput when nothing is left.
    """
    model, kind = type(strategy.parameters), type(strategy)
    own = strategy.parameters.model_dump(mode="json")
    found = {name: _dimension(name, field) for name, field in model.model_fields.items() if name not in hold}
    dimensions = tuple(each for each in found.values() if each is not None)
    held = {name: value for name, value in own.items() if found.get(name) is None}
    if not dimensions:
        why = f"{', '.join(held)} are held or have no bounds" if held else "it has none"
        raise InvalidInput(f"strategy {strategy.name}: no parameter is left to search: {why}")
    free = SearchSpace(kind, dimensions, held, ())
    orders = _orders(free)
    return SearchSpace(kind, _lower_first(dimensions, orders), held, orders)


def _dimension(name: str, field: FieldInfo) -> Dimension | None:
    kind = field.annotation
    if kind is bool:
        return Dimension(name, choices=(False, True))
    if get_origin(kind) is Literal:
        return Dimension(name, choices=get_args(kind))
    if kind not in (int, float):
        return None
    low, low_open = _bound(field, "ge", "gt")
    high, high_open = _bound(field, "le", "lt")
    if low is None or high is None:
        return None
    whole = kind is int
    step = 1.0 if whole else (high - low) * OPEN_END
    low, high = low + step * low_open, high - step * high_open
    if low >= high:
        return None
    default = field.default if isinstance(field.default, int | float) else high
    return Dimension(name, whole, low, high, low > 0 and (default - low) / (high - low) <= LOGARITHMIC_BELOW)


def _bound(field: FieldInfo, closed: str, opened: str) -> tuple[float | None, bool]:
    for each in field.metadata:
        for name in (closed, opened):
            value = getattr(each, name, None)
            if value is not None:
                return float(value), name == opened
    return None, False


def _orders(space: SearchSpace) -> tuple[tuple[str, str], ...]:
    """Return the pairs of numbers of which the model said, for points that it refused, that one must be below the other."""
    draws = np.random.default_rng(0)
    names = {each.name for each in space.dimensions if not each.choices}
    found: dict[tuple[str, str], None] = {}
    for _ in range(DRAWS):
        words = space.refusal(space.drawn(draws))
        for match in _ORDER.finditer(words or ""):
            if names.issuperset(match.groups()):
                found[match[1], match[2]] = None
    return tuple(sorted(found))


def _lower_first(dimensions: Sequence[Dimension], orders: Sequence[tuple[str, str]]) -> tuple[Dimension, ...]:
    left, sorted_ones = list(dimensions), list[Dimension]()
    while left:
        names = {each.name for each in left}
        ready = [each for each in left if not any(upper == each.name and lower in names for lower, upper in orders)] or left
        sorted_ones += ready
        left = [each for each in left if each not in ready]
    return tuple(sorted_ones)


def _anywhere(each: Dimension, draws: np.random.Generator) -> Any:
    return each.choices[int(draws.integers(len(each.choices)))] if each.choices else each.at(float(draws.random()))


def _towards(each: Dimension, value: Any, end: float) -> list[Any]:
    """Return a number, its upper end, and some between them."""
    return [value, *(each.tidy(value + (end - value) * step / CLIMB_STEPS) for step in range(1, CLIMB_STEPS + 1))]


def _beside(each: Dimension, value: Any, reach: float, draws: np.random.Generator) -> Any:
    if each.choices:
        return value
    place = each.place(value)
    low, high = each.at(place - reach), each.at(place + reach)
    if each.whole:
        ends = max(int(each.low), min(int(low), value - 1)), min(int(each.high), max(int(high), value + 1))
        return int(draws.integers(ends[0], ends[1] + 1))
    return each.at(place + float(draws.uniform(-reach, reach)))
