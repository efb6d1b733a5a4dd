"""The bounds by which the risk of an account is judged: S2.7's, each to be changed in the settings."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fks_assets.quant.account_rules import Fraction

Bound = Annotated[Fraction, Field(gt=0, le=10)]


class RiskRules(BaseModel):
    """Bounds are fractions of the balance (0.2 is 20 %); what is strictly above one counts.

    A price older than `oldest_price_minutes` is none. Correlations and the value at risk are those of up to `history_days` UTC
    days, at least `least_days` returns. A risk that stays HIGH is told of again after `reminder_hours`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    exposure_high: Bound = Decimal("0.80")
    exposure_medium: Bound = Decimal("0.50")
    loss_high: Bound = Decimal("0.10")
    loss_medium: Bound = Decimal("0.05")
    concentration_high: Bound = Decimal("0.20")
    oldest_price_minutes: int = Field(60, ge=1, le=10_080)
    history_days: int = Field(365, ge=30, le=3650)
    least_days: int = Field(30, ge=20, le=3650)
    reminder_hours: int = Field(24, ge=1, le=720)

    @model_validator(mode="after")
    def _in_order(self) -> "RiskRules":
        for low, high in (("exposure_medium", "exposure_high"), ("loss_medium", "loss_high"), ("least_days", "history_days")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must not be above {high}, was {getattr(self, low)} and {getattr(self, high)}")
        return self
