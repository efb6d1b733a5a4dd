"""The strategies by name: those shipped, and those of the user's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.strategies.base import Strategy, read_parameters
from fks_assets.quant.strategies.bollinger_reversion import BollingerReversion
from fks_assets.quant.strategies.breakout import Breakout
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.ema_crossover import EmaCrossover
from fks_assets.quant.strategies.loading import file_of, load_strategies
from fks_assets.quant.strategies.macd_trend import MacdTrend
from fks_assets.quant.strategies.momentum import Momentum
from fks_assets.quant.strategies.sma_atr import SmaAtr
from fks_assets.quant.strategies.technical import Technical

STRATEGIES: dict[str, type[Strategy[Any]]] = {
    strategy.name: strategy for strategy in (Technical, Breakout, SmaAtr, EmaCrossover, MacdTrend, BollingerReversion, Momentum)
}
_of_the_user: dict[str, type[Strategy[Any]]] = {}


def known_strategies() -> dict[str, type[Strategy[Any]]]:
    """Return every strategy of this process by name: the shipped ones, then those of the registered folder."""
    return {**STRATEGIES, **_of_the_user}


def register_folder(folder: Path | None) -> dict[str, type[Strategy[Any]]]:
    """Make the strategies of `folder` known by name in place of those registered before, and return them; None forgets them.

    Raises InvalidInput with one line that names the file, and leaves everything as it was, when a module cannot be loaded (see
    `load_strategies`) or a name is that of a shipped strategy.
    """
    global _of_the_user
    loaded = {} if folder is None else load_strategies(folder)
    for name, strategy in loaded.items():
        if name in STRATEGIES:
            raise InvalidInput(
                f"strategy file {file_of(strategy)}: the name {name!r} is that of a shipped strategy; choose one not among "
                f"{', '.join(STRATEGIES)}"
            )
    _of_the_user = loaded
    return dict(loaded)


def create_strategy(name: str, overrides: Mapping[str, Any] | None = None) -> Strategy[Any]:
    """Return the strategy called `name` with its default parameters but for `overrides`.

    Raises InvalidInput that lists the known strategies, or names each bad parameter with its bound and value.
    """
    known = known_strategies()
    if name not in known:
        raise InvalidInput(f"Unknown strategy: {name!r}; known: {', '.join(known)}")
    strategy = known[name]
    return strategy(read_parameters(name, strategy.parameters_model, overrides or {}))


def settings_hash(strategies: Sequence[Strategy[Any]]) -> str:
    """Return one id for these strategies, the versions of their code and all their parameters."""
    return stable_id(*(f"{each.name} {code_version(each)} {each.parameters.model_dump_json()}" for each in strategies))
