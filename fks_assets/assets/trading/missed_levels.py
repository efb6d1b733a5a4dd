"""Stops and targets that a candle of the day has reached while nothing was sold: the backtest has left, the desk still holds."""

import numpy as np
import sqlalchemy as sa

from fks_assets.clock import iso, now_ms
from fks_assets.quant.difference import Cause, Mismatch
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.canonical import times_of
from fks_assets.stores.database import Database

_MS = "(extract(epoch FROM {}) * 1000)::bigint"
# An order counts from when it was sent until it was gone, or anything of its deal was sold. Where the desk itself watches a
# level, that of the deal counts while it is held, unless it trails: what it was at each moment is not known then.
_LEVELS = sa.text(f"""
    SELECT * FROM (
        SELECT d.account, d.market, d.timeframe, {_MS.format("d.signal_time")} AS candle, o.leg,
            CASE o.leg WHEN 'stop' THEN o.stop_price ELSE coalesce(o.price, o.stop_price) END AS level,
            {_MS.format("o.submitted_at")} AS began_at,
            {
    _MS.format('''least(CASE WHEN NOT o.active THEN o.updated_at END, (
                SELECT min(f.traded_at) FROM fills f JOIN orders s ON s.id = f.order_id
                WHERE s.deal_id = d.id AND s.leg <> 'entry' AND f.traded_at >= o.submitted_at))''')
} AS ended_at
        FROM deals d JOIN orders o ON o.deal_id = d.id
        WHERE d.strategy = :strategy AND d.side = 'BUY' AND o.leg IN ('stop', 'target') AND o.submitted_at IS NOT NULL
        UNION ALL
        SELECT d.account, d.market, d.timeframe, {_MS.format("d.signal_time")}, w.leg, w.level, {_MS.format("p.opened_at")},
            {_MS.format("p.closed_at")}
        FROM deals d JOIN positions p ON p.deal_id = d.id JOIN accounts a ON a.name = d.account
            CROSS JOIN LATERAL (VALUES ('stop', d.stop_loss_price), ('target', d.take_profit_price)) AS w (leg, level)
        WHERE d.strategy = :strategy AND d.side = 'BUY' AND a.mode <> 'alert' AND w.level IS NOT NULL
            AND (w.leg = 'target' OR NOT d.trailing_stop_enabled)
            AND NOT EXISTS (SELECT FROM orders o WHERE o.deal_id = d.id AND o.leg IN ('stop', 'target'))
        ) found
    WHERE began_at < :end AND (ended_at IS NULL OR ended_at > :start) ORDER BY candle, account, leg, began_at
""")  # noqa: S608 - constants only


def missed_levels(stores: Stores, strategy: str, start_ms: int, end_ms: int) -> list[Mismatch]:
    """Return a difference for each stop and target of a parameter set that a candle of [start_ms, end_ms) has reached unheeded.

    Only candles through the whole of which it was in force count; what a person was to sell does not.
    """
    found = []
    for row in _levels(stores.database, strategy, start_ms, end_ms):
        step = parse_timeframe(row.timeframe).milliseconds
        first = parse_timeframe(row.timeframe).ceil(max(row.began_at, start_ms))
        last = min(end_ms, (now_ms() if row.ended_at is None else row.ended_at) - step + 1)
        times, is_reached = _reached(stores, row, first, last)
        if not is_reached.any():
            continue
        reached = int(times[is_reached][0])
        cause, words = Cause.FILL, f"the candle of {iso(reached)} has reached it, and nothing was sold in it"
        # What came, or reaches the level, only since then did not do so for those who looked.
        _, was_reached = _reached(stores, row, reached, reached + 1, reached + 2 * step)
        if not was_reached.all():
            cause, words = Cause.DATA_REVISION, f"{words}; it was restated since"
        elif not len(was_reached):
            cause, words = Cause.LATE_DATA, f"{words}; it came late"
        found.append(
            Mismatch(
                row.market,
                row.timeframe,
                row.candle,
                cause,
                "none",
                f"{row.leg} SELL at {float(row.level):.8g}",
                words,
                row.account,
            )
        )
    return found


def _levels(source: Database, strategy: str, start_ms: int, end_ms: int) -> "list[sa.Row[tuple[object, ...]]]":
    with source.transaction() as connection:
        return list(connection.execute(_LEVELS, {"strategy": strategy, "start": start_ms, "end": end_ms}).all())


def _reached(
    stores: Stores, row: "sa.Row[tuple[object, ...]]", start_ms: int, end_ms: int, as_of_ms: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (open times, whether each reaches the level) of the candles that open in [start_ms, end_ms)."""
    column, end_ms = "low" if row.leg == "stop" else "high", max(start_ms, end_ms)
    market = parse_market(row.market)
    table = stores.candles.read_table("ohlcv", market, row.timeframe, start_ms, end_ms, columns=[column], as_of_ms=as_of_ms)
    extremes, level = table[column].to_numpy(), float(row.level)
    return times_of(table), extremes <= level if row.leg == "stop" else extremes >= level
