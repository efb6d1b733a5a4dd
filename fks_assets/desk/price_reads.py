"""Which of the prices that an exchange tells may end a position: pure rules, so that a lone print never does (docs/guard.md).

The price of a market is the last trade as far as the best offers bear it out: moved to the nearer offer where it lies outside
them. It counts as being of the time when the exchange's words about the market last changed; words older than those that are
known are not taken. A price far from the last one that was believed waits until a second one, a second later, is as far away
on the same side; what both have reached is believed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from fks_assets.exchanges.tickers import Ticker, Tickers
from fks_assets.quant.markets import Market
from fks_assets.stores.guard import KnownPrice

# A price that differs by more than this from the last one that was believed counts only when it is seen a second time.
LARGEST_MOVE = 0.2
# Two reads of one price are this far apart at least.
APART_MS = 1000
# A price that was doubted longer ago is no first sight of one of now.
DOUBTED_MS = 3_600_000
# What was believed within this time is a read beside one of now.
BELIEVED_MS = 60_000
# What no market's price is outside of, in any quote coin.
_LOWEST, _HIGHEST = Decimal("1e-18"), Decimal("1e18")


@dataclass(frozen=True, slots=True)
class PriceRead:
    """What one read says of a market: the price that may be acted upon, None with the reason why there is none.

    `known` is what is known of the market from now on, `before` the price that was believed until this read. `again`: a second
    read may make the price count. `since`: when the price was first seen (UTC ms), where that is not this read.
    """

    price: Decimal | None
    why: str
    known: KnownPrice | None
    again: bool = False
    since: int | None = None
    before: Decimal | None = None

    def seen_twice(self, side: int) -> Decimal | None:
        """Return the price in the favour of a side (1 long, -1 short) that this read and the one before it have both reached."""
        if self.price is None or self.before is None:
            return None
        return min(self.price, self.before) if side > 0 else max(self.price, self.before)


def read_prices(
    known: Mapping[Market, KnownPrice],
    references: Mapping[Market, float | None],
    answer: Tickers,
    *,
    now_ms: int,
    oldest_ms: float,
) -> dict[Market, PriceRead]:
    """Return what an answer says of each of the markets of `references`.

    Those are the prices that the desk knows by its own marks, for markets that were never read. A price may be `oldest_ms` old.
    """
    return {
        market: _read(known.get(market), reference, answer.by_market.get(market), market, answer.answered_ms, now_ms, oldest_ms)
        for market, reference in references.items()
    }


def believed_now(known: KnownPrice | None, now_ms: int) -> Decimal | None:
    """Return the price that the stop guard has believed within the last minute, None where it has not looked."""
    return None if known is None or now_ms - known.price_at >= BELIEVED_MS else known.price


def borne_out(ticker: Ticker) -> Decimal | None:
    """Return the last trade, moved to the nearer of the best offers where it is outside them.

    None without a last trade, without any offer, and where the offers contradict each other.
    """
    last, bid, ask = ticker.last, ticker.bid, ticker.ask
    if last is None or (bid is None and ask is None) or (bid is not None and ask is not None and bid > ask):
        return None
    price = last if bid is None else max(last, bid)
    price = price if ask is None else min(price, ask)
    return price if _LOWEST <= price <= _HIGHEST else None


def reached_by_both(first: Decimal, second: Decimal, before: float) -> Decimal | None:
    """Return the price that two have both reached, coming from `before`: the second one where it is near the first, else the
    nearer to `before`; None where they lie on two sides of it.
    """
    if (first < before) != (second < before):
        return None
    if _is_near(second, float(first)):
        return second
    return max(first, second) if first < before else min(first, second)


def _read(
    known: KnownPrice | None,
    reference: float | None,
    ticker: Ticker | None,
    market: Market,
    answered_ms: int | None,
    now_ms: int,
    oldest_ms: float,
) -> PriceRead:
    if ticker is None:
        return PriceRead(None, f"{market.exchange} says nothing of it", known)
    price = borne_out(ticker)
    if price is None:
        return PriceRead(None, "what it says is no price", known)
    if known is not None and _is_past(known, ticker, now_ms - oldest_ms):
        return PriceRead(
            None, f"a price from {(known.told_at - ticker.told_ms) / 1000:.0f} s before the one that is known", known
        )
    now = _noted(known, ticker, market, answered_ms, now_ms)
    age = now_ms - now.price_at
    if age > oldest_ms:
        return PriceRead(None, f"its price has stood still for {age / 1000:.0f} s", now)
    before = reference if now.price is None else float(now.price)
    if before is None or _is_near(price, before):
        # What was believed longer ago than a price may be old is no read beside this one.
        is_recent = known is not None and now_ms - known.price_at <= oldest_ms
        believed = replace(now, price=price, suspect=None, suspect_at=None)
        return PriceRead(price, "", believed, before=now.price if is_recent else None)
    is_doubted = now.suspect is not None and now.suspect_at is not None and now_ms - now.suspect_at <= DOUBTED_MS
    both = reached_by_both(now.suspect, price, before) if is_doubted else None
    if both is None:
        return _suspected(replace(now, suspect=price, suspect_at=now_ms), price, before)
    if now_ms - now.suspect_at < APART_MS:
        return _suspected(replace(now, suspect=both), price, before)
    is_further = not _is_near(price, float(both))
    believed = replace(now, price=both, suspect=price if is_further else None, suspect_at=now_ms if is_further else None)
    return PriceRead(both, "", believed, since=now.suspect_at, before=now.suspect)


def _suspected(known: KnownPrice, price: Decimal, before: float) -> PriceRead:
    return PriceRead(None, f"a price of {price:.10g} after {before:.10g} has to be seen twice", known, again=True)


def _is_past(known: KnownPrice, ticker: Ticker, oldest_at: float) -> bool:
    """Return whether an answer is older than the one before it, as long as that one counts: a replay may begin anew."""
    if known.told_at is None or ticker.told_ms is None or known.price_at < oldest_at:
        return False
    return ticker.told_ms < known.told_at


def _noted(known: KnownPrice | None, ticker: Ticker, market: Market, answered_ms: int | None, now_ms: int) -> KnownPrice:
    """Return what is known with the exchange's new words, if they are new."""
    if known is not None and known.digest == ticker.row:
        return known
    behind = 0 if None in (answered_ms, ticker.told_ms) else max(0, answered_ms - ticker.told_ms)
    if known is None:
        return KnownPrice(market, None, now_ms - behind, ticker.told_ms, ticker.row)
    return replace(known, price_at=now_ms - behind, told_at=ticker.told_ms, digest=ticker.row)


def _is_near(price: Decimal, before: float) -> bool:
    return abs(float(price) - before) <= LARGEST_MOVE * before
