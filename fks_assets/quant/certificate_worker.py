"""The process behind certificates: does the jobs it is given, each in a fork of its own that has seen no other."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant.candles import Candles
from fks_assets.quant.certificate_examination import Examination
from fks_assets.quant.strategies.base import Strategy
from fks_assets.quant.strategies.code_version import code_version
from fks_assets.quant.strategies.loading import SourceModule

ERROR = "error.txt"


def main(folders: list[str]) -> None:
    """Do the job in each folder: read job.json and candles.npz, write answer.json and columns.npz, or error.txt.

    Several are done in forks, as many at a time as there are processors, so that what takes longest, the imports, is done once.
    """
    if len(folders) == 1:
        _do(Path(folders[0]))
        return
    import talib  # noqa: F401

    busy = 0
    for folder in folders:
        if busy == (os.cpu_count() or 1):
            os.wait()
            busy -= 1
        if os.fork() == 0:
            _do(Path(folder))
            sys.stdout.flush()
            os._exit(0)
        busy += 1
    for _ in range(busy):
        os.wait()


def _do(folder: Path) -> None:
    try:
        _examine(folder)
    except Exception as error:
        words = str(error) if isinstance(error, InvalidInput) else f"{type(error).__name__}: {error}"
        (folder / ERROR).write_text(words, encoding="utf-8")


def _examine(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with np.load(folder / "candles.npz") as stored:
        candles = Candles(*(stored[field.name] for field in fields(Candles)))
    examination = Examination(_strategy_of(job), candles, job["checked"], job["seed"])
    columns = examination.run()
    reasons: dict[str, int] = {}
    if columns is not None:
        reasons = {reason: code for code, reason in enumerate(dict.fromkeys(columns["reason"]))}
        codes = np.array([reasons[reason] for reason in columns["reason"]], np.int64)
        np.savez(folder / "columns.npz", **{**columns, "reason": codes})
    answer = {
        "findings": [asdict(each) for each in examination.findings],
        "notes": examination.notes,
        "checks": examination.checks,
        "reasons": list(reasons),
    }
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _strategy_of(job: Mapping[str, Any]) -> Strategy[Any]:
    if job["source"] is None:
        module = import_module(job["module"])
    else:
        module = SourceModule(Path(job["path"]), job["source"], job["helpers"]).module()
    found: Any = module
    for part in job["class"].split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise InvalidInput(f"{job['module']} has no class {job['class']}: define it at the top of a module")
    strategy = found(found.parameters_model.model_validate_json(job["parameters"]))
    if code_version(strategy) != job["code_version"]:
        raise InvalidInput(f"the source of {job['module']} has changed since it was loaded: load it again")
    return strategy
