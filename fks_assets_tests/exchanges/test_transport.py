import asyncio
import gzip
import random
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from fks_assets.errors import ExchangeRefused, ExchangeUnavailable, InvalidResponse, RateLimited
from fks_assets.exchanges import transport
from fks_assets.exchanges.answers import Answer
from fks_assets.exchanges.ccxt_client import build_client
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.transport import RETRIES, HttpTransport, Tally, endpoint_of
from fks_assets_tests.exchanges.scripted_server import Reply, Request, scripted_server


class OpenBudget:
    """Lets everything through and writes down what it was told."""

    def __init__(self) -> None:
        self.acquired: list[int] = []
        self.blocks: list[float] = []
        self.used: list[int] = []
        self.closed_for = 0.0

    async def acquire(self, weight: int, patience: float, *, urgent: bool = False) -> None:
        if self.closed_for > patience:
            raise RateLimited("closed", exchange="binance", retry_after=self.closed_for)
        await asyncio.sleep(self.closed_for)
        self.closed_for = 0.0
        self.acquired.append(weight)

    async def block(self, seconds: float, reason: str) -> None:
        self.blocks.append(seconds)
        self.closed_for = seconds

    async def report_used(self, weight: int, seconds_left: float) -> None:
        self.used.append(weight)


def read(url: str, parse: Callable[[Answer], Any], budget: OpenBudget, **bounds: Any) -> Any:
    profile = ExchangeProfile("binance", "binance", url, **{"deadline_seconds": 3.0, "patience_seconds": 1.0, **bounds})

    async def run() -> Any:
        async with HttpTransport(profile, budget, jitter=random.Random(1)) as http:
            return await http.read(f"{url}/api/v3/klines?symbol=A", "klines", parse)

    return asyncio.run(run())


def body_of(answer: Answer) -> bytes:
    return answer.body


def test_a_body_arrives_whole_and_its_weight_is_paid_and_reported():
    budget = OpenBudget()
    with scripted_server(lambda request: Reply(b"x" * 300_000, headers={"X-MBX-USED-WEIGHT-1M": "77"})) as server:
        assert read(server.url, body_of, budget) == b"x" * 300_000
    assert (budget.acquired, budget.used) == ([2], [77])


def test_gzip_is_unpacked():
    body = gzip.compress(b"[1,2,3]" * 1000)
    with scripted_server(lambda request: Reply(body, headers={"Content-Encoding": "gzip"})) as server:
        assert read(server.url, body_of, OpenBudget()) == b"[1,2,3]" * 1000
        assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (gzip.compress(b"0" * 50_000_000, 9), "gzip", "more than 1000000 bytes"),
        (gzip.compress(b"[1,2,3]" * 1000)[:-20], "gzip", "gzip body that breaks off"),
        (b"[1,2,3]", "gzip", "not the gzip it claims to be"),
        (zlib.compress(b"[]"), "br", "unknown encoding 'br'"),
        (b"x" * 1_000_001, "identity", "more than 1000000 bytes"),
    ],
    ids=["gzip bomb", "torn gzip", "no gzip", "brotli", "oversize"],
)
def test_bodies_that_cannot_be_taken_are_invalid_responses(body: bytes, encoding: str, words: str):
    with (
        scripted_server(lambda request: Reply(body, headers={"Content-Encoding": encoding})) as server,
        pytest.raises(InvalidResponse, match=words),
    ):
        read(server.url, body_of, OpenBudget(), body_limit_bytes=1_000_000, deadline_seconds=0.8)


@pytest.mark.parametrize(
    "reply",
    [Reply(b"x" * 1000, drip_seconds=0.05), Reply(hang=True), Reply(b"x", delay_seconds=30), Reply(b"x", declared_length=9)],
    ids=["drip", "hang", "late", "short"],
)
def test_a_call_ends_by_its_deadline_whatever_the_server_does(reply: Reply):
    with scripted_server(lambda request: reply) as server:
        started = time.monotonic()
        with pytest.raises(ExchangeUnavailable):
            read(server.url, body_of, OpenBudget(), deadline_seconds=1.0)
        assert time.monotonic() - started < 6


def test_a_server_that_hangs_once_leaves_time_for_another_try():
    hanging = iter([True])
    with scripted_server(lambda request: Reply(b"[]", hang=next(hanging, False))) as server:
        assert read(server.url, body_of, OpenBudget(), deadline_seconds=2.0) == b"[]"
        assert len(server.requests) == 2


def test_unavailability_and_invalid_answers_are_tried_four_more_times_and_each_try_is_paid(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transport, "FIRST_BACKOFF_SECONDS", 0.04)
    for error in (ExchangeUnavailable, InvalidResponse):
        budget = OpenBudget()

        def parse(answer: Answer, error: type = error) -> None:
            raise error("no", exchange="binance")

        with scripted_server(lambda request: Reply(b"[]")) as server:
            with pytest.raises(error, match=r"no \(try 5\)"):
                read(server.url, parse, budget, deadline_seconds=60.0)
            assert len(server.requests) == len(budget.acquired) == RETRIES + 1
            gaps = [later.at - earlier.at for earlier, later in zip(server.requests, server.requests[1:], strict=False)]
            assert all(gap >= 0.04 * 2**i * 0.5 for i, gap in enumerate(gaps))


def test_a_refusal_is_not_tried_again():
    def parse(answer: Answer) -> None:
        raise ExchangeRefused("never", exchange="binance")

    with scripted_server(lambda request: Reply(b"[]")) as server:
        with pytest.raises(ExchangeRefused):
            read(server.url, parse, OpenBudget())
        assert len(server.requests) == 1


def test_a_ban_is_told_to_the_budget_and_waited_out_only_within_patience():
    replies = iter([Reply(status=429, headers={"Retry-After": "0.5"}), Reply(b"[]")])

    def parse(answer: Answer) -> bytes:
        if answer.status == 429:
            raise RateLimited("limited", exchange="binance", retry_after=float(answer.headers["Retry-After"]))
        return answer.body

    budget = OpenBudget()
    with scripted_server(lambda request: next(replies)) as server:
        assert read(server.url, parse, budget) == b"[]"
        assert server.requests[1].at - server.requests[0].at >= 0.5
    assert budget.blocks == [0.5]
    with scripted_server(lambda request: Reply(status=429, headers={"Retry-After": "5"})) as server:
        with pytest.raises(RateLimited, match="closed"):
            read(server.url, parse, OpenBudget(), patience_seconds=2.0)
        assert len(server.requests) == 1


def test_waiting_for_the_budget_does_not_use_up_the_deadline():
    budget = OpenBudget()
    budget.closed_for = 0.8
    with scripted_server(lambda request: Reply(b"[]")) as server:
        assert read(server.url, body_of, budget, deadline_seconds=0.7, patience_seconds=2.0) == b"[]"


def test_no_more_requests_are_under_way_than_connections_and_connections_are_used_again():
    running, most = [0], [0]

    def script(request: Request) -> Reply:
        return Reply(b"[]", delay_seconds=0.02)

    profile_bounds = {"connections": 3}
    with scripted_server(script) as server:
        profile = ExchangeProfile("binance", "binance", server.url, **profile_bounds)

        class Counting(OpenBudget):
            async def acquire(self, weight: int, patience: float, *, urgent: bool = False) -> None:
                running[0] += 1
                most[0] = max(most[0], running[0])

        def parse(answer: Answer) -> None:
            running[0] -= 1

        async def run() -> Tally:
            tally = Tally()
            async with HttpTransport(profile, Counting()) as http:
                await asyncio.gather(*(http.read(f"{server.url}/api/v3/time", "time", parse, tally=tally) for _ in range(20)))
            return tally

        assert asyncio.run(run()).requests == 20
        assert most[0] == 3
        assert server.connections <= 3


def test_only_endpoints_of_known_weight_are_called():
    assert endpoint_of("https://api.binance.com/api/v3/klines?symbol=A", {"klines": 2}) == "klines"
    with pytest.raises(ValueError, match="endpoint 'order' has no known weight; known: klines"):
        endpoint_of("https://api.binance.com/api/v3/order?symbol=A", {"klines": 2})


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_nothing_but_reads_passes_through_the_ccxt_client(dialect: str):
    with scripted_server(lambda request: Reply(b"{}")) as server:
        profile = ExchangeProfile(dialect, dialect, server.url)

        async def run() -> None:
            async with HttpTransport(profile, OpenBudget()) as http:
                client = build_client(profile, http)
                for method, body in (("POST", None), ("DELETE", None), ("PUT", "x"), ("GET", "x")):
                    with pytest.raises(ValueError, match="only reads pass through this client"):
                        await client.fetch(f"{server.url}/api/v3/time", method, None, body)

        asyncio.run(run())
        assert server.requests == []


def test_a_closed_transport_says_so():
    async def run() -> None:
        http = HttpTransport(ExchangeProfile("binance", "binance", "http://127.0.0.1:1"), OpenBudget())
        await http.read("http://127.0.0.1:1/api/v3/time", "time", body_of)

    with pytest.raises(RuntimeError, match="the transport is closed"):
        asyncio.run(run())
