"""Which gaps are due for repair, and how fast new ones appear."""

from fks_assets.assets.market_data.gap_ledger import update_gaps
from fks_assets.assets.market_data.repair import TIERS
from fks_assets.quant.gaps import GapCause
from fks_assets.resources.stores import Stores
from fks_assets.stores.gap_records import read_gaps
from fks_assets.stores.sync_status import read_sync


def due_tier(stores: Stores, now_ms: int) -> str | None:
    """Judge the gaps of every market that has been loaded, and return the first tier of which one is due, None if none is."""
    tiers = stores.settings.tiers()
    markets = list(tiers)
    loaded = {(record.market, record.timeframe) for record in read_sync(stores.database, markets) if record.last_success_at}
    found: set[str] = set()
    for timeframe in stores.settings.timeframe_list():
        chosen = [market for market in markets if (market, timeframe.name) in loaded]
        if chosen:
            found |= {tiers[gap.market] for gap in update_gaps(stores, chosen, timeframe) if gap.is_due(now_ms)}
    return next((tier for tier in TIERS if tier in found), None)


def new_gaps_per_day(stores: Stores, since_ms: int) -> float:
    """Return how many gaps were detected since a time a day ago, other than those before a market was listed."""
    gaps = read_gaps(stores.database, stores.settings.market_list())
    return float(sum(gap.detected_at >= since_ms and gap.cause is not GapCause.NEVER_LISTED for gap in gaps))
