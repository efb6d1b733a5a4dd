"""What is known about each exchange API that the gateway speaks: endpoints, page sizes, weights, limits. Loads nothing heavy."""

from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

SHARE_USED = 0.95


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """An exchange's weight limit for any 60 seconds, used as a token bucket that cannot exceed `SHARE_USED` of it.

    At most `burst` + 60 × `per_second` tokens leave a bucket within 60 seconds, whatever happened before.
    """

    weight_per_minute: int
    burst: float

    def __post_init__(self) -> None:
        if not 0 < self.burst < self.usable:
            raise ValueError(f"burst must be between 0 and {self.usable}, was {self.burst}")

    @property
    def usable(self) -> float:
        """The weight that may be spent in any 60 seconds."""
        return self.weight_per_minute * SHARE_USED

    @property
    def per_second(self) -> float:
        """The rate at which the bucket refills, in weight per second."""
        return (self.usable - self.burst) / 60


@dataclass(frozen=True, slots=True)
class Dialect:
    """One exchange's public REST API.

    `weights` prices each endpoint by the last part of its path. `history_rows` is the number of newest candles beyond which the
    exchange gives nothing. `currency_codes` are its own codes for coins that it calls differently. `asked_only` says that it
    never answers rows outside the asked window. `trades_endpoint` gives the public trades from which candles beyond
    `history_rows` are rebuilt, None where that is not needed. `ban_seconds` is how long to stay silent when a refusal for too
    many requests (by HTTP status, or 0 for one inside the body) names no time itself. `maker_fee` and `taker_fee` are fractions
    of the value, of an account without turnover or discount, for markets whose fees the public API does not state.
    """

    name: str
    ccxt_id: str
    timeframes: tuple[str, ...]
    page_rows: int
    history_rows: int | None
    limit: RequestLimit
    weights: MappingProxyType[str, int]
    candles_endpoint: str
    clock_endpoint: str
    markets_endpoint: str
    maker_fee: Decimal
    taker_fee: Decimal
    asked_only: bool
    ban_seconds: MappingProxyType[int, float]
    used_weight_header: str | None = None
    trades_endpoint: str | None = None
    currency_codes: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ccxt_options: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def pair_id(self, symbol: str) -> str:
        """Return the exchange's id of a ccxt symbol such as BTC/USDT."""
        return "".join(self.currency_codes.get(coin, coin) for coin in symbol.split("/"))


DIALECTS = {
    "binance": Dialect(
        name="binance",
        ccxt_id="binance",
        timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"),
        page_rows=1000,
        history_rows=None,
        limit=RequestLimit(weight_per_minute=6000, burst=2850),
        weights=MappingProxyType({"klines": 2, "time": 1, "exchangeInfo": 20}),
        candles_endpoint="klines",
        clock_endpoint="time",
        markets_endpoint="exchangeInfo",
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
        asked_only=True,
        ban_seconds=MappingProxyType({0: 60.0, 429: 60.0, 418: 120.0, 403: 60.0}),
        currency_codes=MappingProxyType({"YOYOW": "YOYO"}),
        used_weight_header="X-MBX-USED-WEIGHT-1M",
        ccxt_options=MappingProxyType({"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}),
    ),
    "kraken": Dialect(
        name="kraken",
        ccxt_id="kraken",
        timeframes=("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "2w"),
        page_rows=720,
        history_rows=720,
        limit=RequestLimit(weight_per_minute=60, burst=12),
        weights=MappingProxyType({"OHLC": 1, "Time": 1, "AssetPairs": 1, "Trades": 1}),
        candles_endpoint="OHLC",
        clock_endpoint="Time",
        markets_endpoint="AssetPairs",
        maker_fee=Decimal("0.0025"),
        taker_fee=Decimal("0.004"),
        asked_only=False,
        trades_endpoint="Trades",
        currency_codes=MappingProxyType(
            {"BTC": "XBT", "DOGE": "XDG", "LUNA": "LUNA2", "LUNC": "LUNA", "USTC": "UST", "REP": "REPV2"}
        ),
        ban_seconds=MappingProxyType({0: 10.0, 429: 10.0, 418: 120.0, 403: 60.0}),
    ),
}
