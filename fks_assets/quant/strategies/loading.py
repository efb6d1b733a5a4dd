"""Strategies that users add: each module in a folder is loaded once for each content it had, and checked before it is used."""

import importlib.abc
import importlib.util
import inspect
import re
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.quant.indicators import INDICATOR_COLUMNS
from fks_assets.quant.strategies.base import Parameters, Strategy

MODULE_PREFIX = "fks_user_strategies."
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LOADING = threading.RLock()


class SourceModule(importlib.abc.ExecutionLoader):
    """Runs a module from a text that was read once, so that the code that runs is the code that `get_source` gives."""

    def __init__(self, path: Path, source: str) -> None:
        self.path = path
        self.source = source

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_source(self, fullname: str) -> str:
        return self.source

    def module(self) -> ModuleType:
        """Return the module of this path and text, run at most once in this process. Raises what running it raises."""
        name = f"{MODULE_PREFIX}{self.path.stem}_{stable_id(str(self.path), self.source)}"
        with _LOADING:
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


def load_strategies(folder: Path) -> dict[str, type[Strategy[Any]]]:
    """Return the strategies of the modules in `folder` by name, in the order of the file names.

    A file whose name begins with an underscore or a dot is passed over. Loading is repeatable: an unchanged file gives the same
    classes again, a changed one new ones, and nothing is written, so any number of processes may load at once. Raises
    InvalidInput with one line that names the file when the folder is none, a module cannot be run or holds no strategy, a class
    lacks what a strategy must state, or two have one name.
    """
    if not folder.is_dir():
        raise InvalidInput(f"strategies folder {folder}: no such folder; create it or correct the setting")
    found: dict[str, type[Strategy[Any]]] = {}
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith(("_", ".")):
            continue
        for strategy in strategies_in(path):
            if strategy.name in found:
                where = "twice" if files[strategy.name] == path else f"in {files[strategy.name].name} too"
                raise InvalidInput(f"strategy file {path}: the name {strategy.name!r} is used {where}; each needs its own")
            found[strategy.name] = strategy
            files[strategy.name] = path
    return found


def file_of(strategy: type[Strategy[Any]]) -> str:
    """Return the path of the file that a strategy was loaded from."""
    return str(getattr(sys.modules[strategy.__module__], "__file__", None))


def strategies_in(path: Path) -> list[type[Strategy[Any]]]:
    """Return the checked strategies of one file in the order it defines them. Raises InvalidInput that names the file."""
    module = _run(path)
    classes = [
        each
        for each in dict.fromkeys(each for each in vars(module).values() if isinstance(each, type))
        if issubclass(each, Strategy) and each.__module__ == module.__name__ and not each.__name__.startswith("_")
    ]
    if not classes:
        raise InvalidInput(f"strategy file {path}: holds no subclass of Strategy; name it _{path.name} if it shall not be loaded")
    for each in classes:
        fault = _fault(each)
        if fault:
            raise InvalidInput(f"strategy file {path}: class {each.__name__} {fault}")
    return classes


def _run(path: Path) -> ModuleType:
    try:
        return SourceModule(path.resolve(), path.read_text(encoding="utf-8")).module()
    except (Exception, SystemExit) as error:
        raise InvalidInput(f"strategy file {path}: cannot be run: {error_in(str(path.resolve()), error)}") from error


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
    return None
