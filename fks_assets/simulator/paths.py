"""Price paths that can be entered anywhere: fixed anchors every 256 days, and an hourly path pinned between two of them.

One path is the common factor with regimes and crashes; every market adds its own. Volatility is the product of slow and fast
noises, so quiet and wild stretches cluster; sharp single hours give the fat tails.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from fks_assets.simulator.intervals import BLOCK_MS, HOUR_MS
from fks_assets.simulator.randomness import generator

HOURS = BLOCK_MS // HOUR_MS
_REGIME_HOURS = 32 * 24
_FACTOR_HOURLY_VOLATILITY = 0.0046
_NOISES = ((6, 0.22), (24, 0.28), (96, 0.3), (768, 0.22))


class Regime(IntEnum):
    RANGE = 0
    BULL = 1
    BEAR = 2
    CRASH = 3


_REGIME_ODDS = (0.4, 0.35, 0.25)
_DAILY_DRIFT = {Regime.RANGE: 0.0, Regime.BULL: 0.006, Regime.BEAR: -0.007}
_REGIME_VOLATILITY = {Regime.RANGE: 0.75, Regime.BULL: 1.0, Regime.BEAR: 1.2}
_CRASH_CHANCE = 0.14


@dataclass(frozen=True, slots=True)
class Path:
    """A block of one path: `level` (HOURS + 1 log prices at the hours' ends), `volatility` and `regime` (HOURS each)."""

    level: np.ndarray
    volatility: np.ndarray
    regime: np.ndarray


def anchor(seed: int, name: str, block: int, spread: float) -> float:
    """Return the log level of a path at the start of a block."""
    return float(generator(seed, "anchor", name, block).normal(0.0, spread))


def clustered(random: np.random.Generator) -> np.ndarray:
    """Return HOURS multipliers around 1 that change slowly: volatility clusters."""
    hours = np.arange(HOURS)
    logs = np.zeros(HOURS)
    for period, size in _NOISES:
        knots = np.arange(0, HOURS + period, period)
        logs += size * np.interp(hours, knots, random.normal(size=len(knots)))
    return np.exp(logs)


def pin(start: float, end: float, steps: np.ndarray) -> np.ndarray:
    """Return len(steps) + 1 levels that begin at `start`, follow the steps and are bent evenly to arrive at `end`."""
    path = np.concatenate(([0.0], np.cumsum(steps)))
    path += start + (end - start - path[-1]) * np.linspace(0.0, 1.0, len(path))
    path[0], path[-1] = start, end
    return path


def factor_path(seed: int, block: int) -> Path:
    """Return a block of the common factor."""
    random = generator(seed, "factor", block)
    regime = np.empty(HOURS, np.int8)
    drift = np.empty(HOURS)
    volatility = _FACTOR_HOURLY_VOLATILITY * clustered(random)
    for first in range(0, HOURS, _REGIME_HOURS):
        cell = slice(first, first + _REGIME_HOURS)
        kind = Regime(int(random.choice(3, p=_REGIME_ODDS)))
        regime[cell] = kind
        drift[cell] = _DAILY_DRIFT[kind] / 24 * random.uniform(0.5, 1.5)
        volatility[cell] *= _REGIME_VOLATILITY[kind]
        if random.random() < _CRASH_CHANCE:
            _crash(random, regime[cell], drift[cell], volatility[cell])
    steps = drift + volatility * np.exp(random.normal(-0.06, 0.35, HOURS)) * random.normal(size=HOURS)
    return Path(pin(anchor(seed, "factor", block, 0.3), anchor(seed, "factor", block + 1, 0.3), steps), volatility, regime)


def own_path(seed: int, name: str, block: int, hourly_volatility: float, common: np.ndarray) -> Path:
    """Return a block of what one market does by itself; `common` are the factor's volatilities, which it partly shares."""
    random = generator(seed, "own", name, block)
    volatility = hourly_volatility * clustered(random) * np.sqrt(common / _FACTOR_HOURLY_VOLATILITY)
    steps = volatility * np.exp(random.normal(-0.06, 0.35, HOURS)) * random.normal(size=HOURS)
    ends = (anchor(seed, name, number, 0.2) for number in (block, block + 1))
    return Path(pin(*ends, steps), volatility, np.zeros(HOURS, np.int8))


def _crash(random: np.random.Generator, regime: np.ndarray, drift: np.ndarray, volatility: np.ndarray) -> None:
    """Change a cell in place: a fall of 12-35 % within 6-36 hours, a partial rebound, volatility that fades over days."""
    length = int(random.integers(6, 37))
    start = int(random.integers(0, _REGIME_HOURS - length - 240))
    fall = -np.log(1 - random.uniform(0.12, 0.35))
    fallen = slice(start, start + length)
    regime[fallen] = Regime.CRASH
    drift[fallen] = -fall / length
    drift[start + length : start + length + 120] += fall * random.uniform(0.2, 0.5) / 120
    after = np.arange(_REGIME_HOURS) - start
    volatility *= 1 + 2.5 * np.where(after < 0, 0.0, np.exp(-np.maximum(after - length, 0) / 48))
