"""The desk's standard backtest, by which alone strategies are judged, and one id for any other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.ids import document_hash
from fks_assets.quant.backtest.named_rules import rules_from
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, parse_timeframe, usual_timeframe
from fks_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class QuoteBook:
    """Markets that pay in one coin, how they are traded, and the book in that coin."""

    quote: str
    markets: tuple[Market, ...]
    rules: LegRules
    book: BookRules


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    """What a daily backtest is made on: days before the partition's day, candles, markets; `rules` and `parameters` by name go
    before those of the settings and of the set.
    """

    days: int
    timeframe: Timeframe
    markets: tuple[Market, ...]
    rules: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.days < 1:
            raise InvalidInput(f"lookback_days must be at least 1, was {self.days}")

    def books(self, settings: Settings) -> list[QuoteBook]:
        """Return one book for each quote coin, in the order of the markets. Raises InvalidInput for bad rules."""
        return books_of(settings, self.markets, self.rules)

    def settings_hash(self, settings: Settings) -> str:
        """Return one id for all that decides what the backtest gives, but for candles, code and the parameters in force."""
        books = [
            {
                "markets": sorted(market.key for market in each.markets),
                "rules": each.rules.model_dump(mode="json"),
                "book": each.book.model_dump(mode="json"),
            }
            for each in sorted(self.books(settings), key=lambda each: each.quote)
        ]
        named = {"days": self.days, "timeframe": self.timeframe.name, "books": books, "parameters": dict(self.parameters)}
        return document_hash(named)[:16]


def books_of(settings: Settings, markets: Sequence[Market], values: Mapping[str, Any] | None = None) -> list[QuoteBook]:
    """Return one book for each quote coin, in the order of the markets, by the desk's rules changed by `values` by name.

    Raises InvalidInput for bad values.
    """
    found: dict[str, list[Market]] = {}
    for market in dict.fromkeys(markets):
        found.setdefault(market.quote, []).append(market)
    return [QuoteBook(quote, tuple(each), *quote_rules(settings, quote, values)) for quote, each in found.items()]


def standard_plan(settings: Settings) -> BacktestPlan:
    """Return the backtest of `[backtests]`, by which strategies are judged."""
    named = settings.backtests.markets
    markets = tuple(market for market in settings.market_list() if not named or f"{market.base}-{market.quote}" in named)
    return BacktestPlan(settings.backtests.days, parse_timeframe(standard_timeframe(settings)), markets)


def standard_timeframe(settings: Settings) -> str:
    """Return the timeframe of `[backtests]`, or the desk's usual one."""
    return settings.backtests.timeframe or usual_timeframe(settings.timeframes)


def quote_rules(settings: Settings, quote: str, values: Mapping[str, Any] | None = None) -> tuple[LegRules, BookRules]:
    """Return the desk's rules for a book in a quote coin, changed by `values` by name. Raises InvalidInput for bad ones."""
    return rules_from(values or {}, *settings.backtests.rules_for(quote))


def rules_of_markets(
    settings: Settings, markets: Sequence[Market], values: Mapping[str, Any] | None = None
) -> tuple[LegRules, BookRules]:
    """Return the desk's rules for one book over these markets, changed by `values` by name.

    Raises InvalidInput for markets of several quote coins, which cannot be one book, and for bad values.
    """
    return quote_rules(settings, one_quote(markets), values)


def one_quote(markets: Sequence[Market]) -> str:
    """Return the coin in which all of these markets pay. Raises InvalidInput for several, and for no market at all."""
    quotes = sorted({market.quote for market in markets})
    if len(quotes) != 1:
        raise InvalidInput(
            f"the markets' quote coins are {', '.join(quotes) or 'none'}; a book counts in one coin: name markets of one"
        )
    return quotes[0]
