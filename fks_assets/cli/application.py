"""The `fks` application: its commands, and one way of ending with 0 done, 1 done but the answer is bad, 2 wrong input."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from fks_assets.cli import (
    accounts,
    backtests,
    blast_radius,
    candles,
    cash,
    completeness,
    credentials,
    desk,
    evaluation,
    funding,
    gaps,
    halts,
    ideas,
    importing,
    market_rules,
    notifications,
    notify,
    orders,
    portfolio,
    protections,
    quarantine,
    report,
    risk,
    runs,
    simulator,
    strategies,
    upkeep,
    watchdog,
)
from fks_assets.errors import InvalidInput, TradingError

BAD_ANSWER = 1
WRONG_INPUT = 2


class DeskCommands(TyperGroup):
    """Says what was wrong in one line on standard error, without a usage box and without a traceback."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except InvalidInput as error:
            code = _say(error, WRONG_INPUT)
        except TradingError as error:
            code = _say(error, BAD_ANSWER)
        except typer.Abort:
            code = BAD_ANSWER
        except Exception as error:
            # Typer's own complaints about options and arguments share no public base class across its versions.
            if not hasattr(error, "format_message"):
                raise
            code = _say(error.format_message(), WRONG_INPUT)
        sys.exit(code if isinstance(code, int) else 0)


def _say(error: object, code: int) -> int:
    text = " ".join(str(error).split()).replace("Value error, ", "")
    print(f"fks: {text}", file=sys.stderr)
    return code


app = typer.Typer(
    name="fks",
    cls=DeskCommands,
    help="A crypto trading desk: exchange → candles → indicators → signals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    desk,
    runs,
    candles,
    importing,
    simulator,
    gaps,
    completeness,
    blast_radius,
    quarantine,
    market_rules,
    funding,
    upkeep,
    backtests,
    strategies,
    evaluation,
    ideas,
    accounts,
    portfolio,
    orders,
    cash,
    credentials,
    halts,
    notify,
    notifications,
    risk,
    report,
    protections,
    watchdog,
):
    module.register(app)
