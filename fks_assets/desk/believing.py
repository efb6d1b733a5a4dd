"""Which prices of deals' markets are believed before something is done because of them: a lone print ends no position."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.guard_case import Case, Do
from fks_assets.desk.guarding import next_step
from fks_assets.desk.price_reads import APART_MS, LARGEST_MOVE, believed_now, reached_by_both
from fks_assets.errors import ExchangeError
from fks_assets.exchanges.orders.paper import PaperVenue
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.money import from_analytics
from fks_assets.stores.guard import read_known_prices

_log = logging.getLogger(__name__)


async def with_believed_quotes(gateway: OrderGateway, cases: Sequence[Case]) -> list[Case]:
    """Return the cases with the quotes that are believed, None where none is.

    A quote far from the last price, or by which alone the position would be left, has to be said by the venue too, a second
    later; it is asked once for all that are in doubt, so that many positions are left as soon as one is.
    """
    doubtful = {case.deal.id for case in cases if _is_doubtful(case)}
    markets = dict.fromkeys(case.deal.market for case in cases if case.deal.id in doubtful)
    again = await _asked_again(gateway, list(markets)) if markets else {}
    return [
        replace(case, quote=_believed(case, again.get(case.deal.market)) if case.deal.id in doubtful else case.seen)
        for case in cases
    ]


def _is_doubtful(case: Case) -> bool:
    quote, known = case.seen, _known(case)
    if quote is None or known is None:
        return False
    try:
        return not _is_near(quote.close, known) or _leaves_by(case, quote)
    except Exception:
        # Who guards the deal meets the same fault, and says so; it keeps no other waiting.
        return False


async def _asked_again(gateway: OrderGateway, markets: Sequence[Market]) -> dict[Market, float]:
    """Return what the venue says of markets a second later; what it does not say of all together is asked for one by one.

    A paper venue has no price of its own: what the stop guard believes is the second read, where it has just looked.
    """
    if isinstance(gateway.venue, PaperVenue):
        known = await gateway.transact(lambda connection: read_known_prices(connection, markets))
        seen = {market: believed_now(known.get(market), gateway.clock()) for market in markets}
        others = [market for market in markets if seen[market] is None]
        again = {market: float(price) for market, price in seen.items() if price is not None}
        return again | (await _prices(gateway, others) if others else {})
    await asyncio.sleep(APART_MS / 1000)
    return await _prices(gateway, markets)


async def _prices(gateway: OrderGateway, markets: Sequence[Market]) -> dict[Market, float]:
    try:
        return {market: float(price) for market, price in (await gateway.venue.prices(markets)).items()}
    except ExchangeError as error:
        fault = error
    found: dict[Market, float] = {}
    for market in markets if len(markets) > 1 else ():
        try:
            found[market] = float((await gateway.venue.prices([market]))[market])
        except ExchangeError as error:
            fault = error
    if unconfirmed := [str(market) for market in markets if market not in found]:
        _log.warning("the prices of %s were not confirmed: %s", ", ".join(unconfirmed), fault)
    return found


def _believed(case: Case, again: float | None) -> Quote | None:
    """Return what is believed of a quote in doubt after a second price, None for no second price."""
    quote, known, market = case.seen, _known(case), case.deal.market
    if quote is None or known is None or again is None:
        return None
    later = Quote.of_price(again, quote.at_ms)
    if _is_near(quote.close, known):
        follows = replace(quote, close=again, high=max(quote.high, again), low=min(quote.low, again))
        return quote if _leaves_by(case, follows) else later
    if _is_near(again, known):
        _log.warning("the price %r of %s is not believed: %s before, %r now", quote.close, market, known, again)
        return later
    if _is_near(again, quote.close):
        return quote
    both = reached_by_both(from_analytics(quote.close), from_analytics(again), known)
    return None if both is None else Quote.of_price(float(both), quote.at_ms)


def _known(case: Case) -> float | None:
    """Return the last price that was noted of a position, None without one."""
    position = case.position
    price = None if position is None else position.mark_price or position.entry_price
    return None if price is None else float(price)


def _leaves_by(case: Case, quote: Quote) -> bool:
    """Return whether the position is left because of this price, and would not be without one."""
    return all((next_step(replace(case, quote=each)).do is Do.LEAVE) == leaves for each, leaves in ((quote, True), (None, False)))


def _is_near(price: float, known: float) -> bool:
    return abs(price - known) <= LARGEST_MOVE * known
