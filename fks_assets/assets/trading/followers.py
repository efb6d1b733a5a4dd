"""Which accounts follow a parameter set, and by which rules: what the desk does with a word is held against its accounts' own."""

from dataclasses import dataclass

from fks_assets.desk.floor import account_timeframe
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.backtest.rules import Costs, LegRules
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.settings import Settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import account_events

_IN_THE_SETTINGS = ("created", "returned")


@dataclass(frozen=True, slots=True)
class Follower:
    """An account of the settings that trades a parameter set. `timeframe` is that of the signals which it hears."""

    account: str
    exchange: str
    timeframe: Timeframe
    rules: AccountRules

    def hears(self, market: Market, timeframe: Timeframe) -> bool:
        """Return whether it hears what is said of a market of the desk, wherever it trades."""
        return market.quote == self.rules.quote and timeframe == self.timeframe


def followers_of(settings: Settings, name: str) -> list[Follower]:
    """Return the accounts that trade a parameter set. Raises InvalidInput for one with a timeframe that the desk has not."""
    return [
        Follower(account, settings.account_exchange(account), account_timeframe(settings, rules), rules)
        for account, rules in settings.accounts.items()
        if name in rules.strategies
    ]


@dataclass(frozen=True, slots=True)
class Terms:
    """How an account trades, in the words of a backtest."""

    leg: LegRules
    costs: Costs


def terms_of(settings: Settings, account: str) -> Terms:
    """Return the terms of an account; the usual ones for one that has left the settings."""
    rules = settings.accounts.get(account)
    return Terms(LegRules(), Costs()) if rules is None else Terms(rules.leg_rules(), rules.costs)


def was_there(source: Database, account: str, moment_ms: int) -> bool:
    """Return whether an account was on the desk at a time (UTC ms), neither to be added yet nor out of the settings."""
    kinds = [
        event.kind
        for event in account_events(source, account)
        if event.changed_at <= moment_ms and event.kind in (*_IN_THE_SETTINGS, "left")
    ]
    return bool(kinds) and kinds[-1] in _IN_THE_SETTINGS
