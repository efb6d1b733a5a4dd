"""Change a parameter set: validated as a whole, then stored as a version."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import sqlalchemy as sa

from fks_assets.assets.trading.in_force import InForce, read_in_force
from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.strategies.loading import NAME
from fks_assets.quant.strategies.registry import create_strategy, known_strategies
from fks_assets.resources.stores import Stores
from fks_assets.stores.strategies import ParameterSet, read_parameters, write_parameters


def change_parameters(
    stores: Stores,
    name: str,
    values: Mapping[str, Any],
    *,
    strategy: str | None = None,
    replace_with: Mapping[str, Any] | None = None,
    drop: Collection[str] = (),
    by: str,
    note: str = "",
    also: Callable[[sa.Connection], object] | None = None,
) -> ParameterSet:
    """Store a version of a set and return it: what it says now, or `replace_with`, changed by `values`, without those in `drop`.

    A set that is removed, or whose strategy does not take it any more, says what it said last: no value is lost unnamed.
    A new set needs the `strategy` that its parameters are for, unless it bears that strategy's name. Raises InvalidInput that
    names each bad field with its bound and value, also of what the set held before, and when another change came in between.
    `also` is done in the same transaction.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(f"the name of a parameter set is of small letters, digits and underscores, at most 40, was {name!r}")
    stored = read_parameters(stores.database).get(name)
    chosen = strategy or (stored.strategy if stored else name)
    if strategy is None and stored is None and name not in (*known_strategies(), *stores.settings.strategies):
        raise InvalidInput(
            f"parameter set {name!r} is new: say with --strategy whose it is; known: {', '.join(known_strategies())}"
        )
    if name in known_strategies() and chosen != name:
        raise InvalidInput(f"{name!r} is a strategy: a set of {chosen} needs a name of its own")
    now = read_in_force(stores.database, stores.settings)
    usual = _said_last(now, stored, name, chosen) if replace_with is None else replace_with
    full = _validated(chosen, _changed(name, usual, values, drop), usual)
    with stores.database.transaction() as connection:
        version = 0 if stored is None else stored.version
        kept = write_parameters(connection, name, chosen, full, by=by, note=note, at_ms=now_ms(), expected_version=version)
        if also is not None:
            also(connection)
        return kept


def _said_last(now: InForce, stored: ParameterSet | None, name: str, strategy: str) -> Mapping[str, Any]:
    """Return the parameters that the set has, or had when it was last in force; none if it is new or was another strategy's."""
    subject = now.subjects.get(name)
    if subject is not None and subject.strategy.name == strategy:
        return subject.parameters
    said = now.stated.get(name)
    if said is not None:
        return said.parameters if said.strategy == strategy else {}
    return stored.parameters if stored is not None and stored.strategy == strategy else {}


def _changed(name: str, usual: Mapping[str, Any], values: Mapping[str, Any], drop: Collection[str]) -> dict[str, Any]:
    for field in drop:
        if field not in usual:
            raise InvalidInput(
                f"--drop {field!r}: parameter set {name!r} holds no such value; it holds {', '.join(usual) or 'none'}"
            )
        if field in values:
            raise InvalidInput(f"--drop {field!r}: it is given the value {values[field]!r} too: say one of them")
    return {field: value for field, value in {**usual, **values}.items() if field not in drop}


def _validated(strategy: str, values: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter as it is stored. Raises InvalidInput, which says what to do about values that nobody gave now."""
    try:
        full = create_strategy(strategy, values).parameters.model_dump(mode="json")
    except InvalidInput as error:
        if not _is_sound(strategy, {}) or _is_sound(strategy, usual):
            raise
        hint = "the set holds values that are not taken any more: give them anew, or leave each out with --drop NAME"
        raise InvalidInput(f"{error}; {hint}") from None
    create_strategy(strategy, full)
    return full


def _is_sound(strategy: str, values: Mapping[str, Any]) -> bool:
    try:
        create_strategy(strategy, values)
    except InvalidInput:
        return False
    return True
