"""What an account's calls cost against the limits that an exchange sets for accounts, beside those for network addresses."""

from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import Engine

from fks_assets.exchanges.budget import DatabaseBudget, RateBudget
from fks_assets.exchanges.dialects import RequestLimit
from fks_assets.exchanges.profile import ExchangeProfile


@dataclass(frozen=True, slots=True)
class PrivateLimits:
    """`calls` and `orders` bound an account; None where calls count against the network address's limit, as public ones do.

    `weights` prices the path of each query in whichever of the limits it counts against. Orders and cancels cost one order each.
    """

    weights: MappingProxyType[str, int]
    orders: RequestLimit
    calls: RequestLimit | None = None


# Binance: 100 orders in any 10 s; at most 40 + 10 * 5 leave this bucket in 10 s. Its weights are those of its documentation.
# Kraken: the counter of a Starter key holds 15 and decays by 0.33 a second; that of its matching engine holds 60 a pair.
# Wallex documents no limits; Nobitex allows 300 orders in 10 min and 15 wallet calls a minute.
PRIVATE_LIMITS = {
    "binance": PrivateLimits(
        MappingProxyType(
            {
                "order": 4,
                "openOrders": 6,
                "myTrades": 20,
                "account": 20,
            }
        ),
        orders=RequestLimit(weight_per_minute=358, burst=40),
    ),
    "kraken": PrivateLimits(
        MappingProxyType(
            {
                "QueryOrders": 1,
                "OpenOrders": 1,
                "ClosedOrders": 1,
                "TradesHistory": 2,
                "QueryTrades": 1,
                "BalanceEx": 1,
            }
        ),
        orders=RequestLimit(weight_per_minute=100, burst=45),
        calls=RequestLimit(weight_per_minute=32, burst=12),
    ),
    "wallex": PrivateLimits(MappingProxyType({}), orders=RequestLimit(60, 20), calls=RequestLimit(60, 20)),
    "nobitex": PrivateLimits(MappingProxyType({}), orders=RequestLimit(30, 10), calls=RequestLimit(30, 10)),
}


@dataclass(frozen=True, slots=True)
class VenueBudgets:
    """The limits that the calls of one account stay within, shared by all processes: public calls, private calls, orders."""

    public: RateBudget
    calls: RateBudget
    orders: RateBudget


def venue_budgets(engine: Engine, profile: ExchangeProfile, account: str) -> VenueBudgets:
    """Return the budgets of an account of this exchange."""
    limits = PRIVATE_LIMITS[profile.dialect]
    public = DatabaseBudget.for_profile(engine, profile)
    return VenueBudgets(
        public=public,
        calls=public if limits.calls is None else DatabaseBudget(engine, profile.name, f"calls of {account}", limits.calls),
        orders=DatabaseBudget(engine, profile.name, f"orders of {account}", limits.orders),
    )
