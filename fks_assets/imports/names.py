"""What the name of a candle file says: pair, timeframe, venue, period, and whether it holds spot candles at all."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.quant.timeframes import TIMEFRAMES

_ENDINGS = re.compile(r"(\.(csv|json|feather|parquet|gz|zip))+$", re.IGNORECASE)
_COPY = re.compile(r"\s*\(\d+\)$")
_LENGTH = r"\d+(?:mo|[smhdwM])"
_FREQTRADE = re.compile(rf"([A-Za-z0-9]+)_([A-Za-z0-9]+)(_[A-Za-z0-9]+)?-({_LENGTH})(?:-([A-Za-z_]+))?")
_BINANCE = re.compile(rf"([A-Z0-9]+)(_PERP|_\d{{6}})?-({_LENGTH})-(\d{{4}}-\d{{2}}(?:-\d{{2}})?)")
_KRAKEN = re.compile(r"([A-Z0-9.]+)_(\d+)")
_WORDS = {
    "minute": "1m",
    "1min": "1m",
    "hour": "1h",
    "hourly": "1h",
    "1hour": "1h",
    "day": "1d",
    "daily": "1d",
    "d": "1d",
    "1day": "1d",
} | {name: name for name in TIMEFRAMES}
_DERIVATIVES = frozenset({"futures", "future", "perp", "perpetual", "swap", "delivery", "um", "cm"})
_VENUES = frozenset(
    {*DIALECTS}
    | {"binanceus", "bitfinex", "bitget", "bitstamp", "bittrex", "bybit", "cexio", "coinbase", "ftx", "gateio", "gemini"}
    | {"hitbtc", "htx", "huobi", "itbit", "kucoin", "mexc", "nobitex", "okex", "okx", "poloniex", "upbit", "wallex"}
)
# Longest first: BTCFDUSD is quoted in FDUSD, not in USD.
_QUOTES = (
    *("FDUSD", "PYUSD"),
    *("USDT", "USDC", "BUSD", "TUSD", "USDP", "USDS", "BIDR", "BVND"),
    *("USD", "EUR", "GBP", "JPY", "CAD", "AUD", "CHF", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "ARS", "MXN", "PLN", "RON"),
    *("CZK", "COP", "IDR", "KRW", "IRT", "TMN", "DAI", "PAX", "VAI", "BTC", "XBT", "ETH", "BNB", "XRP", "TRX", "SOL", "DOT"),
    *("DOGE",),
)
# Kraken has no TUSD: XBTUSD is XBT in USD.
_KRAKEN_QUOTES = tuple(quote for quote in _QUOTES if quote not in ("TUSD", "BUSD", "FDUSD", "USDS", "USDP"))
_KRAKEN_CODES = {code: coin for coin, code in DIALECTS["kraken"].currency_codes.items()}


@dataclass(frozen=True, slots=True)
class NameFacts:
    """What a name says; None where it says nothing. `symbol` is the pair without a separator, as written (XBTUSD).

    `length` is the timeframe as written in our terms (1h), or one that we have none for (1w); `period` is 2025-01 or 2025-01-31.
    `derivative` says in a word why these are no spot candles.
    """

    symbol: str | None = None
    pair: tuple[str, str] | None = None
    length: str | None = None
    venue: str | None = None
    period: str | None = None
    derivative: str | None = None


def stem_of(name: str) -> str:
    """Return the name without folder, endings such as .csv.gz, and the number that browsers add to copies."""
    return _COPY.sub("", _ENDINGS.sub("", PurePath(name).name))


def name_facts(name: str) -> NameFacts:
    """Return what the name of a file says, whatever its format is."""
    stem = stem_of(name)
    tail = stem.split("__")[-1]
    venue = venue_in(stem)
    if match := _FREQTRADE.fullmatch(tail):
        derivative = match[5].lower() if match[5] and match[5].lower() != "spot" else "futures" if match[3] else None
        pair = match[1].upper(), match[2].upper()
        return NameFacts("".join(pair), pair, match[4], venue, None, derivative)
    if match := _BINANCE.fullmatch(tail):
        return NameFacts(match[1], None, match[3], "binance", match[4], "futures" if match[2] else None)
    if match := _KRAKEN.fullmatch(tail):
        minutes = {each.milliseconds // 60_000: each.name for each in TIMEFRAMES.values()}
        return NameFacts(match[1], None, minutes.get(int(match[2]), f"{match[2]} minutes"), "kraken")
    return _described(tail, venue)


def venue_in(text: str) -> str | None:
    """Return the one exchange that a file or folder name mentions as a word of its own, None when it is none or several."""
    found = {word for word in re.split(r"[^a-z0-9]+", text.lower()) if word in _VENUES}
    return found.pop() if len(found) == 1 else None


def split_symbol(symbol: str, venue: str | None) -> tuple[str, str] | None:
    """Return (base, quote) in common codes of a pair written as one word, None when it cannot be told where it divides."""
    for separator in ("/", "-", "_"):
        if symbol.count(separator) == 1:
            base, quote = symbol.upper().split(separator)
            return (_common(base, venue), _common(quote, venue)) if base and quote else None
    for quote in _KRAKEN_QUOTES if venue == "kraken" else _QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return _common(symbol[: -len(quote)], venue), _common(quote, venue)
    return None


def spellings(base: str, quote: str) -> set[str]:
    """Return how a pair may be written as one word: with common codes and with Kraken's."""
    codes = DIALECTS["kraken"].currency_codes
    return {f"{base}{quote}", f"{codes.get(base, base)}{codes.get(quote, quote)}"}


def _common(code: str, venue: str | None) -> str:
    return _KRAKEN_CODES.get(code, code) if venue == "kraken" else code


def _described(stem: str, venue: str | None) -> NameFacts:
    """Read names of words with underscores, such as Binance_BTCUSDT_1h and BTCUSDT_Binance_futures_data_hour."""
    words = re.split(r"[_\s-]+", stem)
    derivative = next((word.lower() for word in words if word.lower() in _DERIVATIVES), None)
    lengths = {_WORDS[word.lower()] for word in words if word.lower() in _WORDS}
    symbols = [
        word
        for word in words
        if re.fullmatch(r"[A-Z0-9]{5,20}", word) and word.lower() not in _VENUES and split_symbol(word, venue) is not None
    ]
    return NameFacts(
        symbol=symbols[0] if len(symbols) == 1 else None,
        length=lengths.pop() if len(lengths) == 1 else None,
        venue=venue,
        derivative=derivative,
    )
