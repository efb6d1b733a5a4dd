"""The last trade and the best offers of markets in one public request, and what becomes of them as prices.

Bodies have the shape of each exchange's documentation; the expected values are their own texts.
"""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.desk.price_reads import borne_out, read_prices
from fks_assets.errors import ExchangeError, ExchangeRefused, InvalidResponse
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.tickers import MOST_NAMED, Ticker, Tickers, read_tickers
from fks_assets.quant.markets import Market, parse_market
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.database import Database
from fks_assets.stores.guard import KnownPrice
from fks_assets_tests.exchanges.scripted_server import Reply, Request, scripted_server
from fks_assets_tests.guard.world import ENOUGH_SECONDS, MARKET, NOW_MS

BTC_USDT, BTC_IRT, BTC_USD = (parse_market(f"{symbol}@venue") for symbol in ("BTC-USDT", "BTC-IRT", "BTC-USD"))
BINANCE = {
    "symbol": "BTCUSDT",
    "lastPrice": "65000.01",
    "bidPrice": "65000.00",
    "askPrice": "65000.02",
    "closeTime": 1_767_268_800_123,
}
WALLEX = {"BTCUSDT": ("65000.5", "65000", "65001"), "BTCTMN": (4_100_000_000, 4_099_000_000, 4_101_000_000)}
BODIES: dict[str, tuple[Any, dict[Market, tuple[str, str, str]]]] = {
    "binance": ([BINANCE], {BTC_USDT: ("65000.01", "65000", "65000.02")}),
    "kraken": (
        {"error": [], "result": {"XXBTZUSD": {"c": ["65000.1", "0.1"], "b": ["65000", "1", "1.0"], "a": ["65001", "2", "2.0"]}}},
        {BTC_USD: ("65000.1", "65000", "65001")},
    ),
    "wallex": (
        {
            "success": True,
            "result": {
                "symbols": {
                    name: {"stats": {"lastPrice": last, "bidPrice": bid, "askPrice": ask}}
                    for name, (last, bid, ask) in WALLEX.items()
                }
            },
        },
        {BTC_USDT: ("65000.5", "65000", "65001"), BTC_IRT: ("4100000000", "4099000000", "4101000000")},
    ),
    "nobitex": (
        {"status": "ok", "stats": {"btc-rls": {"latest": "41000000005", "bestBuy": "41000000000", "bestSell": "41000000010"}}},
        {BTC_IRT: ("4100000000.5", "4100000000", "4100000001")},
    ),
}


def ask(database: Database, dialect: str, answer: Any, markets: list[Market]) -> tuple[Tickers, list[Request]]:
    """Return what a server that answers so is understood to say, and what it was asked."""
    asked: list[Request] = []

    def reply(request: Request) -> Reply:
        asked.append(request)
        body = answer(request) if callable(answer) else answer
        return body if isinstance(body, Reply) else Reply(json.dumps(body).encode())

    with scripted_server(reply) as server:
        profile = ExchangeProfile("venue", dialect, server.url)
        budget = DatabaseBudget.for_profile(database.engine, profile)
        return asyncio.run(read_tickers(profile, budget, markets, ENOUGH_SECONDS)), asked


@pytest.mark.parametrize("dialect", DIALECTS)
def test_tickers_are_those_of_the_answer(database: Database, dialect: str) -> None:
    """X21, X23: each exchange's own names, rial as toman; Binance alone tells the time of it."""
    body, expected = BODIES[dialect]
    found, _ = ask(database, dialect, body, [*expected, parse_market("ETH-USDT@venue")])
    assert found.by_market.keys() == expected.keys()
    for market, prices in expected.items():
        ticker = found.by_market[market]
        assert (ticker.last, ticker.bid, ticker.ask) == tuple(map(Decimal, prices))
        assert ticker.told_ms == (1_767_268_800_123 if dialect == "binance" else None)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_simulated_exchange_answers_in_every_dialect(database: Database, dialect: str) -> None:
    """A market that it does not have is missing, whatever it says to its name; the same again is the same row."""
    is_iranian = dialect in ("wallex", "nobitex")
    with running_simulator(speed=0, start_ms=NOW_MS, dialect=dialect) as simulator:
        profile = ExchangeProfile("simulated", dialect, f"{simulator.url}/{dialect}" if is_iranian else simulator.url)
        budget = DatabaseBudget.for_profile(database.engine, profile)
        markets = [parse_market(f"{base}-USDT@simulated") for base in ("BTC", "ETH", "NONE")]
        found = asyncio.run(read_tickers(profile, budget, markets, ENOUGH_SECONDS))
        assert set(found.by_market) == set(markets[:2])
        for ticker in found.by_market.values():
            assert None not in (ticker.last, ticker.bid, ticker.ask) and ticker.bid < ticker.ask
            assert ticker.told_ms == (NOW_MS if dialect == "binance" else None)
        again = asyncio.run(read_tickers(profile, budget, markets[:1], ENOUGH_SECONDS))
        assert again.by_market[markets[0]].row == found.by_market[markets[0]].row
        assert asyncio.run(read_tickers(profile, budget, [], ENOUGH_SECONDS)).by_market == {}


def test_a_name_that_is_refused_is_asked_for_among_all(database: Database) -> None:
    """A market that was delisted since must not make the guard blind for the others."""

    def answer(request: Request) -> Any:
        return Reply(b'{"code":-1121,"msg":"Invalid symbol."}', 400) if "symbols" in request.query else [BINANCE]

    found, asked = ask(database, "binance", answer, [BTC_USDT, parse_market("OLD-USDT@venue")])
    assert set(found.by_market) == {BTC_USDT} and len(asked) == 2
    with pytest.raises(ExchangeRefused):
        ask(database, "binance", lambda request: Reply(b'{"code":-1121,"msg":"Invalid symbol."}', 400), [BTC_USDT])


def test_more_markets_than_a_request_can_name_are_asked_for_all_together(database: Database) -> None:
    markets = [BTC_USDT, *(parse_market(f"M{number}-USDT@venue") for number in range(MOST_NAMED))]
    found, asked = ask(database, "binance", [BINANCE], markets)
    assert set(found.by_market) == {BTC_USDT}
    assert [request.query for request in asked] == [{}]


def test_what_it_costs_at_binance_depends_on_the_number_of_markets() -> None:
    """By Binance's documentation: 2 up to 20 symbols, 40 up to 100, 80 beyond and for all."""
    weigh = DIALECTS["binance"].ticker_weight
    assert [weigh(count) for count in (1, 20, 21, 100, 101, None)] == [2, 2, 40, 40, 80, 80]
    assert DIALECTS["kraken"].ticker_weight(5) == 1


@pytest.mark.parametrize("price", ["0.00000000", "-1", "NaN", "Infinity", "", None, "1e400"])
def test_a_price_that_is_none_is_none(database: Database, price: Any) -> None:
    """F13, E8."""
    found, _ = ask(database, "binance", [BINANCE | {"lastPrice": price, "bidPrice": price}], [BTC_USDT])
    ticker = found.by_market[BTC_USDT]
    assert (ticker.last, ticker.bid, ticker.ask) == (None, None, Decimal("65000.02"))
    assert borne_out(ticker) is None


def test_an_answer_of_another_shape_and_none_at_all_are_errors(database: Database) -> None:
    with pytest.raises(InvalidResponse):
        ask(database, "binance", [{"symbol": "BTCUSDT"}], [BTC_USDT])
    profile = ExchangeProfile("venue", "binance", "http://127.0.0.1:9")
    with pytest.raises(ExchangeError):
        asyncio.run(read_tickers(profile, DatabaseBudget.for_profile(database.engine, profile), [BTC_USDT], 0.3))


@pytest.mark.parametrize(
    ("last", "bid", "ask", "price"),
    [
        ("100", "99", "101", "100"),
        ("80", "99", "101", "99"),
        ("120", "99", "101", "101"),
        ("95", "85", "86", "86"),
        ("100", None, "101", "100"),
        ("102", None, "101", "101"),
        ("98", "99", None, "99"),
        ("100", "101", "99", None),
        ("100", None, None, None),
        (None, "99", "101", None),
    ],
    ids=["between", "lone low", "lone high", "old trade", "no bid", "above ask", "below bid", "crossed", "no offers", "no trade"],
)
def test_the_price_is_the_last_trade_as_far_as_the_offers_bear_it_out(
    last: str | None, bid: str | None, ask: str | None, price: str | None
) -> None:
    """E8, C10: worked out by hand."""
    values = [None if value is None else Decimal(value) for value in (last, bid, ask)]
    assert borne_out(Ticker(*values, None, "row")) == (None if price is None else Decimal(price))


def read(
    known: KnownPrice | None, price: str, *, at_ms: int, told_ms: int | None, row: str, reference: float | None = None
) -> Any:
    ticker = Ticker(Decimal(price), Decimal(price), Decimal(price), told_ms, row)
    answer = Tickers({MARKET: ticker}, at_ms)
    known_prices = {} if known is None else {MARKET: known}
    return read_prices(known_prices, {MARKET: reference}, answer, now_ms=at_ms, oldest_ms=60_000)[MARKET]


def test_a_price_is_as_old_as_the_last_change_of_the_words_about_its_market() -> None:
    """D12: Kraken tells no time; the row that never changes gets older, whatever the answer's own date."""
    first = read(None, "100", at_ms=NOW_MS, told_ms=None, row="a")
    assert (first.price, first.known.price_at) == (Decimal(100), NOW_MS)
    same = read(first.known, "100", at_ms=NOW_MS + 60_000, told_ms=None, row="a")
    assert (same.price, same.known.price_at) == (Decimal(100), NOW_MS)
    old = read(same.known, "100", at_ms=NOW_MS + 60_001, told_ms=None, row="a")
    assert old.price is None and "has stood still for 60 s" in old.why
    new = read(old.known, "100", at_ms=NOW_MS + 70_000, told_ms=None, row="b")
    assert (new.price, new.known.price_at) == (Decimal(100), NOW_MS + 70_000)


def test_a_price_that_the_exchange_itself_calls_old_is_old_at_once() -> None:
    """D12: by the exchange's clock alone: ours, or that of a replay, may be years away."""
    behind = read(None, "100", at_ms=NOW_MS, told_ms=NOW_MS - 61_000, row="a")
    assert behind.price is None and behind.known.price_at == NOW_MS - 61_000


def test_words_from_the_past_are_taken_once_those_that_are_known_are_too_old() -> None:
    """A replay that begins anew is behind what was known of it; it is guarded again after a minute, not after a year."""
    first = read(None, "100", at_ms=NOW_MS, told_ms=NOW_MS, row="a")
    past = read(first.known, "100", at_ms=NOW_MS + 60_000, told_ms=NOW_MS - 1, row="b")
    assert past.price is None and "before the one that is known" in past.why
    later = read_prices(
        {MARKET: past.known},
        {MARKET: None},
        Tickers({MARKET: Ticker(*[Decimal(100)] * 3, NOW_MS - 10**9, "c")}, NOW_MS - 10**9),
        now_ms=NOW_MS + 60_001,
        oldest_ms=60_000,
    )[MARKET]
    assert later.price == 100 and later.known.price_at == NOW_MS + 60_001


def test_a_first_price_far_from_what_is_held_has_to_be_seen_twice() -> None:
    """E8: before anything was ever read, the mark or the entry price is what is known."""
    first = read(None, "10000", at_ms=NOW_MS, told_ms=NOW_MS, row="a", reference=100.0)
    assert first.price is None and first.again
    soon = read(first.known, "10000", at_ms=NOW_MS + 900, told_ms=NOW_MS + 900, row="b", reference=100.0)
    assert soon.price is None and soon.known.suspect_at == NOW_MS
    other = read(first.known, "100", at_ms=NOW_MS + 1000, told_ms=NOW_MS + 1000, row="c", reference=100.0)
    assert other.price == 100 and other.known.suspect is None
    twice = read(soon.known, "10100", at_ms=NOW_MS + 1000, told_ms=NOW_MS + 1000, row="c", reference=100.0)
    assert (twice.price, twice.since, twice.known.price) == (Decimal(10100), NOW_MS, Decimal(10100))
    third = read(first.known, "1", at_ms=NOW_MS + 5000, told_ms=NOW_MS + 5000, row="d", reference=100.0)
    assert third.price is None and third.known.suspect == 1, "far from both: that is another suspect"
