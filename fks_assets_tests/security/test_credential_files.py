"""Keys at rest: rotations that are killed or meet, rows that are swapped, files that others may read, and what a dump shows."""

import base64
import os
import random
import signal
import stat
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from fks_assets.errors import InvalidInput, StoreError, TradingError
from fks_assets.quant.orders import Mode
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import credentials
from fks_assets.stores.ledger.accounts import AccountSpec, mirror
from fks_assets.stores.ledger.credential_keys import FILE_NAME, load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential, read_api_key, rotate
from fks_assets_tests.amounts import tries
from fks_assets_tests.security.canaries import API_KEY, PASSWORD, SECRET, hits, hits_in_database, hits_in_files
from fks_assets_tests.stores.processes import child, line_of

AT = 1_763_683_200_000
NAMES = ("main", "other", "third")
ROTATE = """
import sys
from pathlib import Path
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import rotate
database, home = Database(sys.argv[1]), Path(sys.argv[2])
database.require_current()
keys = load_keys(home, {})
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    rotate(database, keys)
print("done", flush=True)
"""
MOST_KILLS = 100


def key_of(name: str) -> ApiKey:
    return ApiKey(SecretStr(f"{API_KEY}{name}"), SecretStr(SECRET), SecretStr(PASSWORD))


@pytest.fixture
def stored(database: Database, home: Path) -> Database:
    """Three live accounts at one exchange with a key each."""
    with database.transaction() as connection:
        mirror(connection, [AccountSpec(name, Mode.LIVE, "binance", "USDT") for name in NAMES], at_ms=AT)
        for name in NAMES:
            add_credential(connection, load_keys(home, {}), name, key_of(name), by="me", at_ms=AT)
    return database


def readable(database: Database, home: Path) -> dict[str, str]:
    keys = load_keys(home, {})
    return {name: read_api_key(database, keys, name).key.get_secret_value() for name in NAMES}


def test_a_rotation_killed_at_any_moment_loses_no_key(stored: Database, home: Path):
    """S1, P1: SIGKILL at 10 moments (50 at night), and at more until one fell on either side of a step; afterwards every key is
    read, and the file is its owner's alone.
    """
    moments = random.Random(20)
    seen = set()
    for kills in range(MOST_KILLS):
        if kills >= tries(10, 50) and len(seen) == 2:
            break
        with child(ROTATE, stored.url, str(home), "1000") as process:
            assert line_of(process) == "ready"
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            time.sleep(moments.uniform(0.0, 0.12))
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert readable(stored, home) == {name: f"{API_KEY}{name}" for name in NAMES}
        file = home / FILE_NAME
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        seen.add(len(file.read_text().split()))
    assert seen == {1, 2}, "no kill fell between the two steps"
    assert rotate(stored, load_keys(home, {})) in (0, 3)
    assert len((home / FILE_NAME).read_text().split()) == 1
    assert readable(stored, home) == {name: f"{API_KEY}{name}" for name in NAMES}


def test_rotations_at_the_same_time_lose_no_key(stored: Database, home: Path):
    """S1: each holds keys that it read before the others began."""
    with (
        child(ROTATE, stored.url, str(home), "8") as one,
        child(ROTATE, stored.url, str(home), "8") as two,
        child(ROTATE, stored.url, str(home), "8") as three,
    ):
        together = (one, two, three)
        assert {line_of(process) for process in together} == {"ready"}
        for process in together:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert {line_of(process) for process in together} == {"done"}
    assert readable(stored, home) == {name: f"{API_KEY}{name}" for name in NAMES}
    assert len((home / FILE_NAME).read_text().split()) == 1


def test_a_key_added_with_keys_from_before_a_rotation_is_sealed_with_the_new_one(database: Database, home: Path):
    """S1: `fks credentials add` waits for a person to type while others rotate; nothing is sealed with a forgotten key."""
    with database.transaction() as connection:
        mirror(connection, [AccountSpec("main", Mode.LIVE, "binance", "USDT")], at_ms=AT)
    before = load_keys(home, {})
    rotate(database, before)
    with database.transaction() as connection:
        made = add_credential(connection, before, "main", key_of("main"), by="me", at_ms=AT)
    after = load_keys(home, {})
    assert made.key_id == after.current.id != before.current.id
    assert read_api_key(database, after, "main").key.get_secret_value() == f"{API_KEY}main"


def test_rows_swapped_between_accounts_open_for_neither(stored: Database, home: Path):
    """S1: one account's orders are never signed with another's key, whoever may write to the database."""
    move = sa.text("UPDATE credentials SET account = :new WHERE account = :old AND removed_at IS NULL")
    with stored.transaction() as connection:
        credentials.remove_credential(connection, "third", at_ms=AT + 1)
        for old, new in (("main", "third"), ("other", "main"), ("third", "other")):
            assert connection.execute(move, {"old": old, "new": new}).rowcount == 1
    for name in ("main", "other"):
        with pytest.raises(StoreError, match=f"does not belong to {name} on binance, or was changed"):
            read_api_key(stored, load_keys(home, {}), name)
    back = sa.text("UPDATE credentials SET account = 'third' WHERE account = 'main' AND removed_at IS NULL")
    with stored.transaction() as connection:
        connection.execute(back)
    with pytest.raises(StoreError, match="does not belong to third"):
        read_api_key(stored, load_keys(home, {}), "third")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o620, 0o777])
def test_a_key_file_that_others_may_touch_is_refused(stored: Database, home: Path, mode: int):
    """S1: whoever may write it can exchange it as well."""
    (home / FILE_NAME).chmod(mode)
    with pytest.raises(StoreError, match=rf"may be read by others \(mode {mode:o}\): chmod 600 it") as caught:
        load_keys(home, {})
    assert hits(str(caught.value)) == []
    with pytest.raises(StoreError, match="may be read by others"):
        rotate(stored, load_keys_of(home))


def load_keys_of(home: Path) -> credentials.KeyRing:
    """Return the keys as a process read them that is older than the change of mode."""
    mode = (home / FILE_NAME).stat().st_mode
    (home / FILE_NAME).chmod(0o600)
    keys = load_keys(home, {})
    (home / FILE_NAME).chmod(mode)
    return keys


def test_a_dump_and_the_home_hold_no_key(stored: Database, home: Path):
    """S1: the ciphertext neither, in bytes or text; the key of the credentials is in its file alone."""
    assert hits_in_database(stored.url) == []
    assert hits_in_files(home) == []
    material = (home / FILE_NAME).read_text().strip()
    assert material not in "".join(path.read_text() for path in home.rglob("*") if path.is_file() and path.name != FILE_NAME)
    rotate(stored, load_keys(home, {}))
    assert [path.name for path in home.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("bad", ["", "two words", "line\nbreak", f"{API_KEY}\r\nX-More: 1", "schlüssel", "tab\t"])
@pytest.mark.parametrize("part", ["key", "secret", "password"])
def test_a_key_that_no_request_can_carry_is_refused_when_it_is_added(database: Database, home: Path, bad: str, part: str):
    """S3.20: in one line that does not show it."""
    with database.transaction() as connection:
        mirror(connection, [AccountSpec("main", Mode.LIVE, "binance", "USDT")], at_ms=AT)
    parts = {"key": SecretStr(API_KEY), "secret": SecretStr(SECRET), part: SecretStr(bad)}
    said = f"the API {part} must be of letters, digits and signs"
    with pytest.raises(InvalidInput, match=said) as caught, database.transaction() as connection:
        add_credential(connection, load_keys(home, {}), "main", ApiKey(**parts), by="me", at_ms=AT)
    assert hits(str(caught.value)) == []


def test_no_error_on_the_way_to_or_from_the_database_shows_a_key(stored: Database, home: Path, monkeypatch: pytest.MonkeyPatch):
    """S2: in words, causes, and variables of every frame: a second key, a table that is gone, a disk that fails."""
    keys = load_keys(home, {})

    def add(name: str) -> None:
        with stored.transaction() as connection:
            add_credential(connection, keys, name, key_of(name), by="me", at_ms=AT)

    def add_without_table() -> None:
        with stored.transaction() as connection:
            connection.execute(sa.text("ALTER TABLE credentials RENAME COLUMN nonce TO once"))
            try:
                credentials.remove_credential(connection, "main", at_ms=AT)
                connection.execute(sa.text("ALTER TABLE credentials RENAME COLUMN once TO nonce"))
                connection.execute(sa.text("ALTER TABLE credentials ADD CHECK (created_by <> 'me') NOT VALID"))
                add_credential(connection, keys, "main", key_of("main"), by="me", at_ms=AT)
            finally:
                connection.rollback()

    def seal_on_a_full_disk() -> None:
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        rotate(stored, keys)

    found = []
    for work in (lambda: add("main"), lambda: add("nobody"), add_without_table, seal_on_a_full_disk):
        with pytest.raises(TradingError) as caught:
            work()
        found += traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    text = "".join(found)
    assert "account main has a credential" in text and "violates check constraint" in text and "No space left" in text
    assert hits(text) == []
    monkeypatch.undo()
    material = base64.b64encode(keys.current.reveal()).decode()
    assert hits(text, {"key": material}) == [] and repr(keys.current.reveal()) not in text


CLI = [sys.executable, "-m", "fks_assets.cli", "credentials"]


def test_the_commands_take_keys_from_the_environment_and_show_none(database: Database, home: Path):
    """S3.20: output, errors and command lines of `fks credentials add, list, rotate, remove`."""
    project = Path(__file__).resolve().parents[2]
    toml = (project / "fks_assets" / "desk.toml").read_text().replace('mode = "paper"', 'mode = "live"', 1)
    (home / "desk.toml").write_text("\n".join(line for line in toml.splitlines() if not line.startswith("initial_cash")))
    mine = {name: value for name, value in os.environ.items() if not name.startswith("FKS_")}
    environment = {
        **mine,
        "FKS_DESK": str(home / "desk.toml"),
        "FKS_HOME": str(home),
        "FKS_DATABASE_URL": database.url,
        "FKS_API_KEY": API_KEY,
        "FKS_API_SECRET": SECRET,
        "FKS_API_PASSWORD": PASSWORD,
    }
    said = []
    for command in (["add", "main"], ["add", "main"], ["add", API_KEY[:8]], ["list", "--json"], ["rotate"], ["remove", "main"]):
        done = subprocess.run([*CLI, *command], env=environment, cwd=project, capture_output=True, text=True, check=False)
        said.append(done.stdout + done.stderr)
        assert done.returncode == (2 if command[0] == "add" and len(said) in (2, 3) else 0), said[-1]
        assert "Traceback" not in said[-1]
    assert hits("".join(said)) == []
    assert "main" in said[3]
    assert hits_in_database(database.url) == []
    assert hits_in_files(home) == []
