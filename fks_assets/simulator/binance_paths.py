"""What all of Binance's APIs have in common: one prefix before every endpoint, symbols as parameters, the form of errors."""

from collections.abc import Mapping

from fks_assets.simulator import binance
from fks_assets.simulator.answers import Answer, binance_error, html_error
from fks_assets.simulator.api import Params, PublicHandler
from fks_assets.simulator.exchange import SimulatedExchange


class BinancePaths:
    """The endpoints below `prefix`."""

    prefix: str
    public: Mapping[str, PublicHandler]

    def endpoint_of(self, method: str, path: str) -> str:
        name = path.removeprefix(self.prefix)
        return name if method == "GET" and name in self.public else f"{method} {name}"

    def path_params(self, path: str) -> Params:
        return {}

    def symbol_of(self, exchange: SimulatedExchange, params: Params) -> str:
        return binance.symbol_of(exchange, params)

    def error(self, code: int, message: str) -> Answer:
        return binance_error(code, message)

    def unknown(self) -> Answer:
        return html_error(404)
