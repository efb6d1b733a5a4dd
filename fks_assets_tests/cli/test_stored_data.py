"""Reading commands on a store that holds a few known candles."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.quant.markets import parse_market
from fks_assets.settings import load_settings
from fks_assets.stores.candles import CandleStore, PartitionId

HOUR = 3_600_000
START = 1_767_225_600_000  # 2026-01-01T00:00Z


@pytest.fixture
def stored(home: Path, database_url: str, candle_store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four hourly candles of BTC-USDT@binance; the third is restated a day later."""
    monkeypatch.setenv("FKS_HOME", str(home))
    monkeypatch.setenv("FKS_DATABASE_URL", database_url)
    monkeypatch.setenv("FKS_EXCHANGE", "binance")
    load_settings.cache_clear()
    partition = PartitionId("ohlcv", parse_market("BTC-USDT@binance"), "1h", "2026-01")
    for closes, known_at in (((10.0, 11.0, 12.0, 13.0), START + 5 * HOUR), ((10.0, 11.0, 99.0, 13.0), START + 29 * HOUR)):
        with candle_store.begin([partition]) as transaction:
            transaction.merge(partition, candles(closes), known_at_ms=known_at)
    yield
    load_settings.cache_clear()


def candles(closes: tuple[float, ...]) -> pa.Table:
    count = len(closes)
    return pa.table(
        {
            "open_time": pa.array([START + HOUR * index for index in range(count)], pa.timestamp("ms", "UTC")),
            "open": pa.array(closes, pa.float64()),
            "high": pa.array([close + 1 for close in closes], pa.float64()),
            "low": pa.array([close - 1 for close in closes], pa.float64()),
            "close": pa.array(closes, pa.float64()),
            "volume": pa.array([5.0] * count, pa.float64()),
            "source": pa.array(["exchange"] * count).dictionary_encode(),
            "is_synthetic": pa.array([False] * count),
        }
    )


def fks(*arguments: str) -> dict[str, object]:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def closes(document: dict[str, object]) -> list[float]:
    return [row["close"] for row in document["rows"]]


def test_candles_are_one_json_document_with_utc_times(stored: None) -> None:
    document = fks("candles", "BTC-USDT", "1h")
    assert {key: document[key] for key in ("market", "timeframe", "dataset", "as_of", "simulated")} == {
        "market": "BTC-USDT@binance",
        "timeframe": "1h",
        "dataset": "ohlcv",
        "as_of": None,
        "simulated": False,
    }
    assert document["rows"][2] == {
        "open_time": "2026-01-01T02:00:00Z",
        "open": 99.0,
        "high": 100.0,
        "low": 98.0,
        "close": 99.0,
        "volume": 5.0,
        "source": "exchange",
        "is_synthetic": False,
        "known_at": "2026-01-02T05:00:00Z",
    }


def test_a_window_includes_its_start_and_excludes_its_end(stored: None) -> None:
    assert closes(fks("candles", "BTC-USDT", "1h", "--from", "2026-01-01T01:00", "--to", "2026-01-01T03:00Z")) == [11.0, 99.0]
    assert closes(fks("candles", "BTC-USDT", "1h", "--to", "2026-01-01T01:00")) == [10.0]
    assert closes(fks("candles", "BTC-USDT", "1h", "--limit", "2")) == [99.0, 13.0]
    assert closes(fks("candles", "BTC-USDT@binance", "1h", "--from", "2030-01-01")) == []


def test_candles_are_shown_as_they_were_known_at_a_time(stored: None) -> None:
    assert closes(fks("candles", "BTC-USDT", "1h", "--as-of", "2026-01-01T12:00")) == [10.0, 11.0, 12.0, 13.0]
    assert closes(fks("candles", "BTC-USDT", "1h", "--as-of", "2026-01-02T12:00")) == [10.0, 11.0, 99.0, 13.0]
    assert closes(fks("candles", "BTC-USDT", "1h", "--as-of", "2026-01-01T01:00")) == []


def test_people_get_a_table(stored: None) -> None:
    answer = CliRunner().invoke(app, ["candles", "BTC-USDT", "1h"])
    assert answer.exit_code == 0
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert ["2026-01-01", "02:00", "99", "100", "98", "99", "5", "exchange", "no"] in lines


def test_what_is_not_stored_yet_is_said_and_is_a_bad_answer(stored: None) -> None:
    answer = CliRunner().invoke(app, ["indicators", "BTC-USDT", "1h"])
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr == "fks: nothing of indicators is stored for BTC-USDT@binance 1h yet: `fks up` or `fks sync` loads it\n"
    answer = CliRunner().invoke(app, ["candles", "DOGE-USDT", "1h"])
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "'DOGE-USDT@binance' is not on this desk" in answer.stderr


def test_times_without_a_zone_are_utc() -> None:
    from fks_assets.cli.arguments import time_of

    assert time_of("2026-01-01", "--from") == START
    assert time_of("2026-01-01T01:30+01:30", "--from") == START
    assert time_of("2026-01-01T00:00:00Z", "--from") == round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


def test_gaps_shows_each_hole_with_the_names_of_its_record(stored: None) -> None:
    """S5.8: the four stored candles end long ago, so that all that followed is one hole."""
    document = fks("gaps", "BTC-USDT", "--timeframe", "1h")
    (gap,) = document["gaps"]
    assert (gap["market"], gap["timeframe"], gap["status"]) == ("BTC-USDT@binance", "1h", "DETECTED")
    assert gap["gap_start"] == "2026-01-01T04:00:00Z"
    hours = (datetime.fromisoformat(gap["gap_end"]) - datetime(2026, 1, 1, 4, tzinfo=UTC)).total_seconds() / 3600
    assert gap["missing_candles"] == document["missing_candles"] == hours
    assert gap["is_api_fillable"] is True
    assert fks("gaps", "BTC-USDT", "--timeframe", "1h", "--status", "FILLED") == {"gaps": [], "total": 0, "missing_candles": 0}
    assert fks("gaps", "BTC-USDT", "--no-scan")["gaps"] == document["gaps"]
