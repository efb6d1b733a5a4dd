"""Certificates of the desk's strategies, and the one question that all trading asks: may this strategy trade?"""

from collections.abc import Sequence

import sqlalchemy as sa

from fks_assets.assets.trading.in_force import StrategyInForce, strategies_in_force, unusable_words
from fks_assets.assets.trading.judging import counts_until
from fks_assets.assets.trading.series import read_series
from fks_assets.assets.trading.standard import standard_plan
from fks_assets.clock import MILLISECONDS_PER_DAY, iso, now_ms
from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.strategy_records import (
    StoredCertificate,
    StrategyState,
    Word,
    certificate_of,
    read_states,
    record_certificate,
    switch,
)
from fks_assets.stores.verdicts import StoredVerdict, counting_verdict, newest_verdict

MARKETS_TRIED = 3


def may_trade(connection: sa.Connection, settings: Settings, name: str, at_ms: int | None = None) -> tuple[bool, str]:
    """Return (whether the strategy of this name may trade, on paper or live, now or at a time (UTC ms), and why or why not).

    It must be in force, switched on, and hold a certificate for the code that this process runs and the parameters in force. Of
    these, its newest verdict by the desk's standard backtest must have passed and be no older than `backtests.valid_days`, or a
    person's word must stand.
    """
    at = now_ms() if at_ms is None else at_ms
    in_force, unusable = strategies_in_force(connection, settings)
    if name in unusable:
        return False, f"strategy {name}: {unusable_words(unusable[name])}"
    subject = in_force.get(name)
    if subject is None:
        return False, f"strategy {name!r} is not in force; in force are {', '.join(in_force)}"
    state = read_states(connection, [name]).get(name)
    if state is not None and not state.enabled:
        return False, f"strategy {name} was switched off at {iso(state.changed_at)} by {state.changed_by}: {state.reason}"
    held = held_certificate(connection, subject)
    if held is None:
        return False, f"strategy {name} has no certificate for code {subject.code_version} with its parameters"
    if not held.passed:
        return False, f"strategy {name} has no certificate that passed: {why_not(held)}"
    if state is not None and state.word is not None and state.holds(subject.code_version, subject.parameters_hash, at):
        return True, f"strategy {name} was switched on by {state.changed_by} until {iso(state.word.until)}: {state.reason}"
    return _by_verdict(connection, settings, subject, at)


def verdict_that_counts(connection: sa.Connection, settings: Settings, subject: StrategyInForce) -> StoredVerdict | None:
    """Return the newest verdict of the code and parameters in force by the desk's standard backtest; None without any."""
    standard = standard_plan(settings).settings_hash(settings)
    return counting_verdict(connection, subject.name, subject.code_version, subject.parameters_hash, standard)


def _by_verdict(connection: sa.Connection, settings: Settings, subject: StrategyInForce, at: int) -> tuple[bool, str]:
    name, verdict = subject.name, verdict_that_counts(connection, settings, subject)
    newest = newest_verdict(connection, name)
    since = "" if newest is None or newest.judged else f"; {newest.day}: {newest.reason}"
    if verdict is None:
        words = "of its code and parameters by the standard backtest" if newest else "yet"
        return False, f"strategy {name} has no verdict {words}{since}: `fks run backtest`, then `fks run validation` make one"
    if not verdict.passed:
        return False, f"strategy {name} failed by its backtest of {verdict.day}: {verdict.reason}"
    if at >= counts_until(verdict.day, settings.backtests):
        days = settings.backtests.valid_days
        return False, f"strategy {name} has no verdict since {verdict.day}, and one counts for {days} more days{since}"
    return True, f"strategy {name} is certified and passed by its backtest of {verdict.day}"


def switch_on(
    connection: sa.Connection,
    settings: Settings,
    name: str,
    *,
    reason: str,
    by: str,
    at_ms: int,
    days: int | None = None,
) -> StrategyState:
    """Note in the caller's transaction that a person wants a strategy to trade as it is now, and return its new state.

    Until so many days are over (`backtests.enabled_days` if not given) validation does not switch it off. The word is of the code
    and the parameters in force: others need a verdict or a word of their own. Raises InvalidInput for a name that is not in
    force, parameters that cannot be used, and without a reason or a person.
    """
    in_force, unusable = strategies_in_force(connection, settings)
    if name in unusable:
        raise InvalidInput(f"strategy {name}: {unusable_words(unusable[name])}")
    if name not in in_force:
        raise InvalidInput(f"strategy {name!r} is not in force; in force are {', '.join(in_force)}")
    subject = in_force[name]
    until = at_ms + (settings.backtests.enabled_days if days is None else days) * MILLISECONDS_PER_DAY
    word = Word(until, subject.code_version, subject.parameters_hash)
    state = switch(connection, name, True, reason=reason, by=by, at_ms=at_ms, word=word)
    assert state is not None
    return state


def held_certificate(connection: sa.Connection, subject: StrategyInForce) -> StoredCertificate | None:
    """Return the certificate that counts for the code and the parameters in force, None if there is none."""
    return certificate_of(connection, subject.strategy.name, subject.code_version, subject.parameters_hash)


def needs_certificate(connection: sa.Connection, subject: StrategyInForce) -> bool:
    """Return whether nothing is shown yet: there is no certificate, or only one of candles on which the strategy did not act."""
    held = held_certificate(connection, subject)
    return held is None or not (held.passed or held.accused)


def why_not(certificate: StoredCertificate) -> str:
    """Return in one line why a certificate did not pass."""
    found = [finding["words"] for finding in certificate.document["findings"]] or list(certificate.document["notes"])
    return "; ".join(found) or "it shows nothing"


def certify_strategy(
    stores: Stores, subject: StrategyInForce, markets: Sequence[Market], timeframe: Timeframe, start_ms: int, end_ms: int
) -> StoredCertificate:
    """Certify a strategy on the stored candles of the first market on which it acts, three at most, and store the outcome.

    Raises InsufficientData without candles or with too few, InvalidInput for a strategy that no other process can import.
    """
    from fks_assets.quant.certificate import certify

    outcome: StoredCertificate | None = None
    too_few: InsufficientData | None = None
    tried = 0
    for market in markets:
        lookback = subject.strategy.lookback_rows
        found, _ = read_series(stores, [market], timeframe, start_ms, end_ms, lookback_rows=lookback)
        if market not in found or tried == MARKETS_TRIED:
            continue
        tried += 1
        try:
            certificate = certify(subject.strategy, found[market].candles)
        except InsufficientData as error:
            too_few = error
            continue
        document = {**certificate.as_dict(), "name": subject.name, "market": market.key, "timeframe": timeframe.name}
        accused = bool(certificate.findings)
        outcome = StoredCertificate(
            subject.strategy.name,
            certificate.code_version,
            subject.parameters_hash,
            certificate.passed,
            accused,
            document,
            now_ms(),
        )
        if certificate.passed or accused:
            break
    if outcome is None:
        raise too_few or InsufficientData(
            f"a certificate of {subject.name} needs candles; no {timeframe} ones of {iso(start_ms)} to {iso(end_ms)} are stored"
        )
    with stores.database.transaction() as connection:
        record_certificate(connection, outcome)
    return outcome


def certify_missing(stores: Stores, timeframe: Timeframe, lookback_days: int) -> dict[str, str]:
    """Certify every strategy in force of which nothing is shown yet, and return the outcome of each in words by name.

    One that cannot be certified, for whatever reason, stops no other.
    """
    in_force, _ = strategies_in_force(stores.database, stores.settings)
    now = now_ms()
    outcomes: dict[str, str] = {}
    for name, subject in in_force.items():
        with stores.database.transaction() as connection:
            needed = needs_certificate(connection, subject)
        if not needed:
            continue
        try:
            start_ms = now - lookback_days * MILLISECONDS_PER_DAY
            made = certify_strategy(stores, subject, stores.settings.market_list(), timeframe, start_ms, now)
        except Exception as error:
            outcomes[name] = f"could not be made: {' '.join(str(error).split()) or type(error).__name__}"
        else:
            outcomes[name] = f"passed on {made.document['market']}" if made.passed else f"not passed: {why_not(made)}"
    return outcomes
