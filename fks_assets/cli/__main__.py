"""`python -m fks_assets.cli` is `fks`."""

from fks_assets.cli import app

if __name__ == "__main__":
    app()
