"""A home that cannot be used is one clear line and exit code 2."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.supervisor.home import DeskHome, prepare_home
from fks_assets_tests.supervisor.desks import PROJECT, environment_of


def up(home: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fks_assets.cli", "up"],
        env=environment_of(home, 3999),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"this user may not mount a small file system: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def assert_one_clear_line(answer: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    (line,) = answer.stderr.splitlines()
    for word in words:
        assert word in line


def test_a_file_in_the_place_of_the_home_is_one_clear_line(tmp_path: Path) -> None:
    place = tmp_path / "home"
    place.write_text("mine")
    assert_one_clear_line(up(place), str(place), "a file stands where a folder should be")
    assert place.read_text() == "mine"


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="this system has no /proc, the one folder that root cannot write either"
)
def test_a_place_that_cannot_be_written_is_one_clear_line() -> None:
    assert_one_clear_line(up(Path("/proc/fks")), "FKS_HOME /proc/fks cannot be written")


def test_a_read_only_file_system_is_one_clear_line(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert_one_clear_line(up(small_disk), str(small_disk), "Read-only file system")


def test_a_disk_with_too_little_space_is_one_clear_line(small_disk: Path) -> None:
    assert_one_clear_line(up(small_disk), str(small_disk), "1 MB of free disk", "needs 500 MB")


def test_a_full_disk_is_one_clear_line(small_disk: Path) -> None:
    with pytest.raises(InvalidInput, match="No space left on device"):
        fill(small_disk)
        prepare_home(small_disk, least_free_bytes=0)


def test_the_state_of_a_desk_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    home = prepare_home(tmp_path / "desk")
    for folder in (home.root, home.run, home.logs, home.dagster):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(home.run.iterdir()) == []


def test_a_home_with_a_long_path_has_no_socket() -> None:
    assert DeskHome(Path("/srv/fks")).code_socket == Path("/srv/fks/run/code-server.sock")
    assert DeskHome(Path("/srv") / ("x" * 90)).code_socket is None


def fill(place: Path) -> None:
    descriptor = os.open(place / "ballast", os.O_WRONLY | os.O_CREAT)
    try:
        for size in (65536, 4096, 1):
            while True:
                try:
                    os.write(descriptor, b"\0" * size)
                except OSError:
                    break
    finally:
        os.close(descriptor)
