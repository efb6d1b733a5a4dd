"""Wrong input is one line on standard error that names the bad value, exit code 2, and nothing changed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.settings import load_settings


@pytest.fixture(autouse=True)
def own_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FKS_EXCHANGE", "FKS_WEB_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FKS_HOME", str(home))
    load_settings.cache_clear()
    yield home
    load_settings.cache_clear()


WRONG = {
    "no such command": (["nonsense"], "'nonsense'"),
    "no such option": (["candles", "BTC-USDT", "1h", "--nonsense"], "--nonsense"),
    "a missing argument": (["candles", "BTC-USDT"], "TIMEFRAME"),
    "a market of a wrong form": (["candles", "btc/usdt", "1h"], "'btc/usdt@simulated'"),
    "a market that would leave its folder": (["candles", "../../etc@x", "1h"], "'../../etc@x'"),
    "a timeframe that does not exist": (["candles", "BTC-USDT", "7m"], "'7m'"),
    "a time that is none": (["candles", "BTC-USDT", "1h", "--from", "yesterday"], "'yesterday'"),
    "an empty window": (["candles", "BTC-USDT", "1h", "--from", "2026-02-01", "--to", "2026-01-01"], "'2026-02-01'"),
    "knowledge of the future": (["candles", "BTC-USDT", "1h", "--as-of", "2999-01-01"], "'2999-01-01'"),
    "no rows": (["candles", "BTC-USDT", "1h", "--limit", "0"], "0 is not between 1 and"),
    "a strategy that does not exist": (["signals", "BTC-USDT", "1h", "--strategy", "magic"], "'magic'"),
    "a market that the desk lacks": (["sync", "DOGE-USDT"], "'DOGE-USDT@simulated'"),
    "a timeframe that the desk lacks": (["sync", "--timeframe", "4h"], "'4h'"),
    "a status that does not exist": (["runs", "--status", "DONE"], "'DONE'"),
    "a number that is none": (["runs", "--limit", "many"], "'many' is not a whole number"),
    "a partition of a wrong form": (["run", "risk", "--partition", "BTC-USDT"], "'BTC-USDT'"),
    "a partition of a market that the desk lacks": (
        ["run", "risk", "--partition", "DOGE-USDT@simulated|2026-01"],
        "'DOGE-USDT@simulated'",
    ),
    "a month that does not exist": (["run", "risk", "--month", "2026-13"], "'2026-13'"),
    "a month before the desk's first": (["run", "risk", "--month", "2001-01"], "'2001-01'"),
    "a partition and a market": (["run", "risk", "--partition", "x|2026-01", "--market", "BTC-USDT"], "--market"),
    "a run without a desk": (["run", "risk", "--month", "2026-01"], "no desk runs"),
    "a gap status that does not exist": (["gaps", "--status", "DONE"], "'DONE'"),
    "gaps of a timeframe that the desk lacks": (["gaps", "--timeframe", "4h"], "'4h'"),
    "a tier that does not exist": (["backfill", "--tier", "TIER9"], "'TIER9'"),
    "an interval that the desk lacks": (["backfill", "--intervals", "7"], "interval 7 min"),
    "intervals that are no numbers": (["backfill", "--intervals", "1h"], "'1h'"),
    "a backfill without a beginning": (["backfill", "--to", "2026-01-01"], "--from"),
    "a backfill before the desk's first month": (["backfill", "--from", "2001-01-01"], "'2001-01-01'"),
    "an exchange that does not exist": (["up", "--exchange", "mtgox"], "'mtgox'"),
    "a port that does not exist": (["up", "--port", "70000"], "70000 is not between 1 and"),
    "a recording that does not exist": (["simulate", "--port", "0", "--replay", "/nowhere"], "/nowhere"),
    "a fault file that does not exist": (["simulate", "--port", "0", "--faults", "/nowhere"], "/nowhere"),
    "a dialect that does not exist": (["simulate", "--dialect", "fix"], "'fix'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_that_names_it(case: str, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, bad = WRONG[case]
    monkeypatch.setenv("FKS_EXCHANGE", "simulated")
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 2, answer.output
    assert answer.stdout == ""
    (line,) = answer.stderr.splitlines()
    assert line.startswith("fks: ")
    assert bad in line
    assert list(own_home.iterdir()) == []


def test_a_setting_that_is_wrong_is_one_line_for_every_command(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    monkeypatch.setenv("FKS_WEB_PORT", "-1")
    for arguments in (["up"], ["down"], ["status"], ["runs"], ["sync"], ["candles", "BTC-USDT", "1h"]):
        load_settings.cache_clear()
        answer = CliRunner().invoke(app, arguments)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert "FKS_WEB_PORT" in answer.stderr
        assert "-1" in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
    assert list(own_home.iterdir()) == []


def test_without_a_desk_status_says_so_and_starts_nothing(own_home: Path) -> None:
    answer = CliRunner().invoke(app, ["status"])
    assert answer.exit_code == 1
    assert "start it with `fks up`" in answer.stdout
    assert CliRunner().invoke(app, ["down"]).exit_code == 0
    assert "none yet" in CliRunner().invoke(app, ["runs"]).stdout
    assert list(own_home.iterdir()) == []
