"""The version of a strategy's code follows its source and nothing else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.strategies import code_version as versions
from fks_assets.quant.strategies.code_version import code_version, source_of
from fks_assets.quant.strategies.loading import load_strategies
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy, settings_hash
from fks_assets_tests.quant.strategies import planted
from fks_assets_tests.quant.strategies.test_loading import module

PROJECT = Path(__file__).resolve().parents[3]
CHANGED = {
    "fks_assets.quant.indicators": set(STRATEGIES),
    "fks_assets.quant.strategies.base": set(STRATEGIES),
    "fks_assets.quant.candles": set(STRATEGIES),
    "fks_assets.quant.strategies.lending": set(STRATEGIES),
    "fks_assets.quant.strategies.rules": set(STRATEGIES),
    "fks_assets.quant.strategies.columns": set(STRATEGIES) - {"technical"},
    "fks_assets.quant.strategies.momentum": {"momentum"},
    "fks_assets.quant.strategies.registry": set(),
    "fks_assets.quant.charts": set(),
}


def all_versions() -> dict[str, str]:
    return {name: code_version(strategy) for name, strategy in STRATEGIES.items()}


@pytest.mark.parametrize("changed", CHANGED)
def test_a_changed_module_gives_a_new_version_to_exactly_the_strategies_built_on_it(monkeypatch, changed):
    before = all_versions()
    monkeypatch.setattr(
        versions, "source_of", lambda module: source_of(module) + ("\n# changed\n" if module.__name__ == changed else "")
    )
    assert {name for name, version in all_versions().items() if version != before[name]} == CHANGED[changed]


def test_versions_are_sixteen_hexadecimal_digits_of_their_own():
    found = [*all_versions().values(), code_version(planted.NextClose), code_version(planted.GlobalRange)]
    assert len(set(found)) == len(found)
    assert all(len(version) == 16 and int(version, 16) >= 0 for version in found)


def test_parameters_and_the_place_of_the_file_do_not_count_but_its_text_does(tmp_path: Path):
    assert code_version(create_strategy("momentum", {"period": 9})) == code_version(STRATEGIES["momentum"])
    places = [tmp_path / "here", tmp_path / "there", tmp_path / "elsewhere"]
    found = []
    for place, text in zip(places, (module("mine"), module("mine"), module("mine") + "\n"), strict=True):
        place.mkdir()
        (place / "mine.py").write_text(text)
        found += [code_version(each) for each in load_strategies(place).strategies.values()]
    assert found[0] == found[1] != found[2]


def test_another_process_with_other_hashes_gives_the_same_versions():
    script = (
        "from fks_assets.quant.strategies.registry import *; from fks_assets.quant.strategies.code_version import code_version; "
        "print({name: code_version(each) for name, each in STRATEGIES.items()})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "77"}, timeout=60
    )
    assert done.stdout.strip() == str(all_versions())


def test_the_settings_hash_changes_with_the_code(monkeypatch):
    before = settings_hash([create_strategy("momentum")])
    monkeypatch.setattr(versions, "source_of", lambda module: source_of(module) + "\n")
    assert settings_hash([create_strategy("momentum")]) != before


def test_a_class_without_a_source_is_refused():
    namespace: dict[str, object] = {"__name__": "typed_in"}
    sys.modules["typed_in"] = type(sys)("typed_in")
    try:
        exec(module("mine"), namespace)
        with pytest.raises(InvalidInput, match="module typed_in has no source: put the strategy into a file"):
            code_version(namespace["Mine"])
    finally:
        del sys.modules["typed_in"]


IMPORTS = {
    "one_name": "from own_levels import LENGTH",
    "all_names": "from own_levels import *",
    "when_called": "def later():\n    from own_levels import LENGTH",
    "by_call": "import importlib\nLENGTH = importlib.import_module('own_levels').LENGTH",
    "of_a_package": "from own_package import part",
    "with_dots": "import own_package.part",
    "beside": "from ._levels import LENGTH",
    "module_beside": "from . import _levels",
    "beside_when_called": "def later():\n    from ._levels import LENGTH",
    "installed": "import numpy, json, talib, own_stub",
}
HELPERS = {
    "own_levels.py": ("from own_deeper import LENGTH\n", {"one_name", "all_names", "when_called", "by_call"}),
    "own_deeper.py": ("LENGTH = 20\n", {"one_name", "all_names", "when_called", "by_call"}),
    "own_package/__init__.py": ("", {"of_a_package", "with_dots"}),
    "own_package/part.py": ("from ._beside import LENGTH\n", {"of_a_package", "with_dots"}),
    "own_package/_beside.py": ("LENGTH = 20\n", {"of_a_package", "with_dots"}),
    "folder/_levels.py": ("from ._deeper import LENGTH\n", {"beside", "module_beside", "beside_when_called"}),
    "folder/_deeper.py": ("LENGTH = 20\n", {"beside", "module_beside", "beside_when_called"}),
    "folder/_nobody.py": ("LENGTH = 20\n", set()),
    "site-packages/own_stub.py": ("LENGTH = 20\n", set()),
}
VERSIONS = """
import os, sys, talib, fks_assets.quant.strategies.columns, fks_assets.quant.strategies.rules
from pathlib import Path
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.loading import load_strategies
for place in sys.argv[1:]:
    sys.stdout.flush()
    if os.fork() == 0:
        sys.path[:0] = [place, f"{place}/site-packages"]
        loaded = load_strategies(Path(place) / "folder")
        assert not loaded.faults, loaded.faults
        print({name: code_version(each) for name, each in loaded.strategies.items()})
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


def test_a_changed_helper_gives_a_new_version_to_exactly_those_that_import_it_however_they_do(tmp_path: Path):
    """Each version is told by a process of its own, which imports what lies there."""
    places = []
    for changed in (None, *HELPERS):
        places.append(tmp_path / str(len(places)))
        files = {name: text + ("LENGTH = 21\n" if name == changed else "") for name, (text, _) in HELPERS.items()}
        files |= {f"folder/{name}.py": f"{line}\n{module(name)}" for name, line in IMPORTS.items()}
        for name, text in files.items():
            (places[-1] / name).parent.mkdir(parents=True, exist_ok=True)
            (places[-1] / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", VERSIONS, *places], capture_output=True, text=True, check=True, cwd=PROJECT, timeout=60
    )
    before, *after = (ast.literal_eval(line) for line in done.stdout.splitlines())
    assert before.keys() == IMPORTS.keys() and len(after) == len(HELPERS)
    for (helper, (_, expected)), versions_then in zip(HELPERS.items(), after, strict=True):
        assert {name for name in IMPORTS if versions_then[name] != before[name]} == expected, helper


def test_a_version_is_told_without_running_what_is_imported_later(tmp_path: Path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "never_run.py").write_text("raise SystemExit\n")
    (tmp_path / "folder" / "mine.py").write_text("def later():\n    import never_run.part\n" + module("mine"))
    monkeypatch.syspath_prepend(tmp_path)
    [strategy] = load_strategies(tmp_path / "folder").strategies.values()
    assert len(code_version(strategy)) == 16
