"""Who may write order intents: one process at a time, and the older one loses even if it does not know."""

from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.errors import StaleFence


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write order intents, until somebody takes it with a higher epoch."""

    name: str
    epoch: int
    holder: str


_TAKE = sa.text("""
    INSERT INTO fences AS f (name, epoch, holder, taken_at) VALUES (:name, 1, :holder, to_timestamp(:at / 1000.0))
    ON CONFLICT (name) DO UPDATE SET epoch = f.epoch + 1, holder = excluded.holder, taken_at = excluded.taken_at RETURNING epoch
""")
# The share lock makes a new holder wait until the transaction that was checked has ended, one way or the other.
_CHECK = sa.text("SELECT epoch, holder FROM fences WHERE name = :name FOR SHARE")


def take(connection: sa.Connection, name: str, holder: str, *, at_ms: int) -> Fence:
    """Take a fence in the caller's transaction: from its commit on every earlier holder is refused."""
    epoch = connection.execute(_TAKE, {"name": name, "holder": holder, "at": at_ms}).scalar_one()
    return Fence(name, epoch, holder)


def check(connection: sa.Connection, fence: Fence) -> None:
    """Raise StaleFence unless the fence is still the newest; it stays so until the caller's transaction ends."""
    row = connection.execute(_CHECK, {"name": fence.name}).first()
    if row is None or row[0] != fence.epoch:
        taken = "nobody has taken it" if row is None else f"{row[1]} has it since epoch {row[0]}"
        raise StaleFence(f"fence {fence.name!r}: {fence.holder} held epoch {fence.epoch}, {taken}: it may not trade any more")
