"""Who may go on trading: each strategy is judged by its own backtest; those that fail are switched off, and a person is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from fks_assets.assets.trading.evidence import NO_EVIDENCE, StrategyEvidence, evidence_for
from fks_assets.assets.trading.in_force import NOT_JUDGED, StrategyInForce, strategies_in_force, unusable_words
from fks_assets.assets.trading.judging import broken_by, counts_until, left_out, why_no_evidence
from fks_assets.assets.trading.promotion import verdict_that_counts
from fks_assets.assets.trading.standard import standard_plan
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.notifications import notify
from fks_assets.stores.strategy_records import BacktestRecord, StrategyState, lock_state, newest_results, read_states, switch
from fks_assets.stores.verdicts import StoredVerdict, record_verdict

KIND = "strategy_disabled"
HELD = "strategy_fails_and_trades"
LAPSED = "strategy_verdict_lapsed"
VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one strategy was judged. `broken`: the rules it breaks, in words; `unjudged`: why it could not be judged, else None.

    `enabled` is how it stands now; `disabled_now` says that this judgement switched it off; `held_until` (UTC ms) is until when a
    person's word keeps it on. `evidence` informs, it judges nothing.
    """

    name: str
    result: BacktestRecord | None
    broken: tuple[str, ...]
    unjudged: str | None
    enabled: bool
    disabled_now: bool
    held_until: int | None = None
    evidence: StrategyEvidence = NO_EVIDENCE

    @property
    def passed(self) -> bool:
        return self.unjudged is None and not self.broken

    @property
    def left_out(self) -> tuple[str, ...]:
        """The markets that its backtest does not have."""
        return () if self.result is None else left_out(self.result)

    @property
    def words(self) -> str:
        """Return the outcome in words."""
        if self.unjudged is not None:
            return self.unjudged
        missing = f" (without {', '.join(self.left_out)})" if self.left_out else ""
        return ("; ".join(self.broken) or "passes every rule") + missing

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
            "held_until": iso(self.held_until),
            "day": None if self.result is None else self.result.day,
            **{name: metrics.get(name) for name in ("sharpe", "total_return_pct", "max_drawdown_intraday_pct")},
            **self.evidence.document(),
        }


def validate_strategies(
    stores: Stores, names: Sequence[str] | None = None, day: str | None = None, *, change: bool = True
) -> list[Verdict]:
    """Judge strategies in force by their own newest standard backtests, or those of a day, and switch off the ones that fail.

    A strategy without such a backtest, or with one that is no evidence (`judging`), is not judged and stays as it is, and a
    person is told; once its last verdict is too old it may not trade. One that is off stays off, and one that a person has
    switched on stays on for as long as that word stands. Every verdict is kept. `change` False only judges. Raises InvalidInput
    for a name that is not in force.
    """
    settings, at = stores.settings, now_ms()
    in_force, unusable = strategies_in_force(stores.database, settings)
    for name in names or ():
        if name not in in_force and name not in unusable:
            raise InvalidInput(f"strategy {name!r} is not in force; in force are {', '.join(in_force)}")
    wanted = [name for name in (*in_force, *unusable) if names is None or name in names]
    standard = standard_plan(settings).settings_hash(settings)
    results = newest_results(stores.database, wanted, day, settings_hash=standard)
    others = newest_results(stores.database, wanted, day)
    verdicts = []
    for name in wanted:
        if name in unusable:
            with stores.database.transaction() as connection:
                words = unusable_words(unusable[name])
                verdicts.append(_standing(connection, None, name, None, (), words, at))
                if change:
                    _tell_unjudged(connection, verdicts[-1])
            continue
        subject, result = in_force[name], results.get(name)
        reason = _unjudged(subject, result, others.get(name), settings, day, at)
        broken = () if reason is not None or result is None else broken_by(result)
        with stores.database.transaction() as connection:
            lock_state(connection, name)
            verdict = _standing(connection, subject, name, result, broken, reason, at)
            if change:
                stored = _stored(subject, verdict, standard, day, at)
                record_verdict(connection, stored)
                verdict = _act(connection, settings, subject, verdict, at)
        verdicts.append(replace(verdict, evidence=evidence_for(stores.database, subject)))
    return verdicts


def _unjudged(
    subject: StrategyInForce,
    result: BacktestRecord | None,
    other: BacktestRecord | None,
    settings: Settings,
    day: str | None,
    at: int,
) -> str | None:
    if result is not None:
        return why_no_evidence(subject, result, settings.backtests, at if day is None else None)
    if other is not None:
        return f"its backtest of {other.day} was made on other settings than [backtests]"
    return "it has no backtest" + ("" if day is None else f" of {day}")


def _stored(subject: StrategyInForce, verdict: Verdict, standard: str, day: str | None, at: int) -> StoredVerdict:
    return StoredVerdict(
        name=verdict.name,
        day=verdict.result.day if verdict.result is not None else day or (iso(at) or "")[:10],
        judged=verdict.unjudged is None,
        passed=verdict.passed,
        reason=verdict.words,
        code_version=subject.code_version,
        parameters_hash=subject.parameters_hash,
        settings_hash=standard,
        judged_at=at,
    )


def _act(connection: sa.Connection, settings: Settings, subject: StrategyInForce, verdict: Verdict, at: int) -> Verdict:
    """Do what follows from a verdict, in the caller's transaction, and return it as the strategy stands then."""
    if verdict.unjudged is not None:
        _tell_unjudged(connection, verdict)
        _tell_lapsed(connection, settings, subject, verdict, at)
        return verdict
    if not verdict.broken:
        return verdict
    if verdict.held_until is not None:
        state = read_states(connection, [verdict.name])[verdict.name]
        message = (
            f"⚠️ strategy {verdict.name} fails and may trade until {iso(verdict.held_until)}, as {state.changed_by} switched it "
            f"on ({state.reason}): {verdict.words}"
        )
        notify(connection, HELD, "WARN", message, f"{HELD}:{verdict.name}:{state.id}")
        return verdict
    turned: StrategyState | None = switch(connection, verdict.name, False, reason=verdict.words, by=VALIDATION, at_ms=at)
    if turned is not None:
        message = (
            f"⚠️ strategy {verdict.name} is switched off and may not trade: {verdict.words}. "
            f"Only a person may switch it on again: fks strategies enable {verdict.name}"
        )
        notify(connection, KIND, "HIGH", message, f"{KIND}:{verdict.name}:{turned.id}")
    return replace(verdict, enabled=False, disabled_now=turned is not None)


def _tell_unjudged(connection: sa.Connection, verdict: Verdict) -> None:
    message = f"strategy {verdict.name} could not be judged and stays as it is: {verdict.words}"
    notify(connection, NOT_JUDGED, "WARN", message, f"{NOT_JUDGED}:{verdict.name}:{verdict.words}")


def _tell_lapsed(connection: sa.Connection, settings: Settings, subject: StrategyInForce, verdict: Verdict, at: int) -> None:
    """Tell once that a strategy may not trade any more because nothing has judged it for too long."""
    last = verdict_that_counts(connection, settings, subject)
    if last is None or not last.passed or not verdict.enabled or verdict.held_until is not None:
        return
    if at < counts_until(last.day, settings.backtests):
        return
    message = (
        f"⚠️ strategy {subject.name} may not trade any more: it was judged last by its backtest of {last.day}, and a verdict "
        f"counts for {settings.backtests.valid_days} more days. Since then: {verdict.words}"
    )
    notify(connection, LAPSED, "HIGH", message, f"{LAPSED}:{subject.name}:{last.day}")


def _standing(
    connection: sa.Connection,
    subject: StrategyInForce | None,
    name: str,
    result: BacktestRecord | None,
    broken: tuple[str, ...],
    unjudged: str | None,
    at: int,
) -> Verdict:
    state = read_states(connection, [name]).get(name)
    held = None
    if subject is not None and state is not None and state.holds(subject.code_version, subject.parameters_hash, at):
        held = None if state.word is None else state.word.until
    return Verdict(name, result, broken, unjudged, state is None or state.enabled, disabled_now=False, held_until=held)
