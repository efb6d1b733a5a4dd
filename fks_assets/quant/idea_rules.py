"""The numbers by which trade ideas are scored and sized: S4.19's, each to be changed in the settings."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class IdeaRules(BaseModel):
    """Points of S4.19, the bands, and the size of a position.

    Confidences are from 0 to 1, scores from 0 to 100. `risk` and `max_position` are fractions of `capital`, which counts in the
    market's quote coin; a pending order takes `pending_share` of the risk and of the largest position.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    entry: int = Field(30, ge=0, le=100)
    strong: int = Field(25, ge=0, le=100)
    weak: int = Field(-15, ge=-100, le=0)
    exit: int = Field(-40, ge=-100, le=0)
    align: int = Field(10, ge=0, le=100)
    strong_confidence: float = Field(0.75, gt=0, le=1)
    weak_confidence: float = Field(0.5, ge=0, lt=1)
    news_least: int = Field(-20, ge=-100, le=0)
    news_most: int = Field(-40, ge=-100, le=0)
    pending_from: int = Field(60, ge=1, le=100)
    open_from: int = Field(75, ge=1, le=100)
    reward_risk: float = Field(2.0, gt=0, le=100)
    max_positions: int = Field(3, ge=1, le=1000)
    capital: float = Field(10_000.0, gt=0, le=1e12)
    risk: float = Field(0.01, gt=0, le=0.1)
    pending_share: float = Field(0.5, gt=0, le=1)
    max_position: float = Field(0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> "IdeaRules":
        for low, high in (("weak_confidence", "strong_confidence"), ("pending_from", "open_from")):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"{low} must be below {high}, was {getattr(self, low)} and {getattr(self, high)}")
        if self.news_most > self.news_least:
            raise ValueError(f"news_most must not be above news_least, was {self.news_most} and {self.news_least}")
        return self
