"""A file that a part of the desk touches at each look: it tells `fks up` that the part works, also while no database answers."""

from pathlib import Path

from fks_assets.clock import now_ms

SENDER, WATCHDOG = "notify", "watchdog"


def show_alive(home: Path, part: str) -> None:
    """Say that a part of this home has looked just now."""
    file = _file(home, part)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch()


def is_alive(home: Path, part: str, *, within_seconds: float) -> bool:
    """Return whether a part of a home has looked within this time; a clock that was set back does not make it younger."""
    try:
        return abs(now_ms() - _file(home, part).stat().st_mtime * 1000) < within_seconds * 1000
    except OSError:
        return False


def _file(home: Path, part: str) -> Path:
    return home / "run" / part
