"""Trading rules of a backtest by name, as people type them: `sizing.kind=fraction`, `costs.slippage=0.0005`, `short=true`."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fks_assets.assets.trading.backtest_run import DESK_RULES
from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.rules import BookRules, Costs, LegRules, PartialExit, Sizing

OF_THE_BOOK = ("initial_cash", "max_positions")
GROUPS = {"sizing": Sizing, "costs": Costs}


def assignments(texts: Sequence[str], option: str) -> dict[str, Any]:
    """Return the values of `key=value` texts; a value is read as TOML, and as plain text where it is none.

    Raises InvalidInput for a text of another form and a key given twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InvalidInput(f"{option} {text!r} is not of the form NAME=VALUE")
        if key.strip() in values:
            raise InvalidInput(f"{option} {key.strip()} is given twice")
        try:
            values[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = value
    return values


def rules_from(values: Mapping[str, Any]) -> tuple[LegRules, BookRules]:
    """Return the desk's usual rules changed by values by name.

    Raises InvalidInput that names the field, its bound and the value, or the known fields for an unknown one.
    """
    leg: dict[str, Any] = {name: getattr(DESK_RULES, name) for name in LegRules.model_fields}
    book: dict[str, Any] = {}
    grouped: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
    for key, value in values.items():
        group, dot, field = key.partition(".")
        if dot and group in GROUPS and field in GROUPS[group].model_fields:
            grouped[group][field] = value
        elif key in OF_THE_BOOK:
            book[key] = float(value) if key == "initial_cash" and isinstance(value, int) else value
        elif key == "partial_exits" and isinstance(value, list) and all(isinstance(each, dict) for each in value):
            with _errors_of(key):
                leg[key] = tuple(PartialExit(**each) for each in value)
        elif key in LegRules.model_fields and key not in GROUPS:
            leg[key] = value
        else:
            raise InvalidInput(f"rule {key!r} is unknown; known: {', '.join(known_rules())}")
    if grouped["sizing"]:
        with _errors_of("sizing"):
            leg["sizing"] = Sizing(**_changed(DESK_RULES.sizing, grouped["sizing"]))
    if grouped["costs"]:
        with _errors_of("costs"):
            book["costs"] = Costs(**grouped["costs"])
    return LegRules(**leg), BookRules(**book)


def known_rules() -> list[str]:
    """Return every name that `rules_from` takes."""
    own = [name for name in LegRules.model_fields if name not in GROUPS]
    return [*own, *OF_THE_BOOK, *(f"{group}.{name}" for group, model in GROUPS.items() for name in model.model_fields)]


@contextmanager
def _errors_of(group: str) -> Iterator[None]:
    """Let an error say of which group its fields are: `size` is one in several."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{group}: {error}") from None


def _changed(sizing: Sizing, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values.get(name, getattr(sizing, name)) for name in Sizing.model_fields}
