"""Launch, as soon as the desk stands, what the schedules would launch at their next ticks. Prints the runs as one JSON document.

Usage: python -m fks_assets.supervisor.first_load URL [daily]; with `daily` those daily and hourly jobs that have never run, for
which a new desk would otherwise wait until tomorrow. Each of `RESEARCH_JOBS` uses what those before it made: they share a lane.
"""

import json
import sys

from fks_assets.errors import TradingError
from fks_assets.settings import load_settings

JOBS = ("critical_path", "signals")
RESEARCH_JOBS = ("rules", "parameters", "backtest", "validation", "ideas")
DAILY_JOBS = (*RESEARCH_JOBS, "completeness", "recency", "backfill", "archive", "gap_upkeep", "upkeep")
DAILY = "daily"


def main() -> int:
    from fks_assets.assets.jobs import RESEARCH_LANE
    from fks_assets.resources.stores import Stores
    from fks_assets.supervisor.graphql import DeskApi
    from fks_assets.supervisor.launching import launch_behind

    stores = Stores(load_settings())
    api = DeskApi(sys.argv[1])
    try:
        jobs = [job for job in DAILY_JOBS if not api.has_run(job)] if DAILY in sys.argv[2:] else JOBS
        lanes = dict.fromkeys(RESEARCH_JOBS, RESEARCH_LANE)
        launched = [run for job in jobs if (run := launch_behind(api, stores, job, lanes.get(job))) is not None]
    except TradingError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps([{"run_id": run.run_id, "job": run.job} for run in launched]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
