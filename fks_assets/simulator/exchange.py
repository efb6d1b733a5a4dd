"""The simulated exchange: candles, clock, limits, faults and journal behind all endpoints."""

from dataclasses import dataclass, field

from fks_assets.simulator.clock import SimulatedClock
from fks_assets.simulator.faults import FaultPlan
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.journal import Journal
from fks_assets.simulator.limits import Limiter
from fks_assets.simulator.source import CandleSource, Dialect

MARKER = "fks-simulator"
ALL_DIALECTS: frozenset[Dialect] = frozenset({"binance", "kraken"})


@dataclass(slots=True)
class SimulatedExchange:
    """One exchange that answers in each of `dialects`."""

    source: CandleSource
    clock: SimulatedClock
    limiter: Limiter = field(default_factory=Limiter)
    faults: FaultPlan = field(default_factory=FaultPlan)
    journal: Journal = field(default_factory=Journal)
    dialects: frozenset[Dialect] = ALL_DIALECTS

    def listed(self) -> list[Instrument]:
        """Return the markets that were ever opened by now, halted ones included."""
        now = self.clock.now_ms()
        return [instrument for instrument in self.source.instruments.values() if instrument.is_listed(now)]

    def trading(self) -> list[Instrument]:
        """Return the markets that trade now."""
        now = self.clock.now_ms()
        return [instrument for instrument in self.source.instruments.values() if instrument.is_trading(now)]

    def marker(self) -> dict[str, str | int]:
        """Return what tells simulated data from real: it goes into every description of the exchange."""
        return {"simulator": MARKER, "data": self.source.description, "kind": self.source.kind, "seed": self.source.seed}
