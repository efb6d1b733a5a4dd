"""`fks up`, `fks down`, `fks status`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from fks_assets.cli.arguments import JsonFlag, number
from fks_assets.errors import InvalidInput

ExchangeOption = Annotated[str | None, typer.Option("--exchange", help="simulated, binance, kraken or another of the settings.")]
PortOption = Annotated[
    int | None, typer.Option("--port", parser=number(1, 65535), metavar="PORT", help="Port of the web UI on 127.0.0.1.")
]


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    exchange: ExchangeOption = None,
    port: PortOption = None,
    load: Annotated[bool, typer.Option("--load/--no-load", help="Load what is missing at once, not at the next tick.")] = True,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is loaded; it goes on behind.")] = False,
) -> None:
    """Start the desk and keep it running until Ctrl-C."""
    if exchange is not None:
        os.environ["FKS_EXCHANGE"] = exchange
    if port is not None:
        os.environ["FKS_WEB_PORT"] = str(port)
    from fks_assets.settings import load_settings

    settings = load_settings()
    if detach:
        from fks_assets.supervisor.detached import run_detached

        raise typer.Exit(run_detached(settings, load=load))
    from fks_assets.supervisor.up import run_desk

    raise typer.Exit(run_desk(settings, load=load))


def down(
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", parser=number(1, 600, float), metavar="SECONDS", help="Seconds after which what is left is killed."
        ),
    ] = 90.0,
) -> None:
    """Stop the desk of this FKS_HOME and wait until nothing of it is left."""
    from fks_assets.settings import load_settings
    from fks_assets.supervisor.down import stop_desk

    print(stop_desk(load_settings().home, timeout))


def status(json: JsonFlag = False) -> None:
    """Show processes, ticks and runs of the last day, and how fresh the candles are. Exit 1 when something is wrong."""
    from fks_assets.cli.output import print_json
    from fks_assets.settings import load_settings
    from fks_assets.supervisor.status import read_status, show_status

    found = read_status(load_settings())
    if json:
        print_json(found.document())
    else:
        show_status(found)
    raise typer.Exit(0 if found.healthy else 1)


def running_url(home: Path) -> str:
    """Return the address of the running desk's web server; raise InvalidInput when no desk runs on this home."""
    from fks_assets.supervisor.state import read_state

    state = read_state(home)
    if state is None or not state.url:
        raise InvalidInput(f"no desk runs on FKS_HOME {home}: start it with `fks up`")
    return state.url
