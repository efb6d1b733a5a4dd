"""Which strategies the desk runs with which parameters: those of its settings, and the stored parameter sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.strategies.base import Strategy
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.registry import create_strategy, known_strategies, settings_hash
from fks_assets.settings import Settings
from fks_assets.stores.database import Database
from fks_assets.stores.lineage import InputRef
from fks_assets.stores.strategies import read_parameters

OF_THE_SETTINGS = 0
PARAMETER_SETS = "parameter_sets"
STRATEGIES = "strategies"


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


@dataclass(frozen=True, slots=True, eq=False)
class InForce:
    """What the desk runs, read at one moment: `subjects` by name, those of the settings first; `unusable`: why a set cannot be
    used; `versions`: the newest version of every stored set, of unusable and removed ones too.
    """

    subjects: dict[str, StrategyInForce]
    unusable: dict[str, InvalidInput]
    versions: dict[str, int]

    @property
    def settings_hash(self) -> str:
        """One id for all that decides the signals: names, strategies, versions of their code, parameters."""
        return stable_id(*(f"{name} {settings_hash([subject.strategy])}" for name, subject in self.subjects.items()))

    @property
    def inputs(self) -> tuple[InputRef, ...]:
        """What was used, as lineage keeps it: the version of each stored set, and code and parameters of each strategy."""
        used = (
            InputRef(STRATEGIES, name, f"{subject.code_version} {subject.parameters_hash}")
            for name, subject in self.subjects.items()
        )
        return (*parameter_set_refs(self.versions), *used)


def parameter_set_refs(versions: Mapping[str, int]) -> tuple[InputRef, ...]:
    """Return the versions of stored sets as inputs. They are the database's own words: whoever asks, whatever code it runs, sees
    the same ones.
    """
    return tuple(InputRef(PARAMETER_SETS, name, f"version {version}") for name, version in sorted(versions.items()))


def stored_versions(source: Database | sa.Connection) -> dict[str, int]:
    """Return the newest version of every stored set by name, of removed ones too."""
    return {name: kept.version for name, kept in read_parameters(source).items()}


def parameters_hash(strategy: Strategy[Any]) -> str:
    """Return 16 hexadecimal digits for the strategy's name and all its parameters."""
    return stable_id(strategy.name, strategy.parameters.model_dump_json())


def strategies_in_force(
    source: Database | sa.Connection, settings: Settings, at_ms: int | None = None
) -> tuple[dict[str, StrategyInForce], dict[str, InvalidInput]]:
    """Return (strategies by name, why a stored set cannot be used); see `read_in_force`."""
    found = read_in_force(source, settings, at_ms)
    return found.subjects, found.unusable


def read_in_force(source: Database | sa.Connection, settings: Settings, at_ms: int | None = None) -> InForce:
    """Return what is in force, or what was at a time, from one look at the stored sets: whatever changes later is not in it.

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
    return InForce(found, unusable, {name: kept.version for name, kept in stored.items()})


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
    # Imported here: partitions are Dagster's, and the commands that only read need none of it.
    from fks_assets.partitions import day_window

    _, end_ms = day_window(day)
    return None if end_ms > now_ms() else end_ms - 1
