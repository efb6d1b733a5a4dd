"""The version of a strategy's code follows its source and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.strategies import code_version as versions
from fks_assets.quant.strategies.code_version import code_version, source_of
from fks_assets.quant.strategies.loading import strategies_in
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy, settings_hash
from fks_assets_tests.quant.strategies import planted
from fks_assets_tests.quant.strategies.test_loading import module

CHANGED = {
    "fks_assets.quant.indicators": set(STRATEGIES),
    "fks_assets.quant.strategies.base": set(STRATEGIES),
    "fks_assets.quant.candles": set(STRATEGIES),
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
        found += [code_version(each) for each in strategies_in(place / "mine.py")]
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
