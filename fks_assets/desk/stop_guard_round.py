"""One look of the stop guard under way: the prices that are read for its positions, and what they ask for by then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from fks_assets.desk.price_reads import PriceRead, read_prices
from fks_assets.desk.stop_judgement import Judged, follow, is_unconfirmed, judge
from fks_assets.errors import in_words
from fks_assets.exchanges.tickers import Tickers
from fks_assets.quant.markets import Market
from fks_assets.stores.guard import Guarded, KnownPrice, StopCheck

# What a reader may take beyond the time it was given before it is given up.
GRACE_SECONDS = 0.5
_log = logging.getLogger(__name__)
ReadTickers = Callable[[str, Sequence[Market], float], Awaitable[Tickers]]


@dataclass(slots=True)
class Case:
    """A position in the course of a look: its check as it goes on, and what the last price that counts asks for."""

    position: Guarded
    check: StopCheck
    read: PriceRead | None = None
    judged: Judged | None = None

    @property
    def price(self) -> Decimal | None:
        return None if self.read is None else self.read.price


def doubtful(cases: Sequence[Case]) -> list[Case]:
    """Return the positions in whose markets a second read may change what is done."""
    markets = {
        case.position.market
        for case in cases
        if (case.read is not None and case.read.again)
        or (case.judged is not None and (is_unconfirmed(case.check) or case.judged.may_raise))
    }
    return [case for case in cases if case.position.market in markets]


@dataclass(slots=True)
class Round:
    """A look under way. `known`: what is known of prices, `ticks`: of the markets in which stops trail.

    `read` gives tickers of an exchange within so many seconds, `clock` UTC milliseconds. `faults` says what went wrong, `told`
    counts the messages.
    """

    cases: list[Case]
    known: dict[Market, KnownPrice]
    ticks: Mapping[Market, Decimal | None]
    read: ReadTickers
    clock: Callable[[], int]
    oldest_ms: float
    faults: list[str] = field(default_factory=list)
    told: int = 0

    def by_exchange(self) -> dict[str, list[Case]]:
        """Return the positions by the exchange at which they are."""
        found: dict[str, list[Case]] = {}
        for case in self.cases:
            found.setdefault(case.position.market.exchange, []).append(case)
        return found

    async def read_prices(self, exchange: str, cases: Sequence[Case], seconds: float) -> None:
        """Ask an exchange once for the prices of its positions, and judge them."""
        markets = {case.position.market: case.position.reference for case in cases}
        answer = await self._ask(exchange, list(markets), seconds)
        at = self.clock()
        if isinstance(answer, str):
            reads = {market: PriceRead(None, answer, self.known.get(market)) for market in markets}
        else:
            reads = read_prices(self.known, markets, answer, now_ms=at, oldest_ms=self.oldest_ms)
        self.known |= {market: read.known for market, read in reads.items() if read.known is not None}
        for case in cases:
            self._take(case, reads[case.position.market], at)

    def _take(self, case: Case, read: PriceRead, at_ms: int) -> None:
        """Note what a read says; a second one that says nothing leaves the first as it is."""
        if read.price is None and case.price is not None and not read.again:
            return
        case.read = read
        if read.price is None:
            return
        try:
            case.judged = judge(case.position, read, self.ticks.get(case.position.market))
            case.check = follow(case.check, case.position, case.judged, read.price, at_ms, read.since or at_ms)
        except Exception as error:
            # Whatever is wrong with one position, the others are looked at; this one is not, and people are told so.
            _log.exception("deal %s could not be judged", case.position.deal_id)
            case.judged, case.read = None, replace(read, price=None, why=in_words(error), again=False)

    async def _ask(self, exchange: str, markets: Sequence[Market], seconds: float) -> Tickers | str:
        """Return the answer of an exchange, or why there is none."""
        try:
            return await asyncio.wait_for(self.read(exchange, markets, seconds), seconds + GRACE_SECONDS)
        except TimeoutError:
            why = f"{exchange} gave no prices within {seconds:.1f} s"
        except Exception as error:
            # Whatever goes wrong at one exchange, those at the others are looked at.
            why = in_words(error)
            _log.warning("no prices of %s: %s", exchange, why)
        self.faults.append(why)
        return why
