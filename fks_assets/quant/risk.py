"""The risk of an account: exposure, unrealised loss and concentration against its balance, and the level that follows (S2.7).

The balance is the equity: cash and what the positions are worth. Whatever is strictly above a bound counts, compared exactly and
never by rounded shares. What is not known is named and never passes as LOW.
"""

import decimal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market
from fks_assets.quant.money import DERIVED, EXACT, ZERO, money_text, ratio, rounded, total, value_of
from fks_assets.quant.orders import PositionSide
from fks_assets.quant.risk_rules import RiskRules

# Percentages are written with so many digits after the point; with more where they would look like the bound.
_DIGITS = (2, 4, 8, 16)
# By so much the clock that a price has its time from may be ahead of the one that it is judged by.
_AHEAD_MS = 60_000
# A share of next to nothing has up to 40 digits before the point.
_WIDE = decimal.Context(prec=120)


class RiskLevel(StrEnum):
    """NONE: nothing is held. UNKNOWN: no bound is passed by what is known, and something is not."""

    NONE = "NONE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Holding:
    """An open position. `quantity` above 0 in the base coin, prices in the quote coin, `priced_at` UTC milliseconds.

    `name` tells it from the account's others; `price` None: nobody knows what it is worth.
    """

    name: str
    market: Market
    side: PositionSide
    quantity: Decimal
    entry_price: Decimal | None
    price: Decimal | None
    priced_at: int | None = None

    @property
    def size(self) -> Decimal | None:
        """What it is worth without its sign, in the quote coin; None without a price."""
        return None if self.price is None else value_of(self.price, self.quantity)

    @property
    def value(self) -> Decimal | None:
        """What it adds to the equity: below 0 for a SHORT, whose coins have to be bought back."""
        size = self.size
        return size if size is None or self.side is PositionSide.LONG else size.copy_negate()

    @property
    def unrealised_pnl(self) -> Decimal | None:
        """What it would bring at its price beyond what it cost, to 18 digits, without fees."""
        if self.price is None or self.entry_price is None:
            return None
        moved = DERIVED.multiply(self.quantity, DERIVED.subtract(self.price, self.entry_price))
        return rounded(moved if self.side is PositionSide.LONG else moved.copy_negate())


@dataclass(frozen=True, slots=True)
class Concentration:
    """How much of the balance is in one place: a position, or all positions of a market, set off against each other."""

    name: str
    size: Decimal
    share: Decimal | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the level is not LOW. `code` names the figure and its place, and stays the same while the figure moves."""

    code: str
    level: RiskLevel
    text: str


@dataclass(frozen=True, slots=True)
class RiskAssessment:
    """The risk of an account. Amounts in the quote coin, shares as fractions of `equity`; None: not known, `unknown` says why."""

    level: RiskLevel
    reasons: tuple[Reason, ...]
    unknown: tuple[str, ...]
    equity: Decimal | None
    position_value: Decimal | None
    exposure: Decimal | None
    unrealised_pnl: Decimal | None
    unrealised_share: Decimal | None
    margin_used: Decimal
    margin_share: Decimal | None
    concentrations: tuple[Concentration, ...]


def assess_risk(
    cash: Decimal | None, holdings: Sequence[Holding], rules: RiskRules, *, at_ms: int, margin_used: Decimal = ZERO
) -> RiskAssessment:
    """Return the risk of an account at a time (UTC ms): `cash` in the quote coin, None when no money was ever booked.

    `margin_used` is what the positions, and orders on their way, bind. HIGH: exposure, the unrealised loss or one position above
    its bound, or positions without a balance above 0. MEDIUM: the lower bounds. Raises InvalidInput for a holding that is none.
    """
    for held in holdings:
        if held.quantity <= 0 or (held.price is not None and held.price <= 0):
            raise InvalidInput(f"position {held.name}: quantity {held.quantity} and price {held.price} must be above 0")
    unknown = tuple(_unknown(cash, holdings, rules, at_ms))
    sizes = [held.size for held in holdings if held.size is not None]
    is_priced = len(sizes) == len(holdings)
    position_value = total(sizes) if is_priced else None
    gains = [held.unrealised_pnl for held in holdings if held.unrealised_pnl is not None]
    unrealised = total(gains) if len(gains) == len(holdings) else None
    equity = total([cash, *(held.value or ZERO for held in holdings)]) if cash is not None and is_priced else None
    places = _places(holdings)
    reasons = tuple(_reasons(equity, position_value, unrealised, places, rules)) if holdings else ()
    return RiskAssessment(
        level=_level(bool(holdings), reasons, bool(unknown)),
        reasons=reasons,
        unknown=unknown,
        equity=equity,
        position_value=position_value,
        exposure=_share(position_value, equity),
        unrealised_pnl=unrealised,
        unrealised_share=_share(unrealised, equity),
        margin_used=margin_used,
        margin_share=_share(margin_used, equity),
        concentrations=tuple(Concentration(name, size, _share(size, equity)) for name, size in places),
    )


def _level(holds: bool, reasons: Sequence[Reason], has_unknown: bool) -> RiskLevel:
    if not holds:
        return RiskLevel.NONE
    found = {reason.level for reason in reasons}
    if RiskLevel.HIGH in found:
        return RiskLevel.HIGH
    if has_unknown:
        return RiskLevel.UNKNOWN
    return RiskLevel.MEDIUM if found else RiskLevel.LOW


def _unknown(cash: Decimal | None, holdings: Sequence[Holding], rules: RiskRules, at_ms: int) -> Iterator[str]:
    if not holdings:
        return
    if cash is None:
        yield "the balance: no money was ever booked in the account"
    for held in holdings:
        if held.price is None:
            yield f"the price of {held.name}: there is none"
        elif held.priced_at is not None and at_ms - held.priced_at > rules.oldest_price_minutes * 60_000:
            age = (at_ms - held.priced_at) // 60_000
            yield f"the price of {held.name}: it is {age} min old, more than {rules.oldest_price_minutes}"
        elif held.priced_at is not None and held.priced_at - at_ms > _AHEAD_MS:
            yield f"the price of {held.name}: it is of {(held.priced_at - at_ms) // 60_000} min from now"
        if held.entry_price is None:
            yield f"the entry price of {held.name}: what it gained or lost is not known"


def _places(holdings: Sequence[Holding]) -> list[tuple[str, Decimal]]:
    """Return where money is, the most first: each position, and each market that several of them are in, hedges set off."""
    found = [(held.name, held.size) for held in holdings if held.size is not None]
    for market in dict.fromkeys(held.market for held in holdings):
        here = [held.value for held in holdings if held.market == market]
        if len(here) > 1 and None not in here:
            net = total(value for value in here if value is not None)
            found.append((f"{market} in {len(here)} positions", net.copy_abs()))
    return sorted(found, key=lambda place: (-place[1], place[0]))


def _reasons(
    equity: Decimal | None,
    position_value: Decimal | None,
    unrealised: Decimal | None,
    places: Sequence[tuple[str, Decimal]],
    rules: RiskRules,
) -> Iterator[Reason]:
    if equity is None or position_value is None:
        return
    if equity <= 0:
        words = f"positions of {money_text(position_value)} are held on a balance of {money_text(equity)}, which is not above 0"
        yield Reason("balance", RiskLevel.HIGH, words)
        return
    bounds = ((RiskLevel.HIGH, rules.exposure_high), (RiskLevel.MEDIUM, rules.exposure_medium))
    yield from _above("exposure", "exposure is", position_value, equity, bounds)
    if unrealised is not None:
        bounds = ((RiskLevel.HIGH, rules.loss_high), (RiskLevel.MEDIUM, rules.loss_medium))
        yield from _above("loss", "the unrealised loss is", unrealised.copy_negate(), equity, bounds)
    for name, size in places:
        yield from _above(f"concentration {name}", f"{name} is", size, equity, ((RiskLevel.HIGH, rules.concentration_high),))


def _above(
    code: str, words: str, part: Decimal, equity: Decimal, bounds: Sequence[tuple[RiskLevel, Decimal]]
) -> Iterator[Reason]:
    """Yield the reason of the first bound that `part` of the equity is above, if there is one."""
    for level, bound in bounds:
        if part > EXACT.multiply(bound, equity):
            shown = distinct_percent(DERIVED.divide(part, equity), bound)
            yield Reason(code, level, f"{words} {shown} of the balance, above {percent_text(bound)}")
            return


def percent_number(share: Decimal, digits: int = 2) -> str:
    """Return a fraction as a percentage with at most so many digits after the point, such as `81.25`; a share has no bound."""
    return money_text(share.scaleb(2, _WIDE).quantize(Decimal(1).scaleb(-digits), decimal.ROUND_HALF_EVEN, _WIDE))


def percent_text(share: Decimal, digits: int = 2) -> str:
    """Return `percent_number` with its sign, such as `81.25 %`."""
    return f"{percent_number(share, digits)} %"


def distinct_percent(share: Decimal, bound: Decimal) -> str:
    """Return a fraction as a percentage, with as many digits as it takes not to look like the bound beside it."""
    limit = percent_text(bound)
    return next((text for digits in _DIGITS if (text := percent_text(share, digits)) != limit), f"about {limit}")


def _share(part: Decimal | None, equity: Decimal | None) -> Decimal | None:
    return None if part is None or equity is None or equity <= 0 else ratio(part, equity)
