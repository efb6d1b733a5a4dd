"""Judge whether the candles of each market may be traded on; a market that fails gives no signals, and one alert."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import sqlalchemy as sa

from fks_assets.assets.market_data.quarantine import resolve_ended
from fks_assets.assets.market_data.second_exchange import show_too
from fks_assets.clock import MILLISECONDS_PER_DAY, iso, to_ms
from fks_assets.errors import StoreError
from fks_assets.quant.arrow import numpy_array
from fks_assets.quant.candles import SUSPECT, Candles, Fault, QuarantinedRow
from fks_assets.quant.gaps import GapStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.quality import WINDOW, excursions, find_spikes, find_stuck
from fks_assets.quant.timeframes import Timeframe, month_of
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table
from fks_assets.stores.candles import PartitionHead
from fks_assets.stores.gap_records import GapRecord, read_gaps
from fks_assets.stores.heads import select_heads
from fks_assets.stores.market_checks import CHECKS, SCANNED, CheckResult, MarketCheck, read_checks, record_checks, record_scans
from fks_assets.stores.notifications import notify
from fks_assets.stores.quarantine import (
    UNREMARKABLE,
    QuarantineEntry,
    SeenRow,
    read_quarantined,
    record_quarantined,
    resolve_quarantined,
)
from fks_assets.stores.revisions import restated_since
from fks_assets.stores.sync_status import read_sync

AGE_GRACE_MS = 5 * 60_000
MISSING = (GapStatus.DETECTED, GapStatus.BACKFILLING, GapStatus.FAILED)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MarketVerdict:
    """What the checks say of one market and timeframe: the reason of each that fails, and the candles restated in 24 hours."""

    market: Market
    timeframe: str
    failures: Mapping[str, str]
    restated: int

    @property
    def passed(self) -> bool:
        return not self.failures


@dataclass(slots=True)
class _Series:
    """What is known of one market. Its look-back begins at `start_ms`."""

    market: Market
    newest_open: int | None
    start_ms: int
    heads: list[PartitionHead] = field(default_factory=list)
    gaps: list[GapRecord] = field(default_factory=list)
    entries: list[QuarantineEntry] = field(default_factory=list)
    restated: int = 0


@dataclass(frozen=True, slots=True)
class _Scan:
    """The suspect candles of a market's look-back, and those that another exchange shows too."""

    content_hash: str
    suspects: tuple[QuarantinedRow, ...]
    confirmed: frozenset[int] = frozenset()


def judge_markets(
    stores: Stores,
    timeframe: Timeframe,
    markets: Sequence[Market],
    now_ms: int,
    *,
    market_data: MarketData | None = None,
) -> list[MarketVerdict]:
    """Judge each market, store the results, and write one notification for each market that has just turned to failing.

    complete: no candle that could be had is missing among the newest `quality.lookback_candles`; those after the newest one are
    late, which is for fresh to judge. sane: no spike and no stuck feed
    there; candles are read only where they have changed since they were last searched. fresh: the newest candle closed at most
    two timeframes and five minutes ago. quarantine: every unusable row there of a candle that has closed was replaced or taken
    back. revisions: at most `quality.revisions_per_day` candles there were restated in 24 hours, suspect ones that were corrected
    apart. With `market_data`, spikes are looked up at
    `quality.spike_exchange`. A market whose history has never been loaded is judged without being noted.
    """
    if not markets:
        return []
    series = _read_series(stores, timeframe, markets)
    scans = _scan_changed(stores, timeframe, series, market_data)
    with stores.database.transaction() as connection:
        _note_suspects(stores, connection, timeframe, series, scans, now_ms)
        _read_quarantine(stores, connection, timeframe, series, now_ms)
        loaded = {record.market for record in read_sync(connection, markets, [timeframe]) if record.last_success_at is not None}
        verdicts = [_verdict(stores, timeframe, each, now_ms) for each in series]
        results = [
            CheckResult(verdict.market, timeframe.name, name, verdict.failures.get(name, ""))
            for verdict in verdicts
            if verdict.market in loaded
            for name in CHECKS
        ]
        _raise_alarms(connection, record_checks(connection, results, now_ms))
    return verdicts


_NEWEST = sa.text("""
    SELECT market, (extract(epoch FROM max(last_open)) * 1000)::bigint FROM dataset_heads
    WHERE dataset = 'ohlcv' AND timeframe = :timeframe AND market = ANY (CAST(:markets AS text[])) AND row_count > 0
    GROUP BY market
""")


def _read_series(stores: Stores, timeframe: Timeframe, markets: Sequence[Market]) -> list[_Series]:
    """Return what the database knows of each market, without reading candles."""
    quality, step = stores.settings.quality, timeframe.milliseconds
    with stores.database.transaction() as connection:
        values = {"timeframe": timeframe.name, "markets": [market.key for market in markets]}
        newest = dict(connection.execute(_NEWEST, values).all())
        series = {
            market: _Series(market, opened, 0 if opened is None else opened - (quality.lookback_candles - 1) * step)
            for market in markets
            for opened in [newest.get(market.key)]
        }
        held = [each for each in series.values() if each.newest_open is not None]
        if held:
            first_month = month_of(max(0, min(each.start_ms for each in held) - (WINDOW + 1) * step))
            for head in select_heads(
                connection, "ohlcv", timeframe.name, [each.market for each in held], first_month=first_month
            ).values():
                each = series[head.partition.market]
                if head.last_open is not None and head.last_open >= each.start_ms - (WINDOW + 1) * step:
                    each.heads.append(head)
        for gap in read_gaps(connection, markets, [timeframe], MISSING):
            each = series[gap.market]
            if each.newest_open is not None and gap.start_ms < each.newest_open and gap.end_ms > each.start_ms:
                each.gaps.append(gap)
    return list(series.values())


def _scan_changed(
    stores: Stores, timeframe: Timeframe, series: Sequence[_Series], market_data: MarketData | None
) -> dict[Market, _Scan]:
    """Search the look-backs whose candles have changed since they were last searched."""
    markets = [each.market for each in series]
    known = {check.market: check.reason for check in read_checks(stores.database, markets, [timeframe], [SCANNED])}
    scans: dict[Market, _Scan] = {}
    for each in series:
        content = _content(stores, each)
        if not each.heads or known.get(each.market) == content:
            continue
        try:
            scans[each.market] = _Scan(content, _suspects(stores, timeframe, each))
        except StoreError as error:
            _LOG.warning("%s %s is searched for spikes next time: %s", each.market, timeframe, error)
    doubted = {market: _spikes(scan) for market, scan in scans.items() if _spikes(scan)}
    if doubted and market_data is not None:
        for market, times in show_too(stores, market_data, timeframe, doubted).items():
            scans[market] = _Scan(scans[market].content_hash, scans[market].suspects, times)
    return scans


def _content(stores: Stores, series: _Series) -> str:
    quality = stores.settings.quality
    parts = [f"{quality.spike_score} {quality.stuck_candles} {quality.lookback_candles}"]
    parts += [head.content_hash for head in series.heads]
    return sha256(" ".join(parts).encode()).hexdigest()


def _suspects(stores: Stores, timeframe: Timeframe, series: _Series) -> tuple[QuarantinedRow, ...]:
    """Return the spikes and stuck candles of a look-back. Synthetic candles repeat themselves by design and are left out."""
    quality = stores.settings.quality
    table = stores.candles.read_heads(series.heads)
    real = ~numpy_array(table["is_synthetic"])
    candles = candles_from_table(table if real.all() else table.filter(real))
    candles = candles.between(series.start_ms - (WINDOW + 1) * timeframe.milliseconds, (series.newest_open or 0) + 1)
    recent = candles.open_time >= series.start_ms
    spikes = find_spikes(candles, quality.spike_score) & recent
    stuck = find_stuck(candles, quality.stuck_candles) & recent
    beyond = np.expm1(excursions(candles))
    rows = [_suspect(candles, row, Fault.SPIKE, f"{beyond[row]:.1%} beyond its neighbours") for row in np.flatnonzero(spikes)]
    words = f"the same prices and volume at least {quality.stuck_candles} candles in a row"
    return (*rows, *(_suspect(candles, row, Fault.STUCK, words) for row in np.flatnonzero(stuck)))


def _suspect(candles: Candles, row: int, kind: Fault, reason: str) -> QuarantinedRow:
    return QuarantinedRow(int(candles.open_time[row]), candles.values(row), reason, kind)


def _spikes(scan: _Scan) -> list[QuarantinedRow]:
    return [row for row in scan.suspects if row.kind is Fault.SPIKE]


def _note_suspects(
    stores: Stores,
    connection: sa.Connection,
    timeframe: Timeframe,
    series: Sequence[_Series],
    scans: Mapping[Market, _Scan],
    at_ms: int,
) -> None:
    """Record what was found, and resolve what was found earlier and is not any more or is confirmed."""
    if not scans:
        return
    record_quarantined(
        connection,
        [SeenRow(market, timeframe.name, row, "exchange") for market, scan in scans.items() for row in scan.suspects],
        at_ms,
    )
    starts = {each.market: each.start_ms for each in series}
    found = {(market, row.open_time, row.kind) for market, scan in scans.items() for row in scan.suspects}
    gone, confirmed = [], []
    for entry in read_quarantined(connection, list(scans), [timeframe], kinds=SUSPECT):
        if entry.row.open_time < starts[entry.market]:
            continue
        if (entry.market, entry.row.open_time, entry.row.kind) not in found:
            gone.append(entry.id)
        elif entry.row.kind is Fault.SPIKE and entry.row.open_time in scans[entry.market].confirmed:
            confirmed.append(entry.id)
    resolve_quarantined(connection, gone, UNREMARKABLE, at_ms)
    resolve_quarantined(connection, confirmed, f"{stores.settings.quality.spike_exchange} shows it too", at_ms)
    record_scans(connection, timeframe, {market: scan.content_hash for market, scan in scans.items()}, at_ms)


def _read_quarantine(
    stores: Stores, connection: sa.Connection, timeframe: Timeframe, series: Sequence[_Series], now_ms: int
) -> None:
    """Take in the unresolved entries and the restated candles, after resolving what has been replaced meanwhile."""
    by_market = {each.market: each for each in series}
    since = min(each.start_ms for each in series)
    heads = {head.partition: head for each in series for head in each.heads}
    entries = [
        entry
        for entry in read_quarantined(connection, list(by_market), [timeframe], since_ms=since)
        if by_market[entry.market].start_ms <= entry.row.open_time
        and timeframe.floor(entry.row.open_time) + timeframe.milliseconds <= now_ms
    ]
    ended = resolve_ended(connection, stores.candles, timeframe, entries, heads, now_ms)
    for entry in entries:
        if entry.id not in ended:
            by_market[entry.market].entries.append(entry)
    restated = restated_since(connection, stores.candles, timeframe, list(by_market), now_ms - MILLISECONDS_PER_DAY)
    if not restated:
        return
    corrected = {
        (entry.market, entry.row.open_time)
        for entry in read_quarantined(connection, list(restated), [timeframe], kinds=SUSPECT, since_ms=since, resolved=True)
        if entry.resolved_at is not None
    }
    for market, times in restated.items():
        start = by_market[market].start_ms
        by_market[market].restated = sum(time >= start and (market, time) not in corrected for time in times)


def _verdict(stores: Stores, timeframe: Timeframe, series: _Series, now_ms: int) -> MarketVerdict:
    allowed = stores.settings.quality.revisions_per_day
    reasons = {
        "complete": _missing_words(series),
        "sane": _entry_words([entry for entry in series.entries if entry.row.kind in SUSPECT], "suspect candles"),
        "fresh": _age_words(stores, timeframe, series, now_ms),
        "quarantine": _entry_words([entry for entry in series.entries if entry.row.kind not in SUSPECT], "unusable rows"),
        "revisions": f"{series.restated} candles were restated in 24 hours, {allowed} are allowed"
        if series.restated > allowed
        else "",
    }
    return MarketVerdict(
        series.market, timeframe.name, {name: words for name, words in reasons.items() if words}, series.restated
    )


def _missing_words(series: _Series) -> str:
    if not series.gaps:
        return ""
    missing = sum(gap.missing_candles for gap in series.gaps)
    return f"{missing} candles are missing, the first at {iso(min(gap.start_ms for gap in series.gaps))}"


def _entry_words(entries: Sequence[QuarantineEntry], what: str) -> str:
    if not entries:
        return ""
    return f"{len(entries)} {what}, the first at {iso(entries[0].row.open_time)}: {entries[0].row.reason}"


def _age_words(stores: Stores, timeframe: Timeframe, series: _Series, now_ms: int) -> str:
    """Return why the newest candle is too old. A replay, or a market that does not trade now, is not held against today."""
    settings, limit = stores.settings, 2 * timeframe.milliseconds + AGE_GRACE_MS
    at = now_ms
    if series.market in settings.market_list():
        known = settings.market_settings(series.market)
        if known.listed is not None and now_ms < to_ms(known.listed) + limit:
            return ""
        if known.delisted is not None:
            at = min(at, to_ms(known.delisted))
    if settings.is_simulated and settings.simulator.replay is not None:
        return ""
    if series.newest_open is None:
        return "there are no candles"
    age = at - series.newest_open - timeframe.milliseconds
    return f"the newest candle closed {-(-age // 60_000)} min ago, {limit // 60_000} are allowed" if age > limit else ""


def _raise_alarms(connection: sa.Connection, turned: Sequence[MarketCheck]) -> None:
    """Write one notification for each market with checks that have turned to failing."""
    by_market: dict[tuple[Market, str], list[MarketCheck]] = {}
    for check in turned:
        by_market.setdefault((check.market, check.timeframe), []).append(check)
    for (market, timeframe), checks in by_market.items():
        reasons = "; ".join(f"{check.name}: {check.reason}" for check in checks)
        names = "+".join(check.name for check in checks)
        notify(
            connection,
            "market_check",
            "WARN",
            f"{market} {timeframe} gives no signals: {reasons}",
            f"market_check {market} {timeframe} {names} {iso(checks[0].since)}",
        )
