"""What a newcomer asks first."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.supervisor.home import PROJECT_ROOT

HEAVY = ["dagster", "sqlalchemy", "pandas", "numpy", "pyarrow", "ccxt", "talib", "grpc", "psycopg2", "dotenv", "starlette"]
COMMANDS = [
    "up",
    "down",
    "status",
    "run",
    "runs",
    "sync",
    "candles",
    "indicators",
    "signals",
    "simulate",
    "gaps",
    "backfill",
    "quarantine",
    "blast-radius",
    "rules",
    "funding",
    "upkeep",
    "watchdog",
    "backtest",
    "strategies",
    "evaluate",
    "ideas",
    "accounts",
    "positions",
    "deals",
    "orders",
    "fills",
    "balances",
    "cash",
    "credentials",
    "halt",
    "resume",
    "risk",
    "report",
    "protections",
    "notify",
    "notifications",
]


def test_help_names_every_command() -> None:
    answer = CliRunner().invoke(app, ["--help"])
    assert answer.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in answer.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    answer = CliRunner().invoke(app, [command, "--help"])
    assert answer.exit_code == 0
    assert f"Usage: fks {command}" in answer.stdout


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from fks_assets.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.stdout.splitlines()[-1] == "[]", answer.stdout + answer.stderr


def test_each_command_is_in_the_manual() -> None:
    manual = (PROJECT_ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"`fks {command}" in manual
