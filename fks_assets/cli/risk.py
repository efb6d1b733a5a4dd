"""`fks risk`: what accounts risk, by the newest stored figures or by those of now."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.cli.ledger_arguments import AccountFilter, open_floor, open_stores
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores

COLUMNS = (
    "account",
    "at",
    "level",
    "equity",
    "exposure_percent",
    "unrealised_percent",
    "margin_percent",
    "drawdown_percent",
    "value_at_risk",
    "expected_shortfall",
    "correlated_exposure_percent",
)


def register(app: typer.Typer) -> None:
    app.command()(risk)


def risk(
    account: AccountFilter = None,
    now: Annotated[bool, typer.Option("--now", help="Judge by the marks and candles of now; nothing is stored.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show exposure, unrealised loss, concentration, drawdown and value at risk. Exit 1 when one is HIGH or not known."""
    from fks_assets.cli.portfolio import show

    stores = open_stores()
    names = list(stores.settings.accounts)
    if account is not None and account not in names:
        raise InvalidInput(f"account {account!r} is not in the settings; they have {', '.join(names) or 'none'}")
    rows = _rows(stores, names if account is None else [account], now)
    show("risks", "Risk (UTC)", rows, COLUMNS, json)
    if not json:
        for row in rows:
            for words in (*(reason["text"] for reason in row["reasons"]), *(f"not known: {each}" for each in row["unknown"])):
                print(f"{row['account']}: {words}")
    if any(row["level"] in ("HIGH", "UNKNOWN") for row in rows):
        raise typer.Exit(1)


def _rows(stores: "Stores", names: list[str], now: bool) -> list[dict[str, Any]]:
    from fks_assets.assets.portfolio.risk_asset import risk_now
    from fks_assets.stores.risk import newest_risk

    if now:
        floor = open_floor(stores)
        return [dict(risk_now(floor, stores, name).document) for name in names]
    found = [newest_risk(stores.database, name) for name in names]
    return [dict(row.document) for row in found if row is not None]
