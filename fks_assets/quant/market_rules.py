"""The trading rules of a spot market: what an order must obey, exact to the last digit."""

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market

HIGHEST_FEE = Decimal("0.02")
DECIMAL_PLACES = 18
_BOUND = Decimal(10) ** 20


class MarketStatus(StrEnum):
    """TRADING: orders are taken. HALTED: listed, but not now. DELISTED: the exchange has taken it off its list."""

    TRADING = "trading"
    HALTED = "halted"
    DELISTED = "delisted"


@dataclass(frozen=True, slots=True)
class MarketRules:
    """The rules of one market from `valid_from` on, last seen at `last_seen_at` (UTC milliseconds; None before they are stored).

    Prices are multiples of `tick_size` and quantities of `lot_size`; quantities are in the base coin, `min_notional` in the quote
    coin, fees are fractions of the value (0.001 is 0.1 %). A rule that the exchange does not state is None; a market that is not
    delisted always has a tick and a lot size. Raises InvalidInput for a value that no exchange can mean.
    """

    market: Market
    status: MarketStatus
    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    min_quantity: Decimal | None = None
    max_quantity: Decimal | None = None
    min_notional: Decimal | None = None
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None
    valid_from: int | None = field(default=None, compare=False)
    last_seen_at: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in RULES:
            value = getattr(self, name)
            if value is not None:
                self._check(name, value)
        for name in ("tick_size", "lot_size"):
            if getattr(self, name) is None and self.status is not MarketStatus.DELISTED:
                raise InvalidInput(f"{self.market}: {name} is missing")
        if self.min_quantity is not None and self.max_quantity is not None and self.min_quantity > self.max_quantity:
            raise InvalidInput(f"{self.market}: min_quantity {self.min_quantity} is above max_quantity {self.max_quantity}")

    @property
    def content_hash(self) -> str:
        """Return the SHA-256, in hexadecimal, of status and rules; 0.10 and 0.1 are the same rule."""
        texts = [self.status.value, *(rule_text(getattr(self, name)) or "" for name in RULES)]
        return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()

    def document(self) -> dict[str, str | None]:
        """Return the rules for a JSON document: numbers as exact text, times in ISO form."""
        return {
            "market": self.market.key,
            "status": self.status.value,
            **{name: rule_text(getattr(self, name)) for name in RULES},
            "valid_from": iso(self.valid_from),
            "last_seen_at": iso(self.last_seen_at),
        }

    def _check(self, name: str, value: Decimal) -> None:
        if not value.is_finite():
            raise InvalidInput(f"{self.market}: {name} is {value}, not a finite number")
        shown = f"{self.market}: {name} is {value:f}"
        if name in ("maker_fee", "taker_fee"):
            if abs(value) > HIGHEST_FEE:
                raise InvalidInput(f"{shown}, further from 0 than {HIGHEST_FEE}: no fee is that high")
        elif value < 0 or (value == 0 and name in ("tick_size", "lot_size", "max_quantity")):
            raise InvalidInput(f"{shown}, it must be above 0")
        if abs(value) >= _BOUND or value.normalize().as_tuple().exponent < -DECIMAL_PLACES:
            raise InvalidInput(f"{shown}, outside 20 digits before and {DECIMAL_PLACES} after the point")


RULES = ("tick_size", "lot_size", "min_quantity", "max_quantity", "min_notional", "maker_fee", "taker_fee")


def rule_text(value: Decimal | None) -> str | None:
    """Return a rule as plain digits without trailing zeros, None for None."""
    return None if value is None else f"{value.normalize():f}"
