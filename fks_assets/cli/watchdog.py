"""`fks watchdog`: raise the alarm when nobody guards the stops or the database does not answer."""

from typing import Annotated

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.clock import iso, now_ms


def register(app: typer.Typer) -> None:
    app.command()(watchdog)


def watchdog(
    once: Annotated[bool, typer.Option("--once", help="Look once, show what is found, alarm nobody.")] = False,
    json: JsonFlag = False,
) -> None:
    """Watch the stop guard and the database until stopped; `fks up` runs one. With --once: exit 1 when something is wrong."""
    from fks_assets.settings import load_settings
    from fks_assets.supervisor.watchdog import look_once, run_watchdog

    settings = load_settings()
    if not once and not json:
        run_watchdog(settings)
    from fks_assets.cli.output import print_json

    seen, problem = look_once(settings)
    if json:
        print_json(
            {
                "ok": problem is None,
                "problem": problem,
                "database": seen.fault is None,
                "heartbeat_at": iso(seen.heartbeat_ms),
                "open_positions": None if seen.fault is not None else seen.open_positions,
                "looked_at": iso(now_ms()),
            }
        )
    else:
        print(problem or f"{seen.open_positions} open positions; the stop guard was last seen at {iso(seen.heartbeat_ms)}")
    raise typer.Exit(0 if problem is None else 1)
