"""The strategies by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.strategies.base import Strategy, read_parameters
from fks_assets.quant.strategies.breakout import Breakout
from fks_assets.quant.strategies.technical import Technical

STRATEGIES: dict[str, type[Strategy[Any]]] = {strategy.name: strategy for strategy in (Technical, Breakout)}


def create_strategy(name: str, overrides: Mapping[str, Any] | None = None) -> Strategy[Any]:
    """Return the strategy called `name` with its default parameters but for `overrides`.

    Raises InvalidInput that lists the known strategies, or names each bad parameter with its bound and value.
    """
    if name not in STRATEGIES:
        raise InvalidInput(f"Unknown strategy: {name!r}; known: {', '.join(STRATEGIES)}")
    strategy = STRATEGIES[name]
    return strategy(read_parameters(name, strategy.parameters_model, overrides or {}))


def settings_hash(strategies: Sequence[Strategy[Any]]) -> str:
    """Return one id for these strategies, their versions and all their parameters."""
    return stable_id(*(f"{each.name} {each.version} {each.parameters.model_dump_json()}" for each in strategies))
