"""Which market and timeframe a file holds: told by its name, its content and the options, which must agree."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.imports.names import NameFacts, name_facts, spellings, split_symbol, venue_in
from fks_assets.imports.report import ImportFormat, ImportRefused
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import TIMEFRAMES, Timeframe

FEWEST_STEPS = 3
_VENUES = {ImportFormat.BINANCE: "binance", ImportFormat.KRAKEN: "kraken"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What options say of the files. `pair`: base and quote; `fallback_exchange`: that of a pair given without one."""

    pair: tuple[str, str] | None = None
    exchange: str | None = None
    timeframe: Timeframe | None = None
    fallback_exchange: str | None = None

    def allows(self, name: str) -> bool:
        """Return whether a name says nothing against the options: for choosing files of a folder or an archive."""
        facts = name_facts(name)
        if self.pair is not None and facts.symbol is not None and facts.symbol not in spellings(*self.pair):
            return False
        return self.timeframe is None or facts.length is None or facts.length == self.timeframe.name


def market_of(facts: NameFacts, symbols: Collection[str], form: ImportFormat, path: Path, asked: Asked) -> Market:
    """Return the market; raise ImportRefused when it cannot be told or is contradicted, or when these are no spot candles.

    `symbols` are the pairs that the rows themselves name.
    """
    derivative = facts.derivative or _folder_derivative(path)
    if facts.derivative in ("mark", "index", "premiumindex", "funding_rate"):
        raise ImportRefused(f"holds {facts.derivative} prices, no candles of trades")
    if len(symbols) > 1:
        raise ImportRefused(f"holds rows of several pairs: {', '.join(sorted(symbols)[:4])}")
    venue = _venue(facts, form, path)
    pair = _pair(facts, next(iter(symbols), None), venue, asked)
    exchange = asked.exchange or venue or (asked.fallback_exchange if asked.pair is not None else None)
    if exchange is None:
        raise ImportRefused("neither its name nor its folder names the exchange: give --exchange or --market BASE-QUOTE@exchange")
    if derivative is not None and asked.exchange in (None, venue):
        raise ImportRefused(
            f"holds {derivative} candles of {'-'.join(pair)}, and {exchange} is a spot exchange here: "
            f"give the name under which to keep them, for example --exchange {exchange}{derivative}"
        )
    try:
        return parse_market(f"{pair[0]}-{pair[1]}@{exchange}")
    except InvalidInput as error:
        raise ImportRefused(str(error)) from error


def origin_of(form: ImportFormat, facts: NameFacts, path: Path, market: Market) -> str:
    """Return what the `source` column says: import:<format>, then /<exchange> when it is another one than the market's."""
    venue = _venue(facts, form, path)
    return f"import:{form}" + (f"/{venue}" if venue not in (None, market.exchange) else "")


def timeframe_of(facts: NameFacts, times: np.ndarray, spans: np.ndarray | None, asked: Asked) -> Timeframe:
    """Return the timeframe; raise ImportRefused when it cannot be told, is none of ours, or name, option and rows disagree.

    `times`: open times in ms, in any order; `spans`: the lengths that the rows themselves state, 0 where they state none.
    """
    if facts.length is not None and facts.length not in TIMEFRAMES:
        raise ImportRefused(f"holds candles of {facts.length}, which is no timeframe; known: {', '.join(TIMEFRAMES)}")
    named = None if facts.length is None else TIMEFRAMES[facts.length]
    if named is not None and asked.timeframe is not None and named != asked.timeframe:
        raise ImportRefused(f"--timeframe {asked.timeframe} contradicts the file's name, which says {named}")
    stated = asked.timeframe or named
    apart = np.diff(np.sort(times))
    steps, counts = np.unique(apart[apart > 0], return_counts=True)
    length, share = _usual(spans[spans > 0]) if spans is not None and (spans > 0).any() else (0, 0.0)
    if share <= 0.5:
        enough = counts.sum() >= FEWEST_STEPS
        length, share = (int(steps[counts.argmax()]), counts.max() / counts.sum()) if enough else (0, 0.0)
    if stated is None:
        return _found(length, share)
    if share > 0.5 and length != stated.milliseconds and not (length > stated.milliseconds and stated.milliseconds in steps):
        teller = f"--timeframe {stated}" if asked.timeframe is not None else f"its name, which says {stated},"
        raise ImportRefused(f"{teller} contradicts its rows, which are {_words(length)} apart")
    return stated


def _found(length: int, share: float) -> Timeframe:
    if share == 0.0:
        raise ImportRefused("has too few rows to tell the timeframe from: give --timeframe")
    known = {timeframe.milliseconds: timeframe for timeframe in TIMEFRAMES.values()}
    if length not in known or share <= 0.5:
        raise ImportRefused(
            f"{share:.0%} of its rows are {_words(length)} apart, "
            + ("which is no timeframe" if length not in known else "too few to tell the timeframe: give --timeframe")
        )
    return known[length]


def _usual(lengths: np.ndarray) -> tuple[int, float]:
    values, counts = np.unique(lengths, return_counts=True)
    return int(values[counts.argmax()]), float(counts.max() / counts.sum())


def _words(length_ms: int) -> str:
    known = {timeframe.milliseconds: timeframe.name for timeframe in TIMEFRAMES.values()}
    return known.get(length_ms, f"{length_ms / 1000:,.10g} s")


def _venue(facts: NameFacts, form: ImportFormat, path: Path) -> str | None:
    return facts.venue or _VENUES.get(form) or venue_in(path.absolute().parent.name)


def _folder_derivative(path: Path) -> str | None:
    """Binance's futures dumps have the names of its spot dumps and lie in other folders: futures/um and futures/cm."""
    folders = path.absolute().parent.parts
    return "futures" if any(pair in (("futures", "um"), ("futures", "cm")) for pair in pairwise(folders)) else None


def _pair(facts: NameFacts, symbol: str | None, venue: str | None, asked: Asked) -> tuple[str, str]:
    written = [each.upper().translate({ord(mark): None for mark in "/-_"}) for each in (facts.symbol, symbol) if each is not None]
    if len(set(written)) > 1:
        raise ImportRefused(f"its name says {written[0]}, its rows say {written[1]}")
    if asked.pair is not None:
        if written and written[0] not in spellings(*asked.pair):
            raise ImportRefused(f"--market {'-'.join(asked.pair)} contradicts the file, which holds {written[0]}")
        return asked.pair
    if facts.pair is not None:
        return facts.pair
    found = split_symbol(symbol, venue) if symbol is not None else None
    if found is None and written:
        found = split_symbol(written[0], venue)
    if found is None:
        what = f"cannot tell base and quote of {written[0]!r}" if written else "neither its name nor its rows name the pair"
        raise ImportRefused(f"{what}: give --market BASE-QUOTE")
    return found
