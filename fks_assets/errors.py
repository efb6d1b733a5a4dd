"""Every error that the desk raises on purpose. Each says what was wrong, with the value, and what to do."""


class TradingError(Exception):
    """Base of all errors raised by fks_assets."""


class InvalidInput(TradingError, ValueError):
    """A value given by a person or a file is unusable; nothing was changed."""


class SettingsError(InvalidInput):
    """A setting is unknown, malformed or out of bounds; names file, key and value."""


class Denied(InvalidInput):
    """An order was refused by ourselves before anything was sent: a limit, a halt, a frozen market. Says which."""


class StaleFence(Denied):
    """Another process has taken over trading; this one may not write order intents any more."""


class IllegalTransition(InvalidInput):
    """An order cannot go from its status to the one asked for."""


class InsufficientData(TradingError):
    """There are too few candles for what was asked."""


class StrategyFailed(TradingError):
    """The code of a strategy raised an error while it judged; names strategy, line and error."""


class StoreError(TradingError):
    """A store could not read or write; what it held before is unchanged."""


class ExchangeError(TradingError):
    """An exchange call failed. `exchange` and `endpoint` say where; secrets never appear in the text."""

    def __init__(self, message: str, *, exchange: str, endpoint: str = "") -> None:
        super().__init__(message)
        self.exchange = exchange
        self.endpoint = endpoint


class ExchangeUnavailable(ExchangeError):
    """Timeout, refused or broken connection, or 5xx: the call may be repeated if it only reads."""


class RateLimited(ExchangeError):
    """The exchange (or our own record of its ban) refuses calls until `retry_after` seconds have passed."""

    def __init__(self, message: str, *, exchange: str, endpoint: str = "", retry_after: float) -> None:
        super().__init__(message, exchange=exchange, endpoint=endpoint)
        self.retry_after = retry_after


class ExchangeRefused(ExchangeError):
    """The exchange understood the call and definitely refused it (unknown symbol, bad argument)."""


class InvalidResponse(ExchangeError):
    """The exchange answered with something that is not what its API promises; nothing of it was used."""


class OrderError(TradingError):
    """An order, or a question about one, could not be carried out; the ledger says where the order stands."""


class NotSent(ExchangeUnavailable, OrderError):
    """The call never left this machine: no connection, no place within the limits, or a clock that is not to be trusted."""


def in_words(error: Exception) -> str:
    """Return an error in one line; one that is not the desk's own with its type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, TradingError) else f"{type(error).__name__}: {text}"
