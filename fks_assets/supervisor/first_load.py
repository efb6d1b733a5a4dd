"""Launch, as soon as the desk stands, what the schedules would launch at their next ticks. Prints the runs as one JSON document.

Usage: python -m fks_assets.supervisor.first_load URL
"""

import json
import sys

from fks_assets.errors import TradingError
from fks_assets.settings import load_settings

JOBS = ("critical_path", "signals")


def main() -> int:
    from fks_assets.resources.stores import Stores
    from fks_assets.supervisor.graphql import DeskApi
    from fks_assets.supervisor.launching import launch_behind

    stores = Stores(load_settings())
    api = DeskApi(sys.argv[1])
    try:
        launched = [run for job in JOBS if (run := launch_behind(api, stores, job)) is not None]
    except TradingError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps([{"run_id": run.run_id, "job": run.job} for run in launched]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
