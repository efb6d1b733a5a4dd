"""Settings of the desk: desk.toml, then .env, then the environment (FKS_*); validated once, each error one clear line."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from fks_assets.clock import to_ms
from fks_assets.errors import InvalidInput, SettingsError
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.idea_rules import IdeaRules
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.strategies.registry import create_strategy, register_folder
from fks_assets.quant.timeframes import TIMEFRAMES, Timeframe, month_window, parse_timeframe

SHIPPED_DESK = Path(__file__).with_name("desk.toml")
PROJECT_ROOT = Path(__file__).resolve().parent.parent
# Read by whoever needs them, and never part of the settings: secrets and switches must not be printed or copied with them.
ENVIRONMENT_ONLY = frozenset({"desk", "shared_data", "nightly", "credential_key", "live", "crashpoint", "crashpoint_skip"})

Tier = Literal["TIER1", "TIER2", "TIER3", "TIER4"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _symbol(value: str) -> str:
    try:
        parse_market(f"{value}@x")
    except InvalidInput:
        raise ValueError(f"symbol {value!r} is not of the form BASE-QUOTE, for example BTC-USDT") from None
    return value


def _timeframe(value: str) -> str:
    return parse_timeframe(value).name


def _month(value: str) -> str:
    month_window(value)
    return value


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Symbol = Annotated[str, BeforeValidator(lambda value: _symbol(str(value)))]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _aware(moment: datetime | None, name: str) -> None:
    _require(moment is None or moment.tzinfo is not None, f"{name} {moment} needs a time zone, for example 2024-09-13T10:00:00Z")


class MarketSettings(_Section):
    """A market of the desk. `listed` and `delisted` say when it trades, where the exchange no longer tells."""

    symbol: Symbol
    group: Literal["mains", "alts"]
    tier: Tier
    listed: datetime | None = None
    delisted: datetime | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "MarketSettings":
        _aware(self.listed, "listed")
        _aware(self.delisted, "delisted")
        if self.listed and self.delisted:
            _require(self.listed < self.delisted, f"listed {self.listed} is not before delisted {self.delisted}")
        return self


class RenameSettings(_Section):
    """A symbol that became another one; the old symbol holds the history before `since`."""

    old: Symbol
    new: Symbol
    since: datetime

    @model_validator(mode="after")
    def _in_utc(self) -> "RenameSettings":
        _aware(self.since, "since")
        return self


class OutageSettings(_Section):
    """A time in which the whole exchange did not trade."""

    start: datetime
    end: datetime

    @model_validator(mode="after")
    def _in_order(self) -> "OutageSettings":
        _aware(self.start, "start")
        _aware(self.end, "end")
        _require(self.start < self.end, f"outage start {self.start} is not before its end {self.end}")
        return self


class ExchangeSettings(_Section):
    dialect: str
    outages: tuple[OutageSettings, ...] = ()
    url: str | None = None
    deadline_seconds: float = Field(15.0, gt=0, le=120)
    connections: int = Field(10, ge=1, le=100)

    @model_validator(mode="after")
    def _known(self) -> "ExchangeSettings":
        _require(self.dialect in DIALECTS, f"dialect {self.dialect!r} is unknown; known: {', '.join(DIALECTS)}")
        _require(
            self.url is None or self.url.startswith(("http://", "https://")),
            f"url {self.url!r} must begin with http:// or https://",
        )
        return self


class SimulatorSettings(_Section):
    seed: int = Field(7, ge=0)
    speed: float = Field(1.0, ge=0, le=100_000)
    replay: Path | None = None
    faults: Path | None = None


class RetentionSettings(_Section):
    """Days that things are kept. Candles are never deleted: they move to the cold store, where reads still find them."""

    candles: int = Field(365, ge=31, le=36_500)
    gap_records: int = Field(90, ge=1, le=36_500)


class GapSettings(_Section):
    """What the gap repair does where a run's configuration does not say."""

    lookback_days: int = Field(7, ge=1, le=36_500)
    max_gaps_per_asset: int = Field(10, ge=1, le=100_000)
    retry_minutes: int = Field(5, ge=1, le=1440)
    most_retry_hours: int = Field(24, ge=1, le=720)


class QualitySettings(_Section):
    """When candles are suspect. `spike_score` counts usual moves of the price (`quant/quality.py`)."""

    spike_score: float = Field(8.0, ge=4, le=1000)
    spike_exchange: str | None = None
    spike_tolerance: float = Field(0.02, gt=0, le=1)
    stuck_candles: int = Field(12, ge=3, le=10_000)
    revisions_per_day: int = Field(5, ge=0, le=10_000)
    lookback_candles: int = Field(500, ge=1, le=100_000)


@dataclass(frozen=True, slots=True)
class HistorySegment:
    """A stretch of a market's history and the exchange symbol under which it is found."""

    symbol: str
    start_ms: int
    end_ms: int
    source: str


class Settings(_Section):
    """Everything a desk can be told. Times in UTC, days and seconds as named."""

    home: Path = (PROJECT_ROOT if (PROJECT_ROOT / "workspace.yaml").is_file() else Path()) / ".fks"
    exchange: str
    first_month: Annotated[str, BeforeValidator(lambda value: _month(str(value)))]
    timeframes: Annotated[tuple[str, ...], BeforeValidator(_comma_separated)]
    closed_candle_grace_seconds: float = Field(2.0, ge=0, le=60)
    web_port: int = Field(3000, ge=1, le=65535)
    executor: Literal["in_process", "multiprocess", "celery", "k8s"] = "in_process"
    database_url: SecretStr | None = None
    candle_root: str | None = None
    cold_root: str | None = None
    reports_port: int = Field(3001, ge=1, le=65535)
    history_days: dict[str, Annotated[int, Field(ge=1, le=20_000)]]
    markets: tuple[MarketSettings, ...] = Field(min_length=1)
    renames: tuple[RenameSettings, ...] = ()
    exchanges: dict[Annotated[str, Field(pattern=r"^[a-z0-9]{1,20}$")], ExchangeSettings]
    simulator: SimulatorSettings = SimulatorSettings()
    retention: RetentionSettings = RetentionSettings()
    gaps: GapSettings = GapSettings()
    quality: QualitySettings = QualitySettings()
    ideas: IdeaRules = IdeaRules()
    accounts: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], AccountRules] = {}
    strategies_folder: Path | None = None
    strategies: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        _require(self.exchange in self.exchanges, f"exchange {self.exchange!r} is unknown; known: {', '.join(self.exchanges)}")
        _require(len(self.timeframes) > 0, "timeframes is empty; give at least one")
        dialect = DIALECTS[self.exchanges[self.exchange].dialect]
        offered = [name for name in dialect.timeframes if name in TIMEFRAMES]
        for name in self.history_days:
            _require(name in TIMEFRAMES, f"history_days: timeframe {name!r} is unknown; known: {', '.join(TIMEFRAMES)}")
        for name in self.timeframes:
            _timeframe(name)
            _require(name in offered, f"timeframes: {self.exchange} has no {name!r}; it has {', '.join(offered)}")
            _require(name in self.history_days, f"history_days lacks the timeframe {name!r}")
        symbols = [market.symbol for market in self.markets]
        repeated = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        _require(not repeated, f"markets: {', '.join(repeated)} is listed more than once")
        for rename in self.renames:
            _require(
                rename.old not in symbols,
                f"markets: {rename.old!r} became {rename.new!r} on {rename.since:%Y-%m-%d}; list that one",
            )
        second = self.quality.spike_exchange
        _require(
            second is None or second in self.exchanges,
            f"quality.spike_exchange {second!r} is unknown; known: {', '.join(self.exchanges)}",
        )
        _require(second != self.exchange, f"quality.spike_exchange {second!r} is the desk's own; name another one, or none")
        for name, account in self.accounts.items():
            exchange = self.account_exchange(name)
            _require(
                exchange in self.exchanges,
                f"accounts.{name}.exchange {exchange!r} is unknown; known: {', '.join(self.exchanges)}",
            )
            quotes = sorted({symbol.split("-")[1] for symbol in symbols})
            _require(
                account.quote in quotes, f"accounts.{name}.quote {account.quote!r} is not among the markets' {', '.join(quotes)}"
            )
        try:
            register_folder(self.strategies_folder)
        except InvalidInput as error:
            raise ValueError(f"strategies_folder: {error}") from None
        _require(bool(self.strategies), "strategies is empty; give at least one table, for example [strategies.technical]")
        for name, values in self.strategies.items():
            try:
                create_strategy(name, values)
            except InvalidInput as error:
                raise ValueError(f"strategies: {error}") from None
        return self

    def account_exchange(self, name: str) -> str:
        """Return the exchange on which an account of the settings trades."""
        return self.accounts[name].exchange or self.exchange

    @property
    def candle_location(self) -> str:
        """The root of the candle store: a directory, or a URL such as s3://bucket/candles."""
        return self.candle_root or str(self.home / "candles")

    @property
    def cold_location(self) -> str:
        """The root of archived candles: a directory, or a URL such as s3://bucket/cold."""
        return self.cold_root or str(self.home / "cold")

    @property
    def reports_directory(self) -> Path:
        """Where reports for people are written, as HTML."""
        return self.home / "reports"

    @property
    def grace_ms(self) -> int:
        return round(self.closed_candle_grace_seconds * 1000)

    @property
    def is_simulated(self) -> bool:
        return self.exchange == "simulated"

    @cached_property
    def _by_market(self) -> dict[Market, MarketSettings]:
        return {parse_market(f"{market.symbol}@{self.exchange}"): market for market in self.markets}

    def market_list(self) -> list[Market]:
        """Return the desk's markets in the order of the settings."""
        return list(self._by_market)

    def is_desk_market(self, market: Market) -> bool:
        """Return whether a market is one of the desk's."""
        return market in self._by_market

    def market_settings(self, market: Market) -> MarketSettings:
        """Return what the settings say of a market of the desk. Raises InvalidInput for any other."""
        if market not in self._by_market:
            raise InvalidInput(f"market {market} is not one of the desk's; they are {', '.join(map(str, self._by_market))}")
        return self._by_market[market]

    def tiers(self) -> dict[Market, Tier]:
        """Return the tier of each market, in the order of the settings."""
        return {market: known.tier for market, known in self._by_market.items()}

    def timeframe_list(self) -> list[Timeframe]:
        return [parse_timeframe(name) for name in self.timeframes]

    def exchange_profile(self, exchange: str | None = None) -> ExchangeProfile:
        """Return how one of the exchanges of the settings is reached; None is the desk's own."""
        name = exchange or self.exchange
        chosen = self.exchanges[name]
        return ExchangeProfile(
            name=name,
            dialect=chosen.dialect,
            base_url=chosen.url,
            deadline_seconds=chosen.deadline_seconds,
            connections=chosen.connections,
        )

    def history_segments(self, market: Market, start_ms: int, end_ms: int) -> Iterator[HistorySegment]:
        """Yield the stretches of [start_ms, end_ms) with the exchange symbol that holds each, oldest first."""
        symbol = f"{market.base}-{market.quote}"
        segments: list[HistorySegment] = []
        while end_ms > start_ms:
            rename = next((rename for rename in self.renames if rename.new == symbol and to_ms(rename.since) < end_ms), None)
            begin = max(start_ms, to_ms(rename.since)) if rename else start_ms
            source = "exchange" if symbol == f"{market.base}-{market.quote}" else symbol
            segments.append(HistorySegment(symbol.replace("-", "/"), begin, end_ms, source))
            if rename is None:
                break
            symbol, end_ms = rename.old, begin
        yield from reversed(segments)


def read_settings(environment: Mapping[str, str], directory: Path) -> Settings:
    """Return the settings that a process with this environment and working directory has.

    Raises SettingsError, one line naming file, key and value, for anything unknown, malformed or out of bounds.
    """
    dotenv_file = directory / ".env"
    dotenv = {key: value or "" for key, value in dotenv_values(dotenv_file).items()} if dotenv_file.is_file() else {}
    desk_file = Path(environment.get("FKS_DESK") or dotenv.get("FKS_DESK") or SHIPPED_DESK)
    try:
        values = tomllib.loads(desk_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{desk_file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{desk_file}: is not valid TOML: {error}") from None
    origins: dict[tuple[str, ...], str] = {}
    for name, source in ((".env", dotenv), ("environment", environment)):
        for key, value in source.items():
            if key.startswith("FKS_"):
                _overlay(values, tuple(key[4:].split("__")), value, origins, f"{name}: {key}")
    if isinstance(folder := values.get("strategies_folder"), str):
        values["strategies_folder"] = str((directory / Path(folder).expanduser()).resolve())
    try:
        settings = Settings.model_validate(values)
        return settings.model_copy(update={"home": (directory / settings.home.expanduser()).resolve()})
    except ValidationError as error:
        raise SettingsError(_one_line(error, desk_file, origins)) from None


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Return this process's settings, read once."""
    return read_settings(os.environ, Path.cwd())


def _overlay(values: dict[str, Any], path: tuple[str, ...], value: str, origins: dict[tuple[str, ...], str], origin: str) -> None:
    path = (path[0].lower(), *(part if part in TIMEFRAMES else part.lower() for part in path[1:]))
    if path[0] in ENVIRONMENT_ONLY or path[0].startswith("api_"):
        return
    if path[0] not in Settings.model_fields:
        raise SettingsError(
            f"{origin}: unknown setting; known: {', '.join(sorted(f'FKS_{name.upper()}' for name in Settings.model_fields))}"
        )
    table = values
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{origin}: {part!r} is not a table")
    table[path[-1]] = _scalar(value) if path[0] == "strategies" else value
    origins[path] = origin


def _scalar(value: str) -> Any:
    """Return the number or truth value that the text is in TOML, else the text: strategies take no text for a number."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _one_line(error: ValidationError, desk_file: Path, origins: Mapping[tuple[str, ...], str]) -> str:
    first = error.errors(include_url=False)[0]
    location = tuple(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if not location:
        named = next((path for path in origins if message.startswith(path[0])), None)
        return f"{origins[named] if named else desk_file}: {message}"
    origin = next((text for path, text in origins.items() if location[: len(path)] == path), None)
    if first["type"] == "extra_forbidden":
        return f"{origin or desk_file}: {'.'.join(location)}: unknown key"
    shown = "" if "secret" in first["type"] or "url" in location[-1] else f" (value: {first['input']!r})"
    return f"{origin or desk_file}: {'.'.join(location)}: {message}{shown if first['type'] != 'missing' else ''}"
