"""`fks evaluate` and `fks ideas` on a store that holds one hour of candles and signals."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from fks_assets import clock
from fks_assets.cli import app
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import month_window
from fks_assets.settings import load_settings
from fks_assets.stores.candle_tables import columns_table
from fks_assets.stores.candles import CandleStore, PartitionId
from fks_assets_tests.trading.desks import HOUR, store

BTC, ETH = parse_market("BTC-USDT@binance"), parse_market("ETH-USDT@binance")
OPENED = month_window("2026-03")[0] + 12 * HOUR
# Action, confidence, stop and target of each strategy at a close of 100.
SAID = {"technical": (1, 0.75, 90.0, 115.0), "breakout": (1, 0.8, 80.0, 140.0)}


def judge(candles: CandleStore, market: Any, said: dict[str, tuple[int, float, float, float]]) -> None:
    for name, (action, confidence, stop, target) in said.items():
        partition = PartitionId(f"signals.{name}", market, "1h", "2026-03")
        reasons = pa.DictionaryArray.from_arrays(pa.array([0], pa.int16()), pa.array(["so it is"]))
        table = columns_table(
            np.array([OPENED]),
            {
                "action": pa.array([action], pa.int8()),
                "confidence": np.array([confidence]),
                "stop": np.array([stop]),
                "target": np.array([target]),
                "reason": reasons,
            },
        )
        with candles.begin([partition]) as transaction:
            transaction.merge(partition, table, known_at_ms=OPENED + HOUR)


@pytest.fixture
def now() -> SimpleNamespace:
    return SimpleNamespace(ms=OPENED + HOUR + 60_000)


@pytest.fixture(autouse=True)
def desk(
    home: Path, database_url: str, candle_store: CandleStore, now: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    for name, value in (("HOME", str(home)), ("DATABASE_URL", database_url), ("EXCHANGE", "binance")):
        monkeypatch.setenv(f"FKS_{name}", value)
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: now.ms * 1_000_000))
    load_settings.cache_clear()
    prices = np.array([100.0])
    for market in (BTC, ETH):
        store(candle_store, market, Candles(np.array([OPENED]), prices, prices, prices, prices, prices))
    judge(candle_store, BTC, SAID)
    judge(candle_store, ETH, {"technical": (0, 0.0, np.nan, np.nan), "breakout": (-1, 0.7, 102.0, 96.0)})
    yield
    load_settings.cache_clear()


def fks(*arguments: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def said(*arguments: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, list(arguments))
    assert answer.stdout == ""
    return answer.exit_code, answer.stderr


def test_one_market_is_evaluated_on_demand_and_nothing_is_written() -> None:
    """S4.3, S4.19: two strong entries are 110 points, cut at 100; breakout is more confident: 1 % is 100 over 20, 5 coins."""
    document = fks("evaluate", "BTC-USDT")
    assert {name: document[name] for name in ("evaluated_at", "timeframe", "status", "total", "processed", "errors")} == {
        "evaluated_at": "2026-03-01T13:01:00Z",
        "timeframe": "1h",
        "status": "success",
        "total": 1,
        "processed": 1,
        "errors": 0,
    }
    assert document["details"] == {"BTC-USDT@binance": "BUY, 100, open_or_scale"}
    [idea] = document["ideas"]
    assert (idea["score"], idea["band"], idea["place"], idea["confidence"]) == (100, "open_or_scale", 1, 0.775)
    assert [each["points"] for each in idea["points"]] == [30, 25, 30, 25, -10]
    assert sum(each["points"] for each in idea["points"]) == idea["score"]
    assert (idea["stop"], idea["target"], idea["reward_risk"]) == (80, 140, 2)
    assert idea["entry"] == {"kind": "market", "price": 100, "reward_risk": 2}
    assert idea["size"] == {"quantity": 5, "notional": 500, "at_risk": 100, "limit": None}
    assert (idea["news"], idea["agree"], idea["unheard"]) == ("none stored", ["technical", "breakout"], [])
    assert (document["saved"], document["files"], document["simulated"]) == (False, [], False)
    assert fks("ideas", "list", "--all") == {"ideas": []}


def test_all_markets_are_evaluated_and_those_without_an_idea_are_named() -> None:
    document = fks("evaluate", code=1)
    assert (document["status"], document["total"], document["processed"], document["errors"]) == ("success", 10, 10, 0)
    assert [(idea["market"], idea["action"]) for idea in document["ideas"]] == [(BTC.key, "BUY"), (ETH.key, "SELL")]
    assert document["details"]["ADA-USDT@binance"] == "no idea: no 1h candle of the last 2 timeframes is stored"


def test_people_see_score_band_and_reasons() -> None:
    answer = CliRunner().invoke(app, ["evaluate", "BTC-USDT", "ETH-USDT", "--timeframe", "1h"])
    assert answer.exit_code == 0, answer.output
    for words in (
        "Trade ideas, 1h (UTC)",
        "open_or_scale",
        "BTC-USDT@binance: +30 entry: breakout, so it is",
        "BTC-USDT@binance: -10 no score is above 100",
        "ETH-USDT@binance: -40 exit: breakout, so it is",
        "ETH-USDT@binance: news: none stored; it would be better with: breakout no longer says SELL: +40; technical says BUY",
    ):
        assert words in answer.stdout, answer.stdout
    listed = CliRunner().invoke(app, ["ideas"])
    assert (listed.exit_code, listed.stdout.strip()) == (0, "Trade ideas (UTC): none")


def test_an_evaluation_is_exported_as_s4_laid_it_out(tmp_path: Path) -> None:
    """S4.16."""
    folder = tmp_path / "data"
    document = fks("evaluate", "BTC-USDT", "ETH-USDT", "--export", str(folder))
    names = ["evaluations/evaluation_2026-03-01.json"]
    names += [f"trade_ideas/{base}-USDT_20260301T120000Z.json" for base in ("BTC", "ETH")]
    assert document["files"] == [str(folder / name) for name in names]
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == names
    written = [json.loads((folder / name).read_text(encoding="utf-8")) for name in names]
    assert written[0]["ideas"] == document["ideas"] and written[0]["evaluated_at"] == document["evaluated_at"]
    assert [{**each, "place": document["ideas"][place]["place"]} for place, each in enumerate(written[1:])] == document["ideas"]
    (tmp_path / "file").write_text("", encoding="utf-8")
    code, line = said("evaluate", "BTC-USDT", "--export", str(tmp_path / "file"))
    assert code == 2 and f"--export {tmp_path}/file/" in line and line.count("\n") == 1


def test_saved_ideas_are_listed_and_a_person_decides(now: SimpleNamespace) -> None:
    """S4.22."""
    assert fks("evaluate", "BTC-USDT", "ETH-USDT", "--save")["saved"] is True
    assert fks("evaluate", "BTC-USDT", "ETH-USDT", "--save")["saved"] is True
    listed = fks("ideas")["ideas"]
    assert [(each["market"], each["status"], each["score"]) for each in listed] == [(BTC.key, "open", 100), (ETH.key, "open", 0)]
    yes, no = (str(each["id"]) for each in listed)
    assert fks("ideas", "approve", yes, "--by", "Ada", "--note", "I agree")["status"] == "approved"
    code, line = said("ideas", "reject", yes, "--by", "Ada", "--note", "no")
    assert code == 2
    assert line == f"fks: trade idea {yes} was approved at 2026-03-01T13:01:00Z by Ada: I agree\n"
    rejected = CliRunner().invoke(app, ["ideas", "reject", no, "--by", "Grace", "--note", "I keep it"])
    assert (rejected.exit_code, rejected.stdout) == (0, f"trade idea {no} of ETH-USDT@binance is rejected by Grace: I keep it\n")
    assert fks("ideas", "list") == {"ideas": []}
    now.ms += 3 * HOUR
    kept = fks("ideas", "list", "BTC-USDT", "--all")["ideas"]
    assert [(each["status"], each["decided_by"], each["decision_reason"]) for each in kept] == [("approved", "Ada", "I agree")]
    assert fks("evaluate", "BTC-USDT", "--save", code=1)["details"][BTC.key].endswith("more than 2 timeframes ago")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "BTCUSDT"], "market 'BTCUSDT@binance' is not of the form"),
        (["evaluate", "DOGE-USDT"], "'DOGE-USDT@binance' is not on this desk; it has BTC-USDT@binance"),
        (["evaluate", "--timeframe", "7m"], "timeframe '7m' is unknown; known: 1m, "),
        (["evaluate", "--timeframe", "15m"], "timeframe '15m' is not on this desk; it has 5m, 1h, 1d"),
        (["ideas", "approve", "7", "--by", "Ada", "--note", "x"], "trade idea 7 is not known: `fks ideas list --all` shows"),
        (["ideas", "approve", "seven", "--by", "Ada", "--note", "x"], "'seven' is not a whole number"),
        (["ideas", "reject", "7", "--by", "Ada"], "Missing option '--note'"),
        (["ideas", "reject", "7", "--by", " ", "--note", "x"], "who decides must be given, was empty"),
        (["ideas", "list", "--limit", "0"], "0 is not between 1 and 1,000,000"),
    ],
)
def test_wrong_input_is_one_line_that_names_it(arguments: list[str], words: str) -> None:
    code, line = said(*arguments)
    assert code == 2 and words in line and line.count("\n") == 1, line
