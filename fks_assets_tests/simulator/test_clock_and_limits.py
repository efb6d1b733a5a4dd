import pytest

from fks_assets.errors import InvalidInput
from fks_assets.simulator.clock import SimulatedClock
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.simulator.limits import Limiter
from fks_assets_tests.simulator.plain_http import get


class Seconds:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_clock_runs_at_its_speed_from_its_start() -> None:
    seconds = Seconds()
    clock = SimulatedClock(1_000_000, 60.0, seconds)
    seconds.now += 2.5
    assert clock.now_ms() == 1_000_000 + 150_000


def test_a_change_of_speed_does_not_move_the_time() -> None:
    seconds = Seconds()
    clock = SimulatedClock(0, 10.0, seconds)
    seconds.now += 1
    clock.set(speed=0)
    seconds.now += 100
    assert clock.now_ms() == 10_000
    clock.set(advance_ms=500, speed=1.0)
    seconds.now += 1
    assert clock.now_ms() == 11_500


def test_skew_changes_only_what_is_told() -> None:
    clock = SimulatedClock(1000, 0.0)
    clock.set(skew_ms=-5000)
    assert (clock.now_ms(), clock.told_ms()) == (1000, -4000)


@pytest.mark.parametrize("speed", [-1.0, 100_001.0, float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(InvalidInput, match="speed"):
        SimulatedClock(0, speed)


def test_the_clock_is_moved_over_http_and_candles_follow() -> None:
    with running_simulator(start_ms=1_763_697_600_000, speed=0) as simulator:
        assert simulator.clock()["now"] == "2025-11-21T04:00:00Z"
        before = get(simulator.url, "/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=1").json[0]
        simulator.set_clock(advance_seconds=3600, skew_seconds=60)
        after = get(simulator.url, "/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=1").json[0]
        assert after[0] - before[0] == 3_600_000
        assert get(simulator.url, "/api/v3/time").json["serverTime"] == 1_763_697_600_000 + 3_660_000
        for bad, text in (({"speeed": 1}, "speeed"), ({"speed": "fast"}, "give a number"), ({"now": "noon"}, "give a time")):
            with pytest.raises(InvalidInput, match=text):
                simulator.set_clock(**bad)


def test_weight_beyond_the_limit_is_refused_until_the_minute_ends() -> None:
    seconds = Seconds()
    limiter = Limiter(seconds)
    passed = [limiter.judge_binance("a", "exchangeInfo", 20) for _ in range(300)]
    assert all(verdict.allowed for verdict in passed) and passed[-1].used == 6000
    refused = limiter.judge_binance("a", "klines", 2)
    assert (refused.allowed, refused.status, refused.retry_after, refused.used) == (False, 429, 60, 6002)
    seconds.now += 60
    assert limiter.judge_binance("a", "klines", 2).allowed
    assert [(breach.kind, breach.client) for breach in limiter.breaches] == [("limit", "a")]


def test_who_ignores_a_429_is_banned_and_longer_the_second_time() -> None:
    seconds = Seconds()
    limiter = Limiter(seconds)
    limiter.override("binance", {"weight": 10})

    def ignore() -> list[int]:
        statuses = [limiter.judge_binance("a", "klines", 20).status]
        for _ in range(4):
            seconds.now += 2
            statuses.append(limiter.judge_binance("a", "klines", 2).status)
        return statuses

    assert ignore() == [429, 429, 429, 418, 418]
    seconds.now += 100
    assert limiter.judge_binance("a", "klines", 2).status == 418
    assert limiter.judge_binance("b", "klines", 2).allowed
    seconds.now += 30
    assert limiter.judge_binance("a", "klines", 2).allowed
    assert ignore() == [429, 429, 429, 418, 418]
    assert limiter.judge_binance("a", "klines", 2).retry_after > 230


def test_requests_already_on_their_way_when_the_429_came_are_no_offence() -> None:
    seconds = Seconds()
    limiter = Limiter(seconds)
    limiter.override("binance", {"weight": 10})
    assert {limiter.judge_binance("a", "klines", 20).status for _ in range(20)} == {429}
    assert {breach.kind for breach in limiter.breaches} == {"limit"}


def test_kraken_allows_a_burst_and_then_one_call_a_second() -> None:
    seconds = Seconds()
    limiter = Limiter(seconds)
    assert [limiter.judge_kraken("a", "OHLC").allowed for _ in range(16)] == [True] * 15 + [False]
    seconds.now += 2
    assert [limiter.judge_kraken("a", "OHLC").allowed for _ in range(3)] == [True, True, False]
    assert limiter.judge_kraken("b", "OHLC").allowed
    assert len(limiter.breaches) == 2


@pytest.mark.parametrize(
    ("dialect", "values"), [("bybit", {}), ("binance", {"weigth": 1}), ("binance", {"weight": -1}), ("kraken", {"burst": True})]
)
def test_a_wrong_limit_is_refused(dialect: str, values: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="limits"):
        Limiter().override(dialect, values)


def test_limits_hold_for_each_client_address_over_http() -> None:
    with running_simulator(
        limits={"binance": {"weight": 5, "grace_seconds": 0, "ban_after": 2}, "kraken": {"burst": 1, "per_second": 0}}
    ) as simulator:
        path = "/api/v3/klines?symbol=BTCUSDT&interval=1d&limit=1"
        assert [get(simulator.url, path).status for _ in range(2)] == [200, 200]
        refused = get(simulator.url, path)
        assert refused.status == 429 and 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.json["code"] == -1003 and "current limit is 5 request weight" in refused.json["msg"]
        assert get(simulator.url, path, source="127.0.0.2").status == 200
        assert get(simulator.url, path).status == 429
        banned = get(simulator.url, path)
        assert banned.status == 418 and banned.json["msg"].startswith("Way too much request weight used; IP banned until ")
        assert int(banned.headers["retry-after"]) > 100
        assert [breach["kind"] for breach in simulator.breaches()] == ["limit", "ignored", "banned"]
        assert get(simulator.url, "/0/public/Time").json["error"] == []
        assert get(simulator.url, "/0/public/Time").json == {"error": ["EAPI:Rate limit exceeded"]}
        assert [entry["status"] for entry in simulator.journal(client="127.0.0.1", endpoint="klines")] == [
            200,
            200,
            429,
            429,
            418,
        ]
        simulator.forget_breaches()
        assert get(simulator.url, path).status == 200
