"""What would have been different: signals, trades and figures of two runs over the same candles, side by side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fks_assets.clock import iso
from fks_assets.quant.backtest.results import BacktestResult, ExitReason, Trades
from fks_assets.quant.difference import ACTIONS
from fks_assets.quant.lookahead import columns_of, differing
from fks_assets.quant.performance import Performance
from fks_assets.quant.strategies.base import SignalColumns

JUDGED = ("action", "confidence", "stop", "target")


@dataclass(frozen=True, slots=True)
class SignalChange:
    """A signal that differs: action, confidence, stop and target in both, None for HOLD. `candle` is its open time (UTC ms)."""

    market: str
    candle: int
    production: Mapping[str, Any]
    shadow: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """Return it for a JSON document."""
        return {"candle": iso(self.candle), "market": self.market, "production": self.production, "shadow": self.shadow}


@dataclass(frozen=True, slots=True)
class TradeChange:
    """A trade that only the shadow has (`added`), only production (`removed`), or both with other values (`changed`)."""

    change: str
    market: str
    strategy: str
    side: str
    entry_time: int
    production: Mapping[str, Any] | None
    shadow: Mapping[str, Any] | None

    def document(self) -> dict[str, Any]:
        """Return it for a JSON document."""
        return {
            "change": self.change,
            "market": self.market,
            "strategy": self.strategy,
            "side": self.side,
            "entry_time": iso(self.entry_time),
            "production": self.production,
            "shadow": self.shadow,
        }


def signal_changes(market: str, open_time: np.ndarray, production: SignalColumns, shadow: SignalColumns) -> list[SignalChange]:
    """Return the rows in which two judgements of the same candles differ in what is traded; the reasons in words do not count."""
    old, new = columns_of(production), columns_of(shadow)
    rows = np.flatnonzero(np.logical_or.reduce([differing(old[name], new[name]) for name in JUDGED]))
    return [SignalChange(market, int(open_time[row]), _signal(old, row), _signal(new, row)) for row in rows]


def trade_changes(production: BacktestResult, shadow: BacktestResult) -> list[TradeChange]:
    """Return the trades that differ, by time of entry; two belong together by market, strategy, side and entry,
    partial exits in turn.
    """
    old, new = dict(_trades(production)), dict(_trades(shadow))
    changes = []
    for key in sorted({*old, *new}, key=lambda key: (key[3], key)):
        before, after = old.get(key), new.get(key)
        if before != after:
            change = "added" if before is None else "removed" if after is None else "changed"
            changes.append(TradeChange(change, *key[:4], before, after))
    return changes


def figures_side_by_side(production: Performance, shadow: Performance) -> dict[str, dict[str, float | None]]:
    """Return each figure of both runs, and their difference where both have one."""
    return side_by_side(production.document(), shadow.document())


def side_by_side(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return each figure by name of both, and their difference where both have one."""
    return {
        name: {
            "production": old[name],
            "shadow": new[name],
            "difference": new[name] - old[name] if _is_number(old[name]) and _is_number(new[name]) else None,
        }
        for name in old
    }


def _signal(columns: Mapping[str, np.ndarray], row: int) -> dict[str, Any]:
    action = int(columns["action"][row])
    return {"action": ACTIONS[action], **{name: float(columns[name][row]) if action else None for name in JUDGED[1:]}}


def _trades(result: BacktestResult) -> Iterator[tuple[tuple[str, str, str, int, int], dict[str, Any]]]:
    """Yield market, strategy, side, time of entry and place among the exits of the same entry, with what else a trade says."""
    trades: Trades = result.trades
    seen: dict[tuple[str, str, str, int], int] = {}
    told = [each.name for each in fields(Trades) if each.name not in ("market", "strategy", "leg", "side", "entry_time")]
    for row in range(len(trades)):
        side = "long" if trades.side[row] > 0 else "short"
        strategy = result.strategies[trades.strategy[row]]
        entry = result.markets[trades.market[row]], strategy, side, int(trades.entry_time[row])
        seen[entry] = seen.get(entry, -1) + 1
        values = {name: getattr(trades, name)[row].item() for name in told}
        values["exit_time"] = iso(values["exit_time"])
        values["exit_reason"] = ExitReason(values["exit_reason"]).name.lower()
        yield (*entry, seen[entry]), values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
