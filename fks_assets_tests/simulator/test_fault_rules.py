from pathlib import Path
from typing import Any

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.simulator.fault_rules import ACTIONS, parse_faults, read_fault_file


def test_a_toml_file_is_read_with_times_groups_and_defaults(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        """
        seed = 5
        [[faults]]
        name = "busy hour"
        action = "status"
        status = 429
        retry_after = 7
        endpoint = ["candles", "ticker/price"]
        symbol = "BTC-USDT"
        from = 2026-11-21T04:00:00Z
        until = "2026-11-21T05:00:00"
        [[faults]]
        action = "torn"
        """
    )
    (busy, torn), seed = read_fault_file(path)
    assert seed == 5
    assert (busy.name, busy.endpoints, busy.symbols) == ("busy hour", {"klines", "OHLC", "history", "ticker/price"}, {"BTC-USDT"})
    assert (busy.from_ms, busy.until_ms) == (1_795_233_600_000, 1_795_237_200_000)
    assert busy.options == {"status": 429, "retry_after": 7, "body": None, "html": False}
    assert (torn.name, torn.options) == ("torn-2", {"at": 0.5, "honest_length": False})


def test_json_is_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('{"faults": [{"action": "latency", "seconds": 0.5}]}')
    assert read_fault_file(path)[0][0].options == {"seconds": 0.5, "jitter_seconds": 0.0}


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({}, r"faults\[1\]: key 'action' was None; known: latency"),
        ({"action": "explode"}, r"faults\[1\]: key 'action' was 'explode'"),
        ({"action": "latency"}, "key 'seconds' is missing; action 'latency' needs it"),
        ({"action": "latency", "seconds": "1"}, "key 'seconds' was '1'; give a number"),
        ({"action": "latency", "seconds": -1}, "key 'seconds' was -1; give 0 to 86400"),
        ({"action": "latency", "seconds": True}, "key 'seconds' was True; give a number"),
        (
            {"name": "slow", "action": "latency", "secs": 1},
            r"faults\[1\] 'slow': key 'secs' is unknown for action 'latency'; known: name, action",
        ),
        ({"action": "status", "status": 200}, "key 'status' was 200; give 400 to 599"),
        ({"action": "empty", "endpoint": "kline"}, "key 'endpoint' was 'kline'; known: ping"),
        ({"action": "empty", "symbol": []}, r"key 'symbol' was \[\]"),
        ({"action": "empty", "from": "yesterday"}, "key 'from' was 'yesterday'; give a time such as"),
        ({"action": "empty", "from": 10, "until": 5}, "key 'until' is not after 'from'"),
        ({"action": "empty", "every": 0}, "key 'every' was 0; give 1 to inf"),
        ({"action": "empty", "probability": 1.5}, "key 'probability' was 1.5; give 0 to 1"),
        ({"action": "values", "values": "odd"}, "key 'values' was 'odd'; known: nan, inf"),
        ({"action": "torn", "honest_length": 1}, "key 'honest_length' was 1; give true or false"),
        ("latency", r"faults\[1\] was 'latency'; give a table"),
    ],
)
def test_a_bad_rule_is_refused_naming_rule_and_key(rule: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text) as refusal:
        parse_faults({"faults": [rule]})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.toml", "[[fault]]\naction = 'empty'", "key 'fault' is unknown; known: seed, faults"),
        ("a.toml", "seed = 'x'", "key 'seed' was 'x'"),
        ("a.toml", "faults = 3", "key 'faults' was 3"),
        ("a.toml", "= =", "is not valid TOML"),
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "[]", "must be a table"),
    ],
)
def test_a_bad_file_is_refused_naming_the_file(tmp_path: Path, name: str, content: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidInput, match=text) as refusal:
        read_fault_file(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.toml cannot be read: No such file"):
        read_fault_file(Path("nowhere.toml"))


def test_every_action_names_its_options() -> None:
    assert {"latency", "hang", "reset", "drip", "status", "error", "torn", "garbage", "empty", "oversize", "skew"} <= set(ACTIONS)
    assert {"values", "revise", "partial", "unfinished", "missing", "duplicate", "reorder", "off_grid", "future"} <= set(ACTIONS)
