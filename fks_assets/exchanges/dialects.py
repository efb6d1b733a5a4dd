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
    exchange gives nothing. `currency_codes` are its own codes for coins that it calls differently. `paths` are the paths of
    endpoints that are not the endpoint's own name. `asked_only` says that it never answers rows outside the asked window,
    `oldest_first` that a page without an end begins with the oldest candle from the asked start on. `first_candle_ms` is when an
    exchange's candles of a timeframe begin, for those that reach back less far than its markets. `tells_time` is False where no
    endpoint does, so that the `Date` header of `clock_endpoint` has to.
    `trades_endpoint` gives the public trades from which candles beyond `history_rows` are rebuilt, None where that is not needed.
    `tickers_endpoint` gives the last trade and the best offers of markets; `ticker_weights` prices it by (most markets, weight)
    where its price depends on their number, beyond which it costs what `weights` says.
    `ban_seconds` is how long to stay silent when a refusal for too many requests (by HTTP status, or 0 for one inside the body)
    names no time itself. `maker_fee` and `taker_fee` are fractions of the value, of an account without turnover or discount, for
    markets whose fees the public API does not state.
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
    prices_endpoint: str
    tickers_endpoint: str
    maker_fee: Decimal
    taker_fee: Decimal
    asked_only: bool
    ban_seconds: MappingProxyType[int, float]
    used_weight_header: str | None = None
    trades_endpoint: str | None = None
    oldest_first: bool = True
    tells_time: bool = True
    paths: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    first_candle_ms: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))
    ticker_weights: tuple[tuple[int, int], ...] = ()
    currency_codes: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ccxt_options: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def pair_id(self, symbol: str) -> str:
        """Return the exchange's id of a ccxt symbol such as BTC/USDT."""
        return "".join(self.currency_codes.get(coin, coin) for coin in symbol.split("/"))

    def ticker_weight(self, markets: int | None) -> int:
        """Return what the tickers of so many markets cost; None is all that there are."""
        fitting = (weight for most, weight in self.ticker_weights if markets is not None and markets <= most)
        return next(fitting, self.weights[self.tickers_endpoint])

    def path(self, endpoint: str) -> str:
        """Return the path of an endpoint."""
        return self.paths.get(endpoint, endpoint)


_NOBITEX_MINUTES_FROM_MS = 1_647_808_200_000
"""The first of Farvardin 1401 in Tehran, 2022-03-20T20:30Z: Nobitex gives no candles of minutes from before."""

DIALECTS = {
    "binance": Dialect(
        name="binance",
        ccxt_id="binance",
        timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"),
        page_rows=1000,
        history_rows=None,
        limit=RequestLimit(weight_per_minute=6000, burst=2850),
        weights=MappingProxyType({"klines": 2, "time": 1, "exchangeInfo": 20, "ticker/price": 4, "ticker/24hr": 80}),
        candles_endpoint="klines",
        clock_endpoint="time",
        markets_endpoint="exchangeInfo",
        prices_endpoint="ticker/price",
        tickers_endpoint="ticker/24hr",
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
        asked_only=True,
        ticker_weights=((20, 2), (100, 40)),
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
        weights=MappingProxyType({"OHLC": 1, "Time": 1, "AssetPairs": 1, "Trades": 1, "Ticker": 1}),
        candles_endpoint="OHLC",
        clock_endpoint="Time",
        markets_endpoint="AssetPairs",
        prices_endpoint="Ticker",
        tickers_endpoint="Ticker",
        maker_fee=Decimal("0.0025"),
        taker_fee=Decimal("0.004"),
        asked_only=False,
        trades_endpoint="Trades",
        currency_codes=MappingProxyType(
            {"BTC": "XBT", "DOGE": "XDG", "LUNA": "LUNA2", "LUNC": "LUNA", "USTC": "UST", "REP": "REPV2"}
        ),
        ban_seconds=MappingProxyType({0: 10.0, 429: 10.0, 418: 120.0, 403: 60.0}),
    ),
    # Quotes of both are IRT, which is toman. Fees are those of the rial markets, where they are highest.
    "wallex": Dialect(
        name="wallex",
        ccxt_id="wallex",
        # By third parties, no other lengths are offered; 5m is not among them.
        timeframes=("1m", "1h", "4h", "1d"),
        page_rows=500,
        history_rows=None,
        limit=RequestLimit(weight_per_minute=600, burst=100),
        weights=MappingProxyType({"history": 1, "depth": 1, "markets": 10}),
        paths=MappingProxyType({"history": "v1/udf/history", "depth": "v1/depth?symbol=BTCUSDT", "markets": "v1/markets"}),
        candles_endpoint="history",
        clock_endpoint="depth",
        markets_endpoint="markets",
        prices_endpoint="markets",
        tickers_endpoint="markets",
        maker_fee=Decimal("0.004"),
        taker_fee=Decimal("0.004"),
        asked_only=False,
        oldest_first=False,
        tells_time=False,
        currency_codes=MappingProxyType({"IRT": "TMN"}),
        ban_seconds=MappingProxyType({0: 30.0, 429: 30.0, 418: 120.0, 403: 60.0}),
    ),
    "nobitex": Dialect(
        name="nobitex",
        ccxt_id="nobitex",
        # Its days begin at midnight in Tehran; of what is longer than an hour nobody says where it begins.
        timeframes=("1m", "5m", "15m", "30m", "1h"),
        page_rows=500,
        history_rows=None,
        limit=RequestLimit(weight_per_minute=60, burst=12),
        weights=MappingProxyType({"history": 1, "orderbook": 1, "options": 2, "stats": 3}),
        paths=MappingProxyType(
            {
                "history": "market/udf/history",
                "orderbook": "v3/orderbook/BTCUSDT",
                "options": "v2/options",
                "stats": "market/stats",
            },
        ),
        candles_endpoint="history",
        clock_endpoint="orderbook",
        markets_endpoint="options",
        prices_endpoint="stats",
        tickers_endpoint="stats",
        maker_fee=Decimal("0.002"),
        taker_fee=Decimal("0.0025"),
        asked_only=False,
        oldest_first=False,
        tells_time=False,
        first_candle_ms=MappingProxyType(dict.fromkeys(("1m", "5m", "15m", "30m"), _NOBITEX_MINUTES_FROM_MS)),
        ban_seconds=MappingProxyType({0: 60.0, 429: 60.0, 418: 120.0, 403: 1800.0}),
    ),
}


@dataclass(frozen=True, slots=True)
class FundingApi:
    """One exchange's public API of the funding rates of its perpetual markets, with a request limit of its own.

    It answers at most `page_rows` rates, oldest first. `api` is ccxt's name of the server, `version` the path of it.
    """

    ccxt_id: str
    api: str
    version: str
    endpoint: str
    page_rows: int
    limit: RequestLimit
    ban_seconds: MappingProxyType[int, float]
    used_weight_header: str | None = None

    @property
    def weights(self) -> MappingProxyType[str, int]:
        """What a request costs: each counts as one."""
        return MappingProxyType({self.endpoint: 1})

    def pair_id(self, symbol: str) -> str:
        """Return the exchange's id of the perpetual market of a ccxt spot symbol such as BTC/USDT."""
        return symbol.replace("/", "")


FUNDING_APIS = {
    "binance": FundingApi(
        ccxt_id="binanceusdm",
        api="fapiPublic",
        version="fapi/v1",
        endpoint="fundingRate",
        page_rows=1000,
        # 500 requests in 5 minutes: at most 60 + 300 x 0.58 = 235 leave the bucket in that time.
        limit=RequestLimit(weight_per_minute=100, burst=60),
        ban_seconds=MappingProxyType({0: 60.0, 429: 60.0, 418: 120.0, 403: 60.0}),
    ),
}
