"""Launch, as soon as the desk stands, what the schedules would launch at their next ticks. Prints the runs as one JSON document.

Usage: python -m fks_assets.supervisor.first_load URL [daily]; with `daily` those daily and hourly jobs that have never run, for
which a new desk would otherwise wait until tomorrow, and the walk-forward window of the last month where there is enough history.
Each of `RESEARCH_JOBS` uses what those before it made, and the window takes the longest: they share a lane.
"""

import json
import sys
from typing import TYPE_CHECKING

from fks_assets.clock import now_ms
from fks_assets.errors import TradingError
from fks_assets.settings import load_settings

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores
    from fks_assets.supervisor.graphql import DeskApi

JOBS = ("critical_path", "signals")
WINDOWS = "walk_forward_windows"
RESEARCH_JOBS = ("rules", "parameters", "backtest", "validation", "backtest_accounts", "ideas", WINDOWS)
DAILY_JOBS = (*RESEARCH_JOBS, "funding", "completeness", "recency", "backfill", "archive", "gap_upkeep", "upkeep")
DAILY = "daily"


def main() -> int:
    from fks_assets.assets.jobs import RESEARCH_LANE
    from fks_assets.resources.stores import Stores
    from fks_assets.supervisor.graphql import DeskApi
    from fks_assets.supervisor.launching import launch_behind

    stores = Stores(load_settings())
    api = DeskApi(sys.argv[1])
    try:
        jobs = [job for job in DAILY_JOBS if _is_due(api, stores, job)] if DAILY in sys.argv[2:] else JOBS
        lanes = dict.fromkeys(RESEARCH_JOBS, RESEARCH_LANE)
        launched = [run for job in jobs if (run := launch_behind(api, stores, job, lanes.get(job))) is not None]
    except TradingError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps([{"run_id": run.run_id, "job": run.job} for run in launched]))
    return 0


def _is_due(api: "DeskApi", stores: "Stores", job: str) -> bool:
    from fks_assets.assets.trading.walk_forward import history_reaches
    from fks_assets.partitions import last_month

    return not api.has_run(job) and (job != WINDOWS or history_reaches(stores, last_month(now_ms())))


if __name__ == "__main__":
    sys.exit(main())
