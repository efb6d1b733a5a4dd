"""A desk and a simulated exchange whose clocks stand still until a test moves both."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import sqlalchemy as sa

from fks_assets import clock
from fks_assets.assets.schedules import behind_request
from fks_assets.quant.markets import parse_market
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores import embedded
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets.stores.sync_status import SyncRecord, read_sync
from fks_assets_tests.desk import Desk, build_desk

SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "ADA-USDT")
HOUR_MS = 3_600_000
Rows = dict[int, tuple[float, ...]]


@dataclass
class StoppedDesk:
    """A desk of hourly candles; `now_ms` is the time of both clocks."""

    desk: Desk
    simulator: SimulatorClient
    now_ms: int

    def advance(self, hours: float) -> None:
        self.set_clock(self.now_ms + round(hours * HOUR_MS))

    def set_clock(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.simulator.set_clock(now=now_ms)

    def set_deadline(self, seconds: float) -> None:
        """Bound every call to the exchange from now on."""
        settings = self.desk.settings
        exchanges = {name: each.model_copy(update={"deadline_seconds": seconds}) for name, each in settings.exchanges.items()}
        self.desk.market_data.settings = settings.model_copy(update={"exchanges": exchanges})

    def clear(self) -> None:
        """Remove faults and skew, and forget what was asked so far on both sides."""
        self.simulator.remove_faults()
        self.simulator.set_clock(skew_seconds=0)
        self.simulator.forget_breaches()
        with self.desk.stores.database.transaction() as connection:
            connection.execute(sa.text("DELETE FROM rate_budgets"))

    def tick(self, prefixes: Sequence[str] = ("ohlcv",)) -> dg.ExecuteInProcessResult:
        """Run what a schedule would run now."""
        request = behind_request(self.desk.stores, prefixes)
        assert request is not None, "nothing is behind"
        months, names = request
        return self.desk.run(names, months, scheduled=True)

    def stored(self, symbol: str, start_ms: int = 0) -> Rows:
        table = self.desk.stores.candles.read_table("ohlcv", parse_market(f"{symbol}@simulated"), "1h")
        columns = [table[name].to_pylist() for name in ("open", "high", "low", "close", "volume")]
        rows = dict(zip(times_from_arrow(table["open_time"]).tolist(), zip(*columns, strict=True), strict=True))
        return {time: row for time, row in rows.items() if time >= start_ms}

    def truth(self, symbol: str, start_ms: int = 0) -> Rows:
        """Return what the simulator's oracle says of closed candles, from the first stored one on."""
        candles = self.simulator.candles(symbol, "1h", max(start_ms, min(self.stored("BTC-USDT"))))
        columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
        return dict(zip(candles.open_time.tolist(), zip(*(column.tolist() for column in columns), strict=True), strict=True))

    def status(self, symbol: str) -> SyncRecord:
        return read_sync(self.desk.stores.database, [parse_market(f"{symbol}@simulated")], ["1h"])[0]


@contextmanager
def database_of_a_module(postgres_home: Path, name: str) -> Iterator[str]:
    """Give the URL of an empty migrated database that lasts for a whole module."""
    directory = embedded.ensure_running(postgres_home)
    server = sa.create_engine(embedded.url_of(directory, "postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE fks_template"))
    yield embedded.url_of(directory, name)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def stopped_desk(
    home: Path,
    database_url: str,
    start_ms: int,
    *,
    history_days: int,
    symbols: Sequence[str] = SYMBOLS,
    timeframe: str = "1h",
    replay: Path | None = None,
    **values: str,
) -> Iterator[StoppedDesk]:
    """Give an empty desk whose local clock follows `now_ms`; `values` are further settings, {simulator} in them its address."""
    home.mkdir(exist_ok=True)
    with running_simulator(speed=0, start_ms=start_ms, replay=replay) as simulator, pytest.MonkeyPatch.context() as patch:
        desk = build_desk(
            home,
            database_url,
            simulator.url,
            symbols=symbols,
            TIMEFRAMES=timeframe,
            **{f"HISTORY_DAYS__{timeframe}": str(history_days)},
            **{name: value.replace("{simulator}", simulator.url) for name, value in values.items()},
        )
        stopped = StoppedDesk(desk, simulator, start_ms)
        patch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: stopped.now_ms * 1_000_000))
        yield stopped
