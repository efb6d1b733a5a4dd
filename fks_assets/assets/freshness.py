"""What is behind: timeframes with a closed candle that is not stored, and months whose indicators or signals are out of date."""

import json
from dataclasses import asdict, dataclass

from sqlalchemy import text

from fks_assets.assets.market_data.history import history_start, trading_time
from fks_assets.assets.market_data.quality import judge_markets
from fks_assets.assets.trading.in_force import parameter_set_refs, stored_versions
from fks_assets.clock import now_ms
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, first_open_candle, months_between
from fks_assets.resources.stores import Stores
from fks_assets.stores.market_checks import read_blocked
from fks_assets.stores.sync_status import SyncState, read_sync


@dataclass(frozen=True, slots=True)
class Work:
    """The months and timeframes that need a run."""

    months: tuple[str, ...]
    timeframes: tuple[str, ...]


def behind(stores: Stores, *, derived: bool, signals: bool) -> Work | None:
    """Return the work to do, or None. Judged by this machine's clock: the gateway judges each candle by the exchange's."""
    now = now_ms()
    earliest: dict[str, int] = {}
    for timeframe in stores.settings.timeframe_list():
        starts = [
            start
            for start in (_candles_behind(stores, timeframe, now), _derived_behind(stores, timeframe, now, derived, signals))
            if start
        ]
        if starts:
            earliest[timeframe.name] = min(starts)
    if not earliest:
        return None
    return Work(tuple(months_between(min(earliest.values()), now + 1)), tuple(earliest))


def _candles_behind(stores: Stores, timeframe: Timeframe, now: int) -> int | None:
    """Return the time from which the markets of this timeframe lack candles, None when none does.

    A tick comes as a candle closes and its run asks a few seconds later, so the grace of a closed candle is not waited for here.
    A market whose whole history has not been synced without an error may have holes anywhere in it. One that is delisted
    lacks nothing once its last candle is stored.
    """
    markets = stores.settings.market_list()
    newest_closed = first_open_candle(now, timeframe, 0) - timeframe.milliseconds
    records = {record.market: record for record in read_sync(stores.database, markets, [timeframe])}
    starts: list[int] = []
    oldest = history_start(stores.settings, timeframe)
    for market in markets:
        record = records.get(market)
        listed, delisted = trading_time(stores.settings, market, timeframe)
        newest = min(newest_closed, delisted - timeframe.milliseconds)
        if newest < max(oldest, listed):
            continue
        if record is None or record.newest_open is None or record.state is not SyncState.COMPLETED:
            starts.append(oldest)
        elif record.newest_open < newest:
            starts.append(record.newest_open)
    return min(starts) if starts else None


_OLDEST_UNDERIVED = text(
    """
    SELECT (extract(epoch FROM min(candles.first_open)) * 1000)::bigint
    FROM dataset_heads AS candles
    LEFT JOIN LATERAL (
        SELECT inputs FROM partition_inputs
        WHERE asset = :asset AND partition = candles.market || '|' || candles.month
        ORDER BY id DESC LIMIT 1
    ) AS derived ON true
    WHERE candles.dataset = 'ohlcv' AND candles.timeframe = :timeframe AND candles.market = ANY(:markets)
      AND candles.row_count > 0 AND candles.storage = 'hot'
      AND NOT EXISTS (
        SELECT 1 FROM unnest(CAST(:blocked_markets AS text[]), CAST(:blocked_months AS text[])) AS blocked (market, month)
        WHERE blocked.market = candles.market AND blocked.month = candles.month)
      AND (derived.inputs @> (CAST(:also AS jsonb) || jsonb_build_array(jsonb_build_object(
        'asset', 'ohlcv_' || candles.timeframe,
        'partition', candles.market || '|' || candles.month,
        'content_hash', candles.content_hash)))) IS NOT TRUE
    """
)


def _derived_behind(stores: Stores, timeframe: Timeframe, now: int, derived: bool, signals: bool) -> int | None:
    """Return the time of the oldest month of candles from which nothing was derived as it is now, None when there is none.

    Signals also count as not derived when a stored parameter set has changed since. A month for which a market may get no signals
    is not waited for, nor is an archived one.
    """
    assets = [name for name, wanted in (("indicators", derived), ("signals", signals)) if wanted]
    if not assets:
        return None
    blocked = _blocked_months(stores, timeframe, now) if signals else []
    oldest: list[int | None] = []
    with stores.database.transaction() as connection:
        for asset in assets:
            left_out = blocked if asset == "signals" else []
            also = parameter_set_refs(stored_versions(connection)) if asset == "signals" else ()
            values = {
                "also": json.dumps([asdict(ref) for ref in also]),
                "asset": f"{asset}_{timeframe}",
                "timeframe": timeframe.name,
                "markets": [market.key for market in stores.settings.market_list()],
                "blocked_markets": [market.key for market, _ in left_out],
                "blocked_months": [month for _, month in left_out],
            }
            oldest.append(connection.execute(_OLDEST_UNDERIVED, values).scalar())
    return min((time for time in oldest if time is not None), default=None)


def _blocked_months(stores: Stores, timeframe: Timeframe, now: int) -> list[tuple[Market, str]]:
    """Return the markets and months without signals, after judging again those that were blocked: they may have been repaired."""
    markets = stores.settings.market_list()
    failing = read_blocked(stores.database, markets, timeframe)
    if failing:
        judge_markets(stores, timeframe, list(failing), now)
        failing = read_blocked(stores.database, markets, timeframe)
    return [(market, blocked.month) for market, blocked in failing.items()]
