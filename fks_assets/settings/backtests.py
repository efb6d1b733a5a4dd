"""The table `[backtests]`: on what strategies are judged, and how much evidence a judgement takes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.named_rules import rules_from
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.settings.sections import Section, Symbol, comma_separated, require

# About ten thousand dollars of each coin that markets usually pay in.
USUAL_CASH = {
    **dict.fromkeys(("USDT", "USDC", "USD", "FDUSD", "TUSD", "BUSD", "DAI", "EUR", "GBP", "CHF"), 10_000.0),
    "IRT": 1_000_000_000.0,
    "TRY": 400_000.0,
    "JPY": 1_500_000.0,
    "BTC": 0.1,
    "ETH": 3.0,
    "BNB": 15.0,
}


class BacktestSettings(Section):
    """What a desk's standard backtest is, and what its verdict is worth.

    `days` before the day, candles of `timeframe` (None: the desk's usual one), `markets` (none: all of the desk), `rules` by
    name (`named_rules`), `cash` of a book by quote coin. A backtest with fewer trades or days of candles than the least is not
    judged. A verdict counts for `valid_days` days after its own, a person's word for `enabled_days` days.
    """

    days: int = Field(30, ge=1, le=3650)
    timeframe: str | None = None
    markets: Annotated[tuple[Symbol, ...], BeforeValidator(comma_separated)] = ()
    rules: dict[str, Any] = Field(default_factory=dict)
    cash: dict[str, Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]] = Field(default_factory=dict)
    least_trades: int = Field(5, ge=1, le=100_000)
    least_days: int = Field(20, ge=1, le=3650)
    valid_days: int = Field(3, ge=1, le=30)
    enabled_days: int = Field(30, ge=1, le=365)

    @field_validator("rules")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        flat = dict(_flat(value))
        try:
            rules_from(flat)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return flat

    @field_validator("cash")
    @classmethod
    def _upper(cls, value: dict[str, float]) -> dict[str, float]:
        # Keys of the environment are read in small letters.
        return {quote.upper(): amount for quote, amount in value.items()}

    @model_validator(mode="after")
    def _possible(self) -> "BacktestSettings":
        require(
            self.least_days <= self.days,
            f"least_days must be at most days = {self.days}, or nothing could be judged, was {self.least_days}",
        )
        return self

    def check(self, timeframes: Sequence[str], symbols: Sequence[str]) -> None:
        """Raise ValueError for candles or markets that a desk does not have."""
        require(
            self.timeframe is None or self.timeframe in timeframes,
            f"backtests.timeframe {self.timeframe!r} is not on this desk; it has {', '.join(timeframes)}",
        )
        for symbol in self.markets:
            require(symbol in symbols, f"backtests.markets: {symbol!r} is not on this desk; it has {', '.join(symbols)}")

    def rules_for(self, quote: str) -> tuple[LegRules, BookRules]:
        """Return how strategies trade, and the rules of a book in a quote coin.

        Its cash is what `cash` says, else the rule `initial_cash`, else the usual amount of that coin. Raises InvalidInput for
        a coin of which none of them says anything.
        """
        leg, book = rules_from(self.rules)
        cash = self.cash.get(quote, book.initial_cash if "initial_cash" in self.rules else USUAL_CASH.get(quote))
        if cash is None:
            raise InvalidInput(f"backtests.cash lacks the quote coin {quote!r}: how much of it does a backtest begin with?")
        return leg, book.model_copy(update={"initial_cash": cash})


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names such as `costs.slippage`: TOML makes a table of a name with a dot."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
