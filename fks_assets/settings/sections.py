"""The tables of desk.toml, but for those that the rules of the desk describe themselves."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fks_assets.errors import InvalidInput
from fks_assets.exchanges.dialects import DIALECTS, FUNDING_APIS
from fks_assets.quant.markets import parse_market

Tier = Literal["TIER1", "TIER2", "TIER3", "TIER4"]


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def comma_separated(value: Any) -> Any:
    """Return the parts of a text, as the environment gives them; anything else as it is."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _symbol(value: str) -> str:
    try:
        parse_market(f"{value}@x")
    except InvalidInput:
        raise ValueError(f"symbol {value!r} is not of the form BASE-QUOTE, for example BTC-USDT") from None
    return value


Symbol = Annotated[str, BeforeValidator(lambda value: _symbol(str(value)))]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _aware(moment: datetime | None, name: str) -> None:
    require(moment is None or moment.tzinfo is not None, f"{name} {moment} needs a time zone, for example 2024-09-13T10:00:00Z")


class MarketSettings(Section):
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
            require(self.listed < self.delisted, f"listed {self.listed} is not before delisted {self.delisted}")
        return self


class RenameSettings(Section):
    """A symbol that became another one; the old symbol holds the history before `since`."""

    old: Symbol
    new: Symbol
    since: datetime

    @model_validator(mode="after")
    def _in_utc(self) -> "RenameSettings":
        _aware(self.since, "since")
        return self


class OutageSettings(Section):
    """A time in which the whole exchange did not trade."""

    start: datetime
    end: datetime

    @model_validator(mode="after")
    def _in_order(self) -> "OutageSettings":
        _aware(self.start, "start")
        _aware(self.end, "end")
        require(self.start < self.end, f"outage start {self.start} is not before its end {self.end}")
        return self


class ExchangeSettings(Section):
    """How an exchange is reached. `funding` names the API that gives the funding rates of its perpetual markets; None: no API."""

    dialect: str
    funding: str | None = None
    outages: tuple[OutageSettings, ...] = ()
    url: str | None = None
    deadline_seconds: float = Field(15.0, gt=0, le=120)
    connections: int = Field(10, ge=1, le=100)

    @model_validator(mode="after")
    def _known(self) -> "ExchangeSettings":
        require(self.dialect in DIALECTS, f"dialect {self.dialect!r} is unknown; known: {', '.join(DIALECTS)}")
        require(
            self.funding is None or self.funding in FUNDING_APIS,
            f"funding {self.funding!r} is unknown; known: {', '.join(FUNDING_APIS)}",
        )
        require(
            self.url is None or self.url.startswith(("http://", "https://")),
            # The address may hold a password.
            "url must begin with http:// or https://",
        )
        return self


class SimulatorSettings(Section):
    seed: int = Field(7, ge=0)
    speed: float = Field(1.0, ge=0, le=100_000)
    replay: Path | None = None
    faults: Path | None = None


class RetentionSettings(Section):
    """Days that things are kept. Candles are never deleted: they move to the cold store, where reads still find them."""

    candles: int = Field(365, ge=31, le=36_500)
    gap_records: int = Field(90, ge=1, le=36_500)


class GapSettings(Section):
    """What the gap repair does where a run's configuration does not say."""

    lookback_days: int = Field(7, ge=1, le=36_500)
    max_gaps_per_asset: int = Field(10, ge=1, le=100_000)
    retry_minutes: int = Field(5, ge=1, le=1440)
    most_retry_hours: int = Field(24, ge=1, le=720)


class QualitySettings(Section):
    """When candles are suspect. `spike_score` counts usual moves of the price (`quant/quality.py`)."""

    spike_score: float = Field(8.0, ge=4, le=1000)
    spike_exchange: str | None = None
    spike_tolerance: float = Field(0.02, gt=0, le=1)
    stuck_candles: int = Field(12, ge=3, le=10_000)
    revisions_per_day: int = Field(5, ge=0, le=10_000)
    lookback_candles: int = Field(500, ge=1, le=100_000)
