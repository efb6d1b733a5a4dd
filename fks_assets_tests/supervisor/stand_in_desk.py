"""`fks up` with small stand-ins in place of Dagster and the database, to see how processes are handled. Run as a program.

The web server's place takes Python's own HTTP server; `worker` starts a grandchild in a session of its own, as a code server does
with its runs. STAND_IN names extra rows: `stubborn` ignores SIGTERM, `broken` ends at once with a message.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fks_assets.errors import TradingError
from fks_assets.settings import load_settings
from fks_assets.supervisor import ports
from fks_assets.supervisor.health import http_answers
from fks_assets.supervisor.loading import FirstLoad
from fks_assets.supervisor.parts import ChildProcess, Part, Service
from fks_assets.supervisor.services import Desk, child_environment, guard_service, python_module
from fks_assets.supervisor.up import run_desk

WORKER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
BROKEN = "import sys; sys.exit('the configuration is broken')"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@contextmanager
def stand_in_parts(desk: Desk, load: bool) -> Iterator[tuple[list[Part], FirstLoad | None]]:
    def web() -> list[str]:
        desk.web_port = ports.next_free(desk.web_port)
        return python_module("http.server", str(desk.web_port), "--bind", ports.HOST, "--directory", str(desk.home.logs))

    services = [
        guard_service(desk.token, desk.guard_pipe[0], desk.release_guard),
        Service("web", web, lambda: http_answers(desk.url), needs=("guard",), silent_seconds=1.0),
        Service("worker", lambda: python(WORKER), lambda: True, needs=("guard", "web")),
    ]
    patience = float(os.environ.get("STAND_IN_STOP_SECONDS", "1"))
    if "stubborn" in os.environ.get("STAND_IN", ""):
        services.append(Service("stubborn", lambda: python(STUBBORN), lambda: True, needs=("guard",), stop_seconds=patience))
    if "broken" in os.environ.get("STAND_IN", ""):
        services.append(Service("broken", lambda: python(BROKEN), lambda: True, needs=("guard",)))
    environment = child_environment(desk)
    yield [ChildProcess(service, environment, desk.home.log(service.name), desk.report) for service in services], None


if __name__ == "__main__":
    try:
        sys.exit(run_desk(load_settings(), load=False, open_parts=stand_in_parts))
    except TradingError as error:
        sys.exit(f"fks: {error}")
