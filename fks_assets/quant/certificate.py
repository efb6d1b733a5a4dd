"""Certificates: proof that one version of a strategy's code judges by the past alone, and the same way each time it is asked."""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.candles import Candles
from fks_assets.quant.certificate_examination import Finding, difference_in_words, finding_of_error
from fks_assets.quant.certificate_worker import ERROR
from fks_assets.quant.lookahead import columns_of, judgement
from fks_assets.quant.strategies.base import HOLD, Strategy
from fks_assets.quant.strategies.code_version import code_version, source_of
from fks_assets.quant.strategies.loading import SourceModule
from fks_assets.redaction import public_environment

LEAST_CHECKED = 100
NEWEST_CHECKED = 1_000
NOTHING_SHOWN = "no BUY and no SELL on these candles, so nothing was shown: certify it on candles on which it acts"
WORKER = "import sys; from fks_assets.quant.certificate_worker import main; main(sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The outcome for one strategy, with one version of its code and one set of parameters, on one series of candles.

    `findings` accuse: each says what was found, in words. `notes` do not. `checks` says what was looked at. Times in ms.
    """

    strategy: str
    parameters: dict[str, Any]
    code_version: str
    data_hash: str
    rows: int
    first_open_time: int
    last_open_time: int
    lookback_rows: int
    seed: int
    signals: int
    checks: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found, on candles on which the strategy acted."""
        return not self.findings and self.signals > 0

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it, `passed` among it."""
        document = asdict(self)
        for name in ("checks", "findings", "notes"):
            document[name] = list(document[name])
        return {"passed": self.passed, **document}


def certify(strategy: Strategy[Any], candles: Candles, *, cuts: int | None = None, seed: int = 0) -> Certificate:
    """Return the certificate of a strategy on candles without NaN, sorted by time.

    Every candle with enough history is judged once more from its own `lookback_rows` alone, in a process that is started for
    this and has seen no later candle; `cuts` limits that to as many random candles and the newest 1,000. Costs a second and
    0.3 ms a candle. Checked too: whole pasts up to random candles, histories of other lengths, repetition, another process with
    other hashes, another clock, other random numbers, inputs left as they were, no files and no network.

    Raises InsufficientData with fewer than `lookback_rows` + 100 candles, InvalidInput for a class that another process cannot
    import, such as one defined inside a function.
    """
    return certify_all([(strategy, candles)], cuts=cuts, seed=seed)[0]


def certify_all(runs: Sequence[tuple[Strategy[Any], Candles]], *, cuts: int | None = None, seed: int = 0) -> list[Certificate]:
    """Return the certificates of several strategies, each as `certify` gives it; faster, as one process starts for all."""
    if cuts is not None and cuts < 1:
        raise InvalidInput(f"cuts must be at least 1, was {cuts}")
    for strategy, candles in runs:
        needed = strategy.lookback_rows + LEAST_CHECKED
        if len(candles) < needed:
            raise InsufficientData(
                f"a certificate of {strategy.name} needs at least {needed} candles, {strategy.lookback_rows} of them as history, "
                f"was {len(candles)}"
            )
    with tempfile.TemporaryDirectory(prefix="fks-certificates-") as name:
        folders = [Path(name) / str(number) for number in range(len(runs))]
        for folder, (strategy, candles) in zip(folders, runs, strict=True):
            folder.mkdir()
            (folder / "job.json").write_text(json.dumps(_job(strategy, len(candles), cuts, seed)), encoding="utf-8")
            np.savez(folder / "candles.npz", **{field.name: getattr(candles, field.name) for field in fields(Candles)})
        last_words = _work(folders)
        return [_certificate(folder, *run, seed, last_words) for folder, run in zip(folders, runs, strict=True)]


def _certificate(folder: Path, strategy: Strategy[Any], candles: Candles, seed: int, last_words: str) -> Certificate:
    answer, there = _read_answer(folder, strategy.name, last_words)
    findings = [*_named_clocks(strategy), *(_finding(each) for each in answer["findings"])]
    here: dict[str, np.ndarray] | None = None
    try:
        here = columns_of(judgement(strategy, _copied(candles)))
    except Exception as error:
        findings.append(finding_of_error(error, len(candles)))
    if here is not None and there is not None:
        words = difference_in_words("process", candles, here, there, ("in this process", "in another"))
        findings += [] if words is None else [words]
    signals = 0 if here is None else int((here["action"] != HOLD).sum())
    return Certificate(
        strategy=strategy.name,
        parameters=strategy.parameters.model_dump(mode="json"),
        code_version=code_version(strategy),
        data_hash=data_hash(candles),
        rows=len(candles),
        first_open_time=int(candles.open_time[0]),
        last_open_time=int(candles.open_time[-1]),
        lookback_rows=strategy.lookback_rows,
        seed=seed,
        signals=signals,
        checks=tuple(answer["checks"]),
        findings=tuple(sorted(dict.fromkeys(findings), key=lambda finding: finding.kind != "future")),
        notes=(*answer["notes"], *([] if signals else [NOTHING_SHOWN])),
    )


def data_hash(candles: Candles) -> str:
    """Return the SHA-256 of the columns, in hexadecimal digits."""
    digest = sha256()
    for field in fields(Candles):
        column = np.ascontiguousarray(getattr(candles, field.name))
        digest.update(f"{field.name} {column.dtype.str} {len(column)}\n".encode())
        digest.update(column.tobytes())
    return digest.hexdigest()


def _work(folders: Sequence[Path]) -> str:
    """Let the worker do the jobs in the folders; return the last line it wrote to its error output."""
    # The code of a strategy is told no secret.
    environment = public_environment(os.environ) | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    last = ""
    for batch in [folders] if hasattr(os, "fork") else [[folder] for folder in folders]:
        command = [sys.executable, "-c", WORKER, *map(str, batch)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        last = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), last)
    return last


def _read_answer(folder: Path, name: str, last_words: str) -> tuple[dict[str, Any], dict[str, np.ndarray] | None]:
    """Return what the worker found, and the columns of the whole series as it judged them if it came so far."""
    if not (folder / "answer.json").exists():
        error = folder / ERROR
        reason = error.read_text(encoding="utf-8") if error.exists() else last_words
        words = " ".join(reason.split()) or "it ended without a word"
        raise InvalidInput(f"strategy {name}: another process cannot examine it: {words:.300}")
    answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    if not (folder / "columns.npz").exists():
        return answer, None
    with np.load(folder / "columns.npz") as stored:
        columns = {column: stored[column] for column in stored.files}
    columns["reason"] = np.array(answer["reasons"], dtype=object)[columns["reason"]]
    return answer, columns


def _finding(document: Mapping[str, Any]) -> Finding:
    return Finding(**{**document, "said": tuple(document["said"]) if document["said"] else None})


def _job(strategy: Strategy[Any], rows: int, cuts: int | None, seed: int) -> dict[str, Any]:
    cls = type(strategy)
    loader = getattr(sys.modules[cls.__module__].__spec__, "loader", None)
    user_module = loader if isinstance(loader, SourceModule) else None
    lookback = strategy.lookback_rows
    checked = np.arange(lookback, rows)
    if cuts is not None and len(checked) > NEWEST_CHECKED + cuts:
        older = np.random.default_rng(seed).choice(checked[:-NEWEST_CHECKED], cuts, replace=False)
        checked = np.sort(np.concatenate([older, checked[-NEWEST_CHECKED:]]))
    return {
        "module": cls.__module__,
        "class": cls.__qualname__,
        "path": str(user_module.path) if user_module else None,
        "source": user_module.source if user_module else None,
        "helpers": user_module.helpers if user_module else {},
        "code_version": code_version(strategy),
        "parameters": strategy.parameters.model_dump_json(),
        "checked": checked.tolist(),
        "seed": seed,
    }


def _copied(candles: Candles) -> Candles:
    return Candles(*(getattr(candles, field.name).copy() for field in fields(Candles)))


def _named_clocks(strategy: Strategy[Any]) -> Iterator[Finding]:
    """Yield one finding where the strategy, or a function of its module, asks NumPy, which cannot be given another clock."""
    own = {cls.__name__ for cls in type(strategy).__mro__}
    tree = ast.parse(source_of(sys.modules[type(strategy).__module__]))
    parts = [each for each in tree.body if not isinstance(each, ast.ClassDef) or each.name in own]
    for node in (node for part in parts for node in ast.walk(part)):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("datetime64")
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and node.args[0].value in ("now", "today")
        ):
            yield Finding("clock", f"line {node.lineno} reads the clock: {ast.unparse(node)}")
            return
