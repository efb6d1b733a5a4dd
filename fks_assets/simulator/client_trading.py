"""The oracle's view of trading, for tests: accounts, orders, fills and books of a running simulator, and a human's hand in it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

Amount = str | int | Decimal


class TradingOracle(ABC):
    """Asks the pages under /_simulator/trading; amounts go and come as texts, what is refused raises InvalidInput."""

    @abstractmethod
    def _call(self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None) -> Any: ...

    @abstractmethod
    def _read(self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None) -> bytes: ...

    def add_account(
        self,
        key: str,
        secret: str,
        *,
        balances: Mapping[str, Amount],
        maker: Amount = "0.001",
        taker: Amount = "0.001",
        fee_rule: str = "received",
        fee_places: int = 8,
    ) -> dict[str, Any]:
        """Create an account; fees are fractions, `fee_rule` is received, quote, base or BNB. Kraken's secrets are base64."""
        amounts = {asset: str(amount) for asset, amount in balances.items()}
        fees = {"maker": str(maker), "taker": str(taker), "fee_rule": fee_rule, "fee_places": fee_places}
        return self._call("POST", "/trading/accounts", body={"key": key, "secret": secret, "balances": amounts, **fees})

    def set_trading(self, **settings: Any) -> dict[str, Any]:
        """Replace settings of TradingSettings by name: fill_model, way, volume_share, parts, check_timestamps and others."""
        return self._call("POST", "/trading/settings", body=settings)

    def accounts(self) -> list[dict[str, Any]]:
        """Return all accounts with their balances, without secrets."""
        return self._call("GET", "/trading/accounts")["accounts"]

    def balances(self, key: str) -> dict[str, dict[str, str]]:
        """Return free and locked of each asset of an account."""
        return next(one["balances"] for one in self.accounts() if one["key"] == key)

    def adjust(self, key: str, asset: str, amount: Amount) -> dict[str, Any]:
        """Deposit into an account, or with a negative amount withdraw."""
        return self._call("POST", "/trading/balances", body={"key": key, "asset": asset, "amount": str(amount)})

    def equity(self, key: str, quote: str = "USDT") -> Decimal:
        """Return what an account is worth in the quote currency at the last prices."""
        return Decimal(self._call("GET", "/trading/equity", {"key": key, "quote": quote})["equity"])

    def price(self, symbol: str) -> Decimal:
        """Return the last price of a market that its public data tell now."""
        return Decimal(self._call("GET", "/trading/price", {"symbol": symbol})["price"])

    def orders(self, **filters: str) -> list[dict[str, Any]]:
        """Return every order ever accepted; filter by account, symbol, client_id, status or origin (api, human)."""
        return self._call("GET", "/trading/orders", filters)["orders"]

    def fills(self, **filters: str) -> list[dict[str, Any]]:
        """Return every fill; filter by account or symbol."""
        return self._call("GET", "/trading/fills", filters)["fills"]

    def duplicates(self) -> list[dict[str, Any]]:
        """Return what was accepted more than once under one client id: account, symbol, client_id, count."""
        return self._call("GET", "/trading/duplicates")["duplicates"]

    def books(self) -> dict[str, dict[str, str]]:
        """Return fees, market and brought sums by asset; `differences` is empty if nothing was lost or made of nothing."""
        return self._call("GET", "/trading/books")

    def requests(self) -> list[dict[str, Any]]:
        """Return how many rightly signed requests each account sent to each endpoint."""
        return self._call("GET", "/trading/requests")["requests"]

    def dump(self) -> bytes:
        """Return everything about trading as one text, the same for the same seed, times and requests."""
        return self._read("GET", "/trading/dump")

    def place_by_hand(
        self,
        key: str,
        symbol: str,
        side: str,
        type: str,
        quantity: Amount,
        price: Amount | None = None,
        stop_price: Amount | None = None,
    ) -> dict[str, Any]:
        """Place an order as the owner of the account would in the exchange's web page."""
        amounts = {"quantity": quantity, "price": price, "stop_price": stop_price}
        given = {name: str(amount) for name, amount in amounts.items() if amount is not None}
        return self._call("POST", "/trading/orders", body={"key": key, "symbol": symbol, "side": side, "type": type, **given})

    def cancel_by_hand(self, number: int) -> dict[str, Any]:
        """Cancel an order from outside."""
        return self._call("POST", "/trading/orders/cancel", body={"number": number})

    def fill_by_hand(self, number: int, price: Amount, quantity: Amount | None = None) -> dict[str, Any]:
        """Fill an order at a price, whatever the market does."""
        given = {} if quantity is None else {"quantity": str(quantity)}
        return self._call("POST", "/trading/orders/fill", body={"number": number, "price": str(price), **given})

    def halt(self, symbol: str, *, resume: bool = False) -> None:
        """Delist a market, or open it again."""
        self._call("POST", "/trading/halt", body={"symbol": symbol, "resume": resume})

    def freeze(self, symbol: str, *, resume: bool = False) -> None:
        """Let a market's public data stand still, or go on."""
        self._call("POST", "/trading/freeze", body={"symbol": symbol, "resume": resume})
