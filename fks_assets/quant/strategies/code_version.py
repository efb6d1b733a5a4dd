"""The version of a strategy's code: one hash over the source of its module and of all of quant/ that it is built on."""

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.strategies.base import Strategy

PURE = "fks_assets.quant"


def code_version(strategy: Strategy[Any] | type[Strategy[Any]]) -> str:
    """Return 16 hexadecimal digits that change with any change to the strategy's module or to a module of quant/ that it
    imports, directly or through another, and with nothing else: neither its place on disk nor its parameters count.

    What counts is the code this process runs: a user's module as it was read when it was loaded, the desk's own as it was
    when first asked for. Raises InvalidInput when the class has no module with a source, as one typed into a shell.
    """
    cls = strategy if isinstance(strategy, type) else type(strategy)
    modules = [sys.modules[each.__module__] for each in cls.__mro__ if issubclass(each, Strategy) and each is not Strategy]
    own = [source_of(module) for module in dict.fromkeys(modules) if not _is_pure(module.__name__)]
    shared: dict[str, str] = {}
    for module in modules:
        _collect(module.__name__, source_of(module), shared)
    return stable_id(cls.__qualname__, *own, *(f"{name}\n{shared[name]}" for name in sorted(shared)))


@lru_cache(maxsize=256)
def source_of(module: ModuleType) -> str:
    """Return the source of a module, read at most once in this process."""
    loader = module.__spec__.loader if module.__spec__ else None
    source = loader.get_source(module.__name__) if hasattr(loader, "get_source") else None
    path = getattr(module, "__file__", None)
    if source is None and path is not None and path.endswith(".py"):
        source = Path(path).read_text(encoding="utf-8")
    if source is None:
        raise InvalidInput(f"module {module.__name__} has no source: put the strategy into a file")
    return source


def _collect(name: str, source: str, into: dict[str, str]) -> None:
    if _is_pure(name):
        if name in into:
            return
        into[name] = source
    for needed in _imports(source):
        if needed not in into and _is_pure(needed):
            module = sys.modules.get(needed)
            if module is not None:
                _collect(needed, source_of(module), into)


@lru_cache(maxsize=256)
def _imports(source: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_imported_names(ast.parse(source))))


def _imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_pure(name: str) -> bool:
    return name == PURE or name.startswith(f"{PURE}.")
