"""Load one asynchronous ccxt exchange class, ccxt's own or one of ours, without the hundred others.

`import ccxt.async_support` runs every exchange that ccxt knows, which takes about a second longer than one class. The class
needs only `ccxt.base` and `ccxt.async_support.base`; the two packages' `__init__` files are what pulls in the rest, so they are
replaced by empty packages while the one class is imported. Afterwards they are taken away again: a later `import ccxt` runs in
full and shares every module, and so every error class, that was loaded here.
"""

import importlib
import importlib.util
import logging
import sys
import threading
from types import ModuleType
from typing import Any

_lock = threading.Lock()
_PACKAGES = ("ccxt", "ccxt.async_support")
_OUR_CLASSES = {"wallex": ("fks_assets.exchanges.wallex", "Wallex"), "nobitex": ("fks_assets.exchanges.nobitex", "Nobitex")}


def load_exchange_class(ccxt_id: str) -> type[Any]:
    """Return the asynchronous class of one exchange, for example `binance`."""
    name, class_name = _OUR_CLASSES.get(ccxt_id, (f"ccxt.async_support.{ccxt_id}", ccxt_id))
    with _lock:
        module = sys.modules.get(name)
        if module is None:
            module = _import_full(name) if _is_loaded() else _import_alone(name)
        logging.getLogger("ccxt").setLevel(logging.WARNING)
        return getattr(module, class_name)


def load_errors() -> ModuleType:
    """Return the module `ccxt.base.errors`; call it after `load_exchange_class`."""
    return sys.modules["ccxt.base.errors"]


def _is_loaded() -> bool:
    return any(package in sys.modules for package in _PACKAGES)


def _import_full(name: str) -> ModuleType:
    importlib.import_module("ccxt.async_support")
    return importlib.import_module(name)


def _import_alone(name: str) -> ModuleType:
    before = set(sys.modules)
    try:
        _install_empty_packages()
        return importlib.import_module(name)
    except ImportError:
        for loaded in set(sys.modules) - before:
            if loaded.startswith(("ccxt.", "fks_assets.exchanges.")) or loaded == "ccxt":
                del sys.modules[loaded]
        return _import_full(name)
    finally:
        for package in _PACKAGES:
            if getattr(sys.modules.get(package), "__spec__", None) is None:
                sys.modules.pop(package, None)


def _install_empty_packages() -> None:
    found = importlib.util.find_spec("ccxt")
    if found is None or not found.submodule_search_locations:
        raise ImportError("ccxt is not installed")
    root = found.submodule_search_locations[0]
    for package in _PACKAGES:
        module = ModuleType(package)
        module.__path__ = [f"{root}{package.removeprefix('ccxt').replace('.', '/')}"]
        sys.modules[package] = module
    # ccxt's websocket base takes these names from the package instead of from where they are defined.
    errors = importlib.import_module("ccxt.base.errors")
    for name in errors.__all__:
        setattr(sys.modules["ccxt"], name, getattr(errors, name))
    sys.modules["ccxt"].Exchange = importlib.import_module("ccxt.base.exchange").Exchange
