"""Download 200 candles of some simulated markets; as a process: until a ban was met and outlived."""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import RequestLimit
from fks_assets.exchanges.download import CandleRequest, Outcome, download
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import parse_timeframe

NOW_MS = 1_760_000_030_000
M5 = parse_timeframe("5m")
START = M5.floor(NOW_MS) - 200 * M5.milliseconds
SYMBOLS = (
    "BTC-USDT",
    "ETH-USDT",
    "BNB-USDT",
    "ADA-USDT",
    "SOL-USDT",
    "DOT-USDT",
    "POL-USDT",
    "AVAX-USDT",
    "LINK-USDT",
    "ATOM-USDT",
)


def fetch(url: str, budget: DatabaseBudget, dialect: str, symbols: Sequence[str] = SYMBOLS, **bounds: Any) -> dict[str, Outcome]:
    """Return, by symbol, what a download of 200 candles gives."""
    profile = ExchangeProfile(dialect, dialect, url, **{"deadline_seconds": 1.5, "patience_seconds": 1.0, **bounds})
    requests = [
        CandleRequest(parse_market(f"{symbol}@{dialect}"), symbol.replace("-", "/"), M5, START, NOW_MS + 10 * M5.milliseconds)
        for symbol in symbols
    ]
    results = download(profile, budget, requests)
    return {f"{request.market.base}-{request.market.quote}": result for request, result in results.items()}


def main() -> None:
    """Print how many results of each kind came until both a refusal and enough candles after it had come."""
    url, database = sys.argv[1:]
    budget = DatabaseBudget(sa.create_engine(database), "binance", "here", RequestLimit(1_000_000, 500_000))
    kinds: Counter[str] = Counter()
    candles_after_ban = 0
    while candles_after_ban < 5:
        found = Counter(type(result).__name__ for result in fetch(url, budget, "binance", SYMBOLS[:5], connections=3).values())
        kinds += found
        candles_after_ban += found["FetchedCandles"] if kinds["RateLimited"] else 0
        time.sleep(0.1)
    print(json.dumps(kinds))


if __name__ == "__main__":
    main()
