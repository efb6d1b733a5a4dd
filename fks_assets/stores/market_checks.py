"""Whether the candles of each market may be traded on: the last result of each check, and since when it stands."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.database import Database

CHECKS = ("complete", "sane", "fresh", "quarantine", "revisions")
# Not a check: its reason is the hash of the candles that were last searched for spikes, so that nothing is searched twice.
SCANNED = "scanned"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check of one market. An empty reason: it passed."""

    market: Market
    timeframe: str
    name: str
    reason: str

    @property
    def passed(self) -> bool:
        return not self.reason


@dataclass(frozen=True, slots=True)
class MarketCheck:
    """A stored result. `since`: when it last turned; both times are UTC milliseconds."""

    market: Market
    timeframe: str
    name: str
    passed: bool
    reason: str
    since: int
    checked_at: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """A market that gives no signals in the month of its newest candle, with the reason of each failing check."""

    month: str
    reasons: Mapping[str, str]

    def __str__(self) -> str:
        return "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())


_UPSERT = sa.text("""
    INSERT INTO market_checks AS m (market, timeframe, name, passed, reason, since, checked_at)
    SELECT market, timeframe, name, passed, reason, to_timestamp(:at / 1000.0), to_timestamp(:at / 1000.0)
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (market text, timeframe text, name text, passed boolean, reason text)
    ORDER BY market COLLATE "C", timeframe COLLATE "C", name COLLATE "C"
    ON CONFLICT (market, timeframe, name) DO UPDATE SET passed = excluded.passed, reason = excluded.reason,
        since = CASE WHEN m.passed = excluded.passed THEN m.since ELSE excluded.since END, checked_at = excluded.checked_at
    RETURNING market, timeframe, name, passed, reason, (extract(epoch FROM since) * 1000)::bigint,
        (extract(epoch FROM checked_at) * 1000)::bigint
""")
_SELECT = sa.text("""
    SELECT market, timeframe, name, passed, reason, (extract(epoch FROM since) * 1000)::bigint,
        (extract(epoch FROM checked_at) * 1000)::bigint
    FROM market_checks
    WHERE (CAST(:markets AS text[]) IS NULL OR market = ANY (CAST(:markets AS text[])))
      AND (CAST(:timeframes AS text[]) IS NULL OR timeframe = ANY (CAST(:timeframes AS text[])))
      AND name = ANY (CAST(:names AS text[]))
    ORDER BY market COLLATE "C", timeframe COLLATE "C", name COLLATE "C"
""")
_BLOCKED = sa.text("""
    SELECT c.market, newest.month, c.name, c.reason FROM market_checks c CROSS JOIN LATERAL (
        SELECT max(h.month) AS month FROM dataset_heads h
        WHERE h.dataset = 'ohlcv' AND h.timeframe = c.timeframe AND h.market = c.market AND h.row_count > 0
    ) newest
    WHERE c.timeframe = :timeframe AND c.market = ANY (CAST(:markets AS text[])) AND NOT c.passed AND newest.month IS NOT NULL
    ORDER BY c.market COLLATE "C", c.name COLLATE "C"
""")


def record_checks(connection: sa.Connection, results: Sequence[CheckResult], at_ms: int) -> list[MarketCheck]:
    """Store results in one statement of the caller's transaction and return those that have turned to failing just now."""
    if not results:
        return []
    rows = [
        {"market": each.market.key, "timeframe": each.timeframe, "name": each.name, "passed": each.passed, "reason": each.reason}
        for each in results
    ]
    stored = [_check(row) for row in connection.execute(_UPSERT, {"rows": json.dumps(rows), "at": at_ms})]
    return [check for check in stored if not check.passed and check.since == at_ms]


def record_scans(connection: sa.Connection, timeframe: Timeframe, hashes: Mapping[Market, str], at_ms: int) -> None:
    """Note the hashes of the candles that have been searched for spikes."""
    rows = [
        {"market": market.key, "timeframe": timeframe.name, "name": SCANNED, "passed": True, "reason": content_hash}
        for market, content_hash in hashes.items()
    ]
    if rows:
        connection.execute(_UPSERT, {"rows": json.dumps(rows), "at": at_ms})


def read_checks(
    source: Database | sa.Connection,
    markets: Sequence[Market] | None = None,
    timeframes: Sequence[Timeframe | str] | None = None,
    names: Sequence[str] = CHECKS,
) -> list[MarketCheck]:
    """Return the stored results, by market, timeframe and name; None means all."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return read_checks(connection, markets, timeframes, names)
    values = {
        "markets": None if markets is None else [market.key for market in markets],
        "timeframes": None if timeframes is None else [str(timeframe) for timeframe in timeframes],
        "names": list(names),
    }
    return [_check(row) for row in source.execute(_SELECT, values)]


def read_blocked(source: Database | sa.Connection, markets: Sequence[Market], timeframe: Timeframe) -> dict[Market, Blocked]:
    """Return the markets with candles of which a check failed when it was last judged."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return read_blocked(connection, markets, timeframe)
    values = {"timeframe": timeframe.name, "markets": [market.key for market in markets]}
    months: dict[Market, str] = {}
    reasons: dict[Market, dict[str, str]] = {}
    for key, month, name, reason in source.execute(_BLOCKED, values):
        market = parse_market(key)
        months[market] = month
        reasons.setdefault(market, {})[name] = reason
    return {market: Blocked(month, reasons[market]) for market, month in months.items()}


def _check(row: sa.Row) -> MarketCheck:
    return MarketCheck(parse_market(row[0]), *row[1:])
