"""`fks funding` on a store that holds a few known rates."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.quant.funding import FundingRate
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import month_window
from fks_assets.settings import load_settings
from fks_assets.stores.database import Database
from fks_assets.stores.funding import record_funding

BTC = parse_market("BTC-USDT@binance")
EIGHT = 8 * 3_600_000
START = month_window("2026-01")[0]
PERIOD = ("--from", "2026-01-01", "--to", "2026-01-03")


@pytest.fixture(autouse=True)
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FKS_HOME", str(home))
    monkeypatch.setenv("FKS_DATABASE_URL", database_url)
    monkeypatch.setenv("FKS_EXCHANGE", "binance")
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def fks(*arguments: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, ["funding", *arguments, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def known(database: Database, texts: dict[int, str], at_ms: int) -> None:
    with database.transaction() as connection:
        record_funding(
            connection, BTC, [FundingRate(START + place * EIGHT, Decimal(text)) for place, text in texts.items()], at_ms
        )


def test_rates_and_their_coverage_are_shown_and_what_is_missing_is_a_bad_answer(database: Database) -> None:
    """C23. Two days have six fundings."""
    known(database, {0: "0.0001", 1: "-0.00002", 2: "0", 3: "0.0001", 5: "0.0001"}, START + 20 * EIGHT)
    document = fks("BTC-USDT", *PERIOD, code=1)
    assert document["coverage"] == [
        {"market": BTC.key, "due": 6, "known": 5, "known_pct": 83, "missing": ["2026-01-02T08:00:00Z"]}
    ]
    assert [each["rate"] for each in document["rates"]] == ["0.0001", "-0.00002", "0", "0.0001", "0.0001"]
    assert document["rates"][1] == {
        "market": BTC.key,
        "time": "2026-01-01T08:00:00Z",
        "rate": "-0.00002",
        "known_at": "2026-01-07T16:00:00Z",
        "revisions": 0,
    }
    known(database, {1: "-0.00003", 4: "0.5"}, START + 21 * EIGHT)
    document = fks("BTC-USDT", *PERIOD)
    assert document["coverage"][0]["known_pct"] == 100 and document["rates"][1]["revisions"] == 1
    earlier = fks("BTC-USDT", *PERIOD, "--as-of", "2026-01-07T17:00Z", code=1)
    assert [each["rate"] for each in earlier["rates"]] == ["0.0001", "-0.00002", "0", "0.0001", "0.0001"]


def test_without_a_market_each_of_the_desk_has_a_row(database: Database) -> None:
    known(database, dict.fromkeys(range(6), "0.0001"), START + 20 * EIGHT)
    document = fks(*PERIOD, code=1)
    assert len(document["coverage"]) == 10 and document["rates"] == []
    assert {each["known_pct"] for each in document["coverage"]} == {0, 100}
    answer = CliRunner().invoke(app, ["funding", *PERIOD])
    assert answer.exit_code == 1
    assert ["BTC-USDT@binance", "6", "6", "100", "–"] in [line.split() for line in answer.stdout.splitlines()]
    people = CliRunner().invoke(app, ["funding", "BTC-USDT", *PERIOD])
    assert people.exit_code == 0 and "Rates: 6 of 6" in people.stdout


def test_the_newest_rates_are_shown_without_a_beginning(database: Database) -> None:
    known(database, dict.fromkeys(range(90), "0.0001"), START + 200 * EIGHT)
    document = fks("BTC-USDT", "--to", "2026-01-11", "--limit", "2", code=1)
    assert [each["time"] for each in document["rates"]] == ["2026-01-10T08:00:00Z", "2026-01-10T16:00:00Z"]
    assert document["rates_total"] == 30 and document["coverage"][0]["due"] == 365 * 3


@pytest.mark.parametrize(
    ("arguments", "bad"),
    [
        (["btc"], "'btc@binance'"),
        (["DOGE-USDT"], "'DOGE-USDT@binance' is not on this desk; it has BTC-USDT@binance, "),
        (["--as-of", "2999-01-01"], "'2999-01-01' lies in the future"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "--from '2026-01-02' is not before --to '2026-01-01'"),
    ],
)
def test_wrong_input_is_one_line_that_names_it(arguments: list[str], bad: str) -> None:
    answer = CliRunner().invoke(app, ["funding", *arguments])
    assert (answer.exit_code, answer.stdout) == (2, "")
    [line] = answer.stderr.splitlines()
    assert line.startswith("fks: ") and bad in line
