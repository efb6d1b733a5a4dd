"""Three switches between the desk and real money: settings, account, environment. Any one of them left alone keeps it away."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from fks_assets.errors import Denied
from fks_assets.quant.orders import Mode

LIVE_VARIABLE = "FKS_LIVE"
LIVE_WORD = "yes"


@dataclass(frozen=True, slots=True)
class Switches:
    """What each place says: the settings' mode of the account, the account's row in the ledger, the environment."""

    settings_live: bool
    account_live: bool
    environment_live: bool

    @property
    def live(self) -> bool:
        return self.settings_live and self.account_live and self.environment_live

    def missing(self, account: str) -> list[str]:
        """Return what would still have to be done for live trading, in words."""
        steps = (
            (self.settings_live, f'mode = "live" for account {account} in the settings'),
            (self.account_live, f"fks accounts enable-live {account}"),
            (self.environment_live, f"{LIVE_VARIABLE}={LIVE_WORD} in the environment"),
        )
        return [step for done, step in steps if not done]


def read_switches(settings_mode: Mode, account_enabled_live: bool, environment: Mapping[str, str] | None = None) -> Switches:
    """Return the switches of an account; `environment` is this process's unless given. Anything but "yes" is no."""
    variables = os.environ if environment is None else environment
    return Switches(settings_mode is Mode.LIVE, account_enabled_live is True, variables.get(LIVE_VARIABLE) == LIVE_WORD)


def trading_mode(account: str, settings_mode: Mode, switches: Switches) -> Mode:
    """Return how an account trades now: LIVE only if all three switches agree, else as the settings say.

    An account that the settings call live never falls back to paper, which would write fills into its ledger that never were:
    raises Denied that names what is missing.
    """
    if settings_mode is not Mode.LIVE:
        return settings_mode
    if not switches.live:
        raise Denied(f"account {account} does not trade live: missing {'; '.join(switches.missing(account))}")
    return Mode.LIVE
