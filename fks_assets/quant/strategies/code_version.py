"""The version of a strategy's code: one hash over the source of its module and of all that it imports and that may change."""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.machinery import ModuleSpec
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.strategies.base import Strategy

OURS = "fks_assets"
PURE = f"{OURS}.quant"
# Modules of users' folders are below this name; what follows it tells the folder, which is no part of the version.
USER_PACKAGE = "fks_user_strategies"
_PARSING = Lock()
_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")})


def code_version(strategy: Strategy[Any] | type[Strategy[Any]]) -> str:
    """Return 16 hexadecimal digits that change with any change to the strategy's module or to what it imports by name, directly
    or through another module: modules of quant/, and all others but the standard library, installed distributions and the rest of
    the desk. Nothing else counts: neither the place on disk nor the parameters.

    What counts is the code this process runs: a user's file as it was read when it was loaded, any other module as it was when
    first asked for. Raises InvalidInput when the class has no module with a source, as one typed into a shell, or imports one
    that has none.
    """
    cls = strategy if isinstance(strategy, type) else type(strategy)
    modules = [sys.modules[each.__module__] for each in cls.__mro__ if issubclass(each, Strategy) and each is not Strategy]
    own = dict.fromkeys(module for module in modules if not _is_pure(module.__name__))
    found: dict[str, str] = {}
    for module in modules:
        _collect(module, found)
    sources = [found.pop(module.__name__) for module in own]
    return stable_id(cls.__qualname__, *sources, *sorted(f"{_label(name)}\n{source}" for name, source in found.items()))


@cache
def source_of(module: ModuleType) -> str:
    """Return the source of a module, read at most once in this process; of one that is no text, the SHA-256 of its file."""
    loader = module.__spec__.loader if module.__spec__ else None
    try:
        source = loader.get_source(module.__name__) if hasattr(loader, "get_source") else None
    except (ImportError, SyntaxError, UnicodeDecodeError):
        source = None
    path = getattr(module, "__file__", None)
    if source is None and path is not None and Path(path).is_file():
        content = Path(path).read_bytes()
        try:
            source = content.decode("utf-8")
        except UnicodeDecodeError:
            source = sha256(content).hexdigest()
    if source is None:
        raise InvalidInput(f"module {module.__name__} has no source: put the strategy into a file")
    return source


def _collect(module: ModuleType, into: dict[str, str]) -> None:
    if module.__name__ in into:
        return
    source = into[module.__name__] = source_of(module)
    for name in _imports(source, _package_of(module)):
        needed = None if name in into else _counted(name)
        if needed is not None:
            _collect(needed, into)


def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a source, one thread at a time: Python 3.11 counts the depth of all threads' trees together."""
    with _PARSING:
        return ast.parse(source)


@cache
def _imports(source: str, package: str) -> tuple[str, ...]:
    """Return the names of all that a source imports, a package before what is in it; none for what is not Python."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError):
        return ()
    names = [name.split(".") for name in dict.fromkeys(_imported_names(tree, package)) if name]
    return tuple(dict.fromkeys(".".join(parts[: length + 1]) for parts in names for length in range(len(parts))))


def _imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.module or "", node.level, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if base)
        elif isinstance(node, ast.Call) and node.args and _imports_by_call(node.func):
            named = node.args[0]
            if isinstance(named, ast.Constant) and isinstance(named.value, str):
                name = named.value.lstrip(".")
                yield _absolute(name, len(named.value) - len(name), package)


def _imports_by_call(function: ast.expr) -> bool:
    return ast.unparse(function).rpartition(".")[2] in ("import_module", "__import__")


def _absolute(name: str, dots: int, package: str) -> str:
    """Return the full name of what a module of the package imports with so many dots before the name."""
    parts = package.split(".") if package and dots else []
    return ".".join([*parts[: max(0, len(parts) + 1 - dots)], *([name] if name else [])])


def _counted(name: str) -> ModuleType | None:
    """Return the module of this name if it counts, None if not and if there is none; nothing is run for it."""
    counts = _is_pure(name) if name.partition(".")[0] == OURS else _may_change(name)
    return _module(name) if counts else None


@cache
def _may_change(name: str) -> bool:
    """Return whether a module is neither of the standard library nor of an installed distribution."""
    top = name.partition(".")[0]
    if top == USER_PACKAGE:
        return True
    spec = _spec(top)
    if spec is None or spec.origin in ("built-in", "frozen"):
        return False
    places = [spec.origin] if spec.origin else [*(spec.submodule_search_locations or ())]
    return not any(_is_installed(Path(place).resolve()) for place in places)


def _is_installed(path: Path) -> bool:
    return bool(_INSTALLED.intersection(path.parts)) or any(path.is_relative_to(place) for place in _STANDARD)


def _module(name: str) -> ModuleType | None:
    """Return the module as it was imported, or one that was not run with the source that importing it would run."""
    loaded = sys.modules.get(name)
    found = loaded if loaded is not None else _not_run(name)
    # A package without a file of its own has nothing to say.
    return None if found is None or getattr(found, "__file__", None) is None else found


@cache
def _not_run(name: str) -> ModuleType | None:
    spec = _spec(name)
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    module = ModuleType(name)
    module.__spec__, module.__file__ = spec, spec.origin
    return module


def _spec(name: str) -> ModuleSpec | None:
    """Return how a module is found, as importlib.util.find_spec does, but without importing the packages above it."""
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__spec__ is not None:
        return loaded.__spec__
    above, _, _ = name.rpartition(".")
    path = None
    if above:
        package = _spec(above)
        if package is None or package.submodule_search_locations is None:
            return None
        path = list(package.submodule_search_locations)
    for finder in sys.meta_path:
        found = finder.find_spec(name, path) if hasattr(finder, "find_spec") else None
        if found is not None:
            return found
    return None


def _package_of(module: ModuleType) -> str:
    spec = module.__spec__
    if spec is None:
        return module.__name__.rpartition(".")[0]
    return spec.name if spec.submodule_search_locations is not None else spec.name.rpartition(".")[0]


def _label(name: str) -> str:
    return name.rpartition(".")[2] if name.startswith(f"{USER_PACKAGE}.") else name


def _is_pure(name: str) -> bool:
    return name == PURE or name.startswith(f"{PURE}.")
