"""What a strategy is: validated parameters and one pure, vectorised function that judges every candle by the past alone."""

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from fks_assets.errors import InvalidInput
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import WARMUP_ROWS
from fks_assets.quant.strategies.lending import LentColumns

BUY, HOLD, SELL = 1, 0, -1
TOO_LITTLE_HISTORY = "too little history"
NO_STOP_OR_TARGET = "no price for a stop or a target"
_NOT_REPLACED = "{} may not replace evaluate, which holds back what is said with too little history"


class Parameters(BaseModel):
    """Base of all parameter models: unknown names, other types, NaN and infinity are refused; nothing changes afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True, eq=False)
class SignalColumns:
    """One judgement a candle: action int8 (1 BUY, 0 HOLD, -1 SELL), confidence 0..1 (0 for HOLD), stop and target as prices
    (NaN for HOLD), and `reason_codes` int16, the place of the row's reason in `reasons`.
    """

    action: np.ndarray
    confidence: np.ndarray
    stop: np.ndarray
    target: np.ndarray
    reason_codes: np.ndarray
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.action)

    def reason(self, row: int) -> str:
        """Return the reason of one row in words."""
        return self.reasons[int(self.reason_codes[row])]


class _Strategies(ABCMeta):
    """The class of strategy classes: `evaluate` is that of Strategy in all of them, whatever a module does after its class."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if name == "evaluate":
            raise TypeError(_NOT_REPLACED.format(cls.__name__))
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        if name == "evaluate":
            raise TypeError(_NOT_REPLACED.format(cls.__name__))
        super().__delattr__(name)


class Strategy(Generic[P], metaclass=_Strategies):
    """A strategy with its parameters. A subclass states its rules in its docstring and may not replace `evaluate`.

    Whoever judges candles calls `Strategy.evaluate(strategy, …)`, which no attribute of an instance or of a class comes before.
    """

    name: ClassVar[str]
    parameters_model: ClassVar[type[Parameters]]
    required_columns: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.evaluate is not Strategy.evaluate:
            raise TypeError(_NOT_REPLACED.format(cls.__name__))

    def __init__(self, parameters: P) -> None:
        self.parameters = parameters

    @property
    def lookback_rows(self) -> int:
        """How many rows have to be given before a row, for its judgement to be the same as with the whole history; never fewer
        than WARMUP_ROWS, which the stored indicators need.
        """
        return WARMUP_ROWS + 1

    def evaluate(self, candles: Candles, indicators: Mapping[str, np.ndarray], warm: np.ndarray) -> SignalColumns:
        """Judge every candle. `indicators` and `warm` are aligned with the candles and begin where they begin.

        Rows that are not warm, or have fewer than `lookback_rows` rows before them, are HOLD; so is every row whose stop and
        target would not be prices on either side of the close. Raises InvalidInput when a required column is missing or of
        another length, or when what `judge` returned is not one sound judgement a candle.
        """
        rows = len(candles)
        for name in self.required_columns:
            if name not in indicators:
                raise InvalidInput(
                    f"strategy {self.name}: indicator {name} is missing; it needs {', '.join(self.required_columns)}"
                )
        for name, column in (*((name, indicators[name]) for name in self.required_columns), ("warm", warm)):
            if column.shape != (rows,):
                raise InvalidInput(f"strategy {self.name}: {name} has shape {column.shape}, the candles have {rows} rows")
        needs = tuple(self.required_columns), self.lookback_rows
        if isinstance(indicators, LentColumns) and indicators.candles is candles and indicators.warm is warm:
            ready = indicators.kept(needs, lambda: _ready(*needs, indicators, warm))
        else:
            ready = _ready(*needs, indicators, warm)
        if not ready.any():
            return _silence(rows)
        judged = self.judge(candles, indicators)
        _require_sound(judged, rows, self.name)
        return _restrict(judged, candles.close, ready)

    @abstractmethod
    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        """Judge every candle; what rows with too little history are given does not matter."""


def read_parameters(strategy: str, model: type[P], values: Mapping[str, Any]) -> P:
    """Return the validated parameters; raise InvalidInput with one line that names every bad field, its bound and its value."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidInput(
            f"strategy {strategy}: {'; '.join(_in_words(each) for each in error.errors(include_url=False))}"
        ) from None


def _ready(columns: tuple[str, ...], lookback_rows: int, indicators: Mapping[str, np.ndarray], warm: np.ndarray) -> np.ndarray:
    ready, finite = warm.astype(bool), np.empty(len(warm), np.bool_)
    ready[:lookback_rows] = False
    for name in columns:
        ready &= np.isfinite(indicators[name], out=finite)
    return ready


def _require_sound(judged: SignalColumns, rows: int, name: str) -> None:
    columns = {
        "action": judged.action,
        "confidence": judged.confidence,
        "stop": judged.stop,
        "target": judged.target,
        "reason_codes": judged.reason_codes,
    }
    for column, values in columns.items():
        if not isinstance(values, np.ndarray) or values.shape != (rows,) or values.dtype.kind not in "if":
            kind = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
            raise InvalidInput(f"strategy {name}: judge gave {column} as {kind}; it must be numbers, one for each of {rows} rows")
    rows = np.flatnonzero(judged.action != HOLD)
    side, confidence, codes = judged.action[rows], judged.confidence[rows], judged.reason_codes
    unknown = (
        np.flatnonzero((codes < 0) | (codes >= len(judged.reasons))) if len(codes) and _beyond(codes, judged.reasons) else []
    )
    for column, bad, bound in (
        ("action", rows[(side != BUY) & (side != SELL)], "1, 0 or -1"),
        ("confidence", rows[~((confidence > 0) & (confidence <= 1))], "above 0 and at most 1 where the action is not HOLD"),
        ("reason_codes", unknown, f"from 0 to {len(judged.reasons) - 1}"),
    ):
        for row in bad[:1]:
            raise InvalidInput(f"strategy {name}: judge gave {column} {columns[column][row]} in row {row}; it must be {bound}")


def _beyond(codes: np.ndarray, reasons: tuple[str, ...]) -> bool:
    return not (codes.min() >= 0 and codes.max() < len(reasons))


def _silence(rows: int) -> SignalColumns:
    nowhere = np.full(rows, np.nan)
    reasons = (TOO_LITTLE_HISTORY,) if rows else ()
    return SignalColumns(np.zeros(rows, np.int8), np.zeros(rows), nowhere, nowhere.copy(), np.zeros(rows, np.int16), reasons)


def _restrict(judged: SignalColumns, close: np.ndarray, ready: np.ndarray) -> SignalColumns:
    rows = np.flatnonzero(judged.action != HOLD)
    action, stop, target, price = (column[rows] for column in (judged.action, judged.stop, judged.target, close))
    with np.errstate(invalid="ignore"):
        losing, winning = action * (price - stop), action * (target - price)
        priced = (losing > 0) & (winning > 0) & (stop > 0) & (target > 0) & np.isfinite(losing + winning)
    heard = ready[rows]
    acts = heard & priced
    acting = rows[acts]
    codes = judged.reason_codes.astype(np.int16)
    codes[rows[heard & ~priced]] = len(judged.reasons) + 1
    overwrite(codes, ~ready, len(judged.reasons))
    codes, reasons = _only_used(codes, (*judged.reasons, TOO_LITTLE_HISTORY, NO_STOP_OR_TARGET))
    return SignalColumns(
        scattered(len(ready), acting, action[acts], HOLD, np.int8),
        scattered(len(ready), acting, judged.confidence[acting], 0.0),
        scattered(len(ready), acting, stop[acts], np.nan),
        scattered(len(ready), acting, target[acts], np.nan),
        codes,
        reasons,
    )


def overwrite(codes: np.ndarray, rows: np.ndarray, code: int) -> None:
    """Write the code where `rows` hold, in a third of the time that np.putmask takes."""
    codes += (code - codes) * rows.astype(np.bool_, copy=False)


def scattered(
    length: int, rows: np.ndarray, values: np.ndarray, otherwise: float, kind: type[np.generic] = np.float64
) -> np.ndarray:
    """Return a column of `length` with the values in these rows and `otherwise` in all others."""
    column = np.full(length, otherwise, kind)
    column[rows] = values
    return column


def _only_used(codes: np.ndarray, reasons: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    used = [code for code in range(len(reasons)) if (codes == code).any()]
    if used != list(range(len(used))):
        places = np.zeros(len(reasons), np.int16)
        places[used] = np.arange(len(used))
        codes = places[codes]
    return codes, tuple(reasons[code] for code in used)


def _in_words(error: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown parameter, was {error['input']!r:.60}"
    return f"{field}: {message}, was {error['input']!r:.60}" if field else message
