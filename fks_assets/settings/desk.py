"""Everything a desk can be told, as one validated object."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from fks_assets.clock import to_ms
from fks_assets.errors import InvalidInput
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.profile import ExchangeProfile, FundingProfile
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.idea_rules import IdeaRules
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.protections import Protection
from fks_assets.quant.risk_rules import RiskRules
from fks_assets.quant.strategies.registry import register_folder
from fks_assets.quant.timeframes import TIMEFRAMES, Timeframe, month_window, parse_timeframe
from fks_assets.settings.backtests import BacktestSettings
from fks_assets.settings.guard import GuardSettings
from fks_assets.settings.notifications import NotificationSettings
from fks_assets.settings.sections import (
    ExchangeSettings,
    GapSettings,
    MarketSettings,
    QualitySettings,
    RenameSettings,
    RetentionSettings,
    Section,
    SimulatorSettings,
    Tier,
    comma_separated,
    require,
)

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent

# Halts name the protection that wrote them, so it is a word of its own.
ProtectionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


def _month(value: str) -> str:
    month_window(value)
    return value


@dataclass(frozen=True, slots=True)
class HistorySegment:
    """A stretch of a market's history and the exchange symbol under which it is found."""

    symbol: str
    start_ms: int
    end_ms: int
    source: str


class Settings(Section):
    """Everything a desk can be told. Times in UTC, days and seconds as named."""

    home: Path = (PROJECT_ROOT if (PROJECT_ROOT / "workspace.yaml").is_file() else Path()) / ".fks"
    exchange: str
    first_month: Annotated[str, BeforeValidator(lambda value: _month(str(value)))]
    timeframes: Annotated[tuple[str, ...], BeforeValidator(comma_separated)]
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
    guard: GuardSettings = GuardSettings()
    ideas: IdeaRules = IdeaRules()
    backtests: BacktestSettings = BacktestSettings()
    notifications: NotificationSettings = NotificationSettings()
    risk: RiskRules = RiskRules()
    protections: dict[ProtectionName, Protection] = Field(default_factory=dict)
    accounts: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], AccountRules] = Field(default_factory=dict)
    strategies_folder: Path | None = None
    strategies: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        require(self.exchange in self.exchanges, f"exchange {self.exchange!r} is unknown; known: {', '.join(self.exchanges)}")
        require(len(self.timeframes) > 0, "timeframes is empty; give at least one")
        dialect = DIALECTS[self.exchanges[self.exchange].dialect]
        offered = [name for name in dialect.timeframes if name in TIMEFRAMES]
        for name in self.history_days:
            require(name in TIMEFRAMES, f"history_days: timeframe {name!r} is unknown; known: {', '.join(TIMEFRAMES)}")
        for name in self.timeframes:
            parse_timeframe(name)
            require(name in offered, f"timeframes: {self.exchange} has no {name!r}; it has {', '.join(offered)}")
            require(name in self.history_days, f"history_days lacks the timeframe {name!r}")
        symbols = [market.symbol for market in self.markets]
        repeated = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        require(not repeated, f"markets: {', '.join(repeated)} is listed more than once")
        for rename in self.renames:
            require(
                rename.old not in symbols,
                f"markets: {rename.old!r} became {rename.new!r} on {rename.since:%Y-%m-%d}; list that one",
            )
        second = self.quality.spike_exchange
        require(
            second is None or second in self.exchanges,
            f"quality.spike_exchange {second!r} is unknown; known: {', '.join(self.exchanges)}",
        )
        require(second != self.exchange, f"quality.spike_exchange {second!r} is the desk's own; name another one, or none")
        for name, account in self.accounts.items():
            exchange = self.account_exchange(name)
            require(
                exchange in self.exchanges,
                f"accounts.{name}.exchange {exchange!r} is unknown; known: {', '.join(self.exchanges)}",
            )
            quotes = sorted({symbol.split("-")[1] for symbol in symbols})
            require(
                account.quote in quotes, f"accounts.{name}.quote {account.quote!r} is not among the markets' {', '.join(quotes)}"
            )
        self.backtests.check(self.timeframes, symbols)
        require(bool(self.strategies), "strategies is empty; give at least one table, for example [strategies.technical]")
        # Nothing of the folder is run for the settings: a file that is broken may not keep anybody from halting the desk.
        register_folder(self.strategies_folder)
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

    def funding_profile(self) -> FundingProfile | None:
        """Return how the funding rates of the desk's exchange are reached, None where the settings name no API for them."""
        chosen = self.exchanges[self.exchange]
        if chosen.funding is None:
            return None
        return FundingProfile(self.exchange, chosen.funding, chosen.url, chosen.deadline_seconds, connections=chosen.connections)

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
