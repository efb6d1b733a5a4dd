"""Change a parameter set: validated as a whole, then stored as a version."""

from collections.abc import Mapping
from typing import Any

from fks_assets.assets.trading.in_force import strategies_in_force
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
    by: str,
    note: str = "",
) -> ParameterSet:
    """Store a version of a set and return it: what is in force under the name, or `replace_with`, changed by `values`.

    A new set needs the `strategy` that its parameters are for, unless it bears that strategy's name. Raises InvalidInput that
    names each bad field with its bound and value, and when another change came in between.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(f"the name of a parameter set is of small letters, digits and underscores, at most 40, was {name!r}")
    in_force, _ = strategies_in_force(stores.database, stores.settings)
    stored = read_parameters(stores.database).get(name)
    chosen = strategy or (stored.strategy if stored else name)
    if strategy is None and stored is None and name not in known_strategies():
        raise InvalidInput(
            f"parameter set {name!r} is new: say with --strategy whose it is; known: {', '.join(known_strategies())}"
        )
    if name in known_strategies() and chosen != name:
        raise InvalidInput(f"{name!r} is a strategy: a set of {chosen} needs a name of its own")
    usual = in_force[name].parameters if name in in_force and in_force[name].strategy.name == chosen else {}
    given = {**(usual if replace_with is None else replace_with), **values}
    full = create_strategy(chosen, given).parameters.model_dump(mode="json")
    create_strategy(chosen, full)
    with stores.database.transaction() as connection:
        version = 0 if stored is None else stored.version
        return write_parameters(connection, name, chosen, full, by=by, note=note, at_ms=now_ms(), expected_version=version)
