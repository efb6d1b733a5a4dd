"""The two roots of the candle store: hot, which every write goes to, and cold, which holds archived months."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from fks_assets.errors import SettingsError, StoreError
from fks_assets.stores.heads import PartitionHead
from fks_assets.stores.objects import DENSE, ObjectStore

HOT, COLD = "hot", "cold"


class Tiers:
    """Finds the objects that a head names. Raises SettingsError for roots that lie within one another.

    Without a cold root nothing can be archived, and archived months cannot be read.
    """

    def __init__(self, root: str, cold_root: str | None) -> None:
        self._stores = {HOT: ObjectStore(root)}
        if cold_root is not None:
            if _overlap(root, cold_root):
                # Each root is swept of what no head of its own names.
                raise SettingsError(f"the cold root {cold_root} and the candle root {root} must not lie within one another")
            self._stores[COLD] = ObjectStore(cold_root, DENSE)

    def of(self, storage: str) -> ObjectStore:
        """Return the objects of a storage. Raises StoreError when there is no cold root."""
        try:
            return self._stores[storage]
        except KeyError:
            raise StoreError("a month is archived and no cold root is set: set FKS_COLD_ROOT to where it is") from None

    def all(self) -> list[ObjectStore]:
        """Return the objects of every storage, hot first."""
        return list(self._stores.values())

    def rows(self, head: PartitionHead, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Return the rows of a partition, None when it has none. Raises MissingObject or StoreError."""
        return None if head.object_name is None else self.of(head.storage).read(head.object_name, columns)

    def revisions(self, head: PartitionHead) -> pa.Table | None:
        """Return the replaced and removed rows of a partition, None when it has none. Raises MissingObject or StoreError."""
        return None if head.revisions_name is None else self.of(head.storage).read(head.revisions_name)


def _overlap(first: str, second: str) -> bool:
    one, other = (_parts(root) for root in (first, second))
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _parts(root: str) -> tuple[str, ...]:
    scheme, separator, rest = root.partition("://")
    if separator and scheme != "file":
        return (scheme, *(part for part in rest.split("/") if part))
    return ("file", *Path(rest if separator else root).resolve().parts)
