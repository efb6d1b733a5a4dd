"""ccxt's own classes, pointed at the simulator by base URL, understand every answer."""

import asyncio
from collections.abc import Iterator
from typing import Any

import ccxt
import ccxt.async_support
import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator

NOW = 1_763_697_723_456
HOUR = 3_600_000


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits={"kraken": {"burst": 10**6}}) as client:
        yield client


def settings(name: str, simulator: SimulatorClient) -> dict[str, Any]:
    if name == "kraken":
        return {"urls": {"api": {"public": simulator.url, "private": simulator.url}}, "enableRateLimit": False}
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    return {"urls": {"api": {"public": simulator.binance_url}}, "options": options, "enableRateLimit": False}


@pytest.fixture(params=["binance", "kraken"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def exchange(name: str, simulator: SimulatorClient) -> Any:
    return getattr(ccxt, name)(settings(name, simulator))


def test_load_markets_finds_the_desks_markets_with_their_steps(exchange: Any, name: str) -> None:
    markets = exchange.load_markets()
    desk = {f"{base}/USDT" for base in ("BTC", "ETH", "BNB", "ADA", "SOL", "DOT", "POL", "AVAX", "LINK", "ATOM")}
    assert {symbol for symbol, market in markets.items() if market["active"]} == desk
    bitcoin = markets["BTC/USDT"]
    assert bitcoin["precision"]["price"] == 0.01 and bitcoin["precision"]["amount"] == 0.00001
    assert bitcoin["limits"]["cost"]["min"] == 5.0 and bitcoin["spot"] is True
    assert ("MATIC/USDT" in markets) == (name == "binance")


def test_fetch_time_is_the_simulated_clock(exchange: Any, name: str) -> None:
    assert exchange.fetch_time() == (NOW if name == "binance" else NOW // 1000 * 1000)


def test_fetch_ohlcv_reads_the_true_candles(exchange: Any, simulator: SimulatorClient) -> None:
    since = NOW // HOUR * HOUR - 100 * HOUR
    rows = exchange.fetch_ohlcv("BTC/USDT", "1h", since=since, limit=1000)
    truth = simulator.candles("BTC-USDT", "1h", since)
    assert len(truth) == 100 and len(rows) == 101
    columns = (truth.open_time, truth.open, truth.high, truth.low, truth.close, truth.volume)
    assert rows[:-1] == [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    assert rows[-1][0] == NOW // HOUR * HOUR


def test_fetch_ticker_and_order_book_agree(exchange: Any) -> None:
    ticker, book = exchange.fetch_ticker("SOL/USDT"), exchange.fetch_order_book("SOL/USDT", 20)
    assert ticker["bid"] == book["bids"][0][0] <= ticker["last"] < book["asks"][0][0] == ticker["ask"]
    assert ticker["low"] <= ticker["vwap"] <= ticker["high"] and ticker["baseVolume"] > 0
    assert len(book["bids"]) == len(book["asks"]) == 20


def test_fetch_tickers_covers_every_trading_market(exchange: Any) -> None:
    assert len(exchange.fetch_tickers()) == 10


def test_fetch_trades_reads_the_newest_trades(exchange: Any) -> None:
    trades = exchange.fetch_trades("ETH/USDT", limit=30)
    assert len(trades) == 30 and trades[-1]["timestamp"] <= NOW
    assert {trade["side"] for trade in trades} == {"buy", "sell"}


def test_an_unknown_market_raises_what_ccxt_documents(name: str, exchange: Any) -> None:
    call = exchange.publicGetKlines if name == "binance" else exchange.publicGetOHLC
    with pytest.raises(ccxt.BadSymbol if name == "binance" else ccxt.ExchangeError, match=r"Invalid symbol|Unknown asset pair"):
        call({"symbol": "NOPE", "pair": "NOPE", "interval": "1h" if name == "binance" else 60})


def test_the_async_class_reads_the_same(name: str, simulator: SimulatorClient) -> None:
    async def read() -> tuple[Any, ...]:
        client = getattr(ccxt.async_support, name)(settings(name, simulator))
        try:
            markets = await client.load_markets()
            rows, ticker, book, time = await asyncio.gather(
                client.fetch_ohlcv("ADA/USDT", "1h", limit=50),
                client.fetch_ticker("ADA/USDT"),
                client.fetch_order_book("ADA/USDT", 5),
                client.fetch_time(),
            )
        finally:
            await client.close()
        return markets, rows, ticker, book, time

    markets, rows, ticker, book, time = asyncio.run(read())
    truth = simulator.candles("ADA-USDT", "1h", int(rows[0][0]))
    assert "ADA/USDT" in markets and time // 1000 == NOW // 1000
    assert [row[4] for row in rows[:-1]] == truth.close.tolist() and rows[-1][4] == ticker["last"]
    assert book["bids"][0][0] == ticker["bid"]


@pytest.mark.parametrize(
    ("status", "error"), [(429, ccxt.DDoSProtection), (418, ccxt.DDoSProtection), (503, ccxt.ExchangeNotAvailable)]
)
def test_http_refusals_become_ccxts_own_errors(simulator: SimulatorClient, status: int, error: type[Exception]) -> None:
    client = ccxt.binance(settings("binance", simulator))
    client.load_markets()
    simulator.add_faults(
        {"name": "refuse", "action": "status", "endpoint": "klines", "status": status, "retry_after": 7, "html": status == 503}
    )
    try:
        with pytest.raises(error):
            client.fetch_ohlcv("BTC/USDT", "1h")
        assert client.last_response_headers["Retry-After"] == "7"
    finally:
        simulator.remove_faults("refuse")
