"""How this desk reaches one exchange. Loads nothing heavy."""

from dataclasses import dataclass

from fks_assets.exchanges.dialects import DIALECTS, FUNDING_APIS, Dialect, FundingApi


@dataclass(frozen=True, slots=True)
class ExchangeProfile:
    """An exchange by its desk name, the API dialect it speaks and the bounds of every call to it.

    `deadline_seconds` bounds one call with its retries, whatever the server does; `patience_seconds` is how long a call may wait
    beforehand for the shared request limit or the end of a ban. `address` names the public network address that the exchange
    sees: processes that name the same one share one limit.
    """

    name: str
    dialect: str
    base_url: str | None = None
    deadline_seconds: float = 15.0
    body_limit_bytes: int = 20 * 2**20
    connections: int = 10
    patience_seconds: float = 90.0
    address: str = "default"

    @property
    def api(self) -> Dialect:
        """The facts of the dialect."""
        return DIALECTS[self.dialect]


@dataclass(frozen=True, slots=True)
class FundingProfile(ExchangeProfile):
    """How the funding rates of an exchange's perpetual markets are reached: `dialect` names one of FUNDING_APIS."""

    @property
    def api(self) -> FundingApi:  # type: ignore[override]
        """The facts of the API."""
        return FUNDING_APIS[self.dialect]
