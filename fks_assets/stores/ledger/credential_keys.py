"""The keys that credentials are encrypted with: from FKS_CREDENTIAL_KEY, or from a file of the home that only its owner reads."""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fks_assets.errors import InvalidInput, SettingsError, StoreError
from fks_assets.ids import unique_name
from fks_assets.redaction import hide

VARIABLE = "FKS_CREDENTIAL_KEY"
FILE_NAME = "credential.key"
KEY_BYTES = 32
_FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class CredentialKey:
    """A key of 256 bits. `id` is public: 16 hexadecimal digits that say which key it is."""

    id: str
    _material: bytes = field(repr=False)

    def reveal(self) -> bytes:
        """Return the key itself."""
        return self._material


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that encrypts now, and older ones that still open. `path` None: they came from the environment."""

    keys: tuple[CredentialKey, ...]
    path: Path | None

    @property
    def current(self) -> CredentialKey:
        return self.keys[0]

    @property
    def ids(self) -> str:
        """The ids of the keys, for a message."""
        return ", ".join(key.id for key in self.keys)

    @property
    def origin(self) -> str:
        """Where the keys came from, for a message."""
        return VARIABLE if self.path is None else str(self.path)

    def find(self, key_id: str) -> CredentialKey | None:
        """Return the key of an id, None if it is not here."""
        return next((key for key in self.keys if key.id == key_id), None)

    def loaded_again(self) -> "KeyRing":
        """Return the keys as their file has them now; those of the environment stay as they are. Raises as `load_keys`."""
        return self if self.path is None else KeyRing(_read(self.path), self.path)

    def with_new_key(self) -> "KeyRing":
        """Return the ring to rotate to; its new key is in the file by then, before the old ones.

        A rotation that was interrupted is taken up with the key it had begun with. Raises InvalidInput when the environment gives
        one key alone: there the new one has to be put before it.
        """
        if len(self.keys) > 1:
            return self
        if self.path is None:
            raise InvalidInput(f"{VARIABLE} holds one key: set it to NEW,OLD (32 random bytes in base64 each), then rotate")
        ring = KeyRing((_key(secrets.token_bytes(KEY_BYTES)), *self.keys), self.path)
        _write(self.path, ring.keys)
        return ring

    def forget_old_keys(self) -> None:
        """Leave the current key alone in the file; keys of the environment are for whoever set them to remove."""
        if self.path is not None:
            _write(self.path, self.keys[:1])


def load_keys(home: Path, environment: Mapping[str, str]) -> KeyRing:
    """Return the keys of FKS_CREDENTIAL_KEY (base64, the newest first, separated by commas), else those of home/credential.key.

    The file is made, with a new key and readable by its owner alone, when there is none. Raises SettingsError for a variable that
    holds no keys, StoreError for a file that holds none, that others may read, or that cannot be read or made.
    """
    if given := environment.get(VARIABLE):
        keys = _parse(given.split(","))
        if keys is None:
            raise SettingsError(f"environment: {VARIABLE}: is not {KEY_BYTES} bytes in base64, or several separated by commas")
        return KeyRing(keys, None)
    path = home / FILE_NAME
    try:
        if not path.exists():
            _create(path)
    except OSError as error:
        raise _unusable(path, error) from None
    return KeyRing(_read(path), path)


def _read(path: Path) -> tuple[CredentialKey, ...]:
    try:
        if (mode := path.stat().st_mode & 0o777) & 0o077:
            raise StoreError(f"{path} may be read by others (mode {mode:o}): chmod 600 it, and rotate the credentials")
        keys = _parse(path.read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, error) from None
    if keys is None:
        raise StoreError(f"{path} holds no keys of {KEY_BYTES} bytes in base64: put the right file there")
    return keys


def _unusable(path: Path, error: OSError | UnicodeDecodeError) -> StoreError:
    return StoreError(f"{path} cannot be read or made: {getattr(error, 'strerror', None) or 'it is no text'}")


def _parse(texts: list[str]) -> tuple[CredentialKey, ...] | None:
    keys = []
    for text in texts:
        try:
            material = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(material) != KEY_BYTES:
            return None
        keys.append(_key(material))
    return tuple(keys) or None


def _key(material: bytes) -> CredentialKey:
    hide(base64.b64encode(material).decode())
    return CredentialKey(hashlib.sha256(b"fks credential key\x00" + material).hexdigest()[:16], material)


def _create(path: Path) -> None:
    """Make the file under another name and link it: whoever comes second reads the first one's key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{unique_name()}")
    _flushed(temporary, (_key(secrets.token_bytes(KEY_BYTES)),))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    _flush_directory(path.parent)


def _write(path: Path, keys: tuple[CredentialKey, ...]) -> None:
    try:
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        _flushed(temporary, keys)
        temporary.replace(path)
        _flush_directory(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None


def _flushed(path: Path, keys: tuple[CredentialKey, ...]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(base64.b64encode(key.reveal()) + b"\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
