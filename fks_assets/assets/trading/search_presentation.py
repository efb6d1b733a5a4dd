"""How searches and walk-forward windows are shown to people: pictures, tables, and how to put parameters in force."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fks_assets.assets.trading.evidence import outcome_of
from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.assets.trading.search_run import Searched
from fks_assets.quant.charts import markdown_image
from fks_assets.quant.performance_charts import Curve, equity_picture
from fks_assets.quant.search_charts import trials_picture
from fks_assets.quant.search_trials import chained
from fks_assets.quant.timeframes import month_window
from fks_assets.quant.walk_forward import OutOfSample
from fks_assets.stores.searches import WindowRecord


def out_of_sample_picture(name: str, windows: Sequence[WindowRecord]) -> str:
    """Return Markdown with the equity of all out-of-sample months, one after another, that begins with 100."""
    title = f"{name}, out of sample, {windows[0].month} to {windows[-1].month}"
    times, values, so_far = list[np.ndarray](), list[np.ndarray](), 100.0
    for each in windows:
        time, value = chained(outcome_of(each).outside, month_window(each.month)[0], so_far)
        begin = 1 if times and times[-1][-1] == time[0] else 0
        times.append(time[begin:])
        values.append(value[begin:])
        so_far = float(value[-1])
    curve = Curve("Out of sample", np.concatenate(times), np.concatenate(values))
    return markdown_image(equity_picture(curve, title=title), title)


def together_rows(together: OutOfSample) -> dict[str, Any]:
    """Return by label what all windows show together."""
    return {
        "windows together": together.windows,
        "out-of-sample efficiency": rounded(together.efficiency),
        "in sample, % a year": rounded(together.in_sample_annual_pct),
        "out of sample, % a year": rounded(together.out_of_sample_annual_pct),
        "windows that gained, %": rounded(together.profitable_pct),
        "parameter drift": rounded(together.drift),
    }


def window_rows(windows: Sequence[WindowRecord]) -> list[dict[str, Any]]:
    """Return one row a month, the newest first."""
    rows = []
    for each in reversed(windows):
        document = each.document
        values = document["parameters"]
        rows.append(
            {
                "month": each.month,
                "in sample, % a year": rounded(document["in_sample"]["annual_pct"]),
                "out of sample, % a year": rounded(document["out_of_sample"]["annual_pct"]),
                "return, %": rounded(document["return_pct"]),
                "trades": document["trades"],
                "parameters": "none could be chosen" if values is None else in_short(values),
            }
        )
    return rows


def picture_of_trials(searched: Searched) -> str:
    """Return Markdown with the score of every trial and the best one so far."""
    found = searched.found
    title = f"{searched.ground.subject.name}: {found.rules.objective} of {len(found.trials)} trials"
    scores = np.array([np.nan if trial.score is None else trial.score for trial in found.trials])
    return markdown_image(trials_picture(scores, title=title), title)


def search_row(searched: Searched) -> dict[str, Any]:
    """Return what a search found in one row, with the command that puts it in force; only a person does that."""
    found, best, evidence = searched.found, searched.found.best, searched.evidence.document()
    return {
        "parameter set": searched.ground.subject.name,
        "objective": found.rules.objective,
        "trials": len(found.trials),
        "score": "–" if best is None else rounded(best.score),
        "score of those in force": rounded(found.trials[0].score),
        **{
            name.replace("_", " "): rounded(evidence[name])
            for name in ("deflated_sharpe", "overfitting_probability", "parameter_stability")
        },
        "parameters": "none could be chosen" if searched.best is None else in_short(searched.best.parameters),
        "to put them in force": apply_command(searched),
    }


def apply_command(searched: Searched, name: str | None = None) -> str:
    """Return the command by which a person stores the parameters found; a dash where there are none."""
    if searched.best is None:
        return "–"
    return set_command(searched.best, name or searched.ground.subject.name)


def set_command(subject: StrategyInForce, name: str) -> str:
    """Return the command by which a person stores a strategy's parameters under the name of a set."""
    own = subject.strategy.name
    of = [] if name == own else ["--strategy", own]
    values = [f"{key}={_toml(value)}" for key, value in subject.parameters.items()]
    return shlex.join(["fks", "strategies", "set", name, *values, *of, "--by", "YOU"])


def in_short(values: Mapping[str, Any]) -> str:
    """Return parameters in one line."""
    return ", ".join(f"{name} {_toml(value)}" for name, value in values.items())


def rounded(value: float | None) -> float | str:
    """Return a figure with three decimals, a dash for none."""
    return "–" if value is None else round(value, 3)


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
