"""`fks backtest --account`: the book of an account of the settings, by its own rules."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.assets.trading.account_backtest import AccountBacktest
    from fks_assets.settings import Settings

# What a person may say beside the account; everything else the account says itself, or belongs to a search.
BESIDE = frozenset({"account", "start", "end", "days", "rules", "html", "trades", "json"})


def refuse_beside_account(context: typer.Context, account: str) -> None:
    """Raise InvalidInput that names what was given beside `--account` and cannot be."""
    given = [
        str(each.metavar).strip("[]") if each.param_type_name == "argument" else each.opts[0]
        for each in context.command.params
        if each.name not in BESIDE and _is_given(context, str(each.name))
    ]
    if given:
        raise InvalidInput(
            f"--account {account} says strategies, markets, candles and parameters itself: leave out {', '.join(given)}"
        )


def run_account(
    settings: "Settings", account: str, start_ms: int, end_ms: int, rules: Mapping[str, Any]
) -> tuple["AccountBacktest", list[str]]:
    """Return the backtest of an account, and what is recorded of its strategies in sentences."""
    from fks_assets.assets.trading.account_backtest import account_backtest
    from fks_assets.assets.trading.account_presentation import evidence_notes
    from fks_assets.resources.stores import Stores

    stores = Stores(settings)
    test = account_backtest(stores, account, start_ms, end_ms, rules=rules)
    return test, evidence_notes(stores, test)


def page_of(test: "AccountBacktest", known: Sequence[str]) -> str:
    """Return the tear sheet of an account's book."""
    from fks_assets.assets.trading.account_presentation import account_html

    return account_html(test, known)


def show_parts(test: "AccountBacktest") -> None:
    """Show what each strategy and each market did in the book."""
    from fks_assets.assets.trading.account_presentation import market_rows, strategy_rows
    from fks_assets.cli.output import print_table

    for title, rows in (("Strategies", strategy_rows(test)), ("Markets", market_rows(test))):
        print_table(title, tuple(rows[0]), (tuple(row.values()) for row in rows))


def _is_given(context: typer.Context, name: str) -> bool:
    # Typer brings a Click of its own, so the member is known by its name alone.
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
