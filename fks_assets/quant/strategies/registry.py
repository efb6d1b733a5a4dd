"""The strategies by name: those shipped, and those of the user's folder."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.strategies.base import Strategy, read_parameters
from fks_assets.quant.strategies.bollinger_reversion import BollingerReversion
from fks_assets.quant.strategies.breakout import Breakout
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.ema_crossover import EmaCrossover
from fks_assets.quant.strategies.loading import Fault, LoadedFolder, error_in, file_of, load_strategies
from fks_assets.quant.strategies.macd_trend import MacdTrend
from fks_assets.quant.strategies.momentum import Momentum
from fks_assets.quant.strategies.sma_atr import SmaAtr
from fks_assets.quant.strategies.technical import Technical

STRATEGIES: dict[str, type[Strategy[Any]]] = {
    strategy.name: strategy for strategy in (Technical, Breakout, SmaAtr, EmaCrossover, MacdTrend, BollingerReversion, Momentum)
}
_NOTHING = LoadedFolder({})
_reading = threading.RLock()
_folder: Path | None = None
_of_the_user: LoadedFolder | None = None


def register_folder(folder: Path | None) -> None:
    """Say where the user's strategies are, in place of what was said before; None forgets them. None of them is run yet.

    They are loaded once, when a strategy that is not among the shipped ones is first asked for.
    """
    global _folder, _of_the_user
    with _reading:
        _folder, _of_the_user = folder, None


def known_strategies() -> dict[str, type[Strategy[Any]]]:
    """Return every strategy of this process by name: the shipped ones, then those of the registered folder that can be used."""
    return {**STRATEGIES, **_loaded().strategies}


def strategy_faults() -> tuple[InvalidInput, ...]:
    """Return what is wrong in the registered folder, each in one line that names the file: what is left out, and why."""
    return tuple(fault.error for fault in _loaded().faults)


def strategy_class(name: str) -> type[Strategy[Any]]:
    """Return the strategy called `name`; the user's files are loaded only for one that is not among the shipped ones.

    Raises InvalidInput: the fault of the file that holds it, or the names that are known and what was left out.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    loaded = _loaded()
    if name in loaded.strategies:
        return loaded.strategies[name]
    raise unknown_strategy(name, known_strategies())


def unknown_strategy(name: str, known: Iterable[str]) -> InvalidInput:
    """Return the error for a name that no strategy has: the fault of the file that holds it, or what is known and left out."""
    faults = _loaded().faults
    own = next((fault.error for fault in faults if name in fault.names), None)
    left_out = "".join(f"; left out: {fault.error}" for fault in faults)
    return InvalidInput(str(own) if own is not None else f"Unknown strategy: {name!r}; known: {', '.join(known)}{left_out}")


def create_strategy(name: str, overrides: Mapping[str, Any] | None = None) -> Strategy[Any]:
    """Return the strategy called `name` with its default parameters but for `overrides`.

    Raises InvalidInput for a name as `strategy_class` does, for bad parameters, each with its bound and value, and for whatever
    the code of a user's strategy raises while it is made.
    """
    chosen = strategy_class(name)
    try:
        made = chosen(read_parameters(name, chosen.parameters_model, overrides or {}))
        lookback: object = made.lookback_rows
        made.parameters.model_dump_json()
    except InvalidInput:
        raise
    except (Exception, SystemExit) as error:
        raise InvalidInput(f"strategy {name}: {error_in(file_of(chosen), error)}") from error
    if isinstance(lookback, bool) or not isinstance(lookback, Integral) or lookback < 0:
        raise InvalidInput(f"strategy {name}: lookback_rows must be a whole number of rows, was {lookback!r:.60}")
    return made


def _loaded() -> LoadedFolder:
    global _of_the_user
    with _reading:
        if _of_the_user is None:
            _of_the_user = _NOTHING if _folder is None else _without_shipped_names(load_strategies(_folder))
        return _of_the_user


def _without_shipped_names(loaded: LoadedFolder) -> LoadedFolder:
    words = "strategy file {}: the name {!r} is that of a shipped strategy; choose one not among {}"
    taken = {name: strategy for name, strategy in loaded.strategies.items() if name in STRATEGIES}
    faults = [Fault(InvalidInput(words.format(file_of(each), name, ", ".join(STRATEGIES)))) for name, each in taken.items()]
    kept = {name: strategy for name, strategy in loaded.strategies.items() if name not in taken}
    return LoadedFolder(kept, (*loaded.faults, *faults))


def settings_hash(strategies: Sequence[Strategy[Any]]) -> str:
    """Return one id for these strategies, the versions of their code and all their parameters."""
    return stable_id(*(f"{each.name} {code_version(each)} {each.parameters.model_dump_json()}" for each in strategies))
