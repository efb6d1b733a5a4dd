"""The table [guard]: how often stops are checked, how old a price may be, when silence is an alarm."""

from pydantic import Field, model_validator

from fks_assets.settings.sections import Section, require


class GuardSettings(Section):
    """Seconds. A stop is checked every `interval_seconds`, and has to be every `check_within_seconds` with a price that is no
    older than `price_age_seconds`; both reads of the prices of one check last `read_seconds` together, the pause between them
    left out. A stop that rests at an exchange has `triggered_seconds` to execute once the price has passed it; a trailing one is
    replaced there no more often than every `trail_seconds`. Silence of the guard is an alarm after `silent_seconds`, and after
    `start_seconds` where the desk has only just begun.
    """

    interval_seconds: int = Field(5, ge=5, le=60)
    check_within_seconds: float = Field(15.0, ge=5, le=600)
    price_age_seconds: float = Field(60.0, ge=1, le=3600)
    read_seconds: float = Field(2.0, ge=0.5, le=3)
    triggered_seconds: float = Field(15.0, ge=5, le=600)
    trail_seconds: float = Field(30.0, ge=5, le=3600)
    silent_seconds: float = Field(10.0, ge=5, le=600)
    start_seconds: float = Field(60.0, ge=0, le=600)

    @model_validator(mode="after")
    def _consistent(self) -> "GuardSettings":
        for name in ("check_within_seconds", "silent_seconds"):
            value = getattr(self, name)
            require(
                value >= 2 * self.interval_seconds, f"{name} {value:g} is less than two intervals of {self.interval_seconds} s"
            )
        return self
