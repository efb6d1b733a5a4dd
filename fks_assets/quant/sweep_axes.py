"""What a grid varies: one parameter or trading rule with its values, as people type them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from fks_assets.errors import InvalidInput

OF_RULES = "rules."
MOST_COMBINATIONS = 100_000
LARGEST_EXPONENT = 300

Value = int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Axis:
    """What a grid varies: a parameter of the strategy or, with `rules.` before its name, a trading rule. Numbers ascend."""

    name: str
    values: tuple[Value, ...]

    @property
    def of_rules(self) -> bool:
        return self.name.startswith(OF_RULES)

    @property
    def field(self) -> str:
        """The name of the parameter or of the rule itself."""
        return self.name.removeprefix(OF_RULES)

    def beside(self, place: int) -> list[int]:
        """Return the places one step from one: the numbers next to a number; words and none have nothing beside them."""
        near = [each for each in (place - 1, place + 1) if 0 <= each < len(self.values)]
        return [each for each in near if is_number(self.values[place]) and is_number(self.values[each])]


def read_axis(name: str, text: str, field: FieldInfo) -> Axis:
    """Return the axis that `10,20,30`, `10:50:10` (from, to and step, both ends included), `true,false` or words stand for.

    Numbers are read as decimals, so that 0.1:0.3:0.1 is three values. `none` is the value of a field that may be without one.
    Raises InvalidInput that names field, value and bound.
    """
    kinds = _kinds(field.annotation)
    if not kinds:
        raise InvalidInput(f"sweep {name}: only numbers, words and true or false can be swept")
    check = TypeAdapter(Annotated[field.annotation, field], config=ConfigDict(strict=True, allow_inf_nan=False))
    found: dict[Any, None] = {}
    for part in text.split(","):
        for value in _values(name, part.strip(), kinds):
            known = _checked(name, check, value)
            if known in found:
                raise InvalidInput(f"sweep {name}: {words(known)} is given twice")
            found[known] = None
            if len(found) > MOST_COMBINATIONS:
                raise InvalidInput(f"sweep {name}: more than {MOST_COMBINATIONS:,} values were given")
    if all(is_number(value) for value in found if value is not None):
        return Axis(name, tuple(sorted(found, key=lambda value: -math.inf if value is None else value)))
    return Axis(name, tuple(found))


def words(value: Value) -> str:
    """Return a value as it is typed."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def is_number(value: Value) -> bool:
    """Return whether a value is a number; true and false are words."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return what a field takes: types, and the choices of a Literal as they are; nothing where it takes more than one value."""
    found: list[Any] = []
    for each in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,):
        if get_origin(each) is Literal:
            found += get_args(each)
        elif each in (int, float, bool, str, NoneType):
            found.append(each)
        else:
            return ()
    return tuple(found)


def _values(name: str, text: str, kinds: Sequence[Any]) -> list[Value]:
    if not text:
        raise InvalidInput(f"sweep {name}: a value is missing; values are written 10,20,30 or FROM:TO:STEP")
    if ":" in text and (int in kinds or float in kinds):
        return [_as(number, kinds) for number in _range(name, text)]
    choices: dict[str, Value] = {words(each): each for each in kinds if not isinstance(each, type)}
    choices |= {"true": True, "false": False} if bool in kinds else {}
    choices |= {"none": None} if NoneType in kinds else {}
    number = _number(text) if int in kinds or float in kinds else None
    return [choices[text] if text in choices else text if number is None else _as(number, kinds)]


def _range(name: str, text: str) -> list[Fraction]:
    ends = [_number(each) for each in text.split(":")]
    if len(ends) != 3 or any(each is None for each in ends):
        raise InvalidInput(f"sweep {name}: {text!r} is not of the form FROM:TO:STEP, three numbers")
    low, high, step = (each for each in ends if each is not None)
    if step <= 0 or high < low:
        raise InvalidInput(f"sweep {name}: {text!r} must go up: TO not below FROM, STEP above 0")
    count = (high - low) / step
    if count >= MOST_COMBINATIONS:
        raise InvalidInput(f"sweep {name}: {text!r} is more than {MOST_COMBINATIONS:,} values")
    if count.denominator != 1:
        last = float(low + step * math.floor(count))
        raise InvalidInput(f"sweep {name}: {text!r} does not reach its end: after {last:g} comes {last + float(step):g}")
    return [low + step * place for place in range(int(count) + 1)]


def _number(text: str) -> Fraction | None:
    """Return the decimal number that a text is, None for another text and for one that no float could hold."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return Fraction(number) if number.is_finite() and abs(number.adjusted()) <= LARGEST_EXPONENT else None


def _as(number: Fraction, kinds: Sequence[Any]) -> int | float:
    return int(number) if int in kinds and number.denominator == 1 else float(number)


def _checked(name: str, check: TypeAdapter[Any], value: Value) -> Any:
    try:
        return check.validate_python(value)
    except ValidationError as error:
        raise InvalidInput(f"sweep {name}: {error.errors(include_url=False)[0]['msg']}, was {value!r:.60}") from None
