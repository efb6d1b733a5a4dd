"""The command line `fks`. Importing this loads nothing heavy: each command imports what it needs when it is called."""

from fks_assets.cli.application import app

__all__ = ["app"]
