"""What the settings say of an account: mode, strategies with their budgets, how large a deal is, hard limits."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.rules import BookRules, Budget, Costs, LegRules
from fks_assets.quant.backtest.rules import Sizing as StakeRule
from fks_assets.quant.money import money
from fks_assets.quant.orders import Mode

Sizing = Literal["confidence", "available_cash", "risk"]


def _amount(value: Any) -> Decimal:
    """Amounts are text (or whole numbers) in the settings, so that what is written is what is meant."""
    if isinstance(value, float):
        raise ValueError(f'is money: write it as text, "{value}"')
    try:
        return money(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    except TypeError:
        raise ValueError('is money: write it as text, for example "5000"') from None


def _fraction(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


Money = Annotated[Decimal, BeforeValidator(_amount)]
Fraction = Annotated[Decimal, BeforeValidator(_fraction)]
StrategyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class LimitRules(BaseModel):
    """Hard limits of an account. Amounts in its quote coin; `max_daily_loss` and `price_band` are fractions (0.02 is 2 %)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_order_notional: Annotated[Money, Field(gt=0)] = Decimal(5000)
    max_open_orders: int = Field(20, ge=1, le=10_000)
    max_orders_per_minute: int = Field(10, ge=1, le=10_000)
    max_daily_loss: Annotated[Fraction, Field(gt=0, le=1)] = Decimal("0.05")
    max_positions: int = Field(10, ge=1, le=10_000)
    daily_trades: int = Field(10, ge=1, le=10_000)
    cooldown_minutes: int = Field(30, ge=0, le=10_080)
    price_band: Annotated[Fraction, Field(gt=0, le=1)] = Decimal("0.02")


class AccountRules(BaseModel):
    """An account of the desk. `exchange` None is the desk's own; `initial_cash` is what a paper account begins with.

    `strategies` gives each strategy (or parameter set) its share of the account, together at most 1. A deal's stake is, by
    `sizing`, confidence: `stake` * confidence of the strategy's budget, at most `cap` of it (S3.10); available_cash: `cash_share`
    of the cash that is free (S2.4); risk: so much that the way to the stop costs `risk_share` of that cash (S2.8), and no entry
    without a stop. Signals are those of `timeframe`; None is 1h, or the desk's first. `trailing_percent` makes
    stops follow the price. `costs` are what a paper account pays: fees that are given go before those of the market's rules.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode
    exchange: str | None = None
    quote: str = Field("USDT", pattern=r"^[A-Z0-9]{1,20}$")
    initial_cash: Annotated[Money, Field(ge=0)] = Decimal(0)
    strategies: dict[StrategyName, Annotated[Fraction, Field(gt=0, le=1)]] = Field(min_length=1)
    sizing: Sizing = "confidence"
    stake: Annotated[Fraction, Field(gt=0, le=1)] = Decimal("0.5")
    cap: Annotated[Fraction, Field(gt=0, le=1)] = Decimal("0.5")
    cash_share: Annotated[Fraction, Field(gt=0, le=1)] = Decimal("0.02")
    risk_share: Annotated[Fraction, Field(gt=0, le=1)] = Decimal("0.02")
    timeframe: str | None = None
    trailing_percent: float | None = Field(None, gt=0, lt=100)
    costs: Costs = Costs()
    limits: LimitRules = LimitRules()

    @model_validator(mode="after")
    def _consistent(self) -> "AccountRules":
        shared = sum(self.strategies.values())
        if shared > 1:
            raise ValueError(f"strategies: the shares are {shared} together, more than the whole account")
        if self.mode is Mode.PAPER and not self.initial_cash:
            raise ValueError("initial_cash is missing: a paper account begins with some")
        if self.mode is Mode.LIVE and self.initial_cash:
            raise ValueError(f"initial_cash {self.initial_cash} is for paper accounts: a live one has what is at the exchange")
        return self

    def leg_rules(self) -> LegRules:
        """Return how each strategy trades each market in this account, in the words of a backtest: spot, so never short.

        What came first inside a candle is asked of finer candles: a paper account lives through those of the shortest timeframe.
        """
        stakes = {
            "confidence": StakeRule(kind="confidence", size=float(self.stake), cap=float(self.cap)),
            "available_cash": StakeRule(kind="fraction", size=float(self.cash_share)),
            "risk": StakeRule(kind="risk", size=float(self.risk_share)),
        }
        return LegRules(
            sizing=stakes[self.sizing],
            short=False,
            tie_rule="finer",
            cooldown_minutes=float(self.limits.cooldown_minutes),
            daily_trades=self.limits.daily_trades,
            trailing_percent=self.trailing_percent,
        )

    def book_rules(self, initial_cash: Decimal | None = None) -> BookRules:
        """Return the account as the book of a backtest, which begins with `initial_cash`, or the account's own.

        Raises InvalidInput for an account that states none, as a live one does, if none is given.
        """
        return BookRules(
            initial_cash=float(self.initial_cash if initial_cash is None else initial_cash),
            max_positions=self.limits.max_positions,
            costs=self.costs,
            budgets={name: Budget(share=float(share)) for name, share in self.strategies.items()},
        )
