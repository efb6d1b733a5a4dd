"""What can be set in a backtest. A bad value is an InvalidInput of one line that names the field, the bound and the value."""

import itertools
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fks_assets.errors import InvalidInput

COOLDOWN_MINUTES = 30
MOST_PARTIAL_EXITS = 8
# Far beyond any use, and small enough for the kernel's whole numbers.
MOST_COUNTED = 1_000_000
MOST_MONEY = 1e15
# What a market asks for where neither its trading rules nor the costs say it, as a fraction.
USUAL_FEE = 0.001
# What parts of a position may miss of 1 and still be all of it: what floats make of thirds.
WHOLE = 1e-9


class Rules(BaseModel):
    """Base of the models here: unknown names, other types, NaN and infinity are refused; nothing changes afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidInput("; ".join(_in_words(each) for each in error.errors(include_url=False))) from None


class Costs(Rules):
    """What trading costs in one market, all as fractions (0.001 is 0.1 %).

    `maker_fee` is paid by targets and partial exits, which rest in the book, `taker_fee` by everything else; one that is not
    given is that of the market's trading rules, and USUAL_FEE where those state none. A market order's price is worse by
    `slippage`, plus half of `spread`, plus `impact` times the square of its share in the volume of the candle it is filled in,
    the share counted up to `impact_limit`.
    """

    maker_fee: float | None = Field(None, ge=-0.02, le=0.02)
    taker_fee: float | None = Field(None, ge=-0.02, le=0.02)
    slippage: float = Field(0.0, ge=0, le=0.1)
    spread: float = Field(0.0, ge=0, le=0.1)
    impact: float = Field(0.0, ge=0, le=0.5)
    impact_limit: float = Field(1.0, gt=0, le=1)

    def fee_rate(self, stated: Decimal | None, *, rests: bool) -> Decimal:
        """Return the fee of an order that rested in the book, or took from it, in a market whose rules state this fee."""
        given = self.maker_fee if rests else self.taker_fee
        if given is None and stated is not None:
            return stated
        return Decimal(repr(USUAL_FEE if given is None else given))


class Sizing(Rules):
    """How large a position is. The stake is the money committed; the position is worth stake times leverage.

    fraction: stake is `size` of the base. notional: the position is worth `size` quote coins. risk: the distance from entry to
    stop costs `size` of the base. confidence: stake is `size` * confidence of the base, at most `cap` of it; the defaults are
    the rule min(confidence * 50, 50) %. The base is what is left of the strategy's budget in cash, or with base = "equity"
    the budget's share of the whole equity. No stake is above `largest_stake` of the base.
    """

    kind: Literal["fraction", "notional", "risk", "confidence"] = "fraction"
    size: float | None = Field(None, gt=0, le=MOST_MONEY)
    cap: float = Field(0.5, gt=0, le=1)
    base: Literal["cash", "equity"] = "cash"
    largest_stake: float = Field(1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Sizing":
        if self.size is not None and self.kind != "notional" and self.size > 1:
            raise ValueError(f"size is a fraction for kind {self.kind!r} and must be at most 1, was {self.size}")
        if self.size is None and self.kind == "notional":
            raise ValueError("size is missing: kind 'notional' needs an amount in the quote coin, was None")
        return self

    @property
    def value(self) -> float:
        """Return `size`, or the default of this kind."""
        return {"fraction": 1.0, "risk": 0.02, "confidence": 0.5}.get(self.kind, 0.0) if self.size is None else self.size


class PartialExit(Rules):
    """Close `part` of the position as it was opened once the price has gained `gain_percent` of the entry price."""

    part: float = Field(gt=0, lt=1)
    gain_percent: float = Field(gt=0, le=1000)


class LegRules(Rules):
    """How one strategy trades one market.

    Levels are the signal's prices unless `stop_percent` or `target_percent` says how far from the signal's close they lie; with
    levels_from = "fill" they keep their distance to the fill instead. `trailing_percent` makes the stop follow the best price.
    `tie_rule` says what a candle whose four prices leave it open did: the worst of it (pessimistic), the best (optimistic), or
    what finer candles inside say (finer), and the worst where there are none. Partial exits that take all of the position close
    with the last one what is left of it. An entry is refused for `cooldown_minutes` after the last entry (or exit), after
    `daily_trades` entries of the UTC day, and when its candle opens more than `oldest_signal_candles` candles late. A
    `liquidation_fee` that is not given is the maintenance margin: what is left of the margin then is the exchange's.
    """

    sizing: Sizing = Sizing()
    long: bool = True
    short: bool = True
    exit_on_signal: bool = True
    stop_percent: float | None = Field(None, gt=0, lt=100)
    target_percent: float | None = Field(None, gt=0, lt=100)
    levels_from: Literal["signal", "fill"] = "signal"
    trailing_percent: float | None = Field(None, gt=0, lt=100)
    tie_rule: Literal["pessimistic", "optimistic", "finer"] = "pessimistic"
    partial_exits: tuple[PartialExit, ...] = Field((), max_length=MOST_PARTIAL_EXITS, strict=False)
    cooldown_minutes: float = Field(COOLDOWN_MINUTES, ge=0, le=525_600)
    cooldown_after: Literal["entry", "exit"] = "entry"
    daily_trades: int | None = Field(None, ge=1, le=MOST_COUNTED)
    oldest_signal_candles: float | None = Field(2.0, ge=0, le=MOST_COUNTED)
    leverage: float = Field(1.0, ge=1, le=125)
    maintenance_margin: float = Field(0.005, ge=0, le=0.5)
    liquidation_fee: float | None = Field(None, ge=0, le=0.1)

    @model_validator(mode="after")
    def _consistent(self) -> "LegRules":
        if not (self.long or self.short):
            raise ValueError("long must be true where short is false, was False")
        if self.leverage > 1 and self.maintenance_margin >= 1 / self.leverage:
            raise ValueError(
                f"maintenance_margin must be below 1 / leverage = {1 / self.leverage:g}, was {self.maintenance_margin}"
            )
        gains = [partial.gain_percent for partial in self.partial_exits]
        if any(later <= earlier for earlier, later in itertools.pairwise(gains)):
            raise ValueError(f"partial_exits must each have a larger gain_percent than the one before, were {gains}")
        if self._taken > 1 + WHOLE:
            raise ValueError(f"partial_exits must take at most 1, the whole position, took {self._taken:g}")
        return self

    @property
    def takes_all(self) -> bool:
        """Whether the partial exits together are the whole position."""
        return self._taken >= 1 - WHOLE

    @property
    def liquidation_rate(self) -> float:
        """The fee of a liquidation, as a fraction of its value, on top of the taker's."""
        return self.maintenance_margin if self.liquidation_fee is None else self.liquidation_fee

    @property
    def _taken(self) -> float:
        return math.fsum(partial.part for partial in self.partial_exits)

    def signal_deadline(self, close_ms: int, candle_ms: int) -> float:
        """Return until when (UTC ms) the signal of a candle with this close and length may be entered; infinity: at any time."""
        return math.inf if self.oldest_signal_candles is None else close_ms + self.oldest_signal_candles * candle_ms


class Budget(Rules):
    """What one strategy may use of the book: a share of the equity (1.0: whatever cash there is) and a number of positions."""

    share: float = Field(1.0, gt=0, le=1)
    max_positions: int | None = Field(None, ge=1, le=MOST_COUNTED)


class BookRules(Rules):
    """What holds for the whole book: money in the quote coin, positions over all strategies, budgets by strategy name."""

    initial_cash: float = Field(10_000.0, gt=0, le=MOST_MONEY)
    max_positions: int | None = Field(None, ge=1, le=MOST_COUNTED)
    costs: Costs = Costs()
    budgets: Mapping[str, Budget] = Field(default_factory=dict)


def _in_words(error: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown rule, was {error['input']!r:.60}"
    if error["type"] in ("value_error", "missing"):
        return f"{field}: {message}" if field else message
    return f"{field}: {message}, was {error['input']!r:.60}" if field else message
