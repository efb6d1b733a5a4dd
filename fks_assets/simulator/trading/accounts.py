"""Accounts by API key: what is free, what is locked, and the sums that no trade may change."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.simulator.trading.money import ZERO, text

FEE_RULES = ("received", "quote", "base", "BNB")


@dataclass(slots=True)
class Account:
    """One account. Fees are fractions of the value; `fee_rule` says in what they are paid.

    `received`: in what the trade brings (Binance without BNB); `quote`, `base`: in that side of the market (Kraken: quote);
    `BNB`: in BNB at its last price while there is enough of it, otherwise as `received`.
    """

    key: str
    secret: str
    maker: Decimal
    taker: Decimal
    fee_rule: str = "received"
    fee_places: int = 8
    free: dict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    locked: dict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    last_nonce: int = -1
    changed_ms: int = 0

    def total(self, asset: str) -> Decimal:
        """Return free and locked together."""
        return self.free[asset] + self.locked[asset]

    def assets(self) -> list[str]:
        """Return the assets that the account ever held, sorted."""
        return sorted({*self.free, *self.locked})

    def hold(self, asset: str, amount: Decimal) -> bool:
        """Move an amount from free to locked; return False, changing nothing, when there is too little."""
        if amount > self.free[asset]:
            return False
        self.free[asset] -= amount
        self.locked[asset] += amount
        return True

    def release(self, asset: str, amount: Decimal) -> None:
        """Move an amount from locked back to free."""
        self.locked[asset] -= amount
        self.free[asset] += amount

    def as_json(self) -> dict[str, Any]:
        """Return the account without its secret."""
        balances = {one: {"free": text(self.free[one], 0), "locked": text(self.locked[one], 0)} for one in self.assets()}
        return {
            "key": self.key,
            "maker": text(self.maker, 0),
            "taker": text(self.taker, 0),
            "fee_rule": self.fee_rule,
            "fee_places": self.fee_places,
            "balances": balances,
        }


class Accounts:
    """All accounts, the fees they paid, what the market gave and took, and what came in from outside.

    At any time, for every asset: sum of the accounts + fees + market = brought in.
    """

    def __init__(self) -> None:
        self.by_key: dict[str, Account] = {}
        self.fees: dict[str, Decimal] = defaultdict(lambda: ZERO)
        self.market: dict[str, Decimal] = defaultdict(lambda: ZERO)
        self.brought: dict[str, Decimal] = defaultdict(lambda: ZERO)

    def add(self, account: Account) -> Account:
        """Add an account; raise InvalidInput for a key that exists or an unknown fee rule."""
        if not account.key or account.key in self.by_key:
            raise InvalidInput(f"account key {account.key!r} is {'taken' if account.key else 'empty'}")
        if account.fee_rule not in FEE_RULES:
            raise InvalidInput(
                f"account {account.key!r}: fee_rule {account.fee_rule!r} is unknown; known: {', '.join(FEE_RULES)}"
            )
        for name, rate in (("maker", account.maker), ("taker", account.taker)):
            if not 0 <= rate < 1:
                raise InvalidInput(f"account {account.key!r}: {name} {rate} is outside 0..1")
        self.by_key[account.key] = account
        return account

    def get(self, key: str) -> Account:
        """Return the account of a key; raise InvalidInput for an unknown one."""
        if key not in self.by_key:
            raise InvalidInput(f"account key {key!r} is unknown")
        return self.by_key[key]

    def bring(self, account: Account, asset: str, amount: Decimal) -> None:
        """Add (or with a negative amount take away) what is free; raise InvalidInput when that is too little."""
        if account.free[asset] + amount < 0:
            raise InvalidInput(f"account {account.key!r} has {text(account.free[asset], 0)} {asset} free, not {text(-amount, 0)}")
        account.free[asset] += amount
        self.brought[asset] += amount

    def differences(self) -> dict[str, Decimal]:
        """Return, by asset, what is missing from or too much in the books: nothing if they are right."""
        assets = {*self.fees, *self.market, *self.brought, *(one for account in self.by_key.values() for one in account.assets())}
        found = {}
        for asset in sorted(assets):
            held = sum((account.total(asset) for account in self.by_key.values()), ZERO)
            found[asset] = held + self.fees[asset] + self.market[asset] - self.brought[asset]
        return {asset: difference for asset, difference in found.items() if difference != 0}
