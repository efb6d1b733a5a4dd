"""Compiled code is kept on disk, wherever that can be; nothing of it is loaded before a backtest runs."""

import os
import shutil
import subprocess
import sys

import pytest

# The smallest of the compiled functions by day: the whole engine takes half a minute to compile.
GATHER = """
import numpy as np
from fks_assets.quant.backtest.gathering import gather
from fks_assets.quant.backtest.packing import pack_signals
from fks_assets.quant.strategies.base import SignalColumns
prices = np.full(3, 100.0)
found = pack_signals(SignalColumns(np.array([0, 1, 0], np.int8), prices, prices, prices, np.zeros(3, np.int16), ("",)))
print(len(found), sum(gather.stats.cache_hits.values()), gather._cache.cache_path)
"""
SIMULATE = """
from fks_assets_tests.quant.backtest.books import book, candles, free
from fks_assets.quant.backtest.engine import run_backtest
run = lambda: run_backtest(book(candles([(100, 101, 99, 100)] * 3), {0: (1, 95.0, 110.0)}, free()))
from fks_assets.quant.backtest.kernel import simulate
print(len(run().trades), sum(simulate.stats.cache_hits.values()), simulate._cache.cache_path)
"""


def run(script: str, **environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    answer = subprocess.run(
        [sys.executable, "-c", script], env=kept | environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.split()


@pytest.mark.parametrize("script", [GATHER, pytest.param(SIMULATE, marks=pytest.mark.nightly)], ids=["gather", "simulate"])
def test_a_second_process_loads_what_the_first_compiled_also_from_a_read_only_installation(tmp_path, script):
    """The directory of the package is stood in for by a file, into which nobody can write, not even root: the code goes to the
    user's cache directory. Where NUMBA_CACHE_DIR says, it is loaded from there.
    """
    blocked = tmp_path / "installed"
    blocked.touch()
    script = f"""
from pathlib import Path
from fks_assets.quant.backtest import compiled
compiled._PACKAGE = Path({str(blocked)!r})
{script}"""
    first, second = (run(script, XDG_CACHE_HOME=str(tmp_path / "cache")) for _ in range(2))
    kept = tmp_path / "cache" / "fks_assets"
    assert first[0] == second[0] == "1"
    assert (first[1], second[1]) == ("0", "1")
    assert second[2].startswith(str(kept / "fks-"))

    shutil.copytree(kept, tmp_path / "elsewhere")
    third = run(script, NUMBA_CACHE_DIR=str(tmp_path / "elsewhere"))
    assert third[1] == "1" and third[2].startswith(str(tmp_path / "elsewhere" / "fks-"))


def test_the_engine_is_compiled_once_for_all_processes():
    """The first process may have to compile it; no other one does."""
    first, second = (run(SIMULATE) for _ in range(2))
    assert first[0] == second[0] == "1"
    assert second[1] == "1"


def test_without_any_home_the_code_is_kept_in_a_directory_that_is_ours_alone(tmp_path, monkeypatch):
    from fks_assets.quant.backtest import compiled

    blocked = tmp_path / "blocked"
    blocked.touch()
    monkeypatch.setattr(compiled, "_PACKAGE", blocked)
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(compiled.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    found = compiled.cache_directory.__wrapped__()
    assert found.parent.parent == tmp_path and found.is_dir()
    assert found.parent.stat().st_mode & 0o077 == 0


def test_code_of_earlier_sources_is_removed(tmp_path, monkeypatch):
    from fks_assets.quant.backtest import compiled

    old = tmp_path / "__pycache__" / "fks-0.1-0123456789abcdef"
    old.mkdir(parents=True)
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path)
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", "")
    found = compiled.cache_directory.__wrapped__()
    assert found.parent == old.parent and found.is_dir() and not old.exists()


def test_books_and_rules_load_neither_numba_nor_talib():
    script = """
import sys
import fks_assets.quant.backtest.book, fks_assets.quant.backtest.engine, fks_assets.quant.backtest.sweep, fks_assets.quant.stops
print(sorted({"numba", "talib", "scipy", "llvmlite"} & set(sys.modules)))
"""
    assert run(script) == ["[]"]


def test_numba_is_loaded_without_scipy_whose_dot_product_a_strategy_of_a_user_may_still_compile():
    """A third of the time until a first backtest went into loading `scipy.linalg`, which nothing here calls."""
    script = """
import gc, sys
import fks_assets.quant.backtest.compiled
print("scipy.linalg" in sys.modules, gc.isenabled())
import numba
import numpy as np
from numba.np import arraymath, linalg
product = numba.njit(lambda one, other: np.dot(one, other))(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
print(product, arraymath._HAVE_BLAS, arraymath.ensure_blas is linalg.ensure_blas, linalg.ensure_blas.__name__)
"""
    assert run(script) == ["False", "True", "11.0", "True", "True", "ensure_blas"]
