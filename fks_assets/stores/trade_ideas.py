"""Trade ideas and what became of them: open until a person approves or rejects one, or it expires."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.ideas import ACTIONS, Idea
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import HOLD
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.database import Database

THE_DESK = "the desk"
TOO_OLD = "its candle is more than two timeframes old"
JUDGED_ANEW = "the market was judged anew"


class IdeaStatus(StrEnum):
    """OPEN ideas wait for a person; all others are decided."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class StoredIdea:
    """An idea as it was stored, and what became of it: who decided it, when and why. Times are UTC milliseconds."""

    id: int
    document: Mapping[str, Any]
    status: IdeaStatus
    created_at: int
    expires_at: int
    decided_at: int | None
    decided_by: str | None
    decision_reason: str | None

    def as_document(self) -> dict[str, Any]:
        """Return all of it for a JSON document, times in ISO form."""
        return {
            "id": self.id,
            **self.document,
            "status": self.status.value,
            "created_at": iso(self.created_at),
            "decided_at": iso(self.decided_at),
            "decided_by": self.decided_by,
            "decision_reason": self.decision_reason,
        }


@dataclass(frozen=True, slots=True)
class IdeasSaved:
    """How many ideas are new or open again, and how many open ones expired."""

    added: int
    expired: int


_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('trade_ideas', 0))")
_EXPIRE = sa.text("""
    UPDATE trade_ideas SET status = 'expired', decided_at = expires_at, decided_by = :by, decision_reason = :reason
    WHERE status = 'open' AND expires_at < to_timestamp(:at / 1000.0)
""")
# An older candle's idea stands until its market has a new one; another idea of the same candle was made from other signals.
_REPLACE = sa.text("""
    UPDATE trade_ideas t SET status = 'expired', decided_at = to_timestamp(:at / 1000.0), decided_by = :by,
        decision_reason = coalesce(n.reason, :reason)
    FROM jsonb_to_recordset(CAST(:judged AS jsonb)) AS n (market text, candle bigint, content_hash text, reason text)
    WHERE t.status = 'open' AND t.timeframe = :timeframe AND t.market = n.market AND (n.reason IS NOT NULL
        OR (t.candle < to_timestamp(n.candle / 1000.0) AND n.content_hash IS NOT NULL)
        OR (t.candle = to_timestamp(n.candle / 1000.0) AND t.content_hash IS DISTINCT FROM n.content_hash))
""")
_ADD = sa.text("""
    INSERT INTO trade_ideas AS t (market, timeframe, candle, content_hash, action, score, band, document, status, created_at,
        expires_at)
    SELECT market, :timeframe, to_timestamp(candle / 1000.0), content_hash, action, score, band, document, 'open',
        to_timestamp(:at / 1000.0), to_timestamp(expires_at / 1000.0)
    FROM jsonb_to_recordset(CAST(:ideas AS jsonb)) AS n (market text, candle bigint, content_hash text, action text, score int,
        band text, document jsonb, expires_at bigint)
    ON CONFLICT (market, timeframe, candle, content_hash) DO UPDATE SET status = 'open', decided_at = NULL, decided_by = NULL,
        decision_reason = NULL
    WHERE t.status = 'expired' AND t.expires_at >= to_timestamp(:at / 1000.0)
""")
_STATUS = "CASE WHEN t.status = 'open' AND t.expires_at < to_timestamp(:at / 1000.0) THEN 'expired' ELSE t.status END"
_SELECT = sa.text(f"""
    SELECT id, document, status, (extract(epoch FROM created_at) * 1000)::bigint, (extract(epoch FROM expires_at) * 1000)::bigint,
        (extract(epoch FROM coalesce(decided_at, CASE WHEN status = 'expired' THEN expires_at END)) * 1000)::bigint,
        coalesce(decided_by, CASE WHEN status = 'expired' THEN :by END),
        coalesce(decision_reason, CASE WHEN status = 'expired' THEN :reason END)
    FROM (SELECT t.id, t.market, t.score, t.document, {_STATUS} AS status, t.created_at, t.expires_at, t.decided_at, t.decided_by,
            t.decision_reason FROM trade_ideas t) found
    WHERE (CAST(:ids AS bigint[]) IS NULL OR id = ANY (CAST(:ids AS bigint[])))
      AND (CAST(:markets AS text[]) IS NULL OR market = ANY (CAST(:markets AS text[])))
      AND (CAST(:statuses AS text[]) IS NULL OR status = ANY (CAST(:statuses AS text[])))
    ORDER BY created_at DESC, score DESC, id DESC LIMIT :limit
""")  # noqa: S608 - constants only
_STANDING = sa.text("""
    SELECT count(*) FROM trade_ideas
    WHERE status = 'approved' AND action = 'BUY' AND expires_at >= to_timestamp(:at / 1000.0)
""")
_DECIDE = sa.text("""
    UPDATE trade_ideas SET status = :status, decided_at = to_timestamp(:at / 1000.0), decided_by = :by, decision_reason = :reason
    WHERE id = :id
""")


def save_ideas(
    connection: sa.Connection,
    timeframe: Timeframe,
    ideas: Sequence[Idea],
    at_ms: int,
    without: Mapping[Market, str] | None = None,
) -> IdeasSaved:
    """Store the newest ideas of markets in the caller's transaction; saving the same ones again changes nothing.

    HOLD is no idea, but says that an open idea of the same candle no longer holds. An open idea expires when its market has a
    newer one, when its candle is judged otherwise by now, when it is too old, and with a reason in `without`, where its market
    may have none. One that expired by that and is right again is open again.
    """
    connection.execute(_LOCK)
    expired = connection.execute(_EXPIRE, {"at": at_ms, "by": THE_DESK, "reason": TOO_OLD}).rowcount
    judged: list[dict[str, Any]] = [
        {
            "market": idea.market.key,
            "candle": idea.open_time,
            "content_hash": None if idea.action == HOLD else idea.content_hash,
            "reason": None,
        }
        for idea in ideas
    ]
    judged += [
        {"market": market.key, "candle": None, "content_hash": None, "reason": why} for market, why in (without or {}).items()
    ]
    values = {"timeframe": timeframe.name, "at": at_ms}
    replaced = connection.execute(
        _REPLACE, {**values, "judged": json.dumps(judged), "by": THE_DESK, "reason": JUDGED_ANEW}
    ).rowcount
    rows = [
        {
            "market": idea.market.key,
            "candle": idea.open_time,
            "content_hash": idea.content_hash,
            "action": ACTIONS[idea.action],
            "score": idea.score,
            "band": idea.band.value,
            "document": idea.document(),
            "expires_at": idea.expires_at,
        }
        for idea in ideas
        if idea.action != HOLD and idea.expires_at >= at_ms
    ]
    added = connection.execute(_ADD, {**values, "ideas": json.dumps(rows)}).rowcount
    return IdeasSaved(added, expired + replaced)


def read_ideas(
    source: Database | sa.Connection,
    at_ms: int,
    *,
    ids: Sequence[int] | None = None,
    markets: Sequence[Market] | None = None,
    statuses: Sequence[IdeaStatus] | None = None,
    limit: int = 1_000_000,
) -> list[StoredIdea]:
    """Return ideas as they stand at a time (UTC ms), newest first, the best of one evaluation first; None means all.

    An open idea that is too old is expired, whether or not that has been noted.
    """
    if isinstance(source, Database):
        with source.transaction() as connection:
            return read_ideas(connection, at_ms, ids=ids, markets=markets, statuses=statuses, limit=limit)
    values = {
        "at": at_ms,
        "by": THE_DESK,
        "reason": TOO_OLD,
        "ids": None if ids is None else list(ids),
        "markets": None if markets is None else [market.key for market in markets],
        "statuses": None if statuses is None else [status.value for status in statuses],
        "limit": limit,
    }
    return [StoredIdea(row[0], row[1], IdeaStatus(row[2]), *row[3:]) for row in source.execute(_SELECT, values)]


def decide_idea(
    connection: sa.Connection, idea_id: int, *, approve: bool, by: str, reason: str, at_ms: int, max_positions: int
) -> StoredIdea:
    """Approve or reject an open idea in the caller's transaction and return it.

    Raises InvalidInput for an idea that is not there or not open, one to approve that only observes or for which there is no
    place, as `max_positions` approved ones still stand, and an empty `by` or reason.
    """
    for field, text in (("who decides", by), ("the reason", reason)):
        if not text.strip():
            raise InvalidInput(f"trade idea {idea_id}: {field} must be given, was empty")
    connection.execute(_LOCK)
    found = next(iter(read_ideas(connection, at_ms, ids=[idea_id])), None)
    if found is None:
        raise InvalidInput(f"trade idea {idea_id} is not known: `fks ideas list --all` shows those that are")
    if found.status is not IdeaStatus.OPEN:
        raise InvalidInput(
            f"trade idea {idea_id} was {found.status} at {iso(found.decided_at)} by {found.decided_by}: {found.decision_reason}"
        )
    if approve and found.document["action"] == "BUY" and found.document["entry"] is None:
        raise InvalidInput(f"trade idea {idea_id} is to {found.document['band']}, without an entry: there is nothing to approve")
    if approve and found.document["action"] == "BUY":
        standing = connection.execute(_STANDING, {"at": at_ms}).scalar_one()
        if standing >= max_positions:
            raise InvalidInput(
                f"trade idea {idea_id} has no place: {standing} approved ones still stand, at most {max_positions} may "
                "(ideas.max_positions)"
            )
    status = IdeaStatus.APPROVED if approve else IdeaStatus.REJECTED
    connection.execute(_DECIDE, {"id": idea_id, "status": status.value, "at": at_ms, "by": by, "reason": reason})
    [decided] = read_ideas(connection, at_ms, ids=[idea_id])
    return decided
