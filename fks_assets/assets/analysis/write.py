"""Compute one month of a derived dataset and store it with its inputs in one transaction."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from fks_assets.assets.analysis.derive import LOOKBACK_ROWS, Derivation
from fks_assets.clock import now_ms
from fks_assets.errors import InsufficientData
from fks_assets.quant.candles import Candles, concatenate
from fks_assets.quant.indicators import INDICATOR_COLUMNS, compute_indicators, warm_rows
from fks_assets.quant.strategies.base import SignalColumns, Strategy
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table, columns_table
from fks_assets.stores.candles import PartitionHead, PartitionId
from fks_assets.stores.lineage import record_inputs


def write_indicators(stores: Stores, timeframe: Timeframe, month: Derivation, *, code_version: str, run_id: str) -> PartitionHead:
    """Compute and store one month of indicators; return its new head."""
    candles, before = _with_lookback(stores, timeframe, month)
    columns = {name: column[before:] for name, column in compute_indicators(candles).items()}
    columns["is_warm"] = warm_rows(len(candles))[before:]
    table = columns_table(candles.open_time[before:], columns)
    [head] = _commit(stores, f"indicators_{timeframe}", timeframe, month, {"indicators": table}, code_version, "", run_id)
    return head


def write_signals(
    stores: Stores,
    timeframe: Timeframe,
    month: Derivation,
    strategies: Sequence[Strategy],
    *,
    code_version: str,
    settings_hash: str,
    run_id: str,
) -> list[PartitionHead]:
    """Let each strategy judge one month and store what it says; return the heads in the strategies' order."""
    candles, before = _with_lookback(stores, timeframe, month)
    start, end = month.window
    stored = stores.candles.read_table("indicators", month.market, timeframe.name, start, end)
    if stored.num_rows != len(candles) - before:
        raise InsufficientData(
            f"indicators_{timeframe} has {stored.num_rows} of {len(candles) - before} rows of {month.key}: materialise it first"
        )
    indicators = compute_indicators(candles)
    for name in INDICATOR_COLUMNS:
        indicators[name][before:] = stored[name].to_numpy()
    warm = warm_rows(len(candles))
    tables = {
        f"signals.{strategy.name}": _signal_table(candles.open_time, strategy.evaluate(candles, indicators, warm), before)
        for strategy in strategies
    }
    return _commit(stores, f"signals_{timeframe}", timeframe, month, tables, code_version, settings_hash, run_id)


def combined_hash(heads: Sequence[PartitionHead]) -> str:
    """Return one content hash for the datasets that one partition of an asset consists of."""
    from hashlib import sha256

    if len(heads) == 1:
        return heads[0].content_hash
    return sha256("\n".join(f"{head.partition.dataset} {head.content_hash}" for head in heads).encode()).hexdigest()


def _with_lookback(stores: Stores, timeframe: Timeframe, month: Derivation) -> tuple[Candles, int]:
    start, end = month.window
    earlier = stores.candles.rows_before("ohlcv", month.market, timeframe.name, start, LOOKBACK_ROWS)
    own = stores.candles.read_table("ohlcv", month.market, timeframe.name, start, end)
    return concatenate([candles_from_table(earlier), candles_from_table(own)]), earlier.num_rows


def _signal_table(open_time: np.ndarray, signals: SignalColumns, before: int) -> pa.Table:
    reasons = pa.DictionaryArray.from_arrays(pa.array(signals.reason_codes[before:], pa.int16()), pa.array(signals.reasons, pa.string()))
    return columns_table(
        open_time[before:],
        {
            "action": pa.array(signals.action[before:], pa.int8()),
            "confidence": signals.confidence[before:],
            "stop": signals.stop[before:],
            "target": signals.target[before:],
            "reason": reasons,
        },
    )


def _commit(
    stores: Stores,
    asset: str,
    timeframe: Timeframe,
    month: Derivation,
    tables: Mapping[str, pa.Table],
    code_version: str,
    settings_hash: str,
    run_id: str,
) -> list[PartitionHead]:
    partitions = {dataset: PartitionId(dataset, month.market, timeframe.name, month.month) for dataset in tables}
    known_at = now_ms()
    with stores.candles.begin(partitions.values()) as transaction:
        heads = [
            transaction.merge(partitions[dataset], table, known_at_ms=known_at, replace=True).head for dataset, table in tables.items()
        ]
        record_inputs(
            transaction.connection,
            asset=asset,
            partition=month.key,
            content_hash=combined_hash(heads),
            code_version=code_version,
            settings_hash=settings_hash,
            run_id=run_id,
            inputs=month.inputs,
            row_count=heads[0].row_count,
        )
    return heads
