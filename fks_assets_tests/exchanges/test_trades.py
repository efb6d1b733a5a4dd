"""Public trades over HTTP. Expected are the trades of a scripted Kraken, written as its documentation says: at most 1000 that are
later than `since`, oldest first, times as JSON numbers, `last` the time of the last one in ns."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from fks_assets.errors import ExchangeError, ExchangeRefused, ExchangeUnavailable, InvalidInput, InvalidResponse
from fks_assets.exchanges import transport
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.trade_download import TradesRead, TradesRequest, download_trades
from fks_assets.exchanges.trades import MOST_SHORT_PAGES, TradePage, pair_names
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.exchanges.scripted_server import Reply, Request, ScriptedServer, scripted_server

START_MS = 1_700_006_400_000
HOUR, DAY = 3_600_000, 86_400_000
NOW_MS = START_MS + 30 * DAY
Told = tuple[int, int, str, str]  # number, time in ns, price, volume


def told_trades(count: int, step_ns: int = 7_000_000_123) -> list[Told]:
    return [
        (5_000 + i, START_MS * 10**6 + i * step_ns, f"{20_000 + i % 97}.{i % 10}0000", f"0.{i % 89 + 1:08d}")
        for i in range(count)
    ]


@dataclass
class ScriptedTrades:
    """Kraken's Time and Trades over a list of trades. `change` may alter a page (result, query) before it is sent."""

    trades: list[Told]
    name: str = "XXBTZUSD"
    page: int = 1000
    inclusive: bool = False
    change: Callable[[dict[str, Any], Request], Any] | None = None
    faults: list[Callable[[Request], Reply | None]] = field(default_factory=list)
    now_ms: int = NOW_MS

    def __call__(self, request: Request) -> Reply:
        for fault in self.faults:
            reply = fault(request)
            if reply is not None:
                return reply
        if request.endpoint == "Time":
            return Reply(json.dumps({"error": [], "result": {"unixtime": self.now_ms // 1000, "rfc1123": ""}}).encode())
        assert request.endpoint == "Trades" and request.query["pair"] == "XBTUSD"
        result = self.result(request.query.get("since"))
        if self.change is not None:
            result = self.change(result, request) or result
        return Reply(json.dumps({"error": [], "result": result}).encode())

    def result(self, since: str | None) -> dict[str, Any]:
        if since is None:
            chosen = self.trades[-1000:]
        else:
            first = int(since) + (not self.inclusive)
            chosen = [trade for trade in self.trades if trade[1] >= first][: self.page]
        rows = [[price, volume, time / 10**9, "b", "l", "", number] for number, time, price, volume in chosen]
        return {self.name: rows, "last": str(chosen[-1][1] if chosen else since)}


@contextmanager
def reading(script: ScriptedTrades, budget: DatabaseBudget, **bounds: Any) -> Iterator[tuple[ScriptedServer, Callable[..., Any]]]:
    """Give the server and a function that reads [start, end) and returns (pages, what the download said)."""
    with scripted_server(script) as server:
        profile = ExchangeProfile("kraken", "kraken", server.url, **{"deadline_seconds": 5.0, **bounds})

        def read(start_ms: int = START_MS, end_ms: int = NOW_MS) -> tuple[list[TradePage], TradesRead]:
            pages: list[TradePage] = []
            done = download_trades(profile, budget, TradesRequest("BTC/USD", start_ms, end_ms), pages.append)
            return pages, done

        yield server, read


@pytest.fixture
def single_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call fail at once, so that no short deadline is needed."""
    monkeypatch.setattr(transport, "RETRIES", 0)


def flat(pages: list[TradePage]) -> list[tuple[int, float, float]]:
    """Return number, price and volume of all trades."""
    return [
        row
        for page in pages
        for row in zip(page.trades.number.tolist(), page.trades.price.tolist(), page.trades.volume.tolist(), strict=True)
    ]


def wanted(trades: list[Told], start_ms: int, end_ms: int) -> list[tuple[int, float, float]]:
    return [
        (number, float(price), float(volume))
        for number, time, price, volume in trades
        if start_ms * 10**6 <= time < end_ms * 10**6
    ]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 4321])
@pytest.mark.parametrize("inclusive", [False, True])
def test_every_trade_comes_once_whether_or_not_the_exchange_repeats_the_last_one(
    roomy_budget: DatabaseBudget, count: int, inclusive: bool
) -> None:
    trades = told_trades(count)
    with reading(ScriptedTrades(trades, inclusive=inclusive), roomy_budget) as (_, read):
        pages, done = read()
    assert flat(pages) == wanted(trades, START_MS, NOW_MS)
    assert done.trades == count and 0 <= done.known_until_ms - (NOW_MS - 2 * HOUR) < 60_000
    times = [time for page in pages for time in page.trades.time_ns.tolist()]
    assert all(abs(time - told[1]) < 240 for time, told in zip(times, trades, strict=True))


def test_a_range_gives_exactly_its_trades_and_asks_for_no_page_beyond_it(roomy_budget: DatabaseBudget) -> None:
    trades, start, end = told_trades(9000), START_MS + 5 * HOUR, START_MS + 9 * HOUR
    with reading(ScriptedTrades(trades), roomy_budget) as (server, read):
        pages, done = read(start, end)
        assert flat(pages) == wanted(trades, start, end)
        assert done == TradesRead(len(flat(pages)), server.count("Trades"), end)
        assert server.count("Trades") == 3 and server.count("Time") == 0
    known = [page.known_until_ms for page in pages]
    assert known == sorted(known) and known[-1] == end
    for page in pages:
        assert all(time < page.known_until_ms * 10**6 + 10**6 for time in page.trades.time_ns.tolist())


@pytest.mark.usefixtures("single_try")
def test_a_caller_that_was_interrupted_goes_on_where_the_last_page_ended(roomy_budget: DatabaseBudget) -> None:
    trades, kept = told_trades(5000), []

    def interrupt_at_third(asked: Request) -> Reply | None:
        return Reply(status=503) if server.count("Trades") > 2 else None

    script = ScriptedTrades(trades, faults=[interrupt_at_third])
    with reading(script, roomy_budget) as (server, _):
        profile = ExchangeProfile("kraken", "kraken", server.url)
        request = TradesRequest("BTC/USD", START_MS, NOW_MS)
        with pytest.raises(ExchangeUnavailable, match=r"BTC/USD trades: kraken Trades failed: HTTP 503"):
            download_trades(profile, roomy_budget, request, kept.append)
        known = kept[-1].known_until_ms
        before = [TradePage(page.trades.between(0, known * 10**6), known) for page in kept]
        assert known == trades[1999][1] // 10**6 and len(flat(before)) == 1999
        script.faults.clear()
        after: list[TradePage] = []
        download_trades(profile, roomy_budget, TradesRequest("BTC/USD", known, NOW_MS), after.append)
        assert flat(before + after) == wanted(trades, START_MS, NOW_MS)


def test_an_error_of_the_caller_ends_the_download(roomy_budget: DatabaseBudget) -> None:
    class Stopped(Exception):
        pass

    with reading(ScriptedTrades(told_trades(5000)), roomy_budget) as (server, _):
        profile = ExchangeProfile("kraken", "kraken", server.url)

        def stop(page: TradePage) -> None:
            raise Stopped

        with pytest.raises(Stopped):
            download_trades(profile, roomy_budget, TradesRequest("BTC/USD", START_MS, NOW_MS), stop)
        assert server.count("Trades") == 1


def _rows(result: dict[str, Any]) -> list[list[Any]]:
    return next(value for key, value in result.items() if key != "last")


def cell(place: int, column: int, value: Any) -> Callable[[dict[str, Any], Request], None]:
    def change(result: dict[str, Any], asked: Request) -> None:
        _rows(result)[place][column] = value

    return change


def swap(result: dict[str, Any], asked: Request) -> None:
    rows = _rows(result)
    rows[3], rows[4] = rows[4], rows[3]


def repeat(result: dict[str, Any], asked: Request) -> None:
    _rows(result).insert(5, list(_rows(result)[4]))


def from_the_beginning(result: dict[str, Any], asked: Request) -> None:
    result.update(ScriptedTrades(told_trades(3000)).result("0"))


def older(result: dict[str, Any], asked: Request) -> None:
    _rows(result)[0][2] = START_MS / 1000 - 60


def last(value: Any) -> Callable[[dict[str, Any], Request], None]:
    return lambda result, asked: result.update(last=value)


BROKEN = {
    "nan price": (cell(7, 0, "NaN"), "row 7 has 'NaN' as its price"),
    "infinite volume": (cell(7, 1, "Infinity"), "row 7 has 'Infinity' as its volume"),
    "negative price": (cell(7, 0, "-1.5"), "row 7 has '-1.5' as its price"),
    "negative volume": (cell(7, 1, "-0.1"), "row 7 has '-0.1' as its volume"),
    "price of nothing": (cell(7, 0, "0.00000"), "row 7 has a price of 0.00000"),
    "number as price": (cell(7, 0, 1.5), "row 7 has '1.5' as its price"),
    "null": (cell(7, 1, None), "row 7 has 'None' as its volume"),
    "time as text": (cell(7, 2, "1700006400.1"), "row 7 has '1700006400.1' as its time"),
    "time in ms": (cell(7, 2, 1_700_006_400_000.5), "row 7 has '1700006400000.5' as its time"),
    "no number": (cell(7, 6, None), "row 7 has 'None' as its number"),
    "true number": (cell(7, 6, True), "row 7 has 'True' as its number"),
    "swapped": (swap, "row 4 is out of order: its number"),
    "repeated": (repeat, "row 5 is out of order: its number"),
    "back in time": (cell(7, 2, START_MS / 1000), "row 7 is out of order: its time"),
    "older than asked": (older, r"a trade of 2023-11-14T23:59:00Z .* where trades since 2023-11-14T23:59:59Z"),
    "short row": (lambda result, asked: _rows(result)[2].clear(), "row 2 is not a list of 7 values"),
    "no list": (lambda result, asked: {"XXBTZUSD": {}, "last": "1"}, "the trades are no list of rows"),
    "wrong pair": (lambda result, asked: {"XETHZUSD": [], "last": "1"}, "trades of 'XETHZUSD', not of XBTUSD"),
    "two pairs": (lambda result, asked: {"XXBTZUSD": [], "XETHZUSD": [], "last": "1"}, "trades of 'XXBTZUSD', 'XETHZUSD'"),
    "no pair": (lambda result, asked: {"last": "1"}, "trades of no pair"),
    "no result": (lambda result, asked: [1], "the answer has no result object"),
    "no last": (lambda result, asked: {"XXBTZUSD": _rows(result)}, "last=None after a trade of"),
    "last of another form": (last("17000064"), "last=17000064 after a trade of"),
    "last as text": (last("next"), "last=None after a trade of"),
    "last that stands still": (last(str(START_MS * 10**6 - 1)), "after a trade of"),
    "from the beginning again": (
        from_the_beginning,
        r"a trade of 2023-11-15T00:00:00Z .* where trades since 2023-11-15T01:56:33Z",
    ),
}


@pytest.mark.usefixtures("single_try")
@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_is_not_what_the_api_promises_is_one_clear_error(roomy_budget: DatabaseBudget, name: str) -> None:
    change, words = BROKEN[name]
    with reading(ScriptedTrades(told_trades(3000), change=change), roomy_budget) as (server, read):
        with pytest.raises(InvalidResponse, match=f"^BTC/USD trades: kraken Trades answered something .*{words}") as caught:
            read()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
        assert server.count("Trades") < 12


def test_a_fault_that_passes_costs_a_retry_and_nothing_else(roomy_budget: DatabaseBudget) -> None:
    trades, asked = told_trades(2500), 0

    def once(result: dict[str, Any], request: Request) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            _rows(result)[0][0] = "NaN"

    with reading(ScriptedTrades(trades, change=once), roomy_budget) as (_, read):
        pages, _ = read()
    assert flat(pages) == wanted(trades, START_MS, NOW_MS)


@pytest.mark.usefixtures("single_try")
@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(b'{"error":[],"result":{"XXBTZUSD":[["1.0","1.0",1700006400.1'), InvalidResponse, "not JSON"),
        (Reply(b'{"error":[]', declared_length=500), ExchangeUnavailable, "broke off its answer"),
        (Reply(b'{"error":[],"result":{"XXBTZUSD":[NaN],"last":"1"}}'), InvalidResponse, "not JSON"),
        (Reply(b"[" * 990 + b"]" * 990), InvalidResponse, "answered something"),
        (Reply(b'{"error":["EQuery:Unknown asset pair"]}'), ExchangeRefused, "Unknown asset pair"),
        (Reply(status=520, body=b"<html>no</html>"), ExchangeUnavailable, "HTTP 520"),
        (Reply(endless=True), InvalidResponse, "more than 100000 bytes"),
        (Reply(hang=True), ExchangeUnavailable, "gave no complete answer"),
    ],
)
def test_torn_endless_and_refusing_answers_end_in_one_clear_error(
    roomy_budget: DatabaseBudget, reply: Reply, kind: type[ExchangeError], words: str
) -> None:
    script = ScriptedTrades([], faults=[lambda asked: reply if asked.endpoint == "Trades" else None])
    with (
        reading(script, roomy_budget, deadline_seconds=0.8, body_limit_bytes=100_000) as (_, read),
        pytest.raises(kind, match=f"^BTC/USD trades: .*{words}"),
    ):
        read()


def test_an_empty_page_in_the_middle_of_history_is_not_taken_for_the_end(roomy_budget: DatabaseBudget) -> None:
    trades = told_trades(5000)

    def empty_after_two(result: dict[str, Any], asked: Request) -> dict[str, Any] | None:
        return {"XXBTZUSD": [], "last": asked.query["since"]} if int(asked.query.get("since", 0)) >= trades[1999][1] else None

    with (
        reading(ScriptedTrades(trades, change=empty_after_two), roomy_budget) as (_, read),
        pytest.raises(
            InvalidResponse, match=r"no trade after 2023-11-15T03:53:13Z, yet its newest one is of 2023-11-15T09:43:13Z"
        ),
    ):
        read()


def test_an_exchange_that_feeds_one_trade_a_call_is_given_up(roomy_budget: DatabaseBudget) -> None:
    with reading(ScriptedTrades(told_trades(500), page=1), roomy_budget) as (server, read):
        with pytest.raises(InvalidResponse, match=f"{MOST_SHORT_PAGES + 1} pages in a row of less than half"):
            read()
        assert server.count("Trades") == MOST_SHORT_PAGES + 1


def test_reading_up_to_the_present_ends_although_new_trades_keep_coming(roomy_budget: DatabaseBudget) -> None:
    """Each call finds the clock 20 s and three trades further on."""
    script = ScriptedTrades(told_trades(2100))
    script.now_ms = script.trades[-1][1] // 10**6 + 1

    def trade_on(asked: Request) -> None:
        script.now_ms += 20_000 if asked.endpoint == "Trades" else 0
        script.trades = told_trades((script.now_ms - START_MS) * 10**6 // 7_000_000_123 + 1)

    script.faults.append(trade_on)
    with reading(script, roomy_budget) as (server, read):
        pages, done = read(START_MS, START_MS + 365 * DAY)
        assert server.count("Trades") < 12
    assert flat(pages) == wanted(script.trades, START_MS, done.known_until_ms)
    assert done.known_until_ms > START_MS + 2100 * 7000


def test_silence_is_believed_only_two_hours_back(roomy_budget: DatabaseBudget) -> None:
    with reading(ScriptedTrades(told_trades(10)), roomy_budget) as (_, read):
        pages, done = read(NOW_MS - 5 * HOUR, NOW_MS)
    assert flat(pages) == [] and 0 <= done.known_until_ms - (NOW_MS - 2 * HOUR) < 60_000


def test_no_stretch_is_no_request(roomy_budget: DatabaseBudget) -> None:
    with reading(ScriptedTrades(told_trades(10)), roomy_budget) as (server, read):
        assert read(START_MS, START_MS) == ([], TradesRead(0, 0, START_MS))
        assert server.requests == []


def test_times_are_read_to_the_last_digit(roomy_budget: DatabaseBudget) -> None:
    """As a float, 1700006459.999999999 would be the next minute."""
    text = b'{"error":[],"result":{"XXBTZUSD":[["1.0","1.0",1700006459.999999999,"b","m","",7]],"last":"1700006459999999999"}}'
    end = Reply(b'{"error":[],"result":{"XXBTZUSD":[],"last":"1700006459999999999"}}')

    def answer(asked: Request) -> Reply | None:
        if asked.endpoint == "Time":
            return None
        return end if int(asked.query.get("since", 0)) >= 1_700_006_459_999_999_999 else Reply(text)

    with reading(ScriptedTrades([], faults=[answer]), roomy_budget) as (_, read):
        pages, _ = read()
    assert [time for page in pages for time in page.trades.time_ns.tolist()] == [1_700_006_459_999_999_999]


def test_a_market_that_the_api_cannot_be_asked_for_is_refused_before_anything_is_sent(roomy_budget: DatabaseBudget) -> None:
    with scripted_server(ScriptedTrades([])) as server:
        request = TradesRequest("BTC-USD", START_MS, NOW_MS)
        with pytest.raises(InvalidInput, match="'BTC-USD' is not a spot symbol"):
            download_trades(ExchangeProfile("kraken", "kraken", server.url), roomy_budget, request, print)
        with pytest.raises(InvalidInput, match="binance is not asked for public trades: its candles reach back far enough"):
            request = TradesRequest("BTC/USD", START_MS, NOW_MS)
            download_trades(ExchangeProfile("binance", "binance", server.url), roomy_budget, request, print)
        assert server.requests == []


def test_it_refuses_to_block_a_running_loop(roomy_budget: DatabaseBudget) -> None:
    async def inside() -> None:
        download_trades(ExchangeProfile("kraken", "kraken"), roomy_budget, TradesRequest("BTC/USD", 0, 1), print)

    with pytest.raises(RuntimeError, match="inside a running event loop use ExchangeGateway"):
        asyncio.run(inside())


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("BTC/USD", "XXBTZUSD"), ("BTC/USD", "XBTUSD"), ("ETH/BTC", "XETHXXBT"), ("DOGE/USD", "XDGUSD"), ("USDT/USD", "USDTZUSD")],
)
def test_pairs_are_known_under_krakens_names(symbol: str, name: str) -> None:
    """Names from the recorded AssetPairs of 2021."""
    assert name in pair_names(DIALECTS["kraken"], symbol)


def test_the_simulators_trades_come_whole_through_ccxts_kraken(roomy_budget: DatabaseBudget) -> None:
    """A stretch from years ago, which no OHLC answer reaches."""
    now = 1_763_697_723_456
    start = now - now % HOUR - 900 * DAY
    with running_simulator(start_ms=now, speed=0, limits={"kraken": {"burst": 10**6}}) as simulator:
        profile = ExchangeProfile("kraken", "kraken", simulator.url)
        pages: list[TradePage] = []
        done = download_trades(profile, roomy_budget, TradesRequest("ATOM/USDT", start, start + HOUR), pages.append)
        truth = simulator.candles("ATOM-USDT", "1h", start, start + HOUR)
        assert {entry["endpoint"] for entry in simulator.journal()} == {"Trades"}
    prices = [price for _, price, _ in flat(pages)]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (
        truth.open[0],
        truth.high[0],
        truth.low[0],
        truth.close[0],
    )
    assert done.known_until_ms == start + HOUR and done.trades == len(prices) > 1000
