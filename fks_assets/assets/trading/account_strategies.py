"""Whether accounts give their shares to strategies that there are: sets are in the database, so the settings cannot tell."""

import sqlalchemy as sa

from fks_assets.assets.trading.in_force import stated_strategies
from fks_assets.settings import Settings
from fks_assets.stores.database import Database
from fks_assets.stores.strategies import read_parameters


def idle_shares(source: Database | sa.Connection, settings: Settings, account: str) -> list[str]:
    """Return in one line each which shares of an account nobody trades, as no strategy in force has the name.

    None for an account that has left the settings. No strategy is loaded for it.
    """
    if account not in settings.accounts:
        return []
    said = stated_strategies(settings, read_parameters(source))
    return [
        f"account {account}: nothing trades the share {share} of {name!r}: no strategy in force has this name; "
        f"in force are {', '.join(said)}"
        for name, share in settings.accounts[account].strategies.items()
        if name not in said
    ]
