"""Where accounts trade: settings, ledger, prices, clock; and the accounts of the settings as the ledger has them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from fks_assets.clock import now_ms
from fks_assets.desk.prices import PriceFeed
from fks_assets.errors import InvalidInput
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, usual_timeframe
from fks_assets.settings import Settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import Account, AccountSpec, mirror, read_account
from fks_assets.stores.ledger.orders import OrderLimits
from fks_assets.stores.market_rules import all_rules_as_of


@dataclass(frozen=True, slots=True)
class Floor:
    """What every account of a desk trades with. `clock` gives UTC milliseconds, `prices` the feed of an exchange by its name."""

    database: Database
    settings: Settings
    prices: Callable[[str], PriceFeed]
    clock: Callable[[], int] = now_ms
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def account(self, name: str) -> Account:
        """Return an account of the settings from the ledger, which is brought up to date first.

        Raises InvalidInput for one that the settings do not have.
        """
        self.rules(name)
        with self.database.transaction() as connection:
            mirror_accounts(connection, self.settings, at_ms=self.clock())
            return read_account(connection, name)

    def rules(self, name: str) -> AccountRules:
        """Return what the settings say of an account. Raises InvalidInput for one that they do not have."""
        return account_rules(self.settings, name)

    def markets(self, account: Account) -> list[Market]:
        """Return the markets that an account trades: those of the desk on its exchange that pay in its quote coin."""
        return [replace(market, exchange=account.exchange) for market in self.heard_markets(account)]

    def heard_markets(self, account: Account) -> list[Market]:
        """Return the markets of the desk whose signals an account hears, wherever it trades them: those in its quote coin."""
        return heard_markets(self.settings, account.quote)

    def market_rules(self, account: Account) -> dict[Market, MarketRules]:
        """Return the trading rules that are known now of each market of an account; markets without any are missing."""
        return all_rules_as_of(self.database, self.markets(account), self.clock())


def heard_markets(settings: Settings, quote: str) -> list[Market]:
    """Return the markets of the desk that pay in a coin."""
    return [market for market in settings.market_list() if market.quote == quote]


def account_rules(settings: Settings, name: str) -> AccountRules:
    """Return what the settings say of an account. Raises InvalidInput, naming those that there are, for an unknown one."""
    if name not in settings.accounts:
        raise InvalidInput(f"account {name!r} is not in the settings; they have {', '.join(settings.accounts) or 'none'}")
    return settings.accounts[name]


def mirror_accounts(connection: sa.Connection, settings: Settings, *, at_ms: int) -> list[Account]:
    """Make the ledger's accounts those of the settings, in the caller's transaction, and return all that there are."""
    specs = [
        AccountSpec(name, rules.mode, settings.account_exchange(name), rules.quote, rules.initial_cash)
        for name, rules in settings.accounts.items()
    ]
    return mirror(connection, specs, at_ms=at_ms)


def account_timeframe(settings: Settings, rules: AccountRules) -> Timeframe:
    """Return the timeframe whose signals an account trades: its own, else 1h, else the desk's first.

    Raises InvalidInput for one that the desk does not have.
    """
    offered = {timeframe.name: timeframe for timeframe in settings.timeframe_list()}
    name = rules.timeframe or usual_timeframe(settings.timeframes)
    if name not in offered:
        raise InvalidInput(f"timeframe {name!r} of an account is not on this desk; it has {', '.join(offered)}")
    return offered[name]


def order_limits(rules: AccountRules) -> OrderLimits:
    """Return the hard limits of an account in the words of the ledger."""
    limits = rules.limits
    return OrderLimits(
        max_order_notional=limits.max_order_notional,
        max_open_orders=limits.max_open_orders,
        max_orders_per_minute=limits.max_orders_per_minute,
        max_daily_loss=limits.max_daily_loss,
        price_band=limits.price_band,
    )
