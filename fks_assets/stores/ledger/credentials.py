"""Keys of exchange accounts: AES-256-GCM in the database, bound to account and exchange; the key that opens them is not."""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from fks_assets.errors import InvalidInput, StoreError
from fks_assets.redaction import hide
from fks_assets.stores.database import CREDENTIALS_LOCK, Database, one_process_at_a_time
from fks_assets.stores.ledger.credential_keys import CredentialKey, KeyRing
from fks_assets.stores.ledger.reading import locked_accounts, milliseconds, moment, reading

NONCE_BYTES = 12
# What the header of a request can carry.
_CARRIED = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What signs the requests of an account. It has no readable form; `get_secret_value` gives each part."""

    key: SecretStr = field(repr=False)
    secret: SecretStr = field(repr=False)
    password: SecretStr | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """A stored key without its secrets. `key_id` says which key encrypted it; times are UTC milliseconds."""

    id: int
    account: str
    exchange: str
    key_id: str
    created_at: int
    created_by: str
    removed_at: int | None


_COLUMNS = f"id, account, exchange, key_id, {milliseconds('created_at')}, created_by, {milliseconds('removed_at')}"
_INSERT = sa.text(f"""
    INSERT INTO credentials (account, exchange, key_id, nonce, ciphertext, created_at, created_by)
    VALUES (:account, :exchange, :key_id, :nonce, :ciphertext, {moment(":at")}, :by) RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_SELECT = sa.text(f'SELECT {_COLUMNS} FROM credentials ORDER BY account COLLATE "C", id')  # noqa: S608 - constants only
_SEALED = sa.text("""
    SELECT id, account, exchange, key_id, nonce, ciphertext FROM credentials
    WHERE removed_at IS NULL AND (CAST(:account AS text) IS NULL OR account = :account) ORDER BY id
""")
_LOCK = sa.text("LOCK TABLE credentials IN SHARE ROW EXCLUSIVE MODE")
_SEAL_AGAIN = sa.text("UPDATE credentials SET key_id = :key_id, nonce = :nonce, ciphertext = :ciphertext WHERE id = :id")
_REMOVE = sa.text(f"""
    UPDATE credentials SET removed_at = {moment(":at")}, ciphertext = ''
    WHERE account = :account AND removed_at IS NULL RETURNING id
""")  # noqa: S608 - constants only


def add_credential(connection: sa.Connection, keys: KeyRing, account: str, api_key: ApiKey, *, by: str, at_ms: int) -> Credential:
    """Store the key of an account, encrypted, in the caller's transaction.

    Raises InvalidInput for an account that has one or is unknown, and for a part that no request could carry; StoreError if other
    credentials were encrypted with a key that is not among these: two keys in use would be one lost.
    """
    parts = _checked({"key": api_key.key, "secret": api_key.secret, "password": api_key.password})
    row = locked_accounts(connection, [account]).get(account)
    if row is None:
        raise InvalidInput(f"account {account!r} is unknown")
    if not by.strip():
        raise InvalidInput("who adds the credential must be named, was empty")
    connection.execute(_LOCK)
    # A rotation may have gone by since they were loaded; none gets past the lock.
    keys = keys.loaded_again()
    for other in connection.execute(_SEALED, {"account": None}):
        if other.account == account:
            raise InvalidInput(f"account {account} has a credential: remove it first")
        _key_of(keys, other)
    sealed = _seal(keys.current, account, row.exchange, _plain(parts))
    values = {**sealed, "account": account, "exchange": row.exchange, "at": at_ms, "by": by}
    return Credential(*connection.execute(_INSERT, values).one())


def read_api_key(source: Database | sa.Connection, keys: KeyRing, account: str) -> ApiKey:
    """Return the key of an account. Raises InvalidInput if it has none, StoreError if it cannot be opened with these keys."""
    with reading(source) as connection:
        row = connection.execute(_SEALED, {"account": account}).first()
    if row is None:
        raise InvalidInput(f"account {account} has no credential: fks credentials add {account}")
    parts = _checked({name: SecretStr(part) for name, part in json.loads(_open(keys, row)).items()})
    return ApiKey(parts["key"], parts["secret"], parts.get("password"))


def read_credentials(source: Database | sa.Connection) -> list[Credential]:
    """Return all credentials without their secrets, by account, removed ones too."""
    with reading(source) as connection:
        return [Credential(*row) for row in connection.execute(_SELECT)]


def remove_credential(connection: sa.Connection, account: str, *, at_ms: int) -> None:
    """Forget the key of an account in the caller's transaction: its ciphertext too. Raises InvalidInput if it has none."""
    if connection.execute(_REMOVE, {"account": account, "at": at_ms}).first() is None:
        raise InvalidInput(f"account {account} has no credential")


def encrypt_again(connection: sa.Connection, keys: KeyRing) -> int:
    """Encrypt every credential of another key with the current one, in the caller's transaction; return how many."""
    changed = 0
    connection.execute(_LOCK)
    for row in connection.execute(_SEALED, {"account": None}).all():
        if row.key_id != keys.current.id:
            sealed = _seal(keys.current, row.account, row.exchange, _open(keys, row))
            connection.execute(_SEAL_AGAIN, {**sealed, "id": row.id})
            changed += 1
    return changed


def rotate(database: Database, keys: KeyRing) -> int:
    """Give all credentials a new key, in steps of which each may be the last: the old key is kept until nothing needs it.

    One rotation goes on at a time. Returns how many were encrypted again. Raises InvalidInput when the key comes from the
    environment with no new one before it.
    """
    with one_process_at_a_time(database.url, CREDENTIALS_LOCK):
        ring = keys.loaded_again().with_new_key()
        with database.transaction() as connection:
            changed = encrypt_again(connection, ring)
        ring.forget_old_keys()
    return changed


def _checked(parts: Mapping[str, SecretStr | None]) -> dict[str, SecretStr]:
    """Return the parts that there are, which nothing here will say from now on."""
    given = {name: part for name, part in parts.items() if part is not None}
    hide(*(part.get_secret_value() for part in given.values()))
    for name, part in given.items():
        if not _CARRIED.fullmatch(part.get_secret_value()):
            raise InvalidInput(f"the API {name} must be of letters, digits and signs without spaces; was it pasted whole?")
    return given


def _plain(parts: Mapping[str, SecretStr]) -> bytes:
    return json.dumps({name: part.get_secret_value() for name, part in parts.items()}).encode()


def _seal(key: CredentialKey, account: str, exchange: str, opened: bytes) -> dict[str, Any]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    ciphertext = AESGCM(key.reveal()).encrypt(nonce, opened, _bound_to(account, exchange))
    return {"key_id": key.id, "nonce": nonce, "ciphertext": ciphertext}


def _open(keys: KeyRing, row: Any) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = _key_of(keys, row)
    try:
        return AESGCM(key.reveal()).decrypt(bytes(row.nonce), bytes(row.ciphertext), _bound_to(row.account, row.exchange))
    except InvalidTag:
        raise StoreError(
            f"credential {row.id} does not belong to {row.account} on {row.exchange}, or was changed: add it again"
        ) from None


def _key_of(keys: KeyRing, row: Any) -> CredentialKey:
    key = keys.find(row.key_id)
    if key is None:
        named = f"credential {row.id} of account {row.account}"
        raise StoreError(f"{named} was encrypted with key {row.key_id}, {keys.origin} has {keys.ids}: give it the right key")
    return key


def _bound_to(account: str, exchange: str) -> bytes:
    return f"{account}|{exchange}".encode()
