import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fks_assets.assets.trading.in_force import read_in_force
from fks_assets.errors import SettingsError
from fks_assets.quant.markets import parse_market
from fks_assets.quant.strategies.registry import register_folder
from fks_assets.settings import SHIPPED_DESK, read_settings
from fks_assets.stores.database import Database


def shipped(tmp_path: Path, replace: dict[str, str] | None = None, **environment: str):
    desk = tmp_path / "desk.toml"
    text = SHIPPED_DESK.read_text(encoding="utf-8")
    for old, new in (replace or {}).items():
        assert old in text
        text = text.replace(old, new)
    desk.write_text(text, encoding="utf-8")
    return read_settings({"FKS_DESK": str(desk), **environment}, tmp_path)


def test_the_shipped_desk_is_the_one_promised(tmp_path: Path) -> None:
    settings = shipped(tmp_path)
    groups = {group: [m.symbol for m in settings.markets if m.group == group] for group in ("mains", "alts")}
    assert groups["mains"] == ["BTC-USDT", "ETH-USDT", "BNB-USDT"]
    assert sorted(groups["alts"]) == sorted(f"{base}-USDT" for base in ("ADA", "SOL", "DOT", "POL", "AVAX", "LINK", "ATOM"))
    assert {market.tier for market in settings.markets} == {"TIER1", "TIER2", "TIER3", "TIER4"}
    assert settings.timeframes == ("5m", "1h", "1d")
    assert settings.exchange == "simulated"


def test_the_environment_overrides_dotenv_and_dotenv_overrides_the_desk(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FKS_EXCHANGE=kraken\nFKS_WEB_PORT=3100\nFKS_HISTORY_DAYS__5m=9\n", encoding="utf-8")
    settings = shipped(tmp_path, FKS_EXCHANGE="binance")
    assert (settings.exchange, settings.web_port, settings.history_days["5m"]) == ("binance", 3100, 9)


@pytest.mark.parametrize(
    ("replace", "environment", "expected"),
    [
        ({"web_port = 3000": "web_prot = 3000"}, {}, r"desk\.toml: web_prot: unknown key"),
        (
            {'symbol = "ETH-USDT"': 'symbol = "ETHUSDT"'},
            {},
            r"desk\.toml: markets\.1\.symbol: symbol 'ETHUSDT' is not of the form BASE-QUOTE",
        ),
        ({'symbol = "ETH-USDT"': 'symbol = "../x"'}, {}, r"desk\.toml: markets\.1\.symbol"),
        ({'symbol = "ETH-USDT"': 'symbol = "BTC-USDT"'}, {}, r"desk\.toml: markets: BTC-USDT is listed more than once"),
        ({'symbol = "POL-USDT"': 'symbol = "MATIC-USDT"'}, {}, r"'MATIC-USDT' became 'POL-USDT' on 2024-09-13"),
        (
            {'funding = "binance"   ': 'funding = "mtgox"   '},
            {},
            r"desk\.toml: exchanges\.simulated: funding 'mtgox' is unknown; known: binance",
        ),
        ({'timeframes = ["5m", "1h", "1d"]': 'timeframes = ["7m"]'}, {}, r"desk\.toml: timeframe '7m' is unknown; known: 1m"),
        (
            {},
            {"FKS_EXCHANGE": "kraken", "FKS_TIMEFRAMES": "5m,3m,1d"},
            r"environment: FKS_TIMEFRAMES: timeframes: kraken has no '3m'",
        ),
        (
            {},
            {"FKS_HISTORY_DAYS__1h": "-1"},
            r"environment: FKS_HISTORY_DAYS__1h: history_days\.1h: .*greater than or equal to 1 \(value: '-1'\)",
        ),
        (
            {},
            {"FKS_IDEAS__RISK": "0.5"},
            r"environment: FKS_IDEAS__RISK: ideas\.risk: .*less than or equal to 0\.1 \(value: '0\.5'\)",
        ),
        ({"open_from = 75": "open_from = 60"}, {}, r"desk\.toml: ideas: pending_from must be below open_from, was 60 and 60"),
        (
            {},
            {"FKS_QUALITY__SPIKE_EXCHANGE": "simulated"},
            r"quality\.spike_exchange 'simulated' is the desk's own; name another one, or none",
        ),
        ({}, {"FKS_EXCHNAGE": "binance"}, r"environment: FKS_EXCHNAGE: unknown setting; known: .*FKS_EXCHANGE"),
        (
            {},
            {"FKS_EXCHANGE": "mtgox"},
            r"environment: FKS_EXCHANGE: exchange 'mtgox' is unknown; known: simulated, binance, kraken",
        ),
        ({'dialect = "kraken"': 'dialect = "kraken"\nconnections = -3'}, {}, r"exchanges\.kraken\.connections: .*\(value: -3\)"),
        (
            {'first_month = "2023-01"': 'first_month = "2023-13"'},
            {},
            r"desk\.toml: first_month: month '2023-13' is not of the form YYYY-MM",
        ),
        ({"5m = 60": "7m = 60"}, {}, r"desk\.toml: history_days: timeframe '7m' is unknown"),
        ({"[strategies.breakout]": "[strategy.breakout]"}, {}, r"desk\.toml: strategy: unknown key"),
        (
            {},
            {"FKS_STRATEGIES__breakout": "3"},
            r"environment: FKS_STRATEGIES__breakout: strategies\.breakout: .*valid dictionary",
        ),
        ({'exchange = "simulated"': "exchange = simulated"}, {}, r"desk\.toml: is not valid TOML"),
    ],
)
def test_a_bad_setting_is_one_line_naming_file_key_and_value(tmp_path, replace, environment, expected) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        shipped(tmp_path, replace, **environment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("replace", "environment", "name", "usable", "reason"),
    [
        (
            {"[strategies.breakout]": "[strategies.breakout]\nema_fast = 40\nema_slow = 5"},
            {},
            "breakout",
            ["technical"],
            r"strategy breakout: .*ema_fast.*was 40.* \(\[strategies\.breakout\] of the settings\)",
        ),
        (
            {"[strategies.breakout]": "[strategies.brakeout]"},
            {},
            "brakeout",
            ["technical"],
            r"Unknown strategy: 'brakeout'; known: technical, breakout",
        ),
        (
            {},
            {"FKS_STRATEGIES__technical__votes_needed": "9"},
            "technical",
            ["breakout"],
            r"votes_needed.*less than or equal to 4.*was 9",
        ),
        (
            {
                "[strategies.breakout]": "[strategies.mine]",
                'exchange = "simulated"': 'strategies_folder = "nowhere"\nexchange = "simulated"',
            },
            {},
            "mine",
            ["technical"],
            r"Unknown strategy: 'mine'; known: .*; left out: strategies folder .*nowhere: no such folder; create it or correct",
        ),
    ],
)
def test_a_table_of_a_strategy_that_cannot_be_used_stops_that_strategy_and_nothing_else(
    tmp_path: Path,
    database: Database,
    replace: dict[str, str],
    environment: dict[str, str],
    name: str,
    usable: list[str],
    reason: str,
) -> None:
    settings = shipped(tmp_path, replace, **environment)
    try:
        found = read_in_force(database, settings)
    finally:
        register_folder(None)
    assert (list(found.unusable), list(found.subjects)) == ([name], usable)
    assert re.search(reason, str(found.unusable[name])) and "\n" not in str(found.unusable[name])


def test_a_folder_of_strategies_is_beside_the_file_that_names_it_and_of_the_environment_below_the_directory(
    tmp_path: Path,
) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "work").mkdir()
    text = SHIPPED_DESK.read_text(encoding="utf-8")
    named = text.replace('exchange = "simulated"', 'exchange = "simulated"\nstrategies_folder = "own"', 1)
    (tmp_path / "desk" / "desk.toml").write_text(named, encoding="utf-8")
    file = {"FKS_DESK": str(tmp_path / "desk" / "desk.toml")}
    try:
        assert read_settings(file, tmp_path / "work").strategies_folder == tmp_path / "desk" / "own"
        told = {**file, "FKS_STRATEGIES_FOLDER": "mine"}
        assert read_settings(told, tmp_path / "work").strategies_folder == tmp_path / "work" / "mine"
        (tmp_path / "work" / ".env").write_text("FKS_STRATEGIES_FOLDER=theirs\n")
        assert read_settings(file, tmp_path / "work").strategies_folder == tmp_path / "work" / "theirs"
        absolute = {**file, "FKS_STRATEGIES_FOLDER": str(tmp_path / "elsewhere")}
        assert read_settings(absolute, tmp_path / "work").strategies_folder == tmp_path / "elsewhere"
    finally:
        register_folder(None)


def test_a_database_password_never_shows(tmp_path: Path) -> None:
    settings = shipped(tmp_path, FKS_DATABASE_URL="postgresql://desk:hunter2@db/fks")
    assert "hunter2" not in repr(settings)


def test_a_renamed_symbol_is_read_under_its_old_name_before_the_change(tmp_path: Path) -> None:
    settings = shipped(tmp_path)
    change = int(datetime(2024, 9, 13, 10, tzinfo=UTC).timestamp() * 1000)
    segments = list(settings.history_segments(parse_market("POL-USDT@binance"), change - 10, change + 10))
    assert [(s.symbol, s.start_ms, s.end_ms, s.source) for s in segments] == [
        ("MATIC/USDT", change - 10, change, "MATIC-USDT"),
        ("POL/USDT", change, change + 10, "exchange"),
    ]
    untouched = list(settings.history_segments(parse_market("BTC-USDT@binance"), 0, 10))
    assert [(s.symbol, s.start_ms, s.end_ms, s.source) for s in untouched] == [("BTC/USDT", 0, 10, "exchange")]


@pytest.mark.parametrize(
    "environment",
    [
        {"FKS_EXCHANGES__binance__url": "ftp://canary:canary@host"},
        {"FKS_EXCHANGES__binance__url": "canary:canary@host"},
        {"FKS_EXCHANGES__binance__url": "http://desk:can/a@canary ry@host", "FKS_EXCHANGES__binance__dialect": "unheard"},
        {"FKS_EXCHANGES__binance__url": "http://canary@host", "FKS_EXCHANGES__binance__connections": "0"},
        {"FKS_EXCHANGES__binance__url__canary": "http://desk:canary@host"},
        {"FKS_EXCHANGE": "https://desk:canary@host"},
        {"FKS_DATABASE_URL__x": "postgresql://desk:canary@host/desk"},
        {"FKS_WEB_PORT": "postgresql://desk:canary@host/desk"},
        {"FKS_MARKETS": "s3://canary:canary@bucket"},
        {"FKS_CANDLE_ROOT__key": "canary"},
    ],
)
def test_no_error_tells_what_stands_before_the_host_of_an_address(tmp_path: Path, environment: dict[str, str]) -> None:
    """Canary secrets: in no message, whichever key the address was put under."""
    with pytest.raises(SettingsError) as caught:
        shipped(tmp_path, **environment)
    told = str(caught.value).removeprefix(f"environment: {next(iter(environment))}").replace("url.canary", "")
    assert "canary" not in told and "\n" not in told


def test_an_address_in_the_desks_file_is_not_told_either(tmp_path: Path) -> None:
    table = 'url = "http://127.0.0.1:8787"'
    for wrong in ("ftp://desk:canary@host", "desk:canary@host"):
        with pytest.raises(SettingsError, match=r"desk\.toml: exchanges\.simulated: url must begin with http") as caught:
            shipped(tmp_path, {table: f'url = "{wrong}"'})
        assert "canary" not in str(caught.value)
