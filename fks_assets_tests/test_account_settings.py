"""The accounts of the settings: the shipped one, and a wrong one refused in one line that names file, key and value."""

from decimal import Decimal
from pathlib import Path

import pytest

from fks_assets.errors import SettingsError
from fks_assets.quant.orders import Mode
from fks_assets_tests.test_settings import shipped


def test_the_shipped_desk_has_one_paper_account_with_its_strategies(tmp_path: Path) -> None:
    settings = shipped(tmp_path)
    assert list(settings.accounts) == ["main"]
    main = settings.accounts["main"]
    assert (main.mode, main.quote, main.initial_cash, settings.account_exchange("main")) == (
        Mode.PAPER,
        "USDT",
        Decimal(10000),
        "simulated",
    )
    assert set(main.strategies) == set(settings.strategies)
    assert sum(main.strategies.values()) == 1


def test_the_shipped_account_sizes_and_limits_as_the_rules_say(tmp_path: Path) -> None:
    """S3.10: min(confidence * 50, 50) %; S2.4, X24: 2 % of the available cash; S2.8: 2 % at risk; S3.11: 30 minutes; S3.12: 10 a
    day; O8.
    """
    main = shipped(tmp_path).accounts["main"]
    assert (main.sizing, main.stake, main.cap, main.cash_share) == ("confidence", Decimal("0.5"), Decimal("0.5"), Decimal("0.02"))
    assert main.risk_share == Decimal("0.02")
    limits = main.limits
    assert (limits.cooldown_minutes, limits.daily_trades, limits.price_band) == (30, 10, Decimal("0.02"))


def test_an_account_is_set_by_the_environment_too(tmp_path: Path) -> None:
    settings = shipped(
        tmp_path,
        FKS_EXCHANGE="kraken",
        FKS_ACCOUNTS__main__sizing="available_cash",
        FKS_ACCOUNTS__main__limits__price_band="0.005",
        FKS_ACCOUNTS__main__limits__max_order_notional="0.000000000000000001",
        FKS_ACCOUNTS__main__strategies__breakout="0.1",
    )
    main = settings.accounts["main"]
    assert (settings.account_exchange("main"), main.sizing) == ("kraken", "available_cash")
    assert (main.limits.price_band, main.limits.max_order_notional) == (Decimal("0.005"), Decimal("1e-18"))
    assert main.strategies["breakout"] == Decimal("0.1")


def test_every_number_of_an_account_is_set_by_the_environment(tmp_path: Path) -> None:
    """Its costs are those of a backtest, which takes no text for a number."""
    numbers = {
        "trailing_percent": 2.5,
        "stake": Decimal("0.25"),
        "costs__maker_fee": 0.0002,
        "costs__taker_fee": 0.0004,
        "costs__slippage": 0.0005,
        "costs__spread": 1e-4,
        "costs__impact": 0.125,
        "costs__impact_limit": 0.25,
        "limits__max_positions": 3,
        "limits__max_daily_loss": Decimal("0.03"),
    }
    values = {f"FKS_ACCOUNTS__main__{name}": f"{value:g}" for name, value in numbers.items()}
    main = shipped(tmp_path, **values).accounts["main"]
    for name, value in numbers.items():
        *table, key = name.split("__")
        assert getattr(getattr(main, table[0]) if table else main, key) == value, name
    with pytest.raises(
        SettingsError, match=r"environment: FKS_ACCOUNTS__main__costs__slippage: .*slippage: .*valid number, was .a lot."
    ):
        shipped(tmp_path, FKS_ACCOUNTS__main__costs__slippage="a lot")


def test_secrets_and_switches_of_the_environment_are_no_settings(tmp_path: Path) -> None:
    settings = shipped(tmp_path, FKS_CREDENTIAL_KEY="canary", FKS_LIVE="yes", FKS_CRASHPOINT="x", FKS_CRASHPOINT_SKIP="2")
    assert "canary" not in repr(settings)
    assert "canary" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("replace", "environment", "expected"),
    [
        (
            {},
            {"FKS_ACCOUNTS__main__mode": "dry"},
            r"environment: FKS_ACCOUNTS__main__mode: accounts\.main\.mode: .*'alert', 'paper' or 'live'",
        ),
        (
            {'initial_cash = "10000"': "initial_cash = 10000.5"},
            {},
            r'accounts\.main\.initial_cash: is money: write it as text, "10000\.5"',
        ),
        ({'initial_cash = "10000"': 'initial_cash = "ten"'}, {}, r"accounts\.main\.initial_cash: amount 'ten' is not a number"),
        ({'initial_cash = "10000"': 'initial_cash = "-5"'}, {}, r"accounts\.main\.initial_cash: .*greater than or equal to 0"),
        ({'initial_cash = "10000"': 'initial_cash = "0"'}, {}, r"initial_cash is missing: a paper account begins with some"),
        ({}, {"FKS_ACCOUNTS__main__mode": "live"}, r"initial_cash 10000 is for paper accounts"),
        (
            {"technical = 0.5, breakout": "technical = 0.6, breakout"},
            {},
            r"the shares are 1\.1 together, more than the whole account",
        ),
        (
            {"technical = 0.5, breakout": "Technical = 0.5, breakout"},
            {},
            r"accounts\.main\.strategies\.Technical.*should match pattern",
        ),
        (
            {"technical = 0.5, breakout": "technical = nan, breakout"},
            {},
            r"accounts\.main\.strategies\.technical: .*finite number",
        ),
        (
            {"technical = 0.5, breakout": "technical = 0, breakout"},
            {},
            r"accounts\.main\.strategies\.technical: .*greater than 0",
        ),
        ({"[accounts.main]": "[accounts.Main]", "[accounts.main.limits]": "[accounts.Main.limits]"}, {}, r"accounts\.Main"),
        ({'quote = "USDT"': 'quote = "EUR"'}, {}, r"accounts\.main\.quote 'EUR' is not among the markets' USDT"),
        (
            {'quote = "USDT"': 'quote = "USDT"\nexchange = "mtgox"'},
            {},
            r"accounts\.main\.exchange 'mtgox' is unknown; known: simulated",
        ),
        ({"daily_trades = 10": "daily_trades = 0"}, {}, r"accounts\.main\.limits\.daily_trades: .*\(value: 0\)"),
        (
            {"price_band = 0.02": "price_band = 2"},
            {},
            r"accounts\.main\.limits\.price_band: .*less than or equal to 1 \(value: 2\)",
        ),
        ({"max_open_orders": "max_open_ordres"}, {}, r"accounts\.main\.limits\.max_open_ordres: unknown key"),
        (
            {'sizing = "confidence"': 'sizing = "kelly"'},
            {},
            r"accounts\.main\.sizing: .*'confidence', 'available_cash' or 'risk'",
        ),
        ({"risk_share = 0.02": "risk_share = 1.5"}, {}, r"accounts\.main\.risk_share: .*less than or equal to 1 \(value: 1\.5\)"),
        ({"risk_share = 0.02": "risk_share = 0"}, {}, r"accounts\.main\.risk_share: .*greater than 0 \(value: 0\)"),
    ],
)
def test_a_wrong_account_is_one_line(tmp_path: Path, replace: dict[str, str], environment: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        shipped(tmp_path, replace, **environment)
    assert "\n" not in str(caught.value)
