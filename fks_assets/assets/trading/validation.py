"""Who may go on trading: each strategy is judged by its own backtest; those that fail are switched off, and a person is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from fks_assets.assets.trading.evidence import NO_EVIDENCE, StrategyEvidence, evidence_for
from fks_assets.assets.trading.in_force import StrategyInForce, strategies_in_force
from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.performance import Performance
from fks_assets.quant.performance_rules import broken_rules
from fks_assets.resources.stores import Stores
from fks_assets.stores.notifications import notify
from fks_assets.stores.strategy_records import BacktestRecord, StrategyState, newest_results, read_states, switch

KIND = "strategy_disabled"
NOT_JUDGED = "strategy_not_judged"
VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one strategy was judged. `broken`: the rules it breaks, in words; `unjudged`: why it could not be judged, else None.

    `enabled` is how it stands now; `disabled_now` says that this judgement switched it off. `evidence` informs, it judges
    nothing.
    """

    name: str
    result: BacktestRecord | None
    broken: tuple[str, ...]
    unjudged: str | None
    enabled: bool
    disabled_now: bool
    evidence: StrategyEvidence = NO_EVIDENCE

    @property
    def passed(self) -> bool:
        return self.unjudged is None and not self.broken

    @property
    def words(self) -> str:
        """Return the outcome in words."""
        return self.unjudged or "; ".join(self.broken) or "passes every rule"

    def document(self) -> dict[str, Any]:
        """Return the verdict for a JSON document."""
        metrics: Mapping[str, Any] = {} if self.result is None else self.result.document["metrics"]
        return {
            "name": self.name,
            "passed": self.passed,
            "judged": self.unjudged is None,
            "reason": self.words,
            "enabled": self.enabled,
            "disabled_now": self.disabled_now,
            "day": None if self.result is None else self.result.day,
            **{name: metrics.get(name) for name in ("sharpe", "total_return_pct", "max_drawdown_intraday_pct")},
            **self.evidence.document(),
        }


def validate_strategies(
    stores: Stores, names: Sequence[str] | None = None, day: str | None = None, *, change: bool = True
) -> list[Verdict]:
    """Judge strategies in force by their own newest backtests, or those of a day, and switch off the ones that fail.

    A strategy whose backtest is missing, or was made with other parameters or other code than are in force, is not judged and
    stays as it is, and a person is told; one that is off stays off: only a person switches it on again. `change` False only
    judges. Raises InvalidInput for a name that is not in force.
    """
    in_force, unusable = strategies_in_force(stores.database, stores.settings)
    for name in names or ():
        if name not in in_force and name not in unusable:
            raise InvalidInput(f"strategy {name!r} is not in force; in force are {', '.join(in_force)}")
    results = newest_results(stores.database, list(in_force), day)
    wanted = [name for name in (*in_force, *unusable) if names is None or name in names]
    verdicts = []
    for name in wanted:
        if name in unusable:
            verdicts.append(_standing(stores, name, None, (), f"its parameters cannot be used: {unusable[name]}"))
            continue
        result = results.get(name)
        reason = _not_judged(in_force[name], result, day)
        broken = () if reason is not None or result is None else broken_rules(performance_of(result))
        if broken and change:
            verdict = _switch_off(stores, name, result, broken)
        else:
            verdict = _standing(stores, name, result, broken, reason)
        verdicts.append(replace(verdict, evidence=evidence_for(stores.database, in_force[name])))
    unjudged = [verdict for verdict in verdicts if verdict.unjudged is not None]
    if change and unjudged:
        with stores.database.transaction() as connection:
            for verdict in unjudged:
                message = f"strategy {verdict.name} could not be judged and stays as it is: {verdict.words}"
                notify(connection, NOT_JUDGED, "WARN", message, f"{NOT_JUDGED}:{verdict.name}:{verdict.words}")
    return verdicts


def performance_of(result: BacktestRecord) -> Performance:
    """Return the figures of a stored backtest; one that did not exist yet when it was made is None."""
    return Performance(**{field.name: result.document["metrics"].get(field.name) for field in fields(Performance)})


def _not_judged(subject: StrategyInForce, result: BacktestRecord | None, day: str | None) -> str | None:
    if result is None:
        return "it has no backtest" + ("" if day is None else f" of {day}")
    if result.parameters_hash != subject.parameters_hash:
        return f"its backtest of {result.day} was made with other parameters"
    if result.code_version != subject.code_version:
        return f"its backtest of {result.day} was made with other code"
    return None


def _switch_off(stores: Stores, name: str, result: BacktestRecord | None, broken: tuple[str, ...]) -> Verdict:
    reason = "; ".join(broken)
    with stores.database.transaction() as connection:
        state: StrategyState | None = switch(connection, name, False, reason=reason, by=VALIDATION, at_ms=now_ms())
        if state is not None:
            message = (
                f"⚠️ strategy {name} is switched off and may not trade: {reason}. "
                f"Only a person may switch it on again: fks strategies enable {name}"
            )
            notify(connection, KIND, "HIGH", message, f"{KIND}:{name}:{state.id}")
    return Verdict(name, result, broken, None, enabled=False, disabled_now=state is not None)


def _standing(stores: Stores, name: str, result: BacktestRecord | None, broken: tuple[str, ...], unjudged: str | None) -> Verdict:
    state = read_states(stores.database, [name]).get(name)
    return Verdict(name, result, broken, unjudged, enabled=state is None or state.enabled, disabled_now=False)
