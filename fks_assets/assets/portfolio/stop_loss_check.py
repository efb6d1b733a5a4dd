"""The check on positions that each of them was watched in time, on a price that counts (D12)."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from fks_assets.clock import now_ms
from fks_assets.resources.stores import Stores
from fks_assets.settings.guard import GuardSettings

CHECK_NAME = "stops_watched"
_NAMED = 20


def build_stop_check(settings: GuardSettings, positions: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    """Return the check; the stop_loss sensor also reports it, at the moment at which a position is watched no more or again."""

    @dg.asset_check(
        asset=positions.key,
        name=CHECK_NAME,
        description=(
            f"Every open position was compared with its stop within the last {settings.check_within_seconds:g} s, on a price no "
            f"older than {settings.price_age_seconds:g} s."
        ),
    )
    def stops_watched(stores: dg.ResourceParam[Stores]) -> dg.AssetCheckResult:
        from fks_assets.desk.stop_proof import is_watched
        from fks_assets.stores.guard import read_guarded

        at = now_ms()
        with stores.database.transaction() as connection:
            checks = [each.check for each in read_guarded(connection)]
        late = [check.deal_id for check in checks if not is_watched(check, at, settings.check_within_seconds * 1000)]
        return dg.AssetCheckResult(passed=not late, metadata=check_metadata(len(checks), late))

    return stops_watched


def check_metadata(positions: int, unwatched: Sequence[int]) -> dict[str, Any]:
    """Return what the check shows: how many positions are open, and the deals of those that nobody watches."""
    return {"open positions": positions, "not watched": len(unwatched), "deals": list(unwatched[:_NAMED])}
