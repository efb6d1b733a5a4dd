"""Where the desk of a home is served, for whoever shows links to it."""

from pathlib import Path

from fks_assets.resources.reports import Addresses


def desk_addresses(home: Path) -> Addresses | None:
    """Return the addresses of the desk that runs on this home, None when none does."""
    from fks_assets.supervisor.state import read_state

    state = read_state(home)
    return None if state is None or not state.url else Addresses(state.url, state.reports_url)
