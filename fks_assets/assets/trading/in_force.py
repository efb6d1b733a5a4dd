"""Which strategies the desk runs with which parameters: those of its settings, and the stored parameter sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.partitions import day_window
from fks_assets.quant.strategies.base import Strategy
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.registry import create_strategy, known_strategies
from fks_assets.settings import Settings
from fks_assets.stores.database import Database
from fks_assets.stores.strategies import read_parameters

OF_THE_SETTINGS = 0


@dataclass(frozen=True, slots=True, eq=False)
class StrategyInForce:
    """A strategy under the name of its parameter set. `version` counts the changes of the set; 0: as the settings say."""

    name: str
    strategy: Strategy[Any]
    version: int = OF_THE_SETTINGS

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter by name, as JSON can hold it."""
        return self.strategy.parameters.model_dump(mode="json")

    @property
    def parameters_hash(self) -> str:
        return parameters_hash(self.strategy)

    @property
    def code_version(self) -> str:
        return code_version(self.strategy)

    def document(self) -> dict[str, Any]:
        """Return what it is, for a JSON document."""
        return {
            "name": self.name,
            "strategy": self.strategy.name,
            "version": self.version,
            "parameters": self.parameters,
            "parameters_hash": self.parameters_hash,
            "code_version": self.code_version,
        }


def parameters_hash(strategy: Strategy[Any]) -> str:
    """Return 16 hexadecimal digits for the strategy's name and all its parameters."""
    return stable_id(strategy.name, strategy.parameters.model_dump_json())


def strategies_in_force(
    source: Database | sa.Connection, settings: Settings, at_ms: int | None = None
) -> tuple[dict[str, StrategyInForce], dict[str, InvalidInput]]:
    """Return (strategies by name, why a stored set cannot be used), those of the settings first; `at_ms`: as of a time.

    A stored set goes before the settings of the same name, until it is removed. A set that its strategy no longer takes, because
    the code changed, stops no other one.
    """
    stored = read_parameters(source, at_ms)
    found: dict[str, StrategyInForce] = {}
    unusable: dict[str, InvalidInput] = {}
    for name in dict.fromkeys((*settings.strategies, *stored)):
        kept = stored.get(name)
        try:
            if kept is not None and not kept.removed:
                found[name] = StrategyInForce(name, create_strategy(kept.strategy, kept.parameters), kept.version)
            elif name in settings.strategies:
                found[name] = StrategyInForce(name, create_strategy(name, settings.strategies[name]))
        except InvalidInput as error:
            unusable[name] = error
    return found, unusable


def strategy_named(
    source: Database | sa.Connection, settings: Settings, name: str, overrides: Mapping[str, Any] | None = None
) -> StrategyInForce:
    """Return the strategy in force under a name, or any known strategy with its defaults, changed by `overrides`.

    Raises InvalidInput for an unknown name, one that lists the known ones, and for bad parameters.
    """
    in_force, unusable = strategies_in_force(source, settings)
    if name in unusable and not overrides:
        raise unusable[name]
    chosen = in_force.get(name)
    if chosen is None:
        known = known_strategies()
        if name not in known:
            raise InvalidInput(f"Unknown strategy: {name!r}; known: {', '.join(dict.fromkeys((*in_force, *known)))}")
        return StrategyInForce(name, create_strategy(name, overrides))
    if not overrides:
        return chosen
    changed = create_strategy(chosen.strategy.name, {**chosen.strategy.parameters.model_dump(), **overrides})
    return StrategyInForce(name, changed, chosen.version)


def moment_of(day: str) -> int | None:
    """Return the last moment of a past day (UTC ms), None for today: what holds now."""
    _, end_ms = day_window(day)
    return None if end_ms > now_ms() else end_ms - 1
