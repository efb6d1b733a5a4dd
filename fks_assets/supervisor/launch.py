"""Become another program that does not outlive its starter. Run as a script; imports only what starts in milliseconds.

Usage: launch.py PARENT_PID PROGRAM [ARGUMENT…]. On Linux the kernel sends SIGTERM when the parent dies, even by kill -9;
elsewhere the guard process alone sees to that.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(f"{program[0]}: the process that asked for it is gone")
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main()
