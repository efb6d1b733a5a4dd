"""A derived month is made from exactly the candles whose hashes it records, whatever is written meanwhile."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fks_assets.assets.analysis.derive import Derivation, plan_derivations
from fks_assets.assets.analysis.write import Derive, indicator_tables
from fks_assets.clock import to_ms
from fks_assets.errors import InsufficientData
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import WARMUP_ROWS, compute_indicators
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionHead, PartitionId
from fks_assets.stores.lineage import latest_inputs
from fks_assets_tests.desk import Desk, build_desk

HOUR = parse_timeframe("1h")
JUNE = to_ms(datetime(2025, 6, 1, tzinfo=UTC))
ROWS = 700


@pytest.fixture
def desk(home: Path, database_url: str) -> Desk:
    return build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"], TIMEFRAMES="1h", FIRST_MONTH="2025-06")


def _candles(price: float) -> Candles:
    times = JUNE + HOUR.milliseconds * np.arange(ROWS)
    close = price + 10 * np.sin(np.arange(ROWS) / 9)
    return Candles(times, close, close + 2, close - 2, close, np.full(ROWS, 5.0))


def _store(desk: Desk, price: float) -> PartitionHead:
    partition = PartitionId("ohlcv", desk.settings.market_list()[0], "1h", "2025-06")
    with desk.stores.candles.begin([partition]) as transaction:
        table = candles_table([(_candles(price), "test")])
        return transaction.merge(partition, table, known_at_ms=JUNE + 10**9).head


def _plan(desk: Desk) -> list[Derivation]:
    keys = [(desk.settings.market_list()[0], "2025-06")]
    return list(
        plan_derivations(
            desk.stores,
            "indicators_1h",
            HOUR,
            keys,
            code_version="1",
            settings_hash="",
            upstream=["ohlcv"],
            lookback_rows=WARMUP_ROWS,
        )
    )


def _derive(desk: Desk, plan: list[Derivation]) -> list[tuple[str, InsufficientData]]:
    failures: list[tuple[str, InsufficientData]] = []
    derive = Derive(desk.stores, "indicators_1h", HOUR, indicator_tables, "1", "", "run")
    list(derive.write(plan, lambda month, error: failures.append((month.key, error))))
    return failures


def test_candles_restated_between_planning_and_computing_are_left_to_the_next_run(desk: Desk) -> None:
    market = desk.settings.market_list()[0]
    before = _store(desk, 100.0)
    plan = _plan(desk)
    after = _store(desk, 200.0)

    assert _derive(desk, plan) == []

    recorded = latest_inputs(desk.stores.database, "indicators_1h", [plan[0].key])[plan[0].key]
    stored = desk.stores.candles.read_table("indicators", market, "1h")["sma_20"].to_numpy()
    np.testing.assert_allclose(stored, compute_indicators(_candles(100.0))["sma_20"], rtol=1e-12)
    assert [ref.content_hash for ref in recorded.inputs] == [before.content_hash] != [after.content_hash]
    assert not _plan(desk)[0].up_to_date

    assert _derive(desk, _plan(desk)) == []
    assert _plan(desk)[0].up_to_date
    stored = desk.stores.candles.read_table("indicators", market, "1h")["sma_20"].to_numpy()
    np.testing.assert_allclose(stored, compute_indicators(_candles(200.0))["sma_20"], rtol=1e-12)


def test_a_planned_object_that_was_swept_fails_that_month_and_says_so(desk: Desk) -> None:
    _store(desk, 100.0)
    (month,) = _plan(desk)
    gone = replace(month, own={"ohlcv": replace(month.candles, object_name=month.candles.partition.new_object_name())})

    ((key, error),) = _derive(desk, [gone])

    assert key == month.key
    assert "changed while it was read" in str(error)
    assert latest_inputs(desk.stores.database, "indicators_1h", [key]) == {}
