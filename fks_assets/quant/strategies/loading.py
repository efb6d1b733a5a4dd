"""Strategies that users add: each module in a folder is loaded once for each content it had, and checked before it is used.

What is wrong with one of them is a fault, in one line that names the file, and stops no other.
"""

import ast
import importlib.abc
import importlib.util
import inspect
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.indicators import INDICATOR_COLUMNS
from fks_assets.quant.strategies.base import Parameters, Strategy
from fks_assets.quant.strategies.code_version import USER_PACKAGE, code_version, parsed

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_STATED_NAME = re.compile(rf"""^[ \t]+name[ \t]*(?::[^=\n]*)?=[ \t]*["']({NAME.pattern})["']""", re.MULTILINE)
_LOADING = threading.RLock()


class SourceModule(importlib.abc.ExecutionLoader):
    """Runs a module from texts that were read once, so that the code that runs is the code that `get_source` gives.

    `helpers` are the texts of the modules beside it that it imports with a dot, `from ._levels import …`, by name.
    """

    def __init__(self, path: Path, source: str, helpers: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.source = source
        self.helpers = dict(helpers or {})

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_source(self, fullname: str) -> str:
        return self.source

    def module(self) -> ModuleType:
        """Return the module of this path and these texts, run at most once in this process. Raises what running it raises."""
        with _LOADING:
            package = _HELPERS.package(self.path.parent, self.helpers)
            name = f"{package}.{self.path.stem}_{stable_id(str(self.path), self.source)}"
            loaded = sys.modules.get(name)
            if loaded is not None:
                return loaded
            spec = importlib.util.spec_from_loader(name, self)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            try:
                self.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
            return module


class _Helpers(importlib.abc.MetaPathFinder):
    """Finds the helpers beside a module as they were when it was read: each folder with such texts is a package of its own."""

    def __init__(self) -> None:
        self.folders: dict[str, tuple[Path, Mapping[str, str]]] = {}

    def package(self, folder: Path, helpers: Mapping[str, str]) -> str:
        """Return the name of the package that holds these helpers, and make it importable."""
        name = f"{USER_PACKAGE}.of_{stable_id(str(folder), *(part for each in sorted(helpers.items()) for part in each))}"
        if name not in self.folders:
            self.folders[name] = folder, dict(helpers)
            for package in (USER_PACKAGE, name):
                if package not in sys.modules:
                    sys.modules[package] = importlib.util.module_from_spec(ModuleSpec(package, None, is_package=True))
        return name

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        folder, helpers = self.folders.get(package, (Path(), {}))
        if name not in helpers:
            return None
        return importlib.util.spec_from_loader(fullname, SourceModule(folder / f"{name}.py", helpers[name], helpers))


_HELPERS = _Helpers()
sys.meta_path.append(_HELPERS)


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """Why something in the folder is not used. `names` are the strategies it is about, as far as the text of the file tells."""

    error: InvalidInput
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class LoadedFolder:
    """The strategies of a folder by name, in the order of the file names, and what is wrong with the others."""

    strategies: Mapping[str, type[Strategy[Any]]]
    faults: tuple[Fault, ...] = ()


def load_strategies(folder: Path) -> LoadedFolder:
    """Return the strategies of the modules in `folder`, and the faults of those that cannot be used.

    A file whose name begins with an underscore or a dot is passed over. Loading is repeatable: an unchanged file gives the same
    classes again, a changed one new ones, and nothing is written, so any number of processes may load at once. A fault is a
    folder that is none, a module that cannot be run or holds no strategy, a class that lacks what a strategy must state, and a
    name that two have: which of them is meant nobody knows, so neither is used.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".py" and not path.name.startswith(("_", ".")))
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        why = "no such folder" if missing else f"cannot be read: {error.strerror}"
        return LoadedFolder({}, (Fault(InvalidInput(f"strategies folder {folder}: {why}; create it or correct the setting")),))
    found: dict[str, type[Strategy[Any]]] = {}
    homes: dict[str, Path] = {}
    faults: list[Fault] = []
    for path in files:
        classes, wrong = _examined(path)
        faults += wrong
        for each in classes:
            if each.name in homes:
                where = "twice" if homes[each.name] == path else f"in {homes[each.name].name} too"
                words = f"strategy file {path}: the name {each.name!r} is used {where}; each needs its own"
                faults.append(Fault(InvalidInput(words), frozenset({each.name})))
                found.pop(each.name, None)
            else:
                found[each.name] = each
                homes[each.name] = path
    return LoadedFolder(found, tuple(faults))


def file_of(strategy: type[Strategy[Any]]) -> str:
    """Return the path of the file that a strategy was loaded from."""
    return str(getattr(sys.modules[strategy.__module__], "__file__", None))


def _examined(path: Path) -> tuple[list[type[Strategy[Any]]], list[Fault]]:
    """Return the sound strategies of one file in the order it defines them, and what is wrong with it and with the others."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        module = SourceModule(path.resolve(), text, _helpers_of(path.resolve(), text)).module()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        words = f"strategy file {path}: cannot be run: {error_in(str(path.resolve()), error)}"
        return [], [Fault(InvalidInput(words), frozenset(_STATED_NAME.findall(text)))]
    classes = [
        each
        for each in dict.fromkeys(each for each in vars(module).values() if isinstance(each, type))
        if issubclass(each, Strategy) and each.__module__ == module.__name__ and not each.__name__.startswith("_")
    ]
    if not classes:
        words = f"strategy file {path}: holds no subclass of Strategy; name it _{path.name} if it shall not be loaded"
        return [], [Fault(InvalidInput(words), frozenset(_STATED_NAME.findall(text)))]
    sound, faults = [], []
    for each in classes:
        fault = _fault(each)
        if fault is None:
            sound.append(each)
        else:
            stated = getattr(each, "name", None)
            error = InvalidInput(f"strategy file {path}: class {each.__name__} {fault}")
            faults.append(Fault(error, frozenset({stated} if isinstance(stated, str) else ())))
    return sound, faults


def _helpers_of(path: Path, text: str) -> dict[str, str]:
    """Return the texts of the files beside a module that it imports with a dot, directly or through one of them, by name."""
    helpers: dict[str, str] = {}
    wanted = list(_named_beside(text))
    while wanted:
        name = wanted.pop()
        file = path.with_name(f"{name}.py")
        if name not in helpers and file.is_file():
            helpers[name] = file.read_text(encoding="utf-8")
            wanted += _named_beside(helpers[name])
    return helpers


def _named_beside(text: str) -> Iterator[str]:
    try:
        tree = parsed(text)
    except (SyntaxError, ValueError):
        # Running it says what is wrong with it, and where.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else [alias.name for alias in node.names]


def error_in(file: str, error: BaseException) -> str:
    """Return an error of a file's code in one line, `line 7: ValueError: …`: the last line of the file that it went through."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == file else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return ("" if line is None else f"line {line}: ") + _in_one_line(error)


def _in_one_line(error: BaseException) -> str:
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(message.split())}"[:300].removesuffix(": ")


def _fault(strategy: type[Strategy[Any]]) -> str | None:
    name, model, columns = (getattr(strategy, each, None) for each in ("name", "parameters_model", "required_columns"))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"needs a name of small letters, digits and underscores, at most 40, was {name!r}"
    if not (isinstance(model, type) and issubclass(model, Parameters)):
        return f"has no parameters: parameters_model must be a subclass of Parameters, was {model!r}"
    if not isinstance(columns, tuple):
        return f"needs required_columns as a tuple of indicator names, was {columns!r}"
    for column in columns:
        if column not in INDICATOR_COLUMNS:
            return f"required_columns: {column!r} is unknown; known: {', '.join(INDICATOR_COLUMNS)}"
    if inspect.isabstract(strategy):
        return f"lacks {', '.join(sorted(strategy.__abstractmethods__))}"
    try:
        code_version(strategy)
    except InvalidInput as error:
        return f"cannot be told apart from other versions of it: {error}"
    return None
