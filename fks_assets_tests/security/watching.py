"""A look at every process of the machine, several times a second, as any of its users may have one."""

import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# What is in the command line of a process of the desk, and which one it is then.
_KINDS = {
    "supervisor.guard": "guard",
    "cli simulate": "simulator",
    "reports_server": "reports",
    "embedded_keeper": "keeper",
    "dagster_webserver": "web-server",
    "supervisor.daemon": "daemon",
    "code-server": "code-server",
    "api grpc": "code-server",
    "multiprocessing": "run",
    "fks_assets.cli": "command",
}


@dataclass
class Watch(threading.Thread):
    """Collects command lines, and of the desk of `home` environments and limits of cores, by what the process is."""

    home: Path
    command_lines: set[str] = field(default_factory=set)
    environments: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    cores: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self.over.wait(0.2):
            self.look()

    def look(self) -> None:
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                line = " ".join(process.cmdline())
                self.command_lines.add(line)
                environment = process.environ()
                if environment.get("FKS_HOME") == str(self.home) or str(self.home) in line:
                    name = kind_of(line)
                    self.environments[name].add("\n".join(f"{key}={value}" for key, value in environment.items()))
                    limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
                    self.cores[name].add(next(limit.split()[4] for limit in limits if limit.startswith("Max core")))

    def stop(self) -> None:
        self.over.set()
        self.join(30)


def kind_of(line: str) -> str:
    """Return which process of the desk a command line belongs to."""
    return next((kind for part, kind in _KINDS.items() if part in line), line[:60])
