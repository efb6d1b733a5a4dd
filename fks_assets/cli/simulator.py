"""`fks simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from fks_assets.cli.arguments import number, time_of
from fks_assets.errors import InvalidInput

DIALECTS = ("binance", "kraken", "wallex", "nobitex")
_Replay = Annotated[Path | None, typer.Option("--replay", metavar="DIR", help="Serve the recorded candles of a directory.")]
_Faults = Annotated[Path | None, typer.Option("--faults", metavar="FILE", help="Fault rules, TOML or JSON.")]
_Speed = Annotated[
    float | None,
    typer.Option(
        "--speed", parser=number(0, 100_000, float), metavar="X", help="Simulated seconds in a real one; 0 stands still."
    ),
]
_Start = Annotated[str | None, typer.Option("--start", metavar="TIME", help="Simulated time to begin with (UTC).")]


def register(app: typer.Typer) -> None:
    app.command()(simulate)


def simulate(
    replay: _Replay = None,
    port: Annotated[
        int, typer.Option("--port", parser=number(0, 65535), metavar="PORT", help="On 127.0.0.1; 0 takes any free port.")
    ] = 8787,
    seed: Annotated[
        int | None, typer.Option("--seed", parser=number(0, 2**63 - 1), metavar="N", help="Which generated market.")
    ] = None,
    faults: _Faults = None,
    speed: _Speed = None,
    start: _Start = None,
    dialect: Annotated[
        str | None, typer.Option("--dialect", help="binance, kraken, wallex or nobitex; all if not given.")
    ] = None,
) -> None:
    """Serve a simulated exchange until Ctrl-C. What is not given comes from the settings."""
    from fks_assets.settings import load_settings
    from fks_assets.simulator.serve_command import run_simulator

    if dialect is not None and dialect not in DIALECTS:
        raise InvalidInput(f"--dialect {dialect!r} is unknown; known: {', '.join(DIALECTS)}")
    settings = load_settings().simulator
    run_simulator(
        replay=replay or settings.replay,
        port=port,
        seed=settings.seed if seed is None else seed,
        faults=faults or settings.faults,
        speed=settings.speed if speed is None else speed,
        start_ms=time_of(start, "--start"),
        dialect=dialect,
    )
