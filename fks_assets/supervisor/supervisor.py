"""Keep a table of parts running, and stop them in order."""

import time
from collections.abc import Callable, Sequence

from fks_assets.supervisor.parts import Part, PartState

TICK_SECONDS = 0.2
CALM_SECONDS = 2.0


class Supervisor:
    """Starts parts when what they need is up, restarts those that die, and stops them in the opposite order.

    Everything happens in the thread that calls `run_until`: the kernel ties a child's life to the thread that started it.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        self._next_tick = 0.0

    @property
    def all_up(self) -> bool:
        return all(part.state is PartState.UP for part in self.parts)

    def tick(self) -> None:
        """Give each part its turn; returns within the parts' health checks."""
        for part in self.parts:
            up = {other.name for other in self.parts if other.state is PartState.UP}
            part.tick(all(name in up for name in part.needs))

    def run_until(self, done: Callable[[], bool], after_tick: Callable[[], None]) -> None:
        """Tick until `done`; often while something is not up, every two seconds otherwise."""
        while not done():
            if time.monotonic() >= self._next_tick:
                self.tick()
                after_tick()
                self._next_tick = time.monotonic() + (CALM_SECONDS if self.all_up else TICK_SECONDS)
            time.sleep(TICK_SECONDS)

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop every part, each after those that need it and within its own bound; kill the rest once `hurry` returns true."""
        running, asked = list(self.parts), set[str]()
        while running:
            needed = {name for part in running for name in part.needs}
            for part in running:
                if part.name not in needed and part.name not in asked:
                    part.ask_to_stop()
                    asked.add(part.name)
                if part.name in asked and hurry():
                    part.hurry()
            running = [part for part in running if part.name not in asked or not part.has_stopped()]
            time.sleep(0.05)
