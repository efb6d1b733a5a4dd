"""Outlive the supervisor by a moment: when it dies, however it dies, end every process that it left behind. A program of its own.

Usage: python -m fks_assets.supervisor.guard TOKEN, with a pipe as standard input whose other end only the supervisor holds.
The pipe closes with the supervisor; then every process with the token in its environment is asked to stop and, later, killed.
"""

import os
import signal
import sys


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    from fks_assets.supervisor.sweep import sweep

    sweep(sys.argv[1])


if __name__ == "__main__":
    main()
