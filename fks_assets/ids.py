"""The one maker of unique names. Ids that must be repeatable are derived from data with `stable_id` instead."""

import hashlib
import json
import secrets
from typing import Any


def unique_name() -> str:
    """Return 16 random hexadecimal digits."""
    return secrets.token_hex(8)


def stable_id(*parts: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the parts: the same parts, the same id."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def document_hash(document: Any) -> str:
    """Return the SHA-256, in hexadecimal, of what JSON can hold; the order of keys does not count."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
