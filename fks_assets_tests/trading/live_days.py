"""A desk that lives through one UTC day of 4 hour candles, tick by tick, with a strategy of the user's folder.

The strategy says BUY when the close rose by more than `least` since the candle before, SELL when it fell by as much.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest

from fks_assets import clock
from fks_assets.clock import to_ms
from fks_assets.definitions import build_definitions
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import month_of, month_window, months_between
from fks_assets.settings import read_settings
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.trading.desks import HOUR, walk

STEP = 4 * HOUR
DAY = "2026-03-12"
MIDNIGHT = to_ms(datetime(2026, 3, 12, tzinfo=UTC))
HISTORY = 620
CODE = '''
import numpy as np
from pydantic import Field

from fks_assets.quant.strategies.base import Parameters, SignalColumns, Strategy


class MoverParameters(Parameters):
    least: float = Field(0.0, ge=0, le=1)


class Mover(Strategy[MoverParameters]):
    """Follows the last move."""

    name = "mover"
    parameters_model = MoverParameters
    required_columns = ("atr_14",)

    def judge(self, candles, indicators):
        close = candles.close
        change = np.append(0.0, close[1:] / close[:-1] - 1)
        action = np.where(np.abs(change) > self.parameters.least, np.sign(change), 0).astype(np.int8){twist}
        return SignalColumns(
            action, np.full(len(close), 0.9), close * (1 - 0.05 * action), close * (1 + 0.1 * action),
            np.zeros(len(close), np.int16), ("it moved",),
        )
'''


@dataclass
class LiveDay:
    """The desk, its clock, and the candles as the exchange has them; the last 6 close on the day, the first at its midnight.

    `values` are settings as the environment would give them.
    """

    home: Path
    database_url: str
    monkeypatch: pytest.MonkeyPatch
    values: Mapping[str, str] = field(default_factory=dict)
    desk: Desk = field(init=False)
    candles: Candles = field(init=False)

    def __post_init__(self) -> None:
        (self.home / "own").mkdir()
        build_desk(self.home, self.database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
        toml = self.home / "desk.toml"
        text = toml.read_text(encoding="utf-8").replace(
            'executor = "in_process"', 'executor = "in_process"\nstrategies_folder = "own"'
        )
        text = text.replace("[strategies.technical]\n", "").replace("[strategies.breakout]\n", "")
        toml.write_text(text + "[strategies.mover]\n", encoding="utf-8")
        self.load_code("")
        rows = HISTORY + 6
        self.candles = walk(MIDNIGHT - (HISTORY + 1) * STEP, rows, seed=11, step_ms=STEP)

    @property
    def market(self) -> Market:
        (market,) = self.desk.settings.market_list()
        return market

    @property
    def opens(self) -> list[int]:
        """The open times of the candles of the day's six decisions."""
        return self.candles.open_time[-6:].tolist()

    def load_code(self, twist: str) -> None:
        """Let the desk run with this change of the strategy's code, as after a restart."""
        (self.home / "own" / "mover.py").write_text(CODE.replace("{twist}", twist), encoding="utf-8")
        environment = {
            "FKS_DESK": str(self.home / "desk.toml"), "FKS_HOME": str(self.home), "FKS_DATABASE_URL": self.database_url,
            "FKS_TIMEFRAMES": "4h", "FKS_FIRST_MONTH": "2025-11", "FKS_HISTORY_DAYS__4h": "100", **self.values,
        }  # fmt: skip
        settings = read_settings(environment, self.home)
        self.desk = Desk(settings, build_definitions(settings), dg.DagsterInstance.ephemeral())

    def stand_at(self, moment_ms: int) -> None:
        self.monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: moment_ms * 1_000_000))

    def arrives(self, candles: Candles) -> None:
        """Store candles as known now."""
        for month in months_between(int(candles.open_time[0]), int(candles.open_time[-1]) + 1):
            part = candles.between(*month_window(month))
            partition = PartitionId("ohlcv", self.market, "4h", month)
            with self.desk.stores.candles.begin([partition]) as transaction:
                transaction.merge(partition, candles_table([(part, "exchange")]), known_at_ms=clock.now_ms())

    def derive(self) -> None:
        """Let the tick of the signals come, over the newest two months."""
        newest = int(self.candles.open_time[-1])
        months = [month_of(newest - 40 * 24 * HOUR), month_of(newest)]
        assert self.desk.run(["indicators_4h", "signals_4h"], months, scheduled=True).success

    def live(self, *, missing: Sequence[int] = (), between: Callable[[int], None] = lambda place: None) -> None:
        """Live through the day: each candle arrives as it closes, but for the `missing` ones (0 to 5), and signals are derived a
        minute later. `between` is called after each with its number.
        """
        first = len(self.candles) - 6
        self.stand_at(int(self.candles.open_time[first]) + 60_000)
        self.arrives(self.candles.slice(0, first))
        months = months_between(int(self.candles.open_time[0]), MIDNIGHT)
        assert self.desk.run(["indicators_4h", "signals_4h"], months, scheduled=True).success
        for place in range(6):
            self.stand_at(self.opens[place] + STEP + 60_000)
            if place not in missing:
                self.arrives(self.candles.slice(first + place, first + place + 1))
            self.derive()
            between(place)

    def restate(self, place: int, close: float) -> None:
        """Let the exchange restate a candle of the day, here and in `candles`."""
        row = len(self.candles) - 6 + place
        columns = {name: getattr(self.candles, name).copy() for name in ("open", "high", "low", "close")}
        columns["close"][row] = close
        columns["high"][row] = max(columns["high"][row], close)
        columns["low"][row] = min(columns["low"][row], close)
        self.candles = replace(self.candles, **columns)
        self.arrives(self.candles.slice(row, row + 1))

    def moves(self) -> list[int]:
        """What the strategy ought to say of the day's candles as they are now, with `least` 0: the sign of each move."""
        return np.sign(np.diff(self.candles.close[-7:])).astype(int).tolist()

    def compare(self, *, scheduled: bool = True) -> dg.ExecuteInProcessResult:
        """Run the job of the day after, at half past midnight."""
        self.stand_at(MIDNIGHT + 24 * HOUR + 30 * 60_000)
        tags = {"dagster/asset_partition_range_start": f"{DAY}|mover", "dagster/asset_partition_range_end": f"{DAY}|mover"}
        result = self.desk.definitions.resolve_job_def("differences").execute_in_process(
            instance=self.desk.instance,
            tags=tags | ({"dagster/schedule_name": "differences_schedule"} if scheduled else {}),
            raise_on_error=False,
        )
        assert result.success
        return result

    def found(self) -> dict[int, tuple[str, str, str]]:
        """Return (cause, live, backtest) of what the newest comparison found, by the number of the candle."""
        [event, *_] = self.desk.events("live_backtest_difference")
        rows = event.metadata["differences"].records if "differences" in event.metadata else []
        places = {clock.iso(opened): place for place, opened in enumerate(self.opens)}
        return {
            places[row.data["candle"]]: (row.data["cause"], row.data["live"].split()[0], row.data["backtest"].split()[0])
            for row in rows
        }
