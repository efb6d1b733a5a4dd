"""What the simulated exchange lists: names, price steps, sizes and lifetimes, and how each dialect spells a market."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fks_assets.clock import to_ms

_KRAKEN_CODES = {"BTC": "XBT", "DOGE": "XDG"}
_KRAKEN_LEGACY = frozenset({"XBT", "ETH", "LTC", "XRP", "XLM", "ETC", "XMR", "ZEC", "REP", "XDG"})
_KRAKEN_UNPREFIXED = frozenset({"DOGE"})
_KRAKEN_FIAT = frozenset({"USD", "EUR", "GBP", "JPY", "CAD", "AUD"})


@dataclass(frozen=True, slots=True)
class Instrument:
    """One spot market. Prices are whole multiples of 10**-price_decimals, sizes of 10**-size_decimals."""

    base: str
    quote: str
    price_decimals: int
    size_decimals: int
    min_notional: float
    listed_ms: int
    delisted_ms: int | None = None

    @property
    def symbol(self) -> str:
        """The desk's spelling, `BTC-USDT`."""
        return f"{self.base}-{self.quote}"

    @property
    def binance_id(self) -> str:
        return self.base + self.quote

    @property
    def kraken_altname(self) -> str:
        return kraken_code(self.base) + kraken_code(self.quote)

    @property
    def kraken_id(self) -> str:
        """The pair's internal name: the old twin prefixes appear only when both sides carry one (XXBTZUSD but XBTUSDT)."""
        base, quote = kraken_asset(self.base), kraken_asset(self.quote)
        prefixed = base != kraken_code(self.base) and quote != kraken_code(self.quote) and self.base not in _KRAKEN_UNPREFIXED
        return base + quote if prefixed else self.kraken_altname

    def is_listed(self, now_ms: int) -> bool:
        """Tell whether the market was ever opened by `now_ms`; it stays listed (halted) after its delisting."""
        return now_ms >= self.listed_ms

    def is_trading(self, now_ms: int) -> bool:
        return self.is_listed(now_ms) and (self.delisted_ms is None or now_ms < self.delisted_ms)


def kraken_code(asset: str) -> str:
    """Return Kraken's short code of an asset: BTC is XBT, DOGE is XDG, others are as they are."""
    return _KRAKEN_CODES.get(asset, asset)


def common_code(kraken: str) -> str:
    """Return the common code of one of Kraken's short codes: XBT is BTC."""
    return {short: common for common, short in _KRAKEN_CODES.items()}.get(kraken, kraken)


def kraken_asset(asset: str) -> str:
    """Return Kraken's internal asset name: XXBT for BTC, ZUSD for USD, SOL for SOL."""
    code = kraken_code(asset)
    if code in _KRAKEN_LEGACY:
        return f"X{code}"
    return f"Z{code}" if code in _KRAKEN_FIAT else code


@dataclass(frozen=True, slots=True)
class Character:
    """How a generated market moves and trades.

    `path` names the price path, so that a renamed coin goes on where the old one stopped; `level` is its median price; `beta`
    its share in the common factor; `hourly_volatility` what it adds of its own (log return of one hour); `daily_notional` the
    usual turnover in the quote currency; `quiet` the chance that a minute begins a spell without trades.
    """

    path: str
    level: float
    beta: float
    hourly_volatility: float
    daily_notional: float
    quiet: float


def _utc(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


def _usdt(base: str, price: int, size: int, listed: str, delisted: str | None = None) -> Instrument:
    return Instrument(base, "USDT", price, size, 5.0, _utc(listed), None if delisted is None else _utc(delisted))


DEFAULT_MARKETS: Mapping[Instrument, Character] = {
    _usdt("BTC", 2, 5, "2017-08-17T04:00"): Character("BTC", 62_000, 1.0, 0.0012, 1.8e9, 0.0002),
    _usdt("ETH", 2, 4, "2017-08-17T04:00"): Character("ETH", 2_600, 1.1, 0.0022, 1.0e9, 0.0002),
    _usdt("BNB", 2, 3, "2017-11-06T03:00"): Character("BNB", 480, 0.85, 0.0026, 2.2e8, 0.0005),
    _usdt("ADA", 4, 1, "2018-04-17T04:00"): Character("ADA", 0.52, 1.25, 0.0036, 9.0e7, 0.001),
    _usdt("SOL", 2, 3, "2020-08-11T06:00"): Character("SOL", 130, 1.45, 0.0042, 4.5e8, 0.0005),
    _usdt("DOT", 3, 2, "2020-08-18T23:00"): Character("DOT", 6.4, 1.3, 0.0038, 4.0e7, 0.002),
    _usdt("POL", 4, 1, "2024-09-13T10:00"): Character("POL", 0.46, 1.3, 0.0042, 2.0e7, 0.004),
    _usdt("AVAX", 3, 2, "2020-09-22T06:00"): Character("AVAX", 27, 1.4, 0.0044, 7.0e7, 0.001),
    _usdt("LINK", 2, 2, "2019-01-16T10:00"): Character("LINK", 13.5, 1.25, 0.004, 8.0e7, 0.001),
    _usdt("ATOM", 3, 2, "2019-04-29T04:00"): Character("ATOM", 7.2, 1.2, 0.004, 2.2e7, 0.004),
    _usdt("MATIC", 4, 1, "2019-04-26T15:00", "2024-09-10T03:00"): Character("POL", 0.46, 1.3, 0.0042, 4.0e7, 0.002),
}
