"""Market ids: `BTC-USDT@binance` everywhere inside, `BTC/USDT` towards ccxt, `binance/BTC-USDT` in paths."""

import re
from dataclasses import dataclass
from functools import lru_cache

from fks_assets.errors import InvalidInput

_KEY = re.compile(r"([A-Z0-9]{1,20})-([A-Z0-9]{1,20})@([a-z0-9]{1,20})")
_CCXT_SYMBOL = re.compile(r"([A-Z0-9]{1,20})/([A-Z0-9]{1,20})")


@dataclass(frozen=True, order=True, slots=True)
class Market:
    """A spot market on one exchange."""

    base: str
    quote: str
    exchange: str

    @property
    def key(self) -> str:
        return f"{self.base}-{self.quote}@{self.exchange}"

    @property
    def ccxt_symbol(self) -> str:
        return f"{self.base}/{self.quote}"

    @property
    def path(self) -> str:
        return f"{self.exchange}/{self.base}-{self.quote}"

    def __str__(self) -> str:
        return self.key


@lru_cache(maxsize=4096)
def parse_market(key: str) -> Market:
    """Return the market named by `BASE-QUOTE@exchange`; raise InvalidInput for anything else."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise InvalidInput(f"market {key!r} is not of the form BASE-QUOTE@exchange, for example BTC-USDT@binance")
    return Market(*match.groups())


def market_from_ccxt(symbol: str, exchange: str) -> Market:
    """Return the market of a ccxt spot symbol such as `BTC/USDT`; raise InvalidInput for anything else."""
    match = _CCXT_SYMBOL.fullmatch(symbol)
    if match is None:
        raise InvalidInput(f"symbol {symbol!r} is not a spot symbol of the form BASE/QUOTE")
    return parse_market(f"{match[1]}-{match[2]}@{exchange}")
