"""`fks run`, `fks runs`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, market_of, number

if TYPE_CHECKING:
    from fks_assets.supervisor.graphql import DeskApi, RunStatus

POLL_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(runs)


def run(
    job: Annotated[str, typer.Argument(metavar="JOB", help="critical_path, signals, risk, …; an unknown one lists them all.")],
    partition: Annotated[
        str | None,
        typer.Option(
            "--partition",
            metavar="KEY",
            help="MARKET|MONTH, DAY, DAY|STRATEGY, MONTH|STRATEGY, ACCOUNT, ACCOUNT|DAY, ACCOUNT|MONTH.",
        ),
    ] = None,
    market: Annotated[str | None, typer.Option("--market", help="One market instead of all.")] = None,
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="Not the open month.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 1 when it failed.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", parser=number(1, 86_400, float), metavar="SECONDS", help="Seconds to wait at most.")
    ] = 3600.0,
    json: JsonFlag = False,
) -> None:
    """Run a job of the running desk now: what is behind, or the partitions named."""
    from fks_assets.cli.desk import running_url
    from fks_assets.cli.output import print_json
    from fks_assets.errors import InvalidInput
    from fks_assets.settings import load_settings
    from fks_assets.supervisor.graphql import DeskApi, RunStatus
    from fks_assets.supervisor.launching import asked_range, launch_behind, launch_partitions

    settings = load_settings()
    if partition is not None and (market is not None or month is not None):
        raise InvalidInput(f"--partition {partition!r} goes without --market and --month")
    asked = None
    if partition is not None or market is not None or month is not None:
        asked = asked_range(settings, job, partition, None if market is None else market_of(market, settings), month)
    api = DeskApi(running_url(settings.home))
    if asked is None:
        from fks_assets.resources.stores import Stores

        launched = launch_behind(api, Stores(settings), job)
    else:
        launched = launch_partitions(api, job, asked)
    if launched is None:
        if json:
            print_json({"job": job, "run_id": None, "status": None, "url": None, "message": "nothing is behind"})
        else:
            print(f"{job}: nothing is behind")
        return
    url = f"{api.url}/runs/{launched.run_id}"
    if wait and not json:
        print(f"{job}: run {launched.run_id}  {url}", flush=True)
    status = _wait(api, launched.run_id, timeout) if wait else launched.status
    if json:
        print_json({"job": job, "run_id": launched.run_id, "status": status, "url": url, "message": None})
    else:
        print(f"{job}: {status}" if wait else f"{job}: {status}: run {launched.run_id}  {url}")
    raise typer.Exit(1 if wait and status is not RunStatus.SUCCESS else 0)


def _wait(api: "DeskApi", run_id: str, timeout: float) -> "RunStatus":
    from fks_assets.supervisor.graphql import RunStatus

    deadline = time.monotonic() + timeout
    while (status := api.run_status(run_id)) not in (RunStatus.SUCCESS, RunStatus.FAILURE) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return status


def runs(
    limit: Annotated[int, typer.Option("--limit", parser=number(1, 1000), metavar="ROWS", help="The newest runs to show.")] = 20,
    status: Annotated[str | None, typer.Option("--status", help="PENDING, STARTED, SUCCESS or FAILURE.")] = None,
    json: JsonFlag = False,
) -> None:
    """List the newest runs, whether or not the desk runs now."""
    from fks_assets.cli.output import print_json, print_table
    from fks_assets.errors import InvalidInput
    from fks_assets.settings import load_settings
    from fks_assets.supervisor.graphql import RunStatus

    if status is not None and status.upper() not in RunStatus.__members__:
        raise InvalidInput(f"--status {status!r} is unknown; known: {', '.join(RunStatus)}")
    settings = load_settings()
    from fks_assets.supervisor.history import recent_runs

    found = recent_runs(settings, limit, None if status is None else RunStatus(status.upper()))
    if json:
        print_json({"runs": [run.document() for run in found]})
        return
    columns = ("run", "job", "status", "partitions", "created", "seconds", "by")
    rows = [(run.run_id[:8], run.job, run.status, run.partitions, run.created_at, run.seconds, run.trigger) for run in found]
    print_table("Runs (UTC)", columns, rows, "none yet")
