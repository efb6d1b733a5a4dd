"""Which strategies the desk runs with which parameters: those of its settings, and the stored parameter sets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.strategies.base import Strategy
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.registry import create_strategy, known_strategies, settings_hash, unknown_strategy
from fks_assets.settings import Settings
from fks_assets.stores.database import Database
from fks_assets.stores.lineage import InputRef
from fks_assets.stores.notifications import notify
from fks_assets.stores.strategies import ParameterSet, read_parameters

OF_THE_SETTINGS = 0
NOT_JUDGED = "strategy_not_judged"
PARAMETER_SETS = "parameter_sets"
STRATEGIES = "strategies"


@dataclass(frozen=True, slots=True, eq=False)
class StrategyInForce:
    """A strategy under the name of its parameter set. `version` counts the changes of the set; 0: as the settings say.

    `of_the_set` are the parameters of that version where these are others, tried beside it.
    """

    name: str
    strategy: Strategy[Any]
    version: int = OF_THE_SETTINGS
    of_the_set: Mapping[str, Any] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter by name, as JSON can hold it."""
        return self.strategy.parameters.model_dump(mode="json")

    @property
    def changes(self) -> dict[str, Any]:
        """The parameters that are not those of the set, by name."""
        usual = self.parameters if self.of_the_set is None else self.of_the_set
        return {name: value for name, value in self.parameters.items() if name not in usual or usual[name] != value}

    @property
    def version_words(self) -> str:
        """Which version of the set it is, and what differs from it: `version 3 with changes: ema_fast=3`."""
        changed = ", ".join(f"{name}={value}" for name, value in self.changes.items())
        return f"version {self.version or 'of the settings'}{f' with changes: {changed}' if changed else ''}"

    def with_strategy(self, strategy: Strategy[Any]) -> "StrategyInForce":
        """Return the same set with other parameters, which are not in force and say so."""
        return replace(self, strategy=strategy, of_the_set=self.parameters if self.of_the_set is None else self.of_the_set)

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
            "changes": self.changes,
            "parameters_hash": self.parameters_hash,
            "code_version": self.code_version,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Stated:
    """What the settings or the stored sets say of a name: whose parameters it has, which, and the version."""

    strategy: str
    parameters: Mapping[str, Any]
    version: int = OF_THE_SETTINGS

    @property
    def is_of_the_settings(self) -> bool:
        return self.version == OF_THE_SETTINGS


@dataclass(frozen=True, slots=True, eq=False)
class InForce:
    """What the desk runs, read at one moment: `subjects` by name, those of the settings first; `unusable`: why a set cannot be
    used; `versions`: the newest version of every stored set, of unusable and removed ones too; `stated`: what each name says.
    """

    subjects: dict[str, StrategyInForce]
    unusable: dict[str, InvalidInput]
    versions: dict[str, int]
    stated: dict[str, Stated]

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


def stated_strategies(settings: Settings, stored: Mapping[str, ParameterSet]) -> dict[str, Stated]:
    """Return what is said of each name, whether it can be used or not; those of the settings first. No strategy is loaded for it.

    A stored set goes before the settings of the same name, until it is removed.
    """
    said = {name: Stated(name, parameters) for name, parameters in settings.strategies.items()}
    for name, kept in stored.items():
        if not kept.removed:
            said[name] = Stated(kept.strategy, kept.parameters, kept.version)
    return said


def strategies_in_force(
    source: Database | sa.Connection, settings: Settings, at_ms: int | None = None
) -> tuple[dict[str, StrategyInForce], dict[str, InvalidInput]]:
    """Return (strategies by name, why a set cannot be used); see `read_in_force`."""
    found = read_in_force(source, settings, at_ms)
    return found.subjects, found.unusable


def read_in_force(source: Database | sa.Connection, settings: Settings, at_ms: int | None = None) -> InForce:
    """Return what is in force, or what was at a time, from one look at the stored sets: whatever changes later is not in it.

    A set that its strategy does not take, because a value is wrong or the code changed, and one whose strategy cannot be loaded,
    stop no other one.
    """
    stored = read_parameters(source, at_ms)
    found: dict[str, StrategyInForce] = {}
    unusable: dict[str, InvalidInput] = {}
    stated = stated_strategies(settings, stored)
    for name, said in stated.items():
        try:
            found[name] = StrategyInForce(name, create_strategy(said.strategy, said.parameters), said.version)
        except InvalidInput as error:
            where = f" ([strategies.{name}] of the settings)" if said.is_of_the_settings else ""
            unusable[name] = InvalidInput(f"{error}{where}")
    return InForce(found, unusable, {name: kept.version for name, kept in stored.items()}, stated)


def strategy_named(
    source: Database | sa.Connection, settings: Settings, name: str, overrides: Mapping[str, Any] | None = None
) -> StrategyInForce:
    """Return the strategy in force under a name, or any known strategy with its defaults, changed by `overrides`.

    One that cannot be used as it stands is made from what it says and the overrides. Raises InvalidInput for an unknown name, one
    that lists the known ones, and for bad parameters.
    """
    found = read_in_force(source, settings)
    chosen = found.subjects.get(name)
    if chosen is not None:
        if not overrides:
            return chosen
        values = {**chosen.strategy.parameters.model_dump(), **overrides}
        return chosen.with_strategy(create_strategy(chosen.strategy.name, values))
    if name in found.unusable:
        if not overrides:
            raise found.unusable[name]
        said = found.stated[name]
        made = create_strategy(said.strategy, {**said.parameters, **overrides})
        return StrategyInForce(name, made, said.version, said.parameters)
    if name not in known_strategies():
        raise unknown_strategy(name, dict.fromkeys((*found.subjects, *known_strategies())))
    return StrategyInForce(name, create_strategy(name, overrides), of_the_set=_defaults(name))


def _defaults(name: str) -> Mapping[str, Any]:
    try:
        return create_strategy(name).parameters.model_dump(mode="json")
    except InvalidInput:
        # Not every strategy can do without values.
        return {}


def unusable_words(error: InvalidInput) -> str:
    """Return in one line that a set cannot be used, and why."""
    return f"it cannot be used: {error}"


def tell_unusable(connection: sa.Connection, unusable: Mapping[str, InvalidInput]) -> None:
    """Tell people, in the caller's transaction, once of each reason for which a set cannot be used."""
    for name, error in unusable.items():
        words = unusable_words(error)
        message = f"strategy {name} gives no signals and opens nothing, and what it holds is guarded by its stops alone: {words}"
        notify(connection, NOT_JUDGED, "WARN", message, f"{NOT_JUDGED}:{name}:{words}")


def settings_note(day: str, subjects: Iterable[StrategyInForce]) -> dict[str, str]:
    """Return what a reader of a past day has to know of it: parameters of the settings have no versions; empty for today."""
    named = [subject.name for subject in subjects if subject.version == OF_THE_SETTINGS]
    if not named or moment_of(day) is None:
        return {}
    words = "with the parameters that the settings have today: only stored sets have versions"
    return {"not as it was": f"{', '.join(named)} {words}"}


def moment_of(day: str) -> int | None:
    """Return the last moment of a past day (UTC ms), None for today: what holds now."""
    # Imported here: partitions are Dagster's, and the commands that only read need none of it.
    from fks_assets.partitions import day_window

    _, end_ms = day_window(day)
    return None if end_ms > now_ms() else end_ms - 1
