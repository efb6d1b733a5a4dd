import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import pytest
import sqlalchemy as sa

from fks_assets.errors import RateLimited, StoreError
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import DIALECTS, RequestLimit
from fks_assets_tests.exchanges.budget_worker import take_for, take_in_processes

FAST = RequestLimit(weight_per_minute=12_000, burst=60)  # (11,400 - 60) / 60 = 189 weight per second
SLOW = RequestLimit(weight_per_minute=400, burst=10)  # (380 - 10) / 60 = 6.2 weight per second


def budget(engine: sa.Engine, limit: RequestLimit = FAST, exchange: str = "binance") -> DatabaseBudget:
    return DatabaseBudget(engine, exchange, "here", limit)


def run(call: Awaitable[Any]) -> Any:
    async def awaited() -> Any:
        return await call

    return asyncio.run(awaited())


def row(engine: sa.Engine) -> Any:
    with engine.connect() as connection:
        return connection.execute(sa.text("SELECT *, blocked_until - now() AS left FROM rate_budgets")).one()


def edit(engine: sa.Engine, assignment: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE rate_budgets SET {assignment}"))


@pytest.mark.parametrize("dialect", list(DIALECTS.values()), ids=list(DIALECTS))
def test_no_minute_can_hold_more_than_95_percent_of_the_real_limit(dialect: Any):
    limit = dialect.limit
    assert limit.burst + 60 * limit.per_second == pytest.approx(0.95 * limit.weight_per_minute)
    assert max(dialect.weights.values()) < limit.burst / 2


def test_processes_spend_no_more_than_one_bucket_and_the_one_with_heavy_calls_is_not_starved(database_url: str):
    weights = [2, 2, 20]
    parts = take_in_processes(database_url, 2.0, weights, FAST, callers=10)
    assert len(parts[0]) > 10
    assert len(parts[2]) >= 3
    grants = sorted((at, weight) for part, weight in zip(parts, weights, strict=True) for at in part)
    noticed_late = sum(weights)
    for first in range(0, len(grants), 5):
        spent = 0
        for at, weight in grants[first:]:
            spent += weight
            assert spent <= FAST.burst + (at - grants[first][0]) * FAST.per_second + noticed_late


def test_what_the_bucket_offers_is_really_used(engine: sa.Engine):
    times = asyncio.run(take_for(1.5, budget(engine), 2, 20))
    offered = 0.9 * FAST.burst + (times[-1] - times[0]) * FAST.per_second
    assert FAST.burst < len(times) * 2 <= offered + 6


def test_callers_of_one_process_are_served_in_the_order_in_which_they_came(engine: sa.Engine):
    async def ask() -> list[int]:
        asked, order = budget(engine), []

        async def caller(number: int) -> None:
            await asked.acquire(10, 30)
            order.append(number)

        await asyncio.gather(*(caller(number) for number in range(15)))
        return order

    assert asyncio.run(ask()) == list(range(15))


def test_a_ban_set_by_one_process_silences_the_others_and_outlives_them(engine: sa.Engine):
    run(budget(engine).acquire(1, 1))
    run(budget(engine).block(30, "HTTP 418: IP banned"))
    with pytest.raises(RateLimited, match=r"may not be called for another (29|30)\.\d s: HTTP 418: IP banned") as caught:
        run(budget(engine).acquire(1, 5))
    assert 28 < caught.value.retry_after <= 30
    assert row(engine).left.total_seconds() > 28


def test_a_ban_is_waited_out_when_patience_allows(engine: sa.Engine):
    first = budget(engine)
    run(first.acquire(1, 1))
    run(first.block(0.6, "HTTP 429"))
    started = time.monotonic()
    run(budget(engine).acquire(1, 10))
    assert time.monotonic() - started > 0.5


def test_no_caller_gets_through_while_a_ban_lasts(database_url: str, engine: sa.Engine):
    async def ask() -> tuple[list[float], float]:
        asked = budget(engine)
        taking = asyncio.create_task(take_for(2.0, asked, 1, 10))
        await asyncio.sleep(0.4)
        other = budget(engine)
        await other.block(1.0, "HTTP 429")
        blocked_at = time.monotonic()
        return await taking, blocked_at

    times, blocked_at = asyncio.run(ask())
    assert any(time < blocked_at for time in times)
    assert any(time > blocked_at + 1.0 for time in times)
    assert not [time - blocked_at for time in times if blocked_at + 0.1 < time < blocked_at + 0.95]


def test_a_shorter_ban_does_not_shorten_a_longer_one(engine: sa.Engine):
    asked = budget(engine)
    run(asked.acquire(1, 1))
    run(asked.block(60, "long"))
    run(asked.block(5, "short"))
    assert row(engine).left.total_seconds() > 55
    assert row(engine).reason == "long"


def test_after_a_ban_the_bucket_holds_its_reserve_only(engine: sa.Engine):
    asked = budget(engine, SLOW)
    run(asked.acquire(1, 1))
    run(asked.block(0.3, "HTTP 429"))
    started = time.monotonic()
    run(asked.acquire(2, 30))
    assert time.monotonic() - started > 0.3 + 2 / SLOW.per_second - 0.05


def test_the_exchanges_own_count_lowers_the_bucket_for_everybody(engine: sa.Engine):
    first = budget(engine, SLOW)
    run(first.acquire(1, 1))
    run(first.report_used(379, 20))
    run(first.acquire(1, 30))
    assert row(engine).tokens < 3
    with pytest.raises(RateLimited):
        run(budget(engine, SLOW).acquire(8, 0.2))


def test_the_exchanges_own_count_never_raises_the_bucket(engine: sa.Engine):
    asked = budget(engine, SLOW)
    run(asked.acquire(8, 1))
    run(asked.report_used(1, 20))
    run(asked.acquire(1, 5))
    assert row(engine).tokens < 3


def test_when_the_exchange_counts_the_limit_as_used_up_nobody_calls_until_its_minute_is_over(engine: sa.Engine):
    asked = budget(engine, SLOW)
    run(asked.acquire(1, 1))
    run(asked.report_used(380, 17))
    assert 15 < row(engine).left.total_seconds() <= 17
    with pytest.raises(RateLimited, match="380 of the 400 weight of this minute is used"):
        run(budget(engine, SLOW).acquire(1, 5))


def test_the_reserve_is_for_urgent_calls_only(engine: sa.Engine):
    asked = budget(engine, RequestLimit(weight_per_minute=100, burst=90))
    run(asked.acquire(81, 1))
    with pytest.raises(RateLimited):
        run(asked.acquire(8, 0.3))
    edit(engine, "tokens = 9, refilled_at = clock_timestamp()")
    run(asked.acquire(9, 0.3, urgent=True))


def test_an_urgent_call_does_not_queue_behind_others(engine: sa.Engine):
    async def ask() -> list[str]:
        asked, order = budget(engine, RequestLimit(weight_per_minute=300, burst=20)), []

        async def caller(name: str, weight: int, *, urgent: bool) -> None:
            await asked.acquire(weight, 30, urgent=urgent)
            order.append(name)

        await asked.acquire(18, 1)
        slow = [asyncio.create_task(caller("normal", 2, urgent=False)) for _ in range(3)]
        await asyncio.sleep(0.05)
        await caller("urgent", 1, urgent=True)
        await asyncio.gather(*slow)
        return order

    assert asyncio.run(ask())[0] == "urgent"


def test_impatience_ends_the_wait_and_takes_nothing_from_those_behind(engine: sa.Engine):
    async def ask() -> tuple[BaseException | None, BaseException | None]:
        asked = budget(engine, SLOW)
        await asked.acquire(9, 1)
        hasty = asyncio.create_task(asked.acquire(5, 0.3))
        patient = asyncio.create_task(asked.acquire(1, 20))
        await asyncio.wait([hasty, patient])
        return hasty.exception(), patient.exception()

    hasty, patient = asyncio.run(ask())
    assert isinstance(hasty, RateLimited)
    assert hasty.retry_after > 0
    assert patient is None


def test_a_cancelled_caller_leaves_the_queue(engine: sa.Engine):
    async def ask() -> None:
        asked = budget(engine, SLOW)
        await asked.acquire(9, 1)
        cancelled = asyncio.create_task(asked.acquire(5, 20))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        await asked.acquire(1, 20)

    asyncio.run(ask())


def test_a_weight_that_can_never_be_granted_is_an_error_at_once(engine: sa.Engine):
    with pytest.raises(ValueError, match="a weight of 11 can never be granted: the bucket holds 9"):
        run(budget(engine, SLOW).acquire(11, 1))


def test_a_clock_of_the_database_that_steps_back_stops_nothing(engine: sa.Engine):
    asked = budget(engine)
    run(asked.acquire(1, 1))
    edit(engine, "refilled_at = clock_timestamp() + interval '1 hour', tokens = 5")
    times = asyncio.run(take_for(0.5, asked, 2, 5))
    assert len(times) > 10


def test_a_database_that_is_gone_is_a_store_error_for_every_caller():
    nowhere = sa.create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})

    async def ask() -> list[Any]:
        asked = budget(nowhere)
        return await asyncio.gather(*(asked.acquire(1, 20) for _ in range(3)), return_exceptions=True)

    errors = asyncio.run(ask())
    assert [type(error) for error in errors] == [StoreError] * 3
    assert "the request budget of binance cannot be read or written" in str(errors[0])


def test_a_missing_table_is_a_store_error(database_url: str):
    elsewhere = sa.create_engine(database_url, connect_args={"options": "-c search_path=pg_catalog"})
    with pytest.raises(StoreError, match='relation "rate_budgets" does not exist'):
        run(budget(elsewhere).acquire(1, 1))
    elsewhere.dispose()


def test_exchanges_and_addresses_have_budgets_of_their_own(engine: sa.Engine):
    run(budget(engine, exchange="kraken").acquire(1, 1))
    run(budget(engine, exchange="kraken").block(30, "HTTP 429"))
    run(budget(engine, exchange="binance").acquire(1, 1))
    run(DatabaseBudget(engine, "kraken", "elsewhere", FAST).acquire(1, 1))
