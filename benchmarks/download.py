"""880 pages of 1m candles over HTTP against ccxt with its own limiter, and against nothing but parsing the same bodies."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ccxt.async_support as ccxt
import numpy as np
import orjson
from sqlalchemy import text

from benchmarks.measure import Row, compare, cpu, wall
from benchmarks.simulated import simulator_process
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.download import CandleRequest, download
from fks_assets.exchanges.gateway import FetchedCandles
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.simulator.client import SimulatorClient
from fks_assets.stores import embedded
from fks_assets.stores.database import Database, open_database

MINUTE = 60_000
DAYS = 30 * 24 * 60 * MINUTE
NOW_MS = 1_793_491_200_000  # 2026-11-01
COINS = ("BTC", "ETH", "BNB", "ADA", "SOL", "DOT", "POL", "AVAX", "LINK", "ATOM")
PAGE_ROWS = 1000
AT_ONCE = 10
ROUNDS = 3


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="fks-bench-") as folder, simulator_process(NOW_MS) as simulator:
        database = open_database(Path(folder), None)
        try:
            yield from _rows(simulator, database)
        finally:
            database.engine.dispose()
            embedded.stop(Path(folder))


def _rows(simulator: SimulatorClient, database: Database) -> Iterator[Row]:
    # The simulator lists ten markets that still trade: two months of each stand in for twenty markets.
    timeframe = parse_timeframe("1m")
    requests = [
        CandleRequest(
            parse_market(f"{coin}-USDT@simulated"), f"{coin}/USDT", timeframe, NOW_MS - ago * DAYS, NOW_MS - (ago - 1) * DAYS
        )
        for ago in (2, 1)
        for coin in COINS
    ]
    pages = [
        (request.symbol, start, min(PAGE_ROWS, (request.end_ms - start) // MINUTE))
        for request in requests
        for start in range(request.start_ms, request.end_ms, PAGE_ROWS * MINUTE)
    ]
    fewest = 0.95 * len(requests) * DAYS // MINUTE  # minutes without a trade have no candle
    profile = ExchangeProfile("simulated", "binance", simulator.url)

    def ours() -> None:
        budget = DatabaseBudget.for_profile(database.engine, profile)
        outcomes = download(profile, budget, requests).values()
        assert sum(len(outcome.candles) for outcome in outcomes if isinstance(outcome, FetchedCandles)) > fewest

    def theirs() -> None:
        assert asyncio.run(_through_ccxt(simulator, pages)) > fewest

    bodies = _bodies(simulator, pages)
    simulator.add_faults({"action": "latency", "endpoint": "candles", "seconds": 0.05})
    seconds: dict[str, list[float]] = {"ours": [], "ccxt": [], "cpu": [], "parsing": []}
    for number in range(ROUNDS + 1):
        _fresh_limits(simulator, database)
        taken = [0.0]
        processor = cpu(lambda taken=taken: taken.append(wall(ours)))
        assert not simulator.breaches(), "a request limit was exceeded"
        _fresh_limits(simulator, database)
        figures = {"ours": taken[-1], "ccxt": wall(theirs), "cpu": processor, "parsing": cpu(lambda: _parse(bodies))}
        if number:
            for name, figure in figures.items():
                seconds[name].append(figure)
    what = f"download, 10 markets x 2 x 30 days of 1m, {len(pages)} pages, 50 ms latency"
    yield compare(f"{what}: to ccxt async with its limiter, {AT_ONCE} at a time", 0.6, seconds["ours"], seconds["ccxt"])
    yield compare(f"{what}: CPU to parsing the bodies with orjson into columns", 1.3, seconds["cpu"], seconds["parsing"], "CPU s")


def _fresh_limits(simulator: SimulatorClient, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM rate_budgets"))
    simulator.forget_breaches()
    simulator.clear_journal()


async def _through_ccxt(simulator: SimulatorClient, pages: Sequence[tuple[str, int, int]]) -> int:
    """Return the number of rows that ccxt got, AT_ONCE pages at a time within its limiter."""
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    urls = {"api": {"public": simulator.binance_url}}
    exchange: Any = ccxt.binance({"enableRateLimit": True, "options": options, "urls": urls})
    slots = asyncio.Semaphore(AT_ONCE)

    async def page(symbol: str, start: int, rows: int) -> int:
        async with slots:
            return len(await exchange.fetch_ohlcv(symbol, "1m", start, rows))

    try:
        await exchange.load_markets()
        return sum(await asyncio.gather(*(page(*each) for each in pages)))
    finally:
        await exchange.close()


def _bodies(simulator: SimulatorClient, pages: Sequence[tuple[str, int, int]]) -> list[bytes]:
    """Return the answers of the exchange, fetched one after another."""
    connection = HTTPConnection(urlsplit(simulator.url).netloc, timeout=30)
    bodies = []
    for symbol, start, rows in pages:
        connection.request("GET", f"/api/v3/klines?symbol={symbol.replace('/', '')}&interval=1m&startTime={start}&limit={rows}")
        bodies.append(connection.getresponse().read())
    connection.close()
    return bodies


def _parse(bodies: Sequence[bytes]) -> list[tuple[np.ndarray, ...]]:
    """Parse the bodies into columns of numbers and nothing else: the limit."""
    parsed = []
    for body in bodies:
        times, *values = list(zip(*orjson.loads(body), strict=True))[:6]
        columns = (np.array(list(map(float, column)), np.float64) for column in values)
        parsed.append((np.array(times, np.int64), *columns))
    return parsed
