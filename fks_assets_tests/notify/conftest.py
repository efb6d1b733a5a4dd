"""A server of hooks for each test."""

from collections.abc import Iterator

import pytest

from fks_assets_tests.notify.hooks import Hooks, hook_server


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    """A server of webhooks on a private port."""
    with hook_server() as server:
        yield server
