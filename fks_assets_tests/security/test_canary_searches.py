"""The searches for canaries can fail: what is planted is found, in every form, wherever it may turn up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fks_assets.stores.database import Database
from fks_assets.stores.notifications import notify
from fks_assets_tests.security.canaries import API_KEY, CANARIES, SECRET, forms, hits, hits_in_database, hits_in_files
from fks_assets_tests.security.watching import Watch

requires_proc = pytest.mark.skipif(sys.platform != "linux", reason="limits of processes are read from /proc")


def named(found: list[str]) -> set[str]:
    return {hit.split(": ", 1)[1].split(" (")[0] for hit in found}


def test_each_form_of_each_canary_is_found_in_a_file(tmp_path: Path) -> None:
    """S2: plain, url-encoded, base64, hexadecimal, reversed, halves, reversed halves, amid other bytes."""
    for name, secret in CANARIES.items():
        for form, text in forms(secret).items():
            (tmp_path / "planted").write_bytes(b"\0before " + text + b" after")
            assert name in named(hits_in_files(tmp_path)), (name, form)


def test_a_canary_is_found_in_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / f"log-of-{API_KEY}").write_text("")
    assert named(hits_in_files(tmp_path)) == {"API key"}


def test_a_canary_is_found_in_a_dump_of_the_database(database: Database) -> None:
    """S2: with what stands in its rows as text, and as bytes."""
    assert hits_in_database(database.url) == []
    with database.transaction() as connection:
        notify(connection, "test", "INFO", f"signed with {API_KEY[::-1]}", "planted")
    assert named(hits_in_database(database.url)) == {"API key"}


@requires_proc
def test_a_canary_is_found_in_a_command_line_and_in_an_environment(tmp_path: Path) -> None:
    """S2: of a process of the desk, which is one with its home."""
    watch = Watch(tmp_path)
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()", f"--key={API_KEY}"]
    environment = {**os.environ, "FKS_HOME": str(tmp_path), "WORD": SECRET}
    with subprocess.Popen(waits, stdin=subprocess.PIPE, env=environment) as process:
        watch.look()
        process.communicate()
    assert {hit.split(" (")[0] for hit in hits("\n".join(watch.command_lines))} == {"API key"}
    ((kind, texts),) = watch.environments.items()
    assert {hit.split(" (")[0] for text in texts for hit in hits(text)} == {"API secret"}, kind
