"""The funding rates of months of markets: what was due, what is asked for, what was stored, and what is behind."""

from collections.abc import Sequence
from dataclasses import dataclass

from fks_assets.assets.market_data.funding_rates import ASSET, CODE_VERSION
from fks_assets.assets.market_data.history import history_start
from fks_assets.clock import now_ms, to_ms
from fks_assets.errors import ExchangeError, ExchangeRefused
from fks_assets.exchanges.funding import FundingOutcome, FundingRequest
from fks_assets.partitions import partition_key, split_partition_key
from fks_assets.quant.funding import FUNDING_GRID, NOTHING_DUE, Coverage, coverage_of
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range, joined
from fks_assets.quant.timeframes import month_window, months_between
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.funding import StoredRate, funding_hash, newest_funding, read_funding, record_funding
from fks_assets.stores.lineage import RecordedInputs, latest_inputs, record_many

# An exchange tells a rate some seconds after it was due.
GRACE_MS = 5 * 60_000
LOOK_BACK = 3


@dataclass(frozen=True, slots=True)
class MonthOfFunding:
    """What is stored of a market's month after it was asked for, and the times (UTC ms) of what was new or changed.

    `coverage` is of what was due by now. `refused` is what the exchange said where it does not know the perpetual market.
    """

    market: Market
    month: str
    rates: tuple[StoredRate, ...]
    coverage: Coverage
    inserted: tuple[int, ...]
    revised: tuple[int, ...]
    refused: str | None

    @property
    def key(self) -> str:
        return partition_key(self.market, self.month)

    @property
    def content_hash(self) -> str:
        return funding_hash(self.rates)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The months that were made, and why others were not."""

    months: tuple[MonthOfFunding, ...]
    failures: tuple[tuple[str, Exception], ...]


def kept_from(settings: Settings) -> int:
    """Return the time (UTC ms) from which the schedule keeps rates complete: that of the longest kept candles."""
    return min(history_start(settings, timeframe) for timeframe in settings.timeframe_list())


def due_window(settings: Settings, market: Market, window: Range, at_ms: int) -> Range:
    """Return the half-open part of a window in which fundings were due that should be known at a time; it may be empty."""
    start, end = window
    known = settings.market_settings(market) if settings.is_desk_market(market) else None
    if known is not None and known.listed is not None:
        start = max(start, to_ms(known.listed))
    if known is not None and known.delisted is not None:
        end = min(end, to_ms(known.delisted))
    return start, min(end, at_ms - GRACE_MS)


def coverage_in(settings: Settings, market: Market, window: Range, at_ms: int, rates: Sequence[StoredRate]) -> Coverage:
    """Return how much of what was due in a window by a time (UTC ms) is known by these stored rates."""
    times = {each.rate.time_ms for each in rates}
    start, end = due_window(settings, market, window, at_ms)
    found = coverage_of(times, (start, end))
    renamed = [segment.start_ms for segment in settings.history_segments(market, start, end)][1:]
    absent = {time for moment in renamed for time in _before_rename(moment, times, set(found.missing))}
    return Coverage(found.due - len(absent), found.known, tuple(time for time in found.missing if time not in absent))


def _before_rename(moment_ms: int, known: set[int], missing: set[int]) -> list[int]:
    """Return the times between the last rate of the old name and the rename: that perpetual had ended, and nothing was due."""
    last = FUNDING_GRID.floor(moment_ms - 1)
    earliest = last
    while earliest in missing:
        earliest -= FUNDING_GRID.milliseconds
    return list(range(last, earliest, -FUNDING_GRID.milliseconds)) if earliest in known else []


def months_behind(stores: Stores) -> list[str] | None:
    """Return the months that a run has to ask for, or None.

    A month is behind that was never asked for, and all since the newest stored rate of a market that lacks the last one due.
    Older holes are left to a person: the exchange was asked for them.
    """
    settings, now = stores.settings, now_ms()
    if settings.funding_profile() is None:
        return None
    markets, months = settings.market_list(), months_between(kept_from(settings), now)
    windows = {
        partition_key(market, month): due_window(settings, market, month_window(month), now)
        for market in markets
        for month in months
    }
    with stores.database.transaction() as connection:
        asked = latest_inputs(connection, ASSET, list(windows))
        newest = newest_funding(connection, markets)
    starts = [
        month_window(split_partition_key(key)[1])[0] for key, (start, end) in windows.items() if start < end and key not in asked
    ]
    for market in markets:
        ends = [end for start, end in (windows[partition_key(market, month)] for month in months) if start < end]
        last_due = FUNDING_GRID.floor(max(ends) - 1) if ends else 0
        if ends and newest.get(market, 0) < last_due:
            starts.append(newest.get(market, last_due))
    return months_between(min(starts), now) if starts else None


def load_funding(stores: Stores, market_data: MarketData, keys: Sequence[str], *, whole: bool, run_id: str) -> Loaded:
    """Ask for the rates of months of markets, store what is new or changed, and return what is stored then.

    With `whole` everything is asked for again, else what is missing and the three rates before it. Raises InvalidInput for an
    exchange that is not asked for funding rates.
    """
    now = now_ms()
    by_market: dict[Market, list[str]] = {}
    for key in keys:
        market, month = split_partition_key(key)
        by_market.setdefault(market, []).append(month)
    asked = {market: _asked(stores, market, months, now, whole=whole) for market, months in by_market.items()}
    outcomes = market_data.funding_rates([request for requests in asked.values() for request in requests])
    loaded = [
        _store(stores, market, months, {request: outcomes[request] for request in asked[market]}, now, run_id)
        for market, months in by_market.items()
    ]
    return Loaded(
        tuple(month for each in loaded for month in each.months), tuple(failure for each in loaded for failure in each.failures)
    )


def _asked(stores: Stores, market: Market, months: Sequence[str], now: int, *, whole: bool) -> list[FundingRequest]:
    windows = [due_window(stores.settings, market, month_window(month), now) for month in months]
    ranges = [(start, end) for start, end in windows if start < end]
    if ranges and not whole:
        first, last = min(start for start, _ in ranges), max(end for _, end in ranges)
        rates = read_funding(stores.database, [market], first, last)[market]
        missing = [(window, coverage_in(stores.settings, market, window, now, rates).missing) for window in ranges]
        look_back = LOOK_BACK * FUNDING_GRID.milliseconds
        ranges = [(max(start, lacking[0] - look_back), end) for (start, end), lacking in missing if lacking]
    return [
        FundingRequest(market, segment.symbol, segment.start_ms, segment.end_ms)
        for start, end in joined(ranges)
        for segment in stores.settings.history_segments(market, start, end)
    ]


def _store(
    stores: Stores,
    market: Market,
    months: Sequence[str],
    outcomes: dict[FundingRequest, FundingOutcome],
    now: int,
    run_id: str,
) -> Loaded:
    """Store in one transaction what came for a market, with what its months hold then; months that met an error are failures."""
    made, failures = [], []
    with stores.database.transaction() as connection:
        changes = [record_funding(connection, market, found, now) for found in outcomes.values() if isinstance(found, tuple)]
        first, last = month_window(min(months))[0], month_window(max(months))[1]
        stored = read_funding(connection, [market], first, last)[market]
        for month in months:
            start, end = month_window(month)
            errors = [
                outcome
                for request, outcome in outcomes.items()
                if isinstance(outcome, ExchangeError) and request.start_ms < end and request.end_ms > start
            ]
            broken = next((error for error in errors if not isinstance(error, ExchangeRefused)), None)
            if broken is not None:
                failures.append((partition_key(market, month), broken))
                continue
            rates = tuple(each for each in stored if start <= each.rate.time_ms < end)
            coverage = coverage_in(stores.settings, market, (start, end), now, rates)
            inserted, revised = (
                tuple(time for change in changes for time in getattr(change, name) if start <= time < end)
                for name in ("inserted", "revised")
            )
            made.append(MonthOfFunding(market, month, rates, coverage, inserted, revised, str(errors[0]) if errors else None))
        record_many(connection, [_record(each, run_id) for each in made])
    return Loaded(tuple(made), tuple(failures))


def _record(found: MonthOfFunding, run_id: str) -> RecordedInputs:
    return RecordedInputs(ASSET, found.key, found.content_hash, CODE_VERSION, "", run_id, (), len(found.rates))


def _judged_months(stores: Stores, market: Market, at_ms: int) -> list[str]:
    """Return the months of a market whose rates are to be known: those kept by the schedule, and all that were asked for."""
    settings = stores.settings
    every = months_between(month_window(settings.first_month)[0], at_ms)
    asked = latest_inputs(stores.database, ASSET, [partition_key(market, month) for month in every])
    kept = months_between(kept_from(settings), at_ms)
    return [month for month in every if month in kept or partition_key(market, month) in asked]


def coverage_by_market(stores: Stores, markets: Sequence[Market], at_ms: int) -> dict[Market, Coverage]:
    """Return how much of the funding that was due by a time is known, of the months that are to be known."""
    found: dict[Market, Coverage] = {}
    for market in markets:
        months = _judged_months(stores, market, at_ms)
        start, end = month_window(months[0])[0], month_window(months[-1])[1]
        rates = read_funding(stores.database, [market], start, end)[market]
        parts = (coverage_in(stores.settings, market, month_window(month), at_ms, rates) for month in months)
        found[market] = sum(parts, NOTHING_DUE)
    return found
