"""What Wallex and Nobitex have in common as ccxt exchanges, and the one unit in which the desk counts Iran's money.

The quote `IRT` is toman everywhere inside. Wallex calls it TMN and means toman; Nobitex counts in rial, ten of which are a toman,
everywhere but in its candles. Conversions are exact, in Decimal text. Every number that leaves these classes is plain text.

An answer is taken whole or refused: a missing or unreadable value raises BadResponse and gives no row. A parameter of an order
that an exchange does not document raises NotSupported before anything is sent.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from ccxt.async_support.base.exchange import Exchange
from ccxt.base.decimal_to_precision import TICK_SIZE
from ccxt.base.errors import (
    AuthenticationError,
    BadRequest,
    BadResponse,
    BadSymbol,
    ExchangeNotAvailable,
    InvalidOrder,
    NotSupported,
    OrderNotFound,
    PermissionDenied,
    RateLimitExceeded,
    RequestTimeout,
)

from fks_assets.errors import InvalidInput
from fks_assets.quant.money import EXACT, ZERO, floor_to, money, money_text

TOMAN = "IRT"
RIALS = Decimal(10)
"""Rials in a toman."""
EARLIEST_MS, LATEST_MS = 1_230_768_000_000, 4_102_444_800_000
"""Years that a time of an exchange can lie in: 2009 to 2099."""
MISSING = (None, "", "-")
"""How the two say that there is no value."""
STOP_WORDS = ("triggerPrice", "stopPrice", "stopLossPrice")
_HTTP_ERRORS = {401: AuthenticationError, 403: PermissionDenied, 408: RequestTimeout, 429: RateLimitExceeded}


def exact(value: Any) -> Decimal:
    """Return a JSON number or numeric text as it is written; raise InvalidInput for anything else."""
    if isinstance(value, float):
        return money(repr(value))
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise InvalidInput(f"{str(value)[:40]!r} is not a number")
    return money(value)


class IranianExchange(Exchange, ABC):  # type: ignore[misc]
    """The part of a ccxt exchange that Wallex and Nobitex share."""

    number = str
    order_paths: tuple[str, ...] = ()
    """Parts of the paths that are about orders: there, a refusal of the request is one of the order."""

    def describe(self) -> Any:
        return self.deep_extend(
            super().describe(),
            {
                "countries": ["IR"],
                "precisionMode": TICK_SIZE,
                "requiredCredentials": {"apiKey": True, "secret": False},
                "has": {
                    "CORS": None,
                    "spot": True,
                    "margin": False,
                    "swap": False,
                    "future": False,
                    "option": False,
                    "cancelOrder": True,
                    "createOrder": True,
                    "createMarketOrder": True,
                    "createLimitOrder": True,
                    "createStopOrder": False,
                    "createStopLimitOrder": False,
                    "createStopMarketOrder": False,
                    "createOcoOrder": False,
                    "createReduceOnlyOrder": False,
                    "createPostOnlyOrder": False,
                    "createTrailingAmountOrder": False,
                    "editOrder": False,
                    "fetchBalance": True,
                    "fetchCurrencies": False,
                    "fetchMarkets": True,
                    "fetchMyTrades": True,
                    "fetchOHLCV": True,
                    "fetchOpenOrders": True,
                    "fetchOrder": True,
                    "fetchOrderBook": True,
                    "fetchOrderTrades": True,
                    "fetchTicker": True,
                    "fetchTickers": True,
                    "fetchTime": False,
                    "fetchTrades": True,
                },
            },
        )

    def sign(
        self, path: str, api: Any = "public", method: str = "GET", params: Any = None, headers: Any = None, body: Any = None
    ):
        """Return the request: parameters of a POST as JSON, all others in the query; the key goes into private calls alone."""
        scope = api if isinstance(api, str) else api[0]
        url = f"{self.urls['api'][scope]}/{path}"
        sent = {"Accept": "application/json"}
        if scope == "private":
            self.check_required_credentials()
            sent.update(self.credential_headers())
        if method == "POST":
            sent["Content-Type"] = "application/json"
            body = self.json(params or {})
        elif params:
            url += "?" + self.urlencode(params)
        return {"url": url, "method": method, "body": body, "headers": sent}

    @abstractmethod
    def credential_headers(self) -> dict[str, str]:
        """Return the headers that name the account."""

    def handle_errors(
        self,
        status: int,
        reason: str,
        url: str,
        method: str,
        headers: Any,
        body: str,
        response: Any,
        request_headers: Any,
        request_body: Any,
    ) -> None:
        """Raise what a failure means; an answer with HTTP 200 must be the envelope of a success."""
        said = f"{self.id} HTTP {status}: {(body or reason or '')[:200]}"
        is_order = any(part in url for part in self.order_paths)
        if status >= 500:
            raise (RequestTimeout if status == 504 else ExchangeNotAvailable)(said)
        if isinstance(response, dict):
            self.raise_reported(response, status, said)
        elif status < 300:
            raise BadResponse(said)
        if status >= 400:
            default = InvalidOrder if is_order else BadRequest
            raise (OrderNotFound if status == 404 and is_order else _HTTP_ERRORS.get(status, default))(said)

    @abstractmethod
    def raise_reported(self, response: Mapping[str, Any], status: int, said: str) -> None:
        """Raise what the envelope reports; return if it reports a success."""

    def part(self, holder: Any, key: str, kind: type) -> Any:
        """Return an object or list of an answer."""
        found = holder.get(key) if isinstance(holder, dict) else None
        if not isinstance(found, kind):
            raise BadResponse(f"{self.id} answered {str(found)[:40]!r} as {key}, not {'a list' if kind is list else 'an object'}")
        return found

    def text(self, row: Any, key: str) -> str:
        """Return a text that must be there and not be empty."""
        found = row.get(key) if isinstance(row, dict) else None
        if not isinstance(found, str) or found in MISSING:
            raise BadResponse(f"{self.id} answered {str(found)[:40]!r} as {key}, not a text")
        return found

    def known(self, row: Any, key: str, words: Mapping[str, str]) -> str:
        """Return the unified word for one of the exchange's own."""
        said = self.text(row, key)
        if said not in words:
            raise BadResponse(f"{self.id} answered the {key} {said[:40]!r}; known: {', '.join(words)}")
        return words[said]

    def amount(self, row: Any, key: str, *, above_zero: bool = False, per: Decimal | None = None) -> str:
        """Return a number that must be there, not below zero, as plain text; divided by `per` exactly."""
        found = row.get(key) if isinstance(row, dict) else None
        return self.plain(found, key, above_zero=above_zero, per=per)

    def plain(self, value: Any, name: str, *, above_zero: bool = False, per: Decimal | None = None) -> str:
        """Return a value of an answer as plain text; divided by `per` exactly."""
        try:
            number = exact(value)
        except InvalidInput as fault:
            raise BadResponse(f"{self.id} answered {name}: {fault}") from None
        if number < 0 or (above_zero and number == 0):
            raise BadResponse(f"{self.id} answered {number} as {name}, it must be {'above' if above_zero else 'at least'} 0")
        return money_text(number if per is None else EXACT.divide(number, per))

    def amount_or_none(self, row: Any, key: str, *, per: Decimal | None = None) -> str | None:
        """Return a number as `amount` does, None where the exchange has none."""
        return None if isinstance(row, dict) and row.get(key) in MISSING else self.amount(row, key, per=per)

    def moment(self, row: Any, key: str) -> int:
        """Return the ms of an ISO time."""
        return self.possible(self.parse8601(self.text(row, key)), row[key])

    def possible(self, time: Any, said: Any) -> int:
        """Return a time (ms) that an exchange can mean."""
        if type(time) is not int or not EARLIEST_MS <= time < LATEST_MS:
            raise BadResponse(f"{self.id} answered {str(said)[:40]!r} as a time")
        return time

    def market_by_id(self, market_id: str) -> Any:
        """Return the market that an answer names."""
        found = (self.markets_by_id or {}).get(market_id)
        if not found:
            raise BadResponse(f"{self.id} answered about the market {market_id[:40]!r}, which it does not list")
        return found[0]

    def book(self, symbol: str, bids: Iterable[list[str]], asks: Iterable[list[str]], limit: int | None, time: int | None) -> Any:
        """Return an order book, best levels first; ccxt's own sorts numbers in text form as text.

        Bids at or above asks are refused: that is how a book looks whose sides are named the other way round.
        """
        sides = [
            sorted(levels, key=lambda level: Decimal(level[0]), reverse=is_bid)
            for levels, is_bid in ((bids, True), (asks, False))
        ]
        if sides[0] and sides[1] and Decimal(sides[0][0][0]) >= Decimal(sides[1][0][0]):
            raise BadResponse(f"{self.id} answered a book of {symbol} with bids at {sides[0][0][0]} and asks at {sides[1][0][0]}")
        return {
            "symbol": symbol,
            "bids": sides[0][:limit],
            "asks": sides[1][:limit],
            "timestamp": time,
            "datetime": self.iso8601(time),
            "nonce": None,
        }

    def candles(self, answer: Any, since: int | None, limit: int | None) -> list[list[Any]]:
        """Return a UDF history as ccxt's candles, oldest first."""
        if self.text(answer, "s") == "no_data":
            return []
        columns = [self.part(answer, key, list) for key in "tohlcv"]
        if len({len(column) for column in columns}) != 1:
            raise BadResponse(f"{self.id} answered candle columns of different lengths")
        rows = []
        for time, *prices, volume in zip(*columns, strict=True):
            opened = self.possible(time * 1000 if type(time) is int else None, time)
            rows.append([opened, *(self.plain(price, "a price", above_zero=True) for price in prices)])
            rows[-1].append(self.plain(volume, "a volume"))
        return self.filter_by_since_limit(sorted(rows, key=lambda row: row[0]), since, limit, 0)

    def candle_window(self, timeframe: str, since: int | None, limit: int | None, params: dict[str, Any]) -> dict[str, Any]:
        """Return resolution, from and to (s) for candles of [since, until]; raise BadRequest for a timeframe that is not had."""
        if timeframe not in self.timeframes:
            raise BadRequest(f"{self.id} has no {timeframe} candles; it has {', '.join(self.timeframes)}")
        span = min(limit or self.options["candlesPerPage"], self.options["candlesPerPage"]) * self.parse_timeframe(timeframe)
        until = params.get("until")
        end = until // 1000 if until is not None else self.seconds() if since is None else since // 1000 + span
        start = end - span if since is None else since // 1000
        return {"resolution": self.timeframes[timeframe], "from": start, "to": end}

    def order_number(self, value: Any, step: Any, name: str) -> Decimal:
        """Return an amount or price of an order; raise InvalidOrder unless it is a multiple of the market's step above zero."""
        try:
            number = exact(value)
        except InvalidInput as fault:
            raise InvalidOrder(f"{self.id} {name}: {fault}") from None
        if number <= 0:
            raise InvalidOrder(f"{self.id} {name} was {number}, it must be above 0")
        if step in MISSING or floor_to(number, exact(step)) != number:
            raise InvalidOrder(f"{self.id} {name} was {number}, not a multiple of {step}")
        return number

    def only_known(self, params: Mapping[str, Any], words: Collection[str]) -> None:
        """Raise NotSupported for a parameter of an order that cannot be sent."""
        for name, value in params.items():
            if name not in words and value not in (None, False):
                raise NotSupported(f"{self.id} orders take no {name} (was {str(value)[:40]!r}); nothing was sent")

    def side_of(self, side: Any) -> str:
        """Return buy or sell."""
        if str(side).lower() not in ("buy", "sell"):
            raise InvalidOrder(f"{self.id} side was {side!r}, it must be buy or sell")
        return str(side).lower()

    def required_symbol(self, symbol: str | None, call: str) -> Any:
        """Return the market of a symbol that must be given."""
        if symbol is None:
            raise BadSymbol(f"{self.id} {call} needs a symbol")
        return self.market(symbol)


def subtracted(total: str, part: str) -> str:
    """Return total less part as plain text, 0 where that is below."""
    return money_text(max(ZERO, EXACT.subtract(Decimal(total), Decimal(part))))
