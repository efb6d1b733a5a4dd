"""The newest signals as the candle store has them, and how far each account has decided on them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.desk.decide import Signal
from fks_assets.errors import StoreError
from fks_assets.ids import stable_id
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, months_between
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets.stores.candles import CandleStore, PartitionHead
from fks_assets.stores.canonical import OPEN_TIME
from fks_assets.stores.heads import select_heads
from fks_assets.stores.ledger.reconciliations import beat, read_heartbeats
from fks_assets.stores.lineage import InputRef, RecordedInputs, latest_inputs

# Signals of older candles are nobody's any more; the newest month or two hold all others.
LOOK_BACK_CANDLES = 4
Place = tuple[str, Market]


@dataclass(frozen=True, slots=True)
class Heard:
    """A signal, and the row that it was read from as lineage keeps it."""

    signal: Signal
    source: InputRef


@dataclass(frozen=True, slots=True)
class Heads:
    """The newest heads of candles and signals of an account, taken at one moment. `behind`: why a place has no signal yet."""

    newest: Mapping[Place, tuple[PartitionHead, int]]
    behind: Mapping[Place, str]

    def for_exchange(self, exchange: str) -> "Heads":
        """Return them for an account that trades the same coins on this exchange; the heads stay those of the desk's own."""
        newest = {_elsewhere(place, exchange): found for place, found in self.newest.items()}
        return Heads(newest, {_elsewhere(place, exchange): why for place, why in self.behind.items()})


def newest_heads(
    connection: sa.Connection, strategies: Sequence[str], markets: Sequence[Market], timeframe: Timeframe, now_ms: int
) -> Heads:
    """Return the head and candle (open time, UTC ms) of the newest signal of each strategy in each market.

    A signal counts only where it is of the newest stored candle, and was derived from that month as it stands now.
    """
    months = months_between(now_ms - LOOK_BACK_CANDLES * timeframe.milliseconds, now_ms + 1)
    candles = _newest(connection, "ohlcv", markets, timeframe, months)
    partitions = [head.partition.key for head in candles.values()]
    derived = latest_inputs(connection, f"signals_{timeframe}", partitions)
    newest: dict[Place, tuple[PartitionHead, int]] = {}
    behind: dict[Place, str] = {}
    for strategy in strategies:
        signals = _newest(connection, f"signals.{strategy}", markets, timeframe, months)
        for market in markets:
            candle, signal = candles.get(market), signals.get(market)
            if candle is None or candle.last_open is None:
                behind[strategy, market] = f"no {timeframe} candle of the last {LOOK_BACK_CANDLES} timeframes is stored"
            elif signal is None or signal.last_open != candle.last_open:
                behind[strategy, market] = f"its candle of {iso(candle.last_open)} has not been judged yet"
            elif not _is_derived(derived.get(candle.partition.key), candle, timeframe):
                behind[strategy, market] = "its candles have changed since, and have not been judged again yet"
            else:
                newest[strategy, market] = (signal, candle.last_open)
    return Heads(newest, behind)


def read_signals(candles: CandleStore, heads: Heads, timeframe: Timeframe) -> tuple[list[Heard], dict[Place, Exception]]:
    """Return the signals of heads in their order, and why one could not be read."""
    heard: list[Heard] = []
    errors: dict[Place, Exception] = {}
    for (strategy, market), (head, opened) in heads.newest.items():
        try:
            heard.append(_read(candles, strategy, market, head, opened, timeframe))
        except Exception as error:
            errors[strategy, market] = error
    return heard, errors


def undecided(connection: sa.Connection, account: str, heads: Heads, timeframe: Timeframe) -> dict[Place, int]:
    """Return the places of which the account has not decided on the newest candle, with that candle's open time (UTC ms)."""
    marks = decided_marks(connection, account)
    return {place: opened for place, (_, opened) in heads.newest.items() if opened > marks.get(mark_name(*place, timeframe), -1)}


def decided_marks(connection: sa.Connection, account: str) -> dict[str, int]:
    """Return the open time (UTC ms) of the newest candle that an account has decided on, by `mark_name`."""
    found = read_heartbeats(connection).get(_beat_name(account))
    return {} if found is None else dict(found.detail)


def note_decided(connection: sa.Connection, account: str, *signals: Signal, at_ms: int) -> None:
    """Note, in the caller's transaction, that an account has decided on these signals. The account must be locked."""
    marks = decided_marks(connection, account)
    for signal in signals:
        marks[mark_name(signal.strategy, signal.market, signal.timeframe)] = signal.open_time
    beat(connection, _beat_name(account), at_ms=at_ms, detail=marks)


def mark_name(strategy: str, market: Market, timeframe: Timeframe) -> str:
    """Return the name under which it is noted how far a strategy was decided on in a market."""
    return f"{strategy}|{market.key}|{timeframe}"


def _beat_name(account: str) -> str:
    return f"decisions of {account}"


def _elsewhere(place: Place, exchange: str) -> Place:
    strategy, market = place
    return strategy, replace(market, exchange=exchange)


def _newest(
    connection: sa.Connection, dataset: str, markets: Sequence[Market], timeframe: Timeframe, months: Sequence[str]
) -> dict[Market, PartitionHead]:
    """Return the newest head with rows of each market."""
    found = select_heads(connection, dataset, timeframe.name, markets, months)
    return {head.partition.market: head for head in found.values() if head.row_count}


def _is_derived(recorded: RecordedInputs | None, candle: PartitionHead, timeframe: Timeframe) -> bool:
    wanted = InputRef(f"ohlcv_{timeframe}", candle.partition.key, candle.content_hash)
    return recorded is not None and wanted in recorded.inputs


def _read(candles: CandleStore, strategy: str, market: Market, head: PartitionHead, opened: int, timeframe: Timeframe) -> Heard:
    table = candles.read_heads([head])
    newest = table.num_rows - 1
    if times_from_arrow(table[OPEN_TIME])[newest] != opened:
        raise StoreError(f"{head.partition}: its head says that it ends at {iso(opened)}, it does not")
    values = table.slice(newest, 1).to_pylist()[0]
    said = {name: values[name] for name in ("action", "confidence", "stop", "target", "reason")}
    judged = head.partition.market
    elsewhere = "" if judged == market else judged.exchange
    [close] = candles.read_table("ohlcv", judged, timeframe.name, opened, opened + 1, columns=["close"])["close"].to_pylist()
    content = stable_id(f"{head.partition.dataset} {json.dumps({**said, 'close': close})}")
    source = InputRef(f"signals_{timeframe}", f"{head.partition.key}|{iso(opened)}", content)
    return Heard(Signal(strategy, market, timeframe, opened, close=close, judged_at=elsewhere, **said), source)
