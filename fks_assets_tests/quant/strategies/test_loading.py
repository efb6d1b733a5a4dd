"""A user's strategies: modules in a folder, loaded and checked, without a way to pass for a shipped one."""

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.certificate import certify
from fks_assets.quant.lookahead import judgement
from fks_assets.quant.strategies.base import HOLD, Strategy
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.loading import load_strategies
from fks_assets.quant.strategies.registry import (
    STRATEGIES,
    create_strategy,
    known_strategies,
    register_folder,
    settings_hash,
    strategy_faults,
)
from fks_assets_tests.quant.judging import judged
from fks_assets_tests.quant.series import synthetic

HEAD = """
from pydantic import Field
from fks_assets.quant.strategies.base import BUY, SELL, Parameters, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import Rule, above, begins, decide

class MeanParameters(Parameters):
    length: int = Field(20, ge=2, le=400)
"""
CLASS = """
class {title}(Strategy[MeanParameters]):
    name = "{name}"
    parameters_model = MeanParameters
    required_columns = ("sma_20", "atr_14")

    def judge(self, candles, indicators):
        close, columns = candles.close, Columns(candles, indicators)
        up = begins(above(close, columns.sma(self.parameters.length), close))
        said = decide([Rule(up, {side}, 0.5, "over the mean")], "nothing")
        return said.at_distance(close, columns.atr(14), 2 * columns.atr(14))
"""


def module(*names: str, side: str = "BUY") -> str:
    return HEAD + "".join(CLASS.format(title=name.title().replace("_", ""), name=name, side=side) for name in names)


@pytest.fixture
def folder(tmp_path: Path):
    """Give a way to write modules into a folder that is forgotten again."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return tmp_path

    yield write
    register_folder(None)


def test_a_module_dropped_into_the_folder_is_a_strategy_like_any_other(folder: Callable[..., Path]):
    register_folder(folder(mine=module("over_mean")))
    assert list(known_strategies()) == [*STRATEGIES, "over_mean"]
    strategy = create_strategy("over_mean", {"length": 30})
    assert (judged(strategy, synthetic(1500)).action != HOLD).sum() > 20
    assert certify(strategy, synthetic(700)).passed
    with pytest.raises(InvalidInput, match=r"strategy over_mean: length: .* less than or equal to 400, was 500"):
        create_strategy("over_mean", {"length": 500})
    with pytest.raises(InvalidInput, match=r"^Unknown strategy: 'nothing'; known: technical, .*, momentum, over_mean$"):
        create_strategy("nothing")


def test_one_file_may_hold_several_and_files_that_begin_with_an_underscore_are_passed_over(folder: Callable[..., Path]):
    where = folder(zeta=module("one", "two"), alpha=module("three"), _draft="this is not Python")
    (where / "notes.txt").write_text("not Python either")
    assert list(load_strategies(where).strategies) == ["three", "one", "two"]


def test_loading_again_gives_the_same_classes_and_a_changed_file_new_ones(folder: Callable[..., Path]):
    first = load_strategies(folder(mine=module("over_mean"))).strategies["over_mean"]
    assert load_strategies(folder()).strategies["over_mean"] is first
    second = load_strategies(folder(mine=module("over_mean", side="SELL"))).strategies["over_mean"]
    assert second is not first
    assert code_version(second) != code_version(first)
    assert set(judged(second(second.parameters_model()), synthetic(1500)).action.tolist()) == {0, -1}
    assert load_strategies(folder(mine=module("over_mean"))).strategies["over_mean"] is first


def test_what_runs_is_what_the_version_is_of_though_the_file_has_changed_since(folder: Callable[..., Path]):
    register_folder(folder(mine=module("over_mean")))
    strategy = create_strategy("over_mean")
    version = code_version(strategy)
    folder(mine="broken(")
    assert code_version(create_strategy("over_mean")) == version
    certificate = certify(strategy, synthetic(700))
    assert (certificate.passed, certificate.code_version) == (True, version)


def test_nothing_is_written_beside_the_modules(folder: Callable[..., Path]):
    where = folder(mine=module("over_mean"))
    load_strategies(where)
    assert [path.name for path in where.iterdir()] == ["mine.py"]


def test_many_threads_and_processes_may_load_at_once(folder: Callable[..., Path]):
    where = folder(mine=module("over_mean"), other=module("under_mean"))
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: load_strategies(where).strategies, range(16)))
    assert all(each == loaded[0] for each in loaded)
    script = (
        "import sys, pathlib; from fks_assets.quant.strategies.registry import *; "
        "register_folder(pathlib.Path(sys.argv[1])); print(settings_hash([create_strategy('under_mean')]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, where], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}
    register_folder(where)
    assert answers == {settings_hash([create_strategy("under_mean")])}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_to_be_found", "cannot be run: line 1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = 1\ndef f(:\n", "cannot be run: line 2: SyntaxError: invalid syntax"),
        ("\n\nraise SystemExit('enough')", "cannot be run: line 3: SystemExit: enough"),
        ("def f():\n    return 1 / 0\nf()", "cannot be run: line 2: ZeroDivisionError: division by zero"),
        ("raise ValueError('two\\nlines')", "cannot be run: line 1: ValueError: two lines"),
        ("answer = 42", "holds no subclass of Strategy; name it _mine.py if it shall not be loaded"),
        (module("technical"), "the name 'technical' is that of a shipped strategy; choose one not among technical, breakout"),
        (module("Mine"), "class Mine needs a name of small letters, digits and underscores, at most 40, was 'Mine'"),
        (module("a/../b"), "cannot be run: line 10: SyntaxError"),
        (module("mine").replace('name = "mine"', 'name = "../mine"'), "class Mine needs a name of small letters"),
        (
            module("mine").replace("    parameters_model = MeanParameters\n", ""),
            "class Mine has no parameters: parameters_model must",
        ),
        (
            module("mine").replace("parameters_model = MeanP", "parameters_model = dict or P"),
            "class Mine has no parameters.*<class 'dict'>",
        ),
        (
            module("mine").replace('"sma_20"', '"sma_21"'),
            "class Mine required_columns: 'sma_21' is unknown; known: rsi_14, macd,",
        ),
        (
            module("mine").replace('("sma_20", "atr_14")', '"sma_20"'),
            "class Mine needs required_columns as a tuple.*was 'sma_20'",
        ),
        (module("mine").replace("def judge", "def judges"), "class Mine lacks judge"),
        (module("mine").replace("def judge", "def evaluate"), "cannot be run: line 10: TypeError: Mine may not replace evaluate"),
        (module("mine", "too").replace('"too"', '"mine"'), "the name 'mine' is used twice; each needs its own"),
    ],
)
def test_a_module_that_cannot_be_used_is_one_line_that_names_the_file(folder: Callable[..., Path], text: str, message: str):
    register_folder(folder(good=module("good")))
    known_strategies()
    where, loaded = folder(mine=text), set(sys.modules)
    register_folder(where)
    [fault] = strategy_faults()
    assert re.search(message, str(fault))
    assert str(fault).startswith(f"strategy file {where / 'mine.py'}: ")
    assert "\n" not in str(fault)
    assert list(known_strategies()) == [*STRATEGIES, "good"], "what is sound goes on"
    if "cannot be run" in message:
        assert not [name for name in set(sys.modules) - loaded if name.startswith("fks_user_strategies.")]


def test_two_files_cannot_give_one_name_and_neither_is_used(folder: Callable[..., Path]):
    where = folder(first=module("mine", "other"), second=module("mine"))
    loaded = load_strategies(where)
    assert list(loaded.strategies) == ["other"]
    [fault] = loaded.faults
    assert re.search(r"second\.py: the name 'mine' is used in first\.py too; each needs its own", str(fault.error))
    register_folder(where)
    with pytest.raises(InvalidInput, match=r"^strategy file .*second\.py: the name 'mine' is used in first\.py too"):
        create_strategy("mine")


def test_a_folder_that_is_none_is_named(tmp_path: Path):
    words = r"strategies folder .*nowhere: no such folder; create it or correct the setting"
    register_folder(tmp_path / "nowhere")
    [fault] = strategy_faults()
    assert re.fullmatch(words, str(fault)) and known_strategies() == STRATEGIES
    with pytest.raises(InvalidInput, match=rf"^Unknown strategy: 'mine'; known: technical, .*momentum; left out: {words}$"):
        create_strategy("mine")
    register_folder(None)
    assert strategy_faults() == ()


def test_a_class_that_cannot_be_used_leaves_the_others_of_its_file(folder: Callable[..., Path]):
    register_folder(
        folder(
            mine=module("sound", "bad").replace(
                'class Bad(Strategy[MeanParameters]):\n    name = "bad"', "class Bad(Strategy[MeanParameters]):\n    name = 7"
            )
        )
    )
    assert list(known_strategies()) == [*STRATEGIES, "sound"]
    [fault] = strategy_faults()
    assert str(fault).endswith("class Bad needs a name of small letters, digits and underscores, at most 40, was 7")


@pytest.mark.parametrize(
    "text", [module("mine") + "\n1 / 0", module("mine") + "\ndef f(:", "import nothing_of_that_name\n" + module("mine")]
)
def test_the_reason_of_a_strategy_is_the_fault_of_the_file_that_states_its_name(folder: Callable[..., Path], text: str):
    register_folder(folder(half=text, other="1 / 0"))
    with pytest.raises(InvalidInput, match=r"^strategy file .*half\.py: cannot be run: line \d+: [^\n]*$"):
        create_strategy("mine")
    with pytest.raises(
        InvalidInput, match=r"^Unknown strategy: 'theirs'; known: .*; left out: .*half\.py.*; left out: .*other\.py[^\n]*$"
    ):
        create_strategy("theirs")


def test_no_file_is_run_before_a_strategy_of_the_folder_is_asked_for(folder: Callable[..., Path], tmp_path: Path):
    register_folder(folder(mine=f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + module("mine")))
    assert create_strategy("breakout").name == "breakout"
    assert not (tmp_path / "ran").exists()
    assert create_strategy("mine").name == "mine"
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    def __init__(self, parameters):\n        raise KeyError('seven')\n", r"line \d+: KeyError: 'seven'"),
        ("    lookback_rows = property(lambda self: 1 / 0)\n", r"line \d+: ZeroDivisionError: division by zero"),
        ("    def __init__(self, parameters):\n        raise SystemExit(3)\n", r"line \d+: SystemExit: 3"),
        ("    def __init__(self, parameters):\n        pass\n", r"AttributeError: 'Mine' object has no attribute 'parameters'"),
        ("    lookback_rows = 'many'\n", r"lookback_rows must be a whole number of rows, was 'many'"),
        ("    lookback_rows = -1\n", r"lookback_rows must be a whole number of rows, was -1"),
    ],
)
def test_what_a_class_raises_while_it_is_made_is_one_line_and_no_other_error(folder: Callable[..., Path], text: str, words: str):
    register_folder(folder(mine=module("mine") + text))
    with pytest.raises(InvalidInput, match=rf"^strategy mine: {words}$"):
        create_strategy("mine")


@pytest.mark.parametrize(
    "line",
    [
        "Mine.evaluate = lambda self, *given: None",
        "del Mine.evaluate",
        "Strategy.evaluate = lambda self, *given: None",
        "class _Free:\n    def evaluate(self, *given): return None\nclass Other(_Free, Mine): pass",
    ],
)
def test_evaluate_cannot_be_replaced_after_the_class_nor_from_beside_it(folder: Callable[..., Path], line: str):
    usual = Strategy.evaluate
    register_folder(folder(mine=f"{module('mine')}\n{line}\n"))
    [fault] = strategy_faults()
    assert re.search(r"cannot be run: line \d+: TypeError: \w+ may not replace evaluate", str(fault))
    assert Strategy.evaluate is usual


def test_an_instance_that_has_an_evaluate_of_its_own_is_judged_by_the_common_one(folder: Callable[..., Path]):
    own = """
    def __init__(self, parameters):
        super().__init__(parameters)
        self.evaluate = lambda candles, indicators, warm: 1 / 0

    def __getattribute__(self, name):
        return (lambda *given: 1 / 0) if name == "evaluate" else super().__getattribute__(name)
"""
    candles = synthetic(700)
    register_folder(folder(mine=module("mine") + own, plain=module("plain")))
    mine, plain = create_strategy("mine"), create_strategy("plain")
    assert judgement(mine, candles).action.tolist() == judgement(plain, candles).action.tolist()
    assert certify(mine, candles).passed


def test_helpers_beside_a_file_are_imported_with_a_dot_as_they_were_when_it_was_read(folder: Callable[..., Path]):
    text = module("mine").replace("Field(20,", "Field(LENGTH,")
    text = "from ._lengths import LENGTH\nfrom . import _more\n" + text
    where = folder(mine=text, _lengths="from ._more import BASE\nLENGTH = BASE + 1\n", _more="BASE = 29\n")
    first = load_strategies(where).strategies["mine"]
    assert first.parameters_model().length == 30
    assert load_strategies(folder()).strategies["mine"] is first
    second = load_strategies(folder(_more="BASE = 39\n")).strategies["mine"]
    assert second.parameters_model().length == 40
    assert code_version(second) != code_version(first)
    certificate = certify(first(first.parameters_model()), synthetic(700))
    assert (certificate.passed, certificate.code_version) == (True, code_version(first))
    assert sorted(path.name for path in where.iterdir()) == ["_lengths.py", "_more.py", "mine.py"]


def test_another_folder_takes_the_place_of_the_first_and_none_forgets_it(folder: Callable[..., Path], tmp_path: Path):
    register_folder(folder(mine=module("mine")))
    other = tmp_path / "other"
    other.mkdir()
    (other / "theirs.py").write_text(module("theirs"))
    register_folder(other)
    assert [name for name in known_strategies() if name not in STRATEGIES] == ["theirs"]
    register_folder(None)
    assert known_strategies() == STRATEGIES
