"""What the commands of the ledger share: exact amounts, who does it, accounts, and the desk's stores."""

import getpass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.desk.floor import Floor
    from fks_assets.resources.stores import Stores

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="An account of the settings, see `fks accounts`.")]
AccountFilter = Annotated[str | None, typer.Argument(metavar="[ACCOUNT]", help="All accounts if none is given.")]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who does it; it is kept. Your login name if not given.")
]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; it is kept.")]
AllOption = Annotated[bool, typer.Option("--all", help="Those that are over too.")]


def amount_of(text: str, name: str) -> Decimal:
    """Return an exact amount; raise InvalidInput that names what was typed."""
    from fks_assets.quant.money import money

    try:
        return money(text)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from None


def who(by: str | None) -> str:
    """Return who does it: as given, else the login name."""
    return by.strip() if by and by.strip() else getpass.getuser()


def open_stores() -> "Stores":
    from fks_assets.resources.stores import Stores
    from fks_assets.settings import load_settings

    return Stores(load_settings())


def open_floor(stores: "Stores") -> "Floor":
    """Return what the accounts of the desk trade with."""
    from fks_assets.resources.market_data import MarketData

    return MarketData(stores.settings, stores).trading_floor()
