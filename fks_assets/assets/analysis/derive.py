"""Which months of a derived dataset are out of date, and what they were made from."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candles import PartitionHead
from fks_assets.stores.lineage import InputRef, latest_inputs
from fks_assets.stores.tiers import COLD


@dataclass(frozen=True, slots=True)
class Derivation:
    """One month to derive: the heads of everything it is made from, as they were planned, and whether it is up to date already.

    `earlier` are the months of candles that the look-back reaches into, oldest first; `own` is the month itself by dataset.
    """

    market: Market
    month: str
    key: str
    earlier: tuple[PartitionHead, ...]
    own: dict[str, PartitionHead]
    lookback_rows: int
    inputs: tuple[InputRef, ...]
    up_to_date: bool
    recorded_hash: str | None

    @property
    def candles(self) -> PartitionHead:
        return self.own["ohlcv"]

    @property
    def archived(self) -> bool:
        """Whether the candles are in the cold store: nothing is derived from them then unless a person asks for it."""
        return self.candles.storage == COLD


def plan_derivations(
    stores: Stores,
    asset: str,
    timeframe: Timeframe,
    keys: Sequence[tuple[Market, str]],
    *,
    code_version: str,
    settings_hash: str,
    upstream: Sequence[str],
    lookback_rows: int,
    also: Sequence[InputRef] = (),
) -> Iterator[Derivation]:
    """Yield the months of `keys` that hold candles, oldest first in each market.

    The inputs of a month are its own partition of each dataset in `upstream`, the earlier months of candles that its look-back of
    `lookback_rows` rows reaches into, and what every month is made from `also`. A month is up to date when inputs, code and
    settings are those of its last materialisation.
    """
    markets = list(dict.fromkeys(market for market, _ in keys))
    by_market: dict[str, dict[Market, dict[str, PartitionHead]]] = {dataset: defaultdict(dict) for dataset in upstream}
    for dataset, heads in by_market.items():
        for partition, head in stores.candles.heads(dataset, timeframe.name, markets).items():
            if head.row_count:
                heads[partition.market][partition.month] = head
    recorded = latest_inputs(stores.database, asset, [f"{market.key}|{month}" for market, month in keys])
    for market, month in sorted(keys):
        months = by_market["ohlcv"][market]
        if month not in months:
            continue
        earlier = _reach(months, month, lookback_rows)
        own = {dataset: heads[market][month] for dataset, heads in by_market.items() if month in heads[market]}
        inputs = sorted(
            [
                *also,
                *(
                    InputRef(f"{head.partition.dataset}_{timeframe}", head.partition.key, head.content_hash)
                    for head in (*earlier, *own.values())
                ),
            ]
        )
        key = f"{market.key}|{month}"
        last = recorded.get(key)
        same = last is not None and (list(last.inputs), last.code_version, last.settings_hash) == (
            inputs,
            code_version,
            settings_hash,
        )
        yield Derivation(
            market=market,
            month=month,
            key=key,
            earlier=earlier,
            own=own,
            lookback_rows=lookback_rows,
            inputs=tuple(inputs),
            up_to_date=same,
            recorded_hash=last.content_hash if last else None,
        )


def _reach(months: dict[str, PartitionHead], month: str, lookback_rows: int) -> tuple[PartitionHead, ...]:
    rows, reached = 0, []
    for each in sorted((each for each in months if each < month), reverse=True):
        if rows >= lookback_rows:
            break
        rows += months[each].row_count
        reached.append(months[each])
    return tuple(reversed(reached))
