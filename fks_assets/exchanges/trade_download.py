"""Download the public trades of a market from ordinary, synchronous code."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from fks_assets.exchanges.budget import RateBudget
from fks_assets.exchanges.gateway import ExchangeGateway
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.trades import TradePage
from fks_assets.exchanges.transport import Tally


@dataclass(frozen=True, slots=True)
class TradesRequest:
    """Public trades of `symbol` (BTC/USD) in [start_ms, end_ms)."""

    symbol: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class TradesRead:
    """What a download of trades gave: how many, by how many requests, and until when (ms) they are complete."""

    trades: int
    requests: int
    known_until_ms: int


def download_trades(
    profile: ExchangeProfile, budget: RateBudget, request: TradesRequest, on_page: Callable[[TradePage], None]
) -> TradesRead:
    """Give every trade of the request to `on_page`, page by page, oldest first.

    A caller that keeps what a page brought can go on from its `known_until_ms` when this is interrupted. An error that `on_page`
    raises ends the download.

    Raises InvalidInput when the exchange is not asked for trades or not for this symbol; ExchangeError when a page failed;
    StoreError when the shared budget cannot be used; RuntimeError inside a running event loop (use ExchangeGateway there).
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_download(profile, budget, request, on_page))
    raise RuntimeError("download_trades() blocks: inside a running event loop use ExchangeGateway.trade_pages")


async def _download(
    profile: ExchangeProfile, budget: RateBudget, request: TradesRequest, on_page: Callable[[TradePage], None]
) -> TradesRead:
    tally, trades, known_until = Tally(), 0, request.start_ms
    async with (
        ExchangeGateway(profile, budget) as gateway,
        aclosing(gateway.trade_pages(request.symbol, request.start_ms, request.end_ms, tally)) as pages,
    ):
        async for page in pages:
            on_page(page)
            trades, known_until = trades + len(page.trades), page.known_until_ms
    return TradesRead(trades, tally.requests, known_until)
