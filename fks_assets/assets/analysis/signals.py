"""Signals: one asset a timeframe; each parameter set in force judges every closed candle."""

from collections.abc import Callable

import dagster as dg

from fks_assets.assets.analysis.derived_asset import Recipe, build_derived_asset
from fks_assets.errors import InvalidInput
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

CODE_VERSION = "2"


def build_signals_asset(timeframe: Timeframe, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that holds the signals of one timeframe, a dataset `signals.<name>` for each parameter set in force."""
    return build_derived_asset(
        "signals",
        timeframe,
        partitions,
        _recipe,
        description=(
            f"BUY, SELL or HOLD of each parameter set in force at each closed {timeframe} candle, with confidence, stop, target "
            "and reason. A row depends only on candles closed by then; rows with too little history are HOLD. A past month that "
            "is made again is judged with the sets in force now; what was said before stays as a revision. A set that is removed "
            "is not written any more, and what it said stays. A market of which a check on the candles fails gets none for its "
            "newest month until it passes again."
        ),
        kinds={"python", "parquet"},
        upstream=["ohlcv", "indicators"],
        code_version=CODE_VERSION,
        for_trading=True,
    )


def _recipe(stores: Stores, warn: Callable[[str], None]) -> Recipe:
    """Return the recipe with the sets in force as they are now: what changes while the run goes on is for the next one."""
    from fks_assets.assets.analysis.presentation import signal_metadata
    from fks_assets.assets.analysis.write import signal_tables
    from fks_assets.assets.trading.in_force import read_in_force, tell_unusable
    from fks_assets.quant.strategies.registry import strategy_faults

    now = read_in_force(stores.database, stores.settings)
    for name, error in now.unusable.items():
        warn(f"parameter set {name} gives no signals: {error}")
    for fault in strategy_faults():
        if not any(str(fault) in str(error) for error in now.unusable.values()):
            warn(f"{fault}; it is left out")
    if now.unusable:
        with stores.database.transaction() as connection:
            tell_unusable(connection, now.unusable)
    if not now.subjects:
        raise InvalidInput(f"no parameter set can be used, of {', '.join(now.unusable)}: `fks strategies` says why")
    lookback = max(subject.strategy.lookback_rows for subject in now.subjects.values())
    compute = signal_tables({name: subject.strategy for name, subject in now.subjects.items()}, warn)
    return Recipe(lookback, compute, signal_metadata, now.settings_hash, now.inputs)
