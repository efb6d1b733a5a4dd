"""A process that takes from the shared budget for a while and prints when it was let through; run by the budget tests."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import RequestLimit


async def take_for(seconds: float, budget: DatabaseBudget, weight: int, callers: int) -> list[float]:
    """Let `callers` callers take `weight` again and again; return the monotonic times at which they got it."""
    times: list[float] = []
    end = time.monotonic() + seconds

    async def caller() -> None:
        while time.monotonic() < end:
            await budget.acquire(weight, 30)
            times.append(time.monotonic())

    await asyncio.gather(*(caller() for _ in range(callers)))
    return times


def take_in_processes(
    url: str, seconds: float, weights: Sequence[int], limit: RequestLimit, *, callers: int
) -> list[list[float]]:
    """Return the grant times of one process for each weight; monotonic time is the same in all processes of a machine."""
    plans = [
        json.dumps({"url": url, "seconds": seconds, "weight": weight, "callers": callers, "limit": asdict(limit)})
        for weight in weights
    ]
    processes = [subprocess.Popen([sys.executable, "-m", __name__, plan], stdout=subprocess.PIPE) for plan in plans]
    return [json.loads(process.communicate(timeout=60)[0]) for process in processes]


def main() -> None:
    plan = json.loads(sys.argv[1])
    engine = sa.create_engine(plan["url"])
    budget = DatabaseBudget(engine, "binance", "here", RequestLimit(**plan["limit"]))
    print(json.dumps(asyncio.run(take_for(plan["seconds"], budget, plan["weight"], plan["callers"]))))


if __name__ == "__main__":
    main()
