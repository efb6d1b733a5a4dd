"""`fks import`: several files and folders, one line or entry for each series, exit codes, nothing changed by a wrong input."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.settings import load_settings
from fks_assets.stores.candles import CandleStore
from fks_assets_tests.imports.reading import binance_lines, kraken_lines, write, zipped
from fks_assets_tests.stores.tables import object_names


@pytest.fixture
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FKS_HOME", str(home))
    monkeypatch.setenv("FKS_DATABASE_URL", database_url)
    monkeypatch.setenv("FKS_EXCHANGE", "binance")
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def fks(*arguments: object, code: int = 0) -> dict[str, Any]:
    answer = CliRunner().invoke(app, ["import", *map(str, arguments), "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def test_files_of_several_makers_are_imported_and_each_is_told(desk: None, files: Path, candle_store: CandleStore) -> None:
    write(files, "BTCUSDT-1h-2024-12.csv", binance_lines(range(-9, 0)))
    write(files, "BTCUSDT-1h-2025-01.csv.gz", binance_lines(range(9), unit=1000))
    zipped(files, "Kraken_OHLCVT.zip", {"XBTUSD_60.csv": kraken_lines([0, 1, 4, 4]), "ETHUSD_60.csv": kraken_lines(range(5))})
    document = fks(files)
    assert document["dry_run"] is False
    told = {each["file"]: each for each in document["import"]}
    assert [(name, each["status"], each["market"], each["timeframe"]) for name, each in told.items()] == [
        ("BTCUSDT-1h-2024-12.csv", "imported", "BTC-USDT@binance", "1h"),
        ("BTCUSDT-1h-2025-01.csv.gz", "imported", "BTC-USDT@binance", "1h"),
        ("Kraken_OHLCVT.zip/XBTUSD_60.csv", "imported", "BTC-USD@kraken", "1h"),
        ("Kraken_OHLCVT.zip/ETHUSD_60.csv", "imported", "ETH-USD@kraken", "1h"),
    ]
    kraken = told["Kraken_OHLCVT.zip/XBTUSD_60.csv"]
    assert kraken["path"] == str(files / "Kraken_OHLCVT.zip")
    assert (kraken["first_open"], kraken["last_open"]) == ("2025-01-01T00:00:00Z", "2025-01-01T04:00:00Z")
    assert kraken["rows"]["largest_holes"] == [{"start": "2025-01-01T02:00:00Z", "end": "2025-01-01T04:00:00Z", "missing": 2}]
    assert kraken["rows"]["resolved"] == {
        "exact_duplicates": {"count": 1, "rule": "rows that repeat an open time with the same values count once"}
    }
    assert {key: kraken["stored"][key] for key in ("inserted", "equal", "kept", "replaced")} == {
        "inserted": 3, "equal": 0, "kept": 0, "replaced": 0
    }  # fmt: skip
    assert {each["market"]: each["open"] for each in document["gaps"]}["BTC-USD@kraken"] == 1
    assert len(candle_store.heads("ohlcv", "1h")) == 4
    assert {each["status"] for each in fks(files)["import"]} == {"unchanged"}


def test_a_refused_file_is_named_with_its_reason_and_the_others_are_imported(desk: None, files: Path) -> None:
    write(files, "BTCUSDT-1h-2025-01.csv", binance_lines(range(9)))
    write(files, "ETHUSDT-1w-2025-01.csv", binance_lines(range(9)))
    document = fks(files, code=1)
    assert [(each["status"], each["reason"]) for each in document["import"]] == [
        ("imported", None),
        ("refused", "holds candles of 1w, which is no timeframe; known: 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d"),
    ]


def test_a_dry_run_leaves_no_trace(desk: None, files: Path, candle_store: CandleStore) -> None:
    write(files, "BTCUSDT-1h-2025-01.csv", binance_lines(range(9)))
    document = fks(files, "--dry-run")
    assert (document["dry_run"], document["import"][0]["stored"]["inserted"], document["gaps"]) == (True, 9, [])
    assert candle_store.heads("ohlcv", "1h") == {}
    assert object_names(candle_store) == []


def test_people_get_a_table_and_every_rule_that_was_applied(desk: None, files: Path) -> None:
    write(files, "KNCUSDT-1h-2025-01.csv", binance_lines([0, 1, 2, 2, 4, 3, 6]))
    answer = CliRunner().invoke(app, ["import", str(files)])
    assert answer.exit_code == 0
    lines = answer.stdout.splitlines()
    assert ["KNCUSDT-1h-2025-01.csv", "KNC-USDT@binance", "1h", "7", "6", "0", "0", "0", "1", "1", "–"] in [
        line.split() for line in lines
    ]
    assert "KNCUSDT-1h-2025-01.csv: 1 exact duplicates: rows that repeat an open time with the same values count once" in lines
    assert "KNCUSDT-1h-2025-01.csv: 1 out of order: rows were sorted by open time" in lines
    assert "KNC-USDT@binance 1h: 0 gaps filled, 1 open" in lines


def test_options_choose_in_folders_and_contradict_files_that_are_named(desk: None, files: Path) -> None:
    hourly = write(files, "XBTUSD_60.csv", kraken_lines(range(9)))
    write(files, "ETHUSD_60.csv", kraken_lines(range(9)))
    chosen = fks(files, "--market", "BTC-USD@simulated")
    assert [(each["market"], each["source"]) for each in chosen["import"]] == [
        ("BTC-USD@simulated", "import:kraken-ohlcvt/kraken")
    ]
    named = fks(hourly, "--timeframe", "5m", code=1)
    assert named["import"][0]["reason"] == "--timeframe 5m contradicts the file's name, which says 1h"


WRONG = {
    "a file that does not exist": (["/nowhere.csv"], "file '/nowhere.csv' does not exist"),
    "a folder without candles": (["{empty}"], "holds no candle file"),
    "a timeframe that does not exist": (["{file}", "--timeframe", "7m"], "timeframe '7m' is unknown"),
    "a market of a wrong form": (["{file}", "--market", "btc/usd"], "'btc/usd@binance' is not of the form"),
    "an exchange of a wrong form": (["{file}", "--exchange", "Kraken!"], "--exchange 'Kraken!'"),
    "two exchanges": (["{file}", "--market", "BTC-USD@kraken", "--exchange", "binance"], "--exchange 'binance' contradicts"),
    "a format that does not exist": (["{file}", "--format", "excel"], "--format 'excel' is unknown; known: auto, binance-dump"),
    "a rule that does not exist": (["{file}", "--conflicts", "newest"], "--conflicts 'newest' is unknown; known: precise, first"),
    "no file": ([], "FILE…"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_changes_nothing(desk: None, files: Path, home: Path, case: str) -> None:
    arguments, words = WRONG[case]
    empty = files / "empty"
    empty.mkdir()
    file = write(files, "XBTUSD_60.csv", kraken_lines(range(9)))
    given = [each.format(file=file, empty=empty) for each in arguments]
    answer = CliRunner().invoke(app, ["import", *given])
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert words in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not (home / "candles").exists()
