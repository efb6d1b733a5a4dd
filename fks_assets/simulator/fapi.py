"""Binance's public futures API below /fapi/v1: the funding rates of perpetual markets, with their own limit of requests."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from fks_assets.simulator.answers import Answer, Refusal, as_answer, binance_error
from fks_assets.simulator.api import Call, Params, PrivateHandler, PublicHandler
from fks_assets.simulator.binance_params import instrument_of, invalid, limit_of, number
from fks_assets.simulator.binance_paths import BinancePaths
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.randomness import generator
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.orders import Refused

FUNDING_MS = 8 * 3_600_000
_PREFIX = "/fapi/v1/"
_NEWEST, _DEFAULT, _MOST = 200, 100, 1000
_BLOCK = 1095
_USUAL, _SPREAD, _BOUND = 1e-4, 1.2e-4, 3e-3


def funding_rate(exchange: SimulatedExchange, params: Params) -> Answer:
    instruments = [instrument_of(exchange, params)] if "symbol" in params else exchange.listed()
    start, end, limit = number(params, "startTime"), number(params, "endTime"), limit_of(params, _DEFAULT, _MOST)
    if start is not None and end is not None and start > end:
        raise Refusal(invalid("startTime", "; it lies after endTime"))
    chosen = slice(-min(limit, _NEWEST), None) if start is None and end is None else slice(limit)
    rows = [row for instrument in instruments for row in _rows(exchange, instrument, start or 0, end, chosen)]
    rows = sorted(rows, key=lambda row: row["fundingTime"])[chosen]
    return as_answer(rows, rows=len(rows))


def _rows(
    exchange: SimulatedExchange, instrument: Instrument, start_ms: int, end_ms: int | None, chosen: slice
) -> list[dict[str, Any]]:
    """Return the chosen fundings in [start_ms, end_ms] that have come while the market traded; no mark price is simulated."""
    now = exchange.seen_ms(instrument)
    last = min(now if end_ms is None else end_ms, now, now if instrument.delisted_ms is None else instrument.delisted_ms - 1)
    first = max(start_ms, instrument.listed_ms)
    numbers = range(-(-first // FUNDING_MS), last // FUNDING_MS + 1)
    return [
        {
            "symbol": instrument.binance_id,
            "fundingTime": each * FUNDING_MS,
            "fundingRate": f"{_rates(exchange.source.seed, instrument.symbol, each // _BLOCK)[each % _BLOCK]:.8f}",
            "markPrice": "",
        }
        for each in numbers[chosen]
    ]


@lru_cache(maxsize=256)
def _rates(seed: int, symbol: str, block: int) -> np.ndarray:
    """Return the rates of a year, fixed by seed, market and time: mostly near 0.01 %, sometimes below 0."""
    drawn = generator(seed, "funding", symbol, block).normal(_USUAL, _SPREAD, _BLOCK)
    return np.clip(drawn, -_BOUND, _BOUND)


class FapiApi(BinancePaths):
    """Binance's futures under /fapi/v1, as far as the funding of perpetual markets goes."""

    name = "fapi"
    prefix = _PREFIX
    routes = (_PREFIX + "{endpoint:path}",)
    public: Mapping[str, PublicHandler] = {"fundingRate": funding_rate}
    private: Mapping[str, PrivateHandler] = {}

    def timeframe_of(self, params: Params) -> str:
        return ""

    def weight(self, endpoint: str, params: Params) -> int:
        return 1

    def judge(self, exchange: SimulatedExchange, call: Call, weight: int, headers: dict[str, str]) -> Answer | None:
        limits = exchange.limiter.fapi
        wait = exchange.limiter.judge_calls(self.name, call.client, "fundingRate", int(limits.requests), limits.seconds)
        if wait is None:
            return None
        text = f"Too many requests; current limit is {limits.requests:g} requests per {limits.seconds:g} seconds."
        return binance_error(-1003, text, 429, {"Retry-After": str(int(wait) + 1)})

    def judge_account(self, exchange: SimulatedExchange, account: Account, call: Call, headers: dict[str, str]) -> Answer | None:
        return None

    def authenticate(self, exchange: SimulatedExchange, call: Call) -> Account:
        """Refuse: nothing of this API is signed here."""
        raise Refusal(binance_error(-2015, "Invalid API-key, IP, or permissions for action.", 401))

    def refused(self, exchange: SimulatedExchange, refused: Refused, call: Call) -> Answer:
        return binance_error(-1000, refused.reason.value)


FAPI = FapiApi()
