"""Correction notes: one for each restatement, when its consequences are known."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fks_assets.assets.market_data.blast_radius import NOTES_PER_RUN, blast_radius, publish_corrections
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import TIMEFRAMES
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.lineage import InputRef, RecordedInputs, record_many
from fks_assets.stores.notifications import read_notifications
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.quant.series import HOUR_MS, START_MS, synthetic

ROWS = 100
MONTH = "2020-01"
NOW = START_MS + (ROWS + 1) * HOUR_MS


def test_restatements_that_wait_for_their_dependents_hold_up_no_others(home: Path, database_url: str) -> None:
    """D8. What was made from an archived month is not made again by itself: its restatements may wait for ever."""
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "ETH-USDT"], TIMEFRAMES="1h")
    waiting, other = desk.settings.market_list()
    _restate(desk, waiting, NOTES_PER_RUN, NOW, derived=True)
    _restate(desk, other, 1, NOW + 1000, derived=False)
    assert publish_corrections(desk.stores, TIMEFRAMES["1h"], [waiting, other], NOW + 2000) == 1
    [note] = read_notifications(desk.stores.database)
    assert note.message.startswith(f"The 1h candle of {other} at ")
    assert publish_corrections(desk.stores, TIMEFRAMES["1h"], [waiting, other], NOW + 3000) == 0


def test_a_correction_does_not_wait_for_results_that_nothing_makes_again(home: Path, database_url: str) -> None:
    """D8, D10: a backtest of its day and a shadow that a person asked for are named as kept, and hold up no note."""
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"], TIMEFRAMES="1h")
    (market,) = desk.settings.market_list()
    of_their_time = {"backtests": "2020-02-01|breakout", "shadow.quick_1h": f"{market.key}|{MONTH}"}
    _restate(desk, market, 1, NOW, derived=False, kept=of_their_time)
    assert publish_corrections(desk.stores, TIMEFRAMES["1h"], [market], NOW + 2000) == 1
    [revision] = blast_radius(desk.stores, market, TIMEFRAMES["1h"], START_MS).revisions
    assert {each.asset: (each.partition, each.state) for each in revision.dependents} == {
        asset: (partition, "kept") for asset, partition in of_their_time.items()
    }


def _restate(
    desk: Desk, market: Market, count: int, at_ms: int, *, derived: bool, kept: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Store a month, perhaps with something that is made from it, and then other values for `count` of its candles."""
    partition, candles = PartitionId("ohlcv", market, "1h", MONTH), synthetic(ROWS)
    for known_at in (at_ms - HOUR_MS, at_ms):
        with desk.stores.candles.begin([partition]) as transaction:
            head = transaction.merge(partition, candles_table([(candles, "exchange")]), known_at_ms=known_at).head
            record_many(transaction.connection, [_record("ohlcv_1h", partition.key, head.content_hash)])
            made_from = (InputRef("ohlcv_1h", partition.key, head.content_hash),)
            for asset, key in kept.items() if known_at < at_ms else ():
                record_many(transaction.connection, [_record(asset, key, "1" * 64, made_from)])
            if derived and known_at < at_ms:
                record_many(transaction.connection, [_record("indicators_1h", partition.key, "0" * 64, made_from)])
        candles.volume[:count] += 1


def _record(asset: str, partition: str, content_hash: str, inputs: tuple[InputRef, ...] = ()) -> RecordedInputs:
    return RecordedInputs(asset, partition, content_hash, "1", "", "run", inputs, ROWS)
