"""`fks quarantine` and `fks blast-radius` on a store that holds a few known candles, the third restated a day later."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.quant.candles import Fault, QuarantinedRow
from fks_assets.quant.markets import parse_market
from fks_assets.settings import load_settings
from fks_assets.stores.candles import CandleStore, PartitionId
from fks_assets.stores.database import Database
from fks_assets.stores.quarantine import ACCEPTED, SeenRow, read_quarantined, record_quarantined
from fks_assets_tests.stores.tables import HOUR, NOVEMBER, candle_rows, merge

BTC = parse_market("BTC-USDT@binance")
KNOWN, RESTATED = NOVEMBER + 5 * HOUR, NOVEMBER + 29 * HOUR


@pytest.fixture(autouse=True)
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FKS_HOME", str(home))
    monkeypatch.setenv("FKS_DATABASE_URL", database_url)
    monkeypatch.setenv("FKS_EXCHANGE", "binance")
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.fixture
def restated(candle_store: CandleStore) -> None:
    partition = PartitionId("ohlcv", BTC, "1h", "2026-11")
    merge(candle_store, candle_rows({0: 10.0, 1: 11.0, 2: 12.0}), KNOWN, partition)
    merge(candle_store, candle_rows({2: 99.0}), RESTATED, partition)


def run(*arguments: str) -> tuple[int, str, str]:
    answer = CliRunner().invoke(app, list(arguments))
    return answer.exit_code, answer.stdout, answer.stderr


def test_a_restatement_is_shown_with_both_values_and_both_times(restated: None) -> None:
    code, text, _ = run("blast-radius", "BTC-USDT", "1h", "2026-11-01T02:00Z", "--json")
    assert code == 0
    old, new = (dict.fromkeys(("open", "high", "low", "close", "volume"), value) for value in (12.0, 99.0))
    assert json.loads(text) == {
        "market": "BTC-USDT@binance",
        "timeframe": "1h",
        "open_time": "2026-11-01T02:00:00Z",
        "revisions": [
            {
                "known_at": "2026-11-01T05:00:00Z",
                "superseded_at": "2026-11-02T05:00:00Z",
                "old": old,
                "new": new,
                "dependents": [],
            }
        ],
    }
    code, text, _ = run("blast-radius", "BTC-USDT", "1h", "2026-11-01T02:00Z")
    assert code == 0 and ["close", "12", "99"] in [line.split() for line in text.splitlines()]


def test_a_candle_that_was_never_restated_says_so(restated: None) -> None:
    code, text, _ = run("blast-radius", "BTC-USDT", "1h", "2026-11-01T01:00Z")
    assert code == 0 and "was never restated" in text
    assert json.loads(run("blast-radius", "BTC-USDT", "1h", "2026-11-01T01:00Z", "--json")[1])["revisions"] == []


def test_a_time_without_a_candle_is_a_bad_answer_and_one_off_the_grid_wrong_input(restated: None) -> None:
    code, _, words = run("blast-radius", "BTC-USDT", "1h", "2026-11-05")
    assert code == 1 and words == "fks: no 1h candle of BTC-USDT@binance was ever stored at 2026-11-05T00:00:00Z\n"
    code, _, words = run("blast-radius", "BTC-USDT", "1h", "2026-11-01T02:30Z")
    assert code == 2
    assert words == "fks: 2026-11-01T02:30:00Z is not the open time of a 1h candle: 2026-11-01T02:00:00Z is\n"


def test_quarantined_rows_are_listed_and_one_can_be_accepted(database: Database) -> None:
    row = QuarantinedRow(NOVEMBER, (1.0, 1.0, 1.0, float("nan"), 1.0), "close is null, not a number", Fault.MALFORMED)
    with database.transaction() as connection:
        record_quarantined(connection, [SeenRow(BTC, "1h", row, "exchange")], KNOWN)
    [entry] = read_quarantined(database)
    code, text, _ = run("quarantine", "--json")
    assert code == 1
    assert json.loads(text)["quarantine"] == [
        {
            "id": entry.id,
            "market": "BTC-USDT@binance",
            "timeframe": "1h",
            "open_time": "2026-11-01T00:00:00Z",
            "kind": "malformed",
            "reason": "close is null, not a number",
            "values": [1.0, 1.0, 1.0, None, 1.0],
            "source": "exchange",
            "first_seen_at": "2026-11-01T05:00:00Z",
            "last_seen_at": "2026-11-01T05:00:00Z",
            "times_seen": 1,
            "resolved_at": None,
            "resolution": None,
        }
    ]
    code, _, words = run("quarantine", "--accept", str(entry.id), "--accept", "999999")
    assert (code, words) == (2, f"fks: 999999 is no unresolved entry; they are {entry.id}\n")
    assert len(read_quarantined(database)) == 1
    assert run("quarantine", "BTC-USDT", "--accept", str(entry.id))[0] == 0
    assert [each.resolution for each in read_quarantined(database, resolved=True)] == [ACCEPTED]
    assert run("quarantine")[:2] == (0, "Quarantine: empty\n")
    assert len(json.loads(run("quarantine", "--all", "--json")[1])["quarantine"]) == 1
