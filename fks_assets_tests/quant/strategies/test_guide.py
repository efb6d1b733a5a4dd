"""The guide's strategy is taken from the page, dropped into a folder, and does what the page says."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.certificate import certify
from fks_assets.quant.strategies.loading import load_strategies
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy, register_folder
from fks_assets.quant.strategies.template import strategy_template
from fks_assets_tests.quant.judging import judged
from fks_assets_tests.quant.series import synthetic

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "writing-a-strategy.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def donchian(tmp_path: Path):
    (tmp_path / "donchian.py").write_text(blocks("python")[0], encoding="utf-8")
    register_folder(tmp_path)
    yield create_strategy("donchian", tomllib.loads(blocks("toml")[0])["strategies"]["donchian"])
    register_folder(None)


def test_the_strategy_of_the_guide_is_the_file_that_a_new_strategy_begins_with():
    assert blocks("python")[0] == strategy_template("donchian")


@pytest.mark.parametrize(
    ("name", "title"),
    [("range_break", "RangeBreak"), ("sma_20", "Sma20"), ("rule", "RuleStrategy"), ("none", "NoneStrategy"), ("class", "Class")],
)
def test_a_file_for_any_name_is_loaded_as_the_strategy_of_that_name(tmp_path: Path, name: str, title: str):
    (tmp_path / f"{name}.py").write_text(strategy_template(name), encoding="utf-8")
    loaded = load_strategies(tmp_path)
    assert loaded.faults == ()
    assert {each: strategy.__name__ for each, strategy in loaded.strategies.items()} == {name: title}
    strategy = loaded.strategies[name](loaded.strategies[name].parameters_model())
    assert set(judged(strategy, synthetic(700, seed=4)).action.tolist()) == {-1, 0, 1}


def test_the_strategy_of_the_guide_has_at_most_thirty_lines():
    assert len([line for line in blocks("python")[0].splitlines() if line.strip()]) <= 30


def test_the_strategy_of_the_guide_does_what_its_docstring_says(donchian):
    candles = synthetic(2000, seed=4)
    signals = judged(donchian, candles)
    high, low, close = (column.tolist() for column in (candles.high, candles.low, candles.close))
    for row in range(501, 2000):
        side = (close[row] > max(high[row - 30 : row])) - (close[row] < min(low[row - 30 : row]))
        assert signals.action[row] == side
    assert np.unique(signals.action[501:]).tolist() == [-1, 0, 1]


def test_the_strategy_of_the_guide_is_certified(donchian):
    certificate = certify(donchian, synthetic(1200, seed=4))
    assert certificate.findings == ()
    assert certificate.passed
    assert certificate.parameters == {"atr_period": 14, "stop_atr": 1.5, "target_atr": 3.0, "length": 30}


def test_the_guide_quotes_what_is_said_of_a_bad_parameter_and_names_all_shipped_strategies(donchian):
    with pytest.raises(InvalidInput) as caught:
        create_strategy("donchian", {"length": 500})
    text = " ".join(GUIDE.read_text(encoding="utf-8").split())
    assert f"`{caught.value}`" in text
    assert all(f"`{name}`" in text for name in STRATEGIES)
