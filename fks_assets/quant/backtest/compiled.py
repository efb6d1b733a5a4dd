"""Compiling with a cache on disk that any installation can use, also a read-only one.

Only the kernel's modules import this one, and they are imported when a backtest runs: numba takes half a second to load.
"""

import gc
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.np import linalg

from fks_assets.quant import performance_ruin, sizing, stops

_PREFIX = "fks-"
_PACKAGE = Path(__file__).resolve().parent
# numba sees changes of the file of the compiled function alone, not of the functions it calls: the whole text names the folder.
_SOURCES = (*(Path(module.__file__) for module in (stops, sizing, performance_ruin)), *sorted(_PACKAGE.glob("*.py")))


@cache
def compiled(function: FunctionType) -> Callable[..., Any]:
    """Return the function compiled for use inside other compiled ones, always inlined; plain functions that it calls likewise.

    Arithmetic is IEEE 754, never reordered, never fused. Without `_nrt` no references are counted: nothing compiled here makes
    an array, and counting those of the arguments at each call took half of the time.
    """
    named = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    called = {name: compiled(each) for name, each in named.items() if isinstance(each, FunctionType)}
    if called:
        function = FunctionType(function.__code__, function.__globals__ | called, function.__name__)
    return numba.njit(nogil=True, error_model="numpy", fastmath=False, forceinline=True, _nrt=False)(function)


def compiled_on_disk(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled at its first call, and loaded from the cache in every later process."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(cache_directory())
    try:
        return numba.njit(nogil=True, error_model="numpy", fastmath=False, cache=True, _nrt=False)(function)
    finally:
        numba.config.CACHE_DIR = before


@cache
def cache_directory() -> Path:
    """Return a writable directory for the compiled code of exactly these sources.

    NUMBA_CACHE_DIR if it is set; beside the sources; the user's cache directory; at last a private one among the temporary
    files, never one that another user could have prepared.
    """
    text = b"\0".join(path.read_bytes() for path in _SOURCES)
    name = f"{_PREFIX}{numba.__version__}-{hashlib.sha256(text).hexdigest()[:16]}"
    beside = _PACKAGE / "__pycache__"
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR) / name
    if not (beside / name).exists() and _is_ours(beside / name):
        for other in beside.glob(f"{_PREFIX}*"):
            if other.name != name:
                shutil.rmtree(other, ignore_errors=True)  # of earlier sources: no process will ask for it again
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for root in (beside, user / "fks_assets"):
        if _is_ours(root / name):
            return root / name
    shared = Path(tempfile.gettempdir()) / f"fks-compiled-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    return shared / name if _is_ours(shared) and _is_ours(shared / name) else Path(tempfile.mkdtemp(prefix="fks-compiled-"))


def _is_ours(directory: Path) -> bool:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and directory.stat().st_uid != os.getuid():
            return False
        with tempfile.TemporaryFile(dir=directory):
            return True
    except (OSError, RuntimeError):
        return False


@global_compiler_lock
def _load_numba() -> None:
    """Let numba load the rest of itself, as it does at the first call of anything compiled, in half of the time.

    It imports all of `scipy.linalg` only to see whether a dot product could call BLAS; where one is compiled it sees again. And
    in what is loaded to stay there is no garbage to look for.
    """
    sees, collects = linalg.ensure_blas, gc.isenabled()
    gc.disable()
    try:
        if find_spec("scipy") is not None:
            linalg.ensure_blas = lambda: None
        from numba.np import arraymath

        arraymath.ensure_blas = sees
        cpu_target.target_context.refresh()
    finally:
        linalg.ensure_blas = sees
        if collects:
            gc.enable()


_load_numba()
