"""Recorded market data for tests: a directory `shared` beside the project root, or the one named by FKS_SHARED_DATA."""

import os
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parent.parent


def _find() -> Path | None:
    named = os.environ.get("FKS_SHARED_DATA")
    candidate = Path(named) if named else _PROJECT.parent / "shared"
    return candidate.resolve() if (candidate / "data").is_dir() else None


SHARED: Path | None = _find()
requires_shared = pytest.mark.skipif(
    SHARED is None,
    reason="recorded market data not found: put it into a directory 'shared' beside the project root or set FKS_SHARED_DATA",
)
