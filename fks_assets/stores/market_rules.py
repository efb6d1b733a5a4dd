"""The trading rules of markets over time: a row for each time they changed, readable as of any moment."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.market_rules import RULES, MarketRules, MarketStatus, rule_text
from fks_assets.quant.markets import Market, parse_market
from fks_assets.stores.database import Database

__all__ = ["MarketRules", "MarketStatus", "RulesChange", "all_rules_as_of", "record_rules", "rules_as_of", "rules_history"]


@dataclass(frozen=True, slots=True)
class RulesChange:
    """Rules that were stored, and what was in force before them (None: nothing was known)."""

    before: MarketRules | None
    after: MarketRules

    @property
    def changed(self) -> dict[str, tuple[str | None, str | None]]:
        """Return (old text, new text) of the status and of each rule that differs."""
        old, new = ({} if rules is None else rules.document() for rules in (self.before, self.after))
        return {name: (old.get(name), new[name]) for name in ("status", *RULES) if old.get(name) != new[name]}


_NUMBERS = ", ".join(RULES)
_COLUMNS = f"""market, status, {_NUMBERS}, (extract(epoch FROM valid_from) * 1000)::bigint,
    (extract(epoch FROM last_seen_at) * 1000)::bigint"""
_AT = "to_timestamp(:at / 1000.0)"
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('market_rules ' || m, 0)) FROM unnest(CAST(:markets AS text[])) m")
_AS_OF = sa.text(f"""
    SELECT r.* FROM unnest(CAST(:markets AS text[])) AS k (m) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM market_rules WHERE market = k.m AND valid_from <= {_AT} ORDER BY valid_from DESC LIMIT 1
    ) r
""")  # noqa: S608 - constants only
_NEXT = sa.text(f"""
    SELECT r.* FROM unnest(CAST(:markets AS text[])) AS k (m) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM market_rules WHERE market = k.m AND valid_from > {_AT} ORDER BY valid_from LIMIT 1
    ) r
""")  # noqa: S608 - constants only
_HISTORY = sa.text(f"SELECT {_COLUMNS} FROM market_rules WHERE market = :market ORDER BY valid_from")  # noqa: S608 - constants only
_MARKETS = sa.text('SELECT DISTINCT market COLLATE "C" FROM market_rules ORDER BY 1')
_SEEN = sa.text(f"""
    UPDATE market_rules SET last_seen_at = greatest(last_seen_at, {_AT})
    FROM unnest(CAST(:markets AS text[]), CAST(:since AS bigint[])) AS k (m, valid_ms)
    WHERE market = k.m AND valid_from = to_timestamp(k.valid_ms / 1000.0)
""")  # noqa: S608 - constants only
_SEEN_EARLIER = sa.text(f"""
    UPDATE market_rules SET valid_from = {_AT}
    FROM unnest(CAST(:markets AS text[]), CAST(:since AS bigint[])) AS k (m, valid_ms)
    WHERE market = k.m AND valid_from = to_timestamp(k.valid_ms / 1000.0)
""")  # noqa: S608 - constants only
_INSERT = sa.text(f"""
    INSERT INTO market_rules (market, status, {_NUMBERS}, content_hash, valid_from, last_seen_at)
    SELECT market, status, {_NUMBERS}, content_hash, {_AT}, {_AT}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (market text, status text, content_hash text,
        {", ".join(f"{name} numeric" for name in RULES)})
""")  # noqa: S608 - constants only


def record_rules(connection: sa.Connection, rules: Sequence[MarketRules], at_ms: int) -> list[RulesChange]:
    """Store what the rules of markets were seen to be at a time (UTC ms), and return those that differ from what was known.

    A row is added only where the content changed; where it did not, its `last_seen_at` moves. Writers of the same market wait for
    each other; snapshots may arrive in any order. Raises InvalidInput for rules that contradict stored ones: others were in force
    before and after that time.
    """
    by_market = {each.market: each for each in sorted(rules, key=lambda each: each.market.key)}
    if len(by_market) != len(rules):
        raise InvalidInput("the rules of a market are given twice")
    if not rules:
        return []
    keys = {"markets": [market.key for market in by_market], "at": at_ms}
    connection.execute(_LOCK, {"markets": keys["markets"]})
    before = _by_market(connection.execute(_AS_OF, keys))
    following = _by_market(connection.execute(_NEXT, keys))
    seen, seen_earlier, changes = [], [], []
    for market, new in by_market.items():
        old, later = before.get(market), following.get(market)
        if old == new:
            seen.append(old)
            continue
        if old is not None and (old.last_seen_at or 0) >= at_ms:
            stored = f"those stored for {iso(old.valid_from)} to {iso(old.last_seen_at)}"
            raise InvalidInput(f"the rules of {market} seen at {iso(at_ms)} contradict {stored}")
        if later == new:
            seen_earlier.append(later)
        else:
            changes.append(RulesChange(old, new))
    for statement, found in ((_SEEN, seen), (_SEEN_EARLIER, seen_earlier)):
        if found:
            since = {"markets": [each.market.key for each in found], "since": [each.valid_from for each in found]}
            connection.execute(statement, {**since, "at": at_ms})
    if changes:
        connection.execute(_INSERT, {"rows": json.dumps([_row(change.after) for change in changes]), "at": at_ms})
    return changes


def rules_as_of(source: Database | sa.Connection, market: Market, at_ms: int) -> MarketRules | None:
    """Return the rules of a market that were the newest known at a time (UTC ms), None when none were known yet."""
    return all_rules_as_of(source, [market], at_ms).get(market)


def all_rules_as_of(source: Database | sa.Connection, markets: Sequence[Market] | None, at_ms: int) -> dict[Market, MarketRules]:
    """Return the rules of each market that were the newest known at a time (UTC ms), where any were; None means every market."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return all_rules_as_of(connection, markets, at_ms)
    keys = list(source.scalars(_MARKETS)) if markets is None else [market.key for market in markets]
    return _by_market(source.execute(_AS_OF, {"markets": keys, "at": at_ms}))


def rules_history(source: Database | sa.Connection, market: Market) -> list[MarketRules]:
    """Return every version of a market's rules, oldest first."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return rules_history(connection, market)
    return list(map(_rules, source.execute(_HISTORY, {"market": market.key})))


def _by_market(rows: sa.CursorResult[Any]) -> dict[Market, MarketRules]:
    return {rules.market: rules for rules in map(_rules, rows)}


def _rules(row: Any) -> MarketRules:
    return MarketRules(parse_market(row[0]), MarketStatus(row[1]), *row[2:])


def _row(rules: MarketRules) -> dict[str, str | None]:
    numbers = {name: rule_text(getattr(rules, name)) for name in RULES}
    return {"market": rules.market.key, "status": rules.status.value, "content_hash": rules.content_hash, **numbers}
