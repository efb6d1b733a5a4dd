"""Which markets could be traded as a day began, by what had happened until then: those that ended since are among them (C22)."""

from collections.abc import Sequence
from dataclasses import dataclass

from fks_assets.clock import iso
from fks_assets.quant.market_rules import MarketStatus
from fks_assets.quant.markets import Market

VOLUME_DAYS = 30


@dataclass(frozen=True, slots=True)
class Listing:
    """What was known of a market. Times are UTC milliseconds, None where nobody says.

    `status` is that of its trading rules, None where none were known yet; `quote_volume` what was traded a day, in the quote
    coin, as the mean over the `VOLUME_DAYS` before.
    """

    market: Market
    listed: int | None
    delisted: int | None
    status: MarketStatus | None
    quote_volume: float


@dataclass(frozen=True, slots=True)
class Membership:
    """A market's place in the universe: its rank by volume from 1 on, None where it is no member; `why` not, "" for a member."""

    market: Market
    rank: int | None
    quote_volume: float
    why: str = ""

    def document(self) -> dict[str, str | int | float | None]:
        """Return it for a JSON document and for a table."""
        return {"market": self.market.key, "rank": self.rank, "quote_volume": round(self.quote_volume, 2), "why": self.why}


def universe(listings: Sequence[Listing], at_ms: int) -> list[Membership]:
    """Return every market's membership at a time (UTC ms): members by volume, the largest first, then the others by name."""
    reasons = {listing.market: _why_not(listing, at_ms) for listing in listings}
    members = [listing for listing in listings if not reasons[listing.market]]
    members.sort(key=lambda listing: (-listing.quote_volume, listing.market.key))
    others = sorted((listing for listing in listings if reasons[listing.market]), key=lambda listing: listing.market.key)
    ranked = [Membership(listing.market, rank, listing.quote_volume) for rank, listing in enumerate(members, start=1)]
    return ranked + [Membership(each.market, None, each.quote_volume, reasons[each.market]) for each in others]


def _why_not(listing: Listing, at_ms: int) -> str:
    if listing.listed is not None and listing.listed > at_ms:
        return f"listed on {iso(listing.listed)}"
    if listing.delisted is not None and listing.delisted <= at_ms:
        return f"delisted on {iso(listing.delisted)}"
    if listing.status not in (None, MarketStatus.TRADING):
        return f"its trading rules said {listing.status}"
    if not listing.quote_volume > 0.0:
        return f"nothing was traded in the {VOLUME_DAYS} days before"
    return ""
