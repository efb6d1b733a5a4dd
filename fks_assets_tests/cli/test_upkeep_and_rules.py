"""`fks upkeep` and `fks rules` on a store that holds a few known things."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms
from fks_assets.quant.gaps import GapCause, GapStatus
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import month_of, month_window
from fks_assets.settings import load_settings
from fks_assets.stores.candles import CandleStore, PartitionId
from fks_assets.stores.database import Database
from fks_assets.stores.gap_records import GapRecord, read_gaps, write_gaps
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.stores.tables import candle_rows

HOUR = 3_600_000
BTC, LUNA = parse_market("BTC-USDT@binance"), parse_market("LUNA-USDT@binance")
LAUNCH = 1_609_459_200_000  # 2021-01-01T00:00Z
RULES = MarketRules(LUNA, MarketStatus.TRADING, Decimal("0.0001"), Decimal("0.01"), maker_fee=Decimal("0.001"))


@pytest.fixture(autouse=True)
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FKS_HOME", str(home))
    monkeypatch.setenv("FKS_DATABASE_URL", database_url)
    monkeypatch.setenv("FKS_EXCHANGE", "binance")
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def fks(*arguments: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


@pytest.fixture
def stored(home: Path, database: Database) -> CandleStore:
    """A month of candles and indicators from two years ago, one of this month, and a gap filled 100 days ago."""
    store = CandleStore(str(home / "candles"), database, str(home / "cold"))
    old = month_of(now_ms() - 730 * MILLISECONDS_PER_DAY)
    for dataset, month in (("ohlcv", old), ("indicators", old), ("ohlcv", month_of(now_ms()))):
        partition = PartitionId(dataset, BTC, "1h", month)
        with store.begin([partition]) as transaction:
            rows = candle_rows({hour: float(hour) for hour in range(24)}, month_window(month)[0])
            transaction.merge(partition, rows, known_at_ms=LAUNCH)
    filled_at = now_ms() - 100 * MILLISECONDS_PER_DAY
    gap = GapRecord(
        None,
        BTC,
        "1h",
        LAUNCH,
        LAUNCH + HOUR,
        1,
        True,
        0,
        9,
        GapStatus.FILLED,
        GapCause.FETCH_FAILED,
        LAUNCH,
        filled_at=filled_at,
    )
    with database.transaction() as connection:
        write_gaps(connection, [gap, replace(gap, status=GapStatus.UNFILLABLE, filled_at=None)])
    return store


def test_a_dry_run_of_all_tasks_says_what_they_would_do_and_changes_nothing(
    stored: CandleStore, database: Database, home: Path
) -> None:
    """X6: counting only in --dry-run. S5.4, S4.13."""
    before = (stored.heads("ohlcv", "1h"), stored.heads("indicators", "1h"), read_gaps(database), list(home.rglob("*.parquet")))
    document = fks("upkeep", "--dry-run")
    after = (stored.heads("ohlcv", "1h"), stored.heads("indicators", "1h"), read_gaps(database), list(home.rglob("*.parquet")))
    assert after == before
    assert document["dry_run"] is True
    gaps, archive, objects = document["tasks"]
    assert gaps == {"task": "gap-records", "days": 90, "filled_deleted": 1, "failed_deleted": 0}
    size = next(iter(home.glob(f"candles/ohlcv/1h/{month_of(now_ms() - 730 * MILLISECONDS_PER_DAY)}/*"))).stat().st_size
    assert archive == {
        "task": "archive",
        "days_to_keep": 365,
        "first_month_kept": month_of(now_ms() - 365 * MILLISECONDS_PER_DAY),
        "candles_archived": 24,
        "months_archived": 1,
        "indicators_dropped": 1,
        "bytes_before": size,
        "bytes_after": None,
        "failed": [],
        "months_left": 0,
    }
    assert objects == {
        "task": "objects",
        "objects_removed": 0,
        "bytes_removed": 0,
        "months": 3,
        "archived_months": 0,
        "objects_per_month": 1.0,
        "revision_objects": 0,
    }


def test_upkeep_does_what_the_dry_run_said(stored: CandleStore, database: Database) -> None:
    planned, done = fks("upkeep", "--dry-run"), fks("upkeep")
    assert done["tasks"][0] == planned["tasks"][0]
    archive = done["tasks"][1]
    assert archive["bytes_after"] > 0 and {**archive, "bytes_after": None} == planned["tasks"][1]
    assert done["tasks"][2]["archived_months"] == 1
    assert sorted(head.storage for head in stored.heads("ohlcv", "1h").values()) == ["cold", "hot"]
    assert [gap.status for gap in read_gaps(database)] == [GapStatus.UNFILLABLE]
    [again] = fks("upkeep", "archive")["tasks"]
    assert (again["task"], again["months_archived"]) == ("archive", 0)


def test_a_month_that_cannot_be_archived_is_a_bad_answer(stored: CandleStore) -> None:
    head = next(iter(stored.heads("ohlcv", "1h").values()))
    (Path(stored.root) / head.object_name).unlink()
    [archive] = fks("upkeep", "archive", code=1)["tasks"]
    [failed] = archive["failed"]
    assert failed["partition"] == str(head.partition) and "is missing" in failed["reason"]
    answer = CliRunner().invoke(app, ["upkeep", "archive"])
    assert answer.exit_code == 1
    assert answer.stderr.startswith("fks: ohlcv BTC-USDT@binance 1h ") and len(answer.stderr.splitlines()) == 1
    assert ["archive", "failed", "1"] in [line.split() for line in answer.stdout.splitlines()]


def test_people_see_that_it_was_a_dry_run(stored: CandleStore) -> None:
    answer = CliRunner().invoke(app, ["upkeep", "objects", "--dry-run"])
    assert answer.exit_code == 0
    assert "Upkeep, dry run" in answer.stdout
    assert ["objects", "objects", "per", "month", "1"] in [line.split() for line in answer.stdout.splitlines()]


def test_rules_are_shown_as_they_were_known_at_a_time(database: Database) -> None:
    """D11."""
    with database.transaction() as connection:
        record_rules(connection, [RULES], LAUNCH)
        record_rules(connection, [MarketRules(LUNA, MarketStatus.DELISTED)], LAUNCH + 500 * MILLISECONDS_PER_DAY)
    document = fks("rules", "LUNA-USDT", "--as-of", "2021-06-01")
    assert document == {
        "as_of": "2021-06-01T00:00:00Z",
        "rules": [
            {
                "market": "LUNA-USDT@binance",
                "status": "trading",
                "tick_size": "0.0001",
                "lot_size": "0.01",
                "min_quantity": None,
                "max_quantity": None,
                "min_notional": None,
                "maker_fee": "0.001",
                "taker_fee": None,
                "valid_from": "2021-01-01T00:00:00Z",
                "last_seen_at": "2021-01-01T00:00:00Z",
            }
        ],
        "missing": [],
    }
    assert [each["status"] for each in fks("rules", "LUNA-USDT")["rules"]] == ["delisted"]
    assert [each["status"] for each in fks("rules", "LUNA-USDT", "--history")["rules"]] == ["trading", "delisted"]


def test_markets_without_rules_are_a_bad_answer_that_names_them(database: Database) -> None:
    with database.transaction() as connection:
        record_rules(connection, [replace(RULES, market=BTC)], LAUNCH)
    document = fks("rules", code=1)
    assert [each["market"] for each in document["rules"]] == ["BTC-USDT@binance"]
    assert len(document["missing"]) == 9 and "ETH-USDT@binance" in document["missing"]
    answer = CliRunner().invoke(app, ["rules", "BTC-USDT", "--as-of", "2020-01-01"])
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr == "fks: no rules of BTC-USDT@binance are stored as of 2020-01-01T00:00:00Z\n"
    answer = CliRunner().invoke(app, ["rules", "BTC-USDT"])
    assert answer.exit_code == 0 and "0.0001" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "bad"),
    [
        (["upkeep", "dishes"], "'dishes' is unknown; known: gap-records, archive, objects"),
        (["rules", "DOGE-USDT"], "'DOGE-USDT@binance' is not on this desk"),
        (["rules", "btc"], "'btc@binance'"),
        (["rules", "--as-of", "2999-01-01"], "'2999-01-01' lies in the future"),
        (["rules", "--as-of", "2021-01-01", "--history"], "'2021-01-01' goes without --history"),
    ],
)
def test_wrong_input_is_one_line_that_names_it(arguments: list[str], bad: str) -> None:
    answer = CliRunner().invoke(app, arguments)
    assert (answer.exit_code, answer.stdout) == (2, "")
    [line] = answer.stderr.splitlines()
    assert line.startswith("fks: ") and bad in line
