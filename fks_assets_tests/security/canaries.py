"""Secrets that are recognised wherever they turn up, and searches for them, in every form a program may give them."""

import base64
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from fks_assets.stores.embedded_binaries import find_installation

API_KEY = "Canary9Key2aXq7ZrT5mVb1NwE8yHc4JuK6LsD3fG0pR"
SECRET = base64.b64encode(b"canary+secret/of an account: 73c1f09be52d").decode()
PASSWORD = "pa55-Canary_of.the~database+8Qz/41"
CREDENTIAL_KEY = base64.b64encode(b"canary key of credentials, 32 b.").decode()
WEBHOOK_TOKEN = "hookCanaryT0ken-5vBn8mQw2eRt9yUi3oPa7sDf"
WEBHOOK = f"https://hooks.example.org/services/desk/{WEBHOOK_TOKEN}"
CANARIES: Mapping[str, str] = {
    "API key": API_KEY,
    "API secret": SECRET,
    "database password": PASSWORD,
    "credential key": CREDENTIAL_KEY,
    "webhook": WEBHOOK_TOKEN,
}
_BYTES = sa.text("""
    SELECT table_name, column_name FROM information_schema.columns WHERE udt_name = 'bytea' AND table_schema = 'public'
""")


def forms(secret: str) -> dict[str, bytes]:
    """Return what to look for: S2's list (plain, url-encoded, base64, reversed halves), halves and hexadecimal as well."""
    raw = secret.encode()
    half = len(raw) // 2
    found = {
        "plain": raw,
        "url-encoded": quote(secret, safe="").encode(),
        "base64": base64.b64encode(raw).rstrip(b"=")[:-1],
        "hexadecimal": raw.hex().encode(),
        "reversed": raw[::-1],
        "first half": raw[:half],
        "second half": raw[half:],
        "first half reversed": raw[:half][::-1],
        "second half reversed": raw[half:][::-1],
    }
    # Behind one or two bytes, as in base64("key:secret"), the digits are others; those at the ends depend on what stands beside.
    for before in (1, 2):
        found[f"base64 behind {before}"] = base64.b64encode(b":" * before + raw).rstrip(b"=")[before + 1 : -1]
    return found


def hits(data: bytes | str, canaries: Mapping[str, str] = CANARIES) -> list[str]:
    """Return which canaries are in the data, in which form, with a little of what stands before it."""
    data = data.encode() if isinstance(data, str) else data
    lower = data.lower()
    return [
        f"{name} ({form}) after {data[max(0, at - 60) : at]!r}"
        for name, secret in canaries.items()
        for form, wanted in forms(secret).items()
        if (at := lower.find(wanted.lower())) >= 0
    ]


def hits_in_files(root: Path, besides: Iterable[Path] = ()) -> list[str]:
    """Return the hits in names and contents of all files below a folder, PostgreSQL's data and log of changes among them."""
    left = set(besides)
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and path not in left]
    assert files, f"no files below {root}"
    return [f"{path}: {hit}" for path in files for hit in hits(str(path).encode() + b"\n" + path.read_bytes())]


def hits_in_database(url: str) -> list[str]:
    """Return the hits in a dump of a database, in its bytes as they are, and in what the server tells of its sessions."""
    # The password goes by the environment: every user of the machine may read command lines.
    named = sa.make_url(url)
    command = [find_installation() / "bin" / "pg_dump", named.set(drivername="postgresql", password=None).render_as_string()]
    environment = {**os.environ, "PGPASSWORD": named.password or ""}
    dumped = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    assert dumped.count(b"COPY public.") > 5
    found = {"dump": dumped}
    with sa.create_engine(url, poolclass=sa.pool.NullPool).connect() as connection:
        found["sessions"] = "\n".join(connection.execute(sa.text("SELECT s::text FROM pg_stat_activity s")).scalars()).encode()
        for table, column in connection.execute(_BYTES).all():
            values = connection.execute(sa.text(f"SELECT {column} FROM {table}")).scalars()
            found[f"{table}.{column}"] = b"\n".join(bytes(value) for value in values if value is not None)
    return [f"{name}: {hit}" for name, data in found.items() for hit in hits(data)]


def with_password(url: str, password: str = PASSWORD) -> str:
    """Return a database's URL with a password; the embedded server lets its owner in without looking at it."""
    return sa.make_url(url).set(password=password).render_as_string(hide_password=False)


def drop_dagsters_database(url: str) -> None:
    """Drop the database of Dagster that stands beside the one of this URL, whoever is connected to it."""
    own = sa.make_url(url)
    server = sa.create_engine(own.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {own.database}_dagster WITH (FORCE)"))
