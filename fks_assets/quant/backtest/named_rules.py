"""Trading rules of a backtest by name (`sizing.kind`, `costs.slippage`, `short`), as settings and people give them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.rules import BookRules, Costs, LegRules, PartialExit, Rules, Sizing

# A spot market cannot be sold short; the stake is S3.10's min(confidence * 50, 50) % and S3.17 allows ten trades a day.
DESK_RULES = LegRules(sizing=Sizing(kind="confidence"), short=False, daily_trades=10, tie_rule="finer")
OF_THE_BOOK = ("initial_cash", "max_positions")
GROUPS = {"sizing": Sizing, "costs": Costs}


def rules_from(
    values: Mapping[str, Any], usual: LegRules = DESK_RULES, usual_book: BookRules | None = None
) -> tuple[LegRules, BookRules]:
    """Return the usual rules changed by values by name; the text `none` takes a rule away that can be none.

    Raises InvalidInput that names the field, its bound and the value, or the known fields for an unknown one.
    """
    usual_book = usual_book or BookRules()
    leg: dict[str, Any] = {name: getattr(usual, name) for name in LegRules.model_fields}
    book: dict[str, Any] = {name: getattr(usual_book, name) for name in BookRules.model_fields}
    grouped: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
    for key, given in values.items():
        value = None if given == "none" and _can_be_none(key) else given
        group, dot, field = key.partition(".")
        if dot and group in GROUPS and field in GROUPS[group].model_fields:
            grouped[group][field] = value
        elif key in OF_THE_BOOK:
            book[key] = float(value) if key == "initial_cash" and type(value) is int else value
        elif key == "partial_exits" and isinstance(value, list) and all(isinstance(each, dict) for each in value):
            with _errors_of(key):
                leg[key] = tuple(PartialExit(**each) for each in value)
        elif key in LegRules.model_fields and key not in GROUPS:
            leg[key] = value
        else:
            raise InvalidInput(f"rule {key!r} is unknown; known: {', '.join(known_rules())}")
    if grouped["sizing"]:
        with _errors_of("sizing"):
            leg["sizing"] = Sizing(**_changed(usual.sizing, grouped["sizing"]))
    if grouped["costs"]:
        with _errors_of("costs"):
            book["costs"] = Costs(**_changed(usual_book.costs, grouped["costs"]))
    return LegRules(**leg), BookRules(**book)


def known_rules() -> list[str]:
    """Return every name that `rules_from` takes."""
    own = [name for name in LegRules.model_fields if name not in GROUPS]
    return [*own, *OF_THE_BOOK, *(f"{group}.{name}" for group, model in GROUPS.items() for name in model.model_fields)]


def _can_be_none(key: str) -> bool:
    group, dot, field = key.partition(".")
    model = GROUPS.get(group) if dot else BookRules if key in OF_THE_BOOK else LegRules
    known = None if model is None else model.model_fields.get(field if dot else key)
    return known is not None and type(None) in get_args(known.annotation)


@contextmanager
def _errors_of(group: str) -> Iterator[None]:
    """Let an error say of which group its fields are: `size` is one in several."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{group}: {error}") from None


def _changed(rules: Rules, values: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(rules, Sizing) and values.get("kind", rules.kind) != rules.kind:
        # The size of one kind is none of another.
        return {"base": rules.base, "largest_stake": rules.largest_stake, **values}
    return {name: values.get(name, getattr(rules, name)) for name in type(rules).model_fields}
