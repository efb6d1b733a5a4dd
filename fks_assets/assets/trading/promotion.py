"""Certificates of the desk's strategies, and the one question that all trading asks: may this strategy trade?"""

from collections.abc import Sequence

import sqlalchemy as sa

from fks_assets.assets.trading.in_force import StrategyInForce, strategies_in_force
from fks_assets.assets.trading.series import read_series
from fks_assets.clock import MILLISECONDS_PER_DAY, iso, now_ms
from fks_assets.errors import InsufficientData
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.strategy_records import StoredCertificate, certificate_of, read_states, record_certificate

MARKETS_TRIED = 3


def may_trade(connection: sa.Connection, settings: Settings, name: str) -> tuple[bool, str]:
    """Return (whether the strategy of this name may trade, on paper or live, and why not).

    It must be in force, switched on, and hold a certificate for the code that this process runs and the parameters in force.
    """
    in_force, unusable = strategies_in_force(connection, settings)
    if name in unusable:
        return False, f"strategy {name}: its parameters cannot be used: {unusable[name]}"
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
    return True, f"strategy {name} is switched on and certified since {iso(held.issued_at)}"


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
