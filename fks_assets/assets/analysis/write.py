"""Compute months of a derived dataset and store them with their inputs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import numpy as np
import pyarrow as pa

from fks_assets.assets.analysis.derive import Derivation
from fks_assets.clock import now_ms
from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import INDICATOR_COLUMNS, compute_indicators, warm_rows
from fks_assets.quant.strategies.base import SignalColumns, Strategy
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table, columns_table
from fks_assets.stores.candles import PartitionHead, PartitionId
from fks_assets.stores.lineage import RecordedInputs, record_many
from fks_assets.stores.objects import MissingObject

MONTHS_PER_TRANSACTION = 24


@dataclass(frozen=True, slots=True)
class Derived:
    """A month that was derived and stored: its heads, one for each dataset that the asset consists of, and one hash for all."""

    month: Derivation
    heads: tuple[PartitionHead, ...]
    content_hash: str


@dataclass(frozen=True, slots=True)
class Derive:
    """Computes the datasets of one asset month by month and stores batches of months in one transaction each."""

    stores: Stores
    asset: str
    timeframe: Timeframe
    compute: Callable[[Stores, Derivation], Mapping[str, pa.Table]]
    code_version: str
    settings_hash: str
    run_id: str

    def write(self, months: Iterable[Derivation], failed: Callable[[Derivation, Exception], None]) -> Iterator[Derived]:
        """Yield the months that were stored; `failed` is told of those that could not be computed, as when inputs are missing."""
        remaining = iter(months)
        while batch := list(islice(remaining, MONTHS_PER_TRANSACTION)):
            tables: dict[PartitionId, pa.Table] = {}
            for month in batch:
                try:
                    computed = self.compute(self.stores, month)
                except (InsufficientData, InvalidInput) as error:
                    failed(month, error)
                    continue
                tables |= {
                    PartitionId(dataset, month.market, self.timeframe.name, month.month): table
                    for dataset, table in computed.items()
                }
            yield from self._store([month for month in batch if month.key in {partition.key for partition in tables}], tables)

    def _store(self, months: Sequence[Derivation], tables: Mapping[PartitionId, pa.Table]) -> list[Derived]:
        known_at = now_ms()
        with self.stores.candles.begin(tables) as transaction:
            heads = {
                partition: transaction.merge(partition, table, known_at_ms=known_at, replace=True).head
                for partition, table in tables.items()
            }
            done = [
                self._derived(month, [head for partition, head in heads.items() if partition.key == month.key])
                for month in months
            ]
            record_many(transaction.connection, [self._record(each) for each in done])
        return done

    def _derived(self, month: Derivation, heads: Sequence[PartitionHead]) -> Derived:
        return Derived(month, tuple(heads), combined_hash({head.partition.dataset: head.content_hash for head in heads}))

    def _record(self, derived: Derived) -> RecordedInputs:
        return RecordedInputs(
            asset=self.asset,
            partition=derived.month.key,
            content_hash=derived.content_hash,
            code_version=self.code_version,
            settings_hash=self.settings_hash,
            run_id=self.run_id,
            inputs=derived.month.inputs,
            row_count=derived.heads[0].row_count,
        )


def indicator_tables(stores: Stores, month: Derivation) -> dict[str, pa.Table]:
    """Compute one month of indicators."""
    candles, before = _with_lookback(stores, month)
    columns = {name: column[before:] for name, column in compute_indicators(candles).items()}
    columns["is_warm"] = warm_rows(len(candles))[before:]
    return {"indicators": columns_table(candles.open_time[before:], columns)}


def signal_tables(
    strategies: Mapping[str, Strategy], warn: Callable[[str], None]
) -> Callable[[Stores, Derivation], dict[str, pa.Table]]:
    """Return the function that lets each strategy judge one month; `strategies` are by the name of their parameter set.

    One that raises an error gives no rows for that month and stops no other: `warn` is told, once for each. The function raises
    InsufficientData when the month's indicators are missing, InvalidInput when no strategy could judge.
    """
    broken: set[str] = set()

    def compute(stores: Stores, month: Derivation) -> dict[str, pa.Table]:
        candles, before = _with_lookback(stores, month)
        head = month.own.get("indicators")
        stored_rows = head.row_count if head else 0
        if head is None or stored_rows != len(candles) - before:
            name = f"indicators_{month.candles.partition.timeframe}"
            raise InsufficientData(f"{name} has {stored_rows} of {len(candles) - before} rows: materialise it first")
        stored = _read(stores, [head])
        indicators = compute_indicators(candles)
        for name in INDICATOR_COLUMNS:
            indicators[name][before:] = stored[name].to_numpy()
        warm = warm_rows(len(candles))
        tables: dict[str, pa.Table] = {}
        for name, strategy in strategies.items():
            lent = {column: values.copy() for column, values in indicators.items()}
            try:
                signals = Strategy.evaluate(strategy, candles, lent, warm)
                tables[f"signals.{name}"] = signal_table(candles.open_time[before:], signals, before)
            except Exception as error:
                if name not in broken:
                    warn(f"parameter set {name} gives no signals from {month.key} on: {type(error).__name__}: {error}")
                broken.add(name)
        if not tables:
            raise InvalidInput(f"none of {', '.join(strategies)} could judge it")
        return tables

    return compute


def signal_table(open_time: np.ndarray, signals: SignalColumns, first: int = 0) -> pa.Table:
    """Return signals as they are stored: the rows from `first` on that belong to these open times."""
    rows = slice(first, first + len(open_time))
    reasons = pa.DictionaryArray.from_arrays(
        pa.array(signals.reason_codes[rows], pa.int16()), pa.array(signals.reasons, pa.string())
    )
    return columns_table(
        open_time,
        {
            "action": pa.array(signals.action[rows], pa.int8()),
            "confidence": signals.confidence[rows],
            "stop": signals.stop[rows],
            "target": signals.target[rows],
            "reason": reasons,
        },
    )


def combined_hash(datasets: Mapping[str, str]) -> str:
    """Return one content hash for the datasets that one partition of an asset consists of, given those of each by its name."""
    if len(datasets) == 1:
        return next(iter(datasets.values()))
    return sha256("\n".join(f"{name} {content_hash}" for name, content_hash in sorted(datasets.items())).encode()).hexdigest()


def _with_lookback(stores: Stores, month: Derivation) -> tuple[Candles, int]:
    candles = candles_from_table(_read(stores, [*month.earlier, month.candles]))
    own = month.candles.row_count
    before = min(month.lookback_rows, len(candles) - own)
    return candles.slice(len(candles) - own - before), before


def _read(stores: Stores, heads: Sequence[PartitionHead]) -> pa.Table:
    """Return the rows of heads as planned, so that the recorded input hashes are of what was read."""
    try:
        return stores.candles.read_heads(heads)
    except MissingObject as error:
        raise InsufficientData(f"{heads[-1].partition} changed while it was read: the next run derives it") from error
