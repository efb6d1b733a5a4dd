"""The simulated exchange: candles, clock, limits, faults, journal and trading behind all endpoints."""

from dataclasses import dataclass, field

from fks_assets.simulator.clock import SimulatedClock
from fks_assets.simulator.faults import FaultPlan
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.journal import Journal
from fks_assets.simulator.limits import Limiter
from fks_assets.simulator.source import CandleSource
from fks_assets.simulator.trading.core import TradingCore

MARKER = "fks-simulator"
ALL_DIALECTS: frozenset[str] = frozenset({"binance", "kraken", "wallex", "nobitex"})


@dataclass(slots=True)
class SimulatedExchange:
    """One exchange that answers in each of `dialects`; `frozen` names markets whose public data stand still, and since when."""

    source: CandleSource
    clock: SimulatedClock
    limiter: Limiter = field(default_factory=Limiter)
    faults: FaultPlan = field(default_factory=FaultPlan)
    journal: Journal = field(default_factory=Journal)
    dialects: frozenset[str] = ALL_DIALECTS
    frozen: dict[str, int] = field(default_factory=dict)
    trading: TradingCore = field(init=False)

    def __post_init__(self) -> None:
        self.trading = TradingCore(self.source, self.clock)

    def listed(self) -> list[Instrument]:
        """Return the markets that were ever opened by now, halted ones included."""
        now = self.clock.now_ms()
        return [instrument for instrument in self.source.instruments.values() if instrument.is_listed(now)]

    def open_markets(self) -> list[Instrument]:
        """Return the markets that trade now."""
        return [instrument for instrument in self.source.instruments.values() if self.trading.is_trading(instrument)]

    def seen_ms(self, instrument: Instrument) -> int:
        """Return the time up to which a market's public data go: now, or when it was halted or its feed frozen."""
        now, symbol = self.clock.now_ms(), instrument.symbol
        return min(now, self.frozen.get(symbol, now), self.trading.halted.get(symbol, now))

    def marker(self) -> dict[str, str | int]:
        """Return what tells simulated data from real: it goes into every description of the exchange."""
        return {"simulator": MARKER, "data": self.source.description, "kind": self.source.kind, "seed": self.source.seed}
