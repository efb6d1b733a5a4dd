"""What a strategy may not depend on, made to differ or watched: the clock, random numbers, files and the network."""

import contextlib
import datetime
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

CODE_SUFFIXES = (".py", ".pyc", ".pyd", ".so", ".dll", ".nbi", ".nbc")
SYSTEM_PATHS = ("/proc/", "/sys/", "/dev/", "/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo/")
FORBIDDEN = {
    "socket.connect": "opened a connection",
    "socket.getaddrinfo": "looked up an address",
    "subprocess.Popen": "started a process",
    "os.system": "started a process",
    "os.posix_spawn": "started a process",
    "os.exec": "started a process",
    "os.fork": "started a process",
}


class Outside:
    """Notes in `touched` each file, connection and process that this process uses while it is watched.

    Code that is imported is left out, and what belongs to Python or to the system itself. The interpreter's audit events tell;
    they cannot be unsubscribed from, so this is for processes of one purpose.
    """

    def __init__(self) -> None:
        self.touched: list[str] = []
        self._watching = False
        self._own = tuple(f"{os.path.realpath(prefix)}{os.sep}" for prefix in (sys.prefix, sys.base_prefix))
        sys.addaudithook(self._heard)

    def watch(self) -> None:
        """Begin to take notes."""
        self._watching = True

    def close(self) -> None:
        """Take no more notes."""
        self._watching = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event in FORBIDDEN:
            self.touched.append(FORBIDDEN[event])
        elif event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.endswith(CODE_SUFFIXES) and not path.startswith((*SYSTEM_PATHS, *self._own)):
                self.touched.append(f"opened {path}")


@contextlib.contextmanager
def random_numbers(seed: int) -> Iterator[None]:
    """Let the shared generators of Python and NumPy begin at `seed`; give them back their state afterwards."""
    states = random.getstate(), np.random.get_state()
    random.setstate(random.Random(seed).getstate())  # noqa: S311
    np.random.set_state(np.random.RandomState(seed).get_state())
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextlib.contextmanager
def other_clock(seconds: float, modules: Iterable[str]) -> Iterator[None]:
    """Let `time`, `datetime`, pandas and the desk's own clock be so many seconds ahead, for the named modules as well as for
    whoever asks the module `time` or `datetime`.
    """
    replaced = _shifted(seconds)
    places: list[tuple[Any, str, Any]] = []
    for name in dict.fromkeys(("time", "datetime", "fks_assets.clock", *modules)):
        for key, value in list(vars(sys.modules[name]).items()) if name in sys.modules else ():
            places += [(sys.modules[name], key, new) for old, new in replaced if value is old]
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        places += [(pandas.Timestamp, key, new) for key, new in _shifted_timestamps(pandas, seconds).items()]
    before = [(owner, key, vars(owner)[key]) for owner, key, _ in places if key in vars(owner)]
    inherited = [(owner, key) for owner, key, _ in places if key not in vars(owner)]
    try:
        for owner, key, new in places:
            setattr(owner, key, new)
        yield
    finally:
        for owner, key, old in before:
            setattr(owner, key, old)
        for owner, key in inherited:
            delattr(owner, key)


def _shifted(seconds: float) -> list[tuple[Any, Any]]:
    """Return (original, replacement) of everything in `time` and `datetime` that tells the time."""
    real, real_date, shift = datetime.datetime, datetime.date, datetime.timedelta(seconds=seconds)

    class Dates(type(real_date)):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, cls.__bases__[0])

    class Datetime(real, metaclass=Dates):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return real.now(tz) + shift

        @classmethod
        def utcnow(cls) -> datetime.datetime:
            return real.now(datetime.UTC).replace(tzinfo=None) + shift

        @classmethod
        def today(cls) -> datetime.datetime:
            return real.now() + shift

    class Date(real_date, metaclass=Dates):
        @classmethod
        def today(cls) -> datetime.date:
            return (real.now() + shift).date()

    def later(clock: Callable[[], Any], by: Any) -> Callable[[], Any]:
        return lambda: clock() + by

    def at_later(function: Callable[..., Any]) -> Callable[..., Any]:
        wall = time.time
        return lambda at=None: function(wall() + seconds if at is None else at)

    strftime, localtime = time.strftime, at_later(time.localtime)
    return [
        (real, Datetime),
        (real_date, Date),
        *((clock, later(clock, seconds)) for clock in (time.time, time.monotonic, time.perf_counter)),
        *((clock, later(clock, round(seconds * 1e9))) for clock in (time.time_ns, time.monotonic_ns, time.perf_counter_ns)),
        *((clock, at_later(clock)) for clock in (time.localtime, time.gmtime, time.ctime)),
        (strftime, lambda text, at=None: strftime(text, localtime() if at is None else at)),
    ]


def _shifted_timestamps(pandas: Any, seconds: float) -> dict[str, Any]:
    now, shift = pandas.Timestamp.now, pandas.Timedelta(seconds=seconds)
    return {
        "now": staticmethod(lambda tz=None: now(tz) + shift),
        "today": staticmethod(lambda tz=None: now(tz) + shift),
        "utcnow": staticmethod(lambda: now("UTC") + shift),
    }
