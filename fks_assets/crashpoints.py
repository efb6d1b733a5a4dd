"""Named points at which a test lets the process die, as by a power cut. Without FKS_CRASHPOINT they do nothing."""

import os
import signal

_passed = 0


def crashpoint(name: str) -> None:
    """Kill this process with SIGKILL if FKS_CRASHPOINT names this point; FKS_CRASHPOINT_SKIP=n lets it pass n times before."""
    if os.environ.get("FKS_CRASHPOINT") != name:
        return
    global _passed
    _passed += 1
    if _passed > int(os.environ.get("FKS_CRASHPOINT_SKIP") or 0):
        os.kill(os.getpid(), signal.SIGKILL)
