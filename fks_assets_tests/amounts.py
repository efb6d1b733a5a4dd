"""How much a test tries: less by day, so that all tests end within minutes, more at night (`make nightly`)."""

import os

IS_NIGHT = bool(os.environ.get("RANDOM_TESTS"))


def tries(by_day: int, at_night: int) -> int:
    """Return how many examples, kills or orders a test draws in this run."""
    return at_night if IS_NIGHT else by_day
