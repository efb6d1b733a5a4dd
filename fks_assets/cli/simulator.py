"""`fks simulate`."""

import typer


def register(app: typer.Typer) -> None:
    app.command()(simulate)


def simulate() -> None:
    """Serve a simulated exchange."""
