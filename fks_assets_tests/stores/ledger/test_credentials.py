"""Keys of exchange accounts: encrypted, bound to their account, rotated without a moment of loss, never shown."""

import base64
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from fks_assets.errors import InvalidInput, SettingsError, StoreError
from fks_assets.quant.orders import Mode
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import accounts, credential_keys, credentials
from fks_assets.stores.ledger.accounts import AccountSpec
from fks_assets.stores.ledger.credential_keys import KeyRing, load_keys
from fks_assets.stores.ledger.credentials import ApiKey
from fks_assets_tests.stores.ledger.books import NOON
from fks_assets_tests.stores.processes import child

KEY, SECRET, PASSWORD = "canary-key-7f3a", "canary-secret-91bd", "canary-password-c0de"
API_KEY = ApiKey(SecretStr(KEY), SecretStr(SECRET), SecretStr(PASSWORD))


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def keys(home: Path) -> KeyRing:
    return load_keys(home, {})


@pytest.fixture
def stored(database: Database, keys: KeyRing) -> Iterator[Database]:
    """Live accounts main and other on one exchange; main has a credential."""
    with database.transaction() as connection:
        specs = [AccountSpec(name, Mode.LIVE, "binance", "USDT") for name in ("main", "other")]
        accounts.mirror(connection, specs, at_ms=NOON)
        credentials.add_credential(connection, keys, "main", API_KEY, by="me", at_ms=NOON)
    yield database


def opened(source: Database, keys: KeyRing, account: str = "main") -> list[str | None]:
    found = credentials.read_api_key(source, keys, account)
    return [part and part.get_secret_value() for part in (found.key, found.secret, found.password)]


def test_a_key_is_read_back_and_stored_as_nothing_that_can_be_read(stored: Database, keys: KeyRing) -> None:
    """S3.20, S1: nothing of it is in the database, in any form that a dump would show."""
    assert opened(stored, keys) == [KEY, SECRET, PASSWORD]
    with stored.transaction() as connection:
        rows = connection.execute(sa.text("SELECT c::text, ciphertext FROM credentials c")).all()
    for plain in (KEY, SECRET, PASSWORD):
        forms = {plain, plain[::-1], plain.encode().hex(), base64.b64encode(plain.encode()).decode().rstrip("=")}
        assert not any(form in text or form.encode() in bytes(sealed) for form in forms for text, sealed in rows)
    assert KEY not in repr(credentials.read_credentials(stored))


def test_a_secret_has_no_readable_form(stored: Database, keys: KeyRing) -> None:
    found = credentials.read_api_key(stored, keys, "main")
    shown = f"{found} {found!r} {found.key} {found.secret!r} {keys} {keys!r} {keys.current}"
    material = base64.b64encode(keys.current.reveal()).decode()
    assert not any(part in shown for part in (KEY, SECRET, PASSWORD, material, repr(keys.current.reveal())))


def test_the_key_file_is_made_when_first_needed_for_its_owner_alone(home: Path) -> None:
    first = load_keys(home, {})
    path = home / "credential.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keys(home, {}) == first
    assert [each.name for each in home.iterdir()] == ["credential.key"]
    path.chmod(0o640)
    with pytest.raises(StoreError, match=r"credential\.key may be read by others \(mode 640\): chmod 600 it"):
        load_keys(home, {})


def test_processes_that_need_the_first_key_at_once_get_the_same(home: Path) -> None:
    code = "import sys; from pathlib import Path; from fks_assets.stores.ledger.credential_keys import load_keys; "
    code += "print(load_keys(Path(sys.argv[1]), {}).current.id)"
    with child(code, str(home)) as one, child(code, str(home)) as two, child(code, str(home)) as three:
        said = {process.communicate()[0] for process in (one, two, three)}
    assert said == {f"{load_keys(home, {}).current.id}\n"}


def test_the_environment_goes_before_the_file(home: Path) -> None:
    one, two = new_key(), new_key()
    ring = load_keys(home, {"FKS_CREDENTIAL_KEY": f"{one}, {two}"})
    assert [base64.b64encode(key.reveal()).decode() for key in ring.keys] == [one, two]
    assert not (home / "credential.key").exists()


@pytest.mark.parametrize("value", ["hunter2", "aGVsbG8=", f"{'A' * 43}=,", "ä"])
def test_a_wrong_key_is_refused_in_one_line_that_does_not_show_it(home: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="environment: FKS_CREDENTIAL_KEY: is not 32 bytes in base64") as refused:
        load_keys(home, {"FKS_CREDENTIAL_KEY": value})
    assert value not in str(refused.value)
    (home / "credential.key").write_text(value, encoding="utf-8")
    (home / "credential.key").chmod(0o600)
    with pytest.raises(StoreError, match=r"credential\.key"):
        load_keys(home, {})


def test_another_key_opens_nothing_and_the_message_names_both(stored: Database, keys: KeyRing, home: Path) -> None:
    other = load_keys(home, {"FKS_CREDENTIAL_KEY": new_key()})
    said = f"credential .* of account main was encrypted with key {keys.current.id}, FKS_CREDENTIAL_KEY has {other.current.id}"
    with pytest.raises(StoreError, match=said) as refused:
        opened(stored, other)
    assert "\n" not in str(refused.value)
    with pytest.raises(StoreError, match=said), stored.transaction() as connection:
        credentials.add_credential(connection, other, "other", API_KEY, by="me", at_ms=NOON)
    forged = KeyRing((credential_keys.CredentialKey(keys.current.id, secrets.token_bytes(32)),), None)
    with pytest.raises(StoreError, match="does not belong to main on binance, or was changed") as refused:
        opened(stored, forged)
    assert refused.value.__cause__ is None
    assert SECRET not in repr(refused.value)


def test_rows_that_were_swapped_between_accounts_do_not_open(stored: Database, keys: KeyRing) -> None:
    """S1: account and exchange are part of what is authenticated."""
    with stored.transaction() as connection:
        connection.execute(sa.text("UPDATE credentials SET account = 'other'"))
    with pytest.raises(StoreError, match="does not belong to other on binance"):
        opened(stored, keys, "other")
    with stored.transaction() as connection:
        connection.execute(sa.text("UPDATE credentials SET account = 'main', exchange = 'kraken'"))
    with pytest.raises(StoreError, match="does not belong to main on kraken"):
        opened(stored, keys)
    with stored.transaction() as connection:
        changed = "exchange = 'binance', ciphertext = set_byte(ciphertext, 3, get_byte(ciphertext, 3) # 1)"
        connection.execute(sa.text(f"UPDATE credentials SET {changed}"))
    with pytest.raises(StoreError, match="or was changed"):
        opened(stored, keys)


def test_an_account_has_one_credential_and_a_removed_one_is_gone(stored: Database, keys: KeyRing) -> None:
    with stored.transaction() as connection:
        with pytest.raises(InvalidInput, match="account main has a credential: remove it first"):
            credentials.add_credential(connection, keys, "main", API_KEY, by="me", at_ms=NOON)
        with pytest.raises(InvalidInput, match="account 'nobody' is unknown"):
            credentials.add_credential(connection, keys, "nobody", API_KEY, by="me", at_ms=NOON)
        with pytest.raises(InvalidInput, match="must be named"):
            credentials.add_credential(connection, keys, "other", API_KEY, by=" ", at_ms=NOON)
        credentials.remove_credential(connection, "main", at_ms=NOON + 1)
        with pytest.raises(InvalidInput, match="account main has no credential"):
            credentials.remove_credential(connection, "main", at_ms=NOON)
    with pytest.raises(InvalidInput, match="account main has no credential: fks credentials add main"):
        opened(stored, keys)
    with stored.transaction() as connection:
        assert connection.scalar(sa.text("SELECT max(octet_length(ciphertext)) FROM credentials")) == 0
        credentials.add_credential(connection, keys, "main", ApiKey(SecretStr("a"), SecretStr("b")), by="me", at_ms=NOON)
    assert opened(stored, keys) == ["a", "b", None]
    assert [each.removed_at for each in credentials.read_credentials(stored)] == [NOON + 1, None]


def test_a_rotation_encrypts_everything_anew_and_forgets_the_old_key(stored: Database, keys: KeyRing, home: Path) -> None:
    assert credentials.rotate(stored, keys) == 1
    new = load_keys(home, {})
    assert len(new.keys) == 1
    assert new.current.id != keys.current.id
    assert [each.key_id for each in credentials.read_credentials(stored)] == [new.current.id]
    assert opened(stored, new) == [KEY, SECRET, PASSWORD]
    assert stat.S_IMODE((home / "credential.key").stat().st_mode) == 0o600
    with pytest.raises(StoreError, match="was encrypted with key"):
        opened(stored, keys)


@pytest.mark.parametrize("step", ["before the database", "after the database"])
def test_a_rotation_that_was_killed_is_taken_up_and_loses_nothing(
    stored: Database, keys: KeyRing, home: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if step == "before the database":
            patched.setattr(credentials, "encrypt_again", killed)
        else:
            patched.setattr(KeyRing, "forget_old_keys", killed)
        with pytest.raises(KeyboardInterrupt):
            credentials.rotate(stored, keys)
    between = load_keys(home, {})
    assert [key.id for key in between.keys[1:]] == [keys.current.id]
    assert opened(stored, between) == [KEY, SECRET, PASSWORD]
    assert credentials.rotate(stored, between) == (1 if step == "before the database" else 0)
    after = load_keys(home, {})
    assert after.keys == between.keys[:1]
    assert opened(stored, after) == [KEY, SECRET, PASSWORD]


def test_keys_of_the_environment_are_rotated_by_putting_the_new_one_first(stored: Database, keys: KeyRing, home: Path) -> None:
    old = base64.b64encode(keys.current.reveal()).decode()
    alone = load_keys(home, {"FKS_CREDENTIAL_KEY": old})
    with pytest.raises(InvalidInput, match="holds one key: set it to NEW,OLD"):
        credentials.rotate(stored, alone)
    both = load_keys(home, {"FKS_CREDENTIAL_KEY": f"{new_key()},{old}"})
    assert credentials.rotate(stored, both) == 1
    assert opened(stored, KeyRing(both.keys[:1], None)) == [KEY, SECRET, PASSWORD]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_one_line(home: Path) -> None:
    home.chmod(0o500)
    with pytest.raises(StoreError, match=r"credential\.key cannot be read or made: Permission denied"):
        load_keys(home, {})
