"""Trading rules: one partition a day, fetched on that day, readable as of any later one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import dagster as dg

from fks_assets.assets.events import PartitionReport, asked_by_a_person, final_errors, finished, materialization
from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import now_ms, to_ms
from fks_assets.errors import ExchangeError, InsufficientData, TradingError
from fks_assets.partitions import day_of, day_partitions, day_window
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import RecordedInputs, latest_inputs, record_many
from fks_assets.stores.market_rules import RulesChange, all_rules_as_of, record_rules

CODE_VERSION = "1"
NEVER_MS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RulesOfDay:
    """The rules of the desk's markets on a day, those that the day changed, and why a market has none."""

    day: str
    rules: dict[Market, MarketRules]
    changes: list[RulesChange]
    failures: dict[Market, TradingError]

    @property
    def content_hash(self) -> str:
        lines = [f"{market} {rules.content_hash}" for market, rules in sorted(self.rules.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def verdict(self) -> str:
        """Words for the markets that have no rules on this day."""
        total = len(self.rules) + len(self.failures)
        shown = "; ".join(f"{market}: {error}" for market, error in list(self.failures.items())[:5])
        more = f"; and {len(self.failures) - 5} more" if len(self.failures) > 5 else ""
        return f"{len(self.failures)} of {total} markets have no usable rules on {self.day}: {shown}{more}"


def fetch_rules(stores: Stores, market_data: MarketData) -> RulesOfDay:
    """Ask the exchange for the rules of the desk's markets, and those of its accounts for theirs; store those that changed.

    A market whose rules cannot be used keeps those that are stored. Raises ExchangeError when the exchange gave no list at all;
    an account's that gives none is a failure of its markets. What an account's exchange does not list it does not trade.
    """
    at_ms = now_ms()
    markets, elsewhere = _listed(stores.settings, at_ms), _of_accounts(stores.settings, at_ms)
    known = all_rules_as_of(stores.database, [*markets, *chain(*elsewhere.values())], at_ms)
    closed = {market: closed_at for market in markets if (closed_at := _delisted_ms(stores.settings, market)) <= at_ms}
    asked = [market for market in markets if market not in closed]
    found: list[tuple[MarketRules, int]] = [
        (MarketRules(market, MarketStatus.DELISTED), _first_told(known.get(market), closed_at, at_ms))
        for market, closed_at in closed.items()
    ]
    failures: dict[Market, TradingError] = {}
    for market, answer in (market_data.market_rules(asked) if asked else {}).items():
        if isinstance(answer, ExchangeError):
            failures[market] = answer
        elif answer.status is MarketStatus.DELISTED and answer.tick_size is None and market not in known:
            failures[market] = InsufficientData(f"{stores.settings.exchange} does not list it and no earlier rules are stored")
        else:
            found.append((answer, at_ms))
    for exchange, theirs in elsewhere.items():
        answers, unusable = _ask(market_data, exchange, theirs)
        failures |= unusable
        found += [(rules, at_ms) for rules in answers if rules.tick_size is not None or rules.market in known]
    changes: list[RulesChange] = []
    with stores.database.transaction() as connection:
        for moment in sorted({moment for _, moment in found}):
            changes += record_rules(connection, [rules for rules, at in found if at == moment], moment)
        stored = all_rules_as_of(connection, [rules.market for rules, _ in found], at_ms)
    return RulesOfDay(day_of(at_ms), stored, changes, failures)


def _ask(
    market_data: MarketData, exchange: str, markets: Sequence[Market]
) -> tuple[list[MarketRules], dict[Market, TradingError]]:
    """Return the rules of markets on another exchange than the desk's, and why some have none."""
    try:
        answers = market_data.market_rules(markets, exchange=exchange)
    except ExchangeError as error:
        return [], dict.fromkeys(markets, error)
    unusable = {market: answer for market, answer in answers.items() if isinstance(answer, ExchangeError)}
    return [answer for answer in answers.values() if not isinstance(answer, ExchangeError)], unusable


def stored_rules(stores: Stores, day: str) -> RulesOfDay:
    """Return the rules that were known by the end of a past day: the exchange only tells those of today."""
    start_ms, end_ms = day_window(day)
    markets = _listed(stores.settings, end_ms - 1)
    every = [*markets, *chain(*_of_accounts(stores.settings, end_ms - 1).values())]
    with stores.database.transaction() as connection:
        rules = all_rules_as_of(connection, every, end_ms - 1)
        before = all_rules_as_of(connection, every, start_ms - 1)
        changes = [RulesChange(before.get(market), each) for market, each in rules.items() if (each.valid_from or 0) >= start_ms]
    missing = InsufficientData(f"none are stored as of {day}, and the exchange only tells those of today")
    return RulesOfDay(day, rules, changes, {market: missing for market in markets if market not in rules})


def build_market_rules(settings: Settings) -> ScheduledAsset:
    """Return the asset `market_rules`, its job and its schedule."""

    @dg.asset(
        description=(
            "Tick size, lot size, smallest and largest quantity, smallest value, fees and status of each market, as the exchange "
            "states them on that day; a version is stored for each time they changed. A past day cannot be fetched: "
            "materialising it verifies that rules as of that day are stored."
        ),
        group_name="market_data",
        kinds={"postgres"},
        owners=["team:market-data"],
        partitions_def=day_partitions(settings),
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=dg.RetryPolicy(max_retries=3, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def market_rules(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores], market_data: dg.ResourceParam[MarketData]
    ):
        by_person, today = asked_by_a_person(context), day_of(now_ms())
        recorded = latest_inputs(stores.database, "market_rules", context.partition_keys)
        refused: list[RulesOfDay] = []
        for day in context.partition_keys:
            with final_errors():
                found = fetch_rules(stores, market_data) if day == today else stored_rules(stores, day)
            if found.failures and (by_person or not found.rules):
                refused.append(found)
                continue
            if found.failures:
                context.log.warning(found.verdict)
            with stores.database.transaction() as connection:
                record_many(connection, [_record(found, context.run.run_id)])
            if by_person or day not in recorded or recorded[day].content_hash != found.content_hash:
                report = PartitionReport(day, found.content_hash, metadata=_metadata(stores, found, fetched=day == today))
                yield materialization("market_rules", CODE_VERSION, report)
        if refused:
            more = f" (and {len(refused) - 1} other days)" if len(refused) > 1 else ""
            raise dg.Failure(refused[0].verdict + more, allow_retries=False)
        yield finished()

    job = dg.define_asset_job(
        "rules",
        selection=[market_rules],
        description="The trading rules of every market on this day.",
        tags={"dagster/max_runtime": "600"},
    )

    @running_schedule(
        "rules_schedule",
        job,
        "20 0 * * *",
        "Requests the rules of the day on which it ticks, however late that is.",
    )
    def schedule() -> dg.RunRequest:
        day = day_of(now_ms())
        return dg.RunRequest(run_key=f"market_rules:{day}", partition_key=day)

    return ScheduledAsset(market_rules, job, schedule)


def _listed(settings: Settings, at_ms: int) -> list[Market]:
    """Return the desk's markets that the settings do not say to be listed later."""
    markets = settings.market_list()
    listed = {market: settings.market_settings(market).listed for market in markets}
    return [market for market in markets if listed[market] is None or to_ms(listed[market]) <= at_ms]


def _of_accounts(settings: Settings, at_ms: int) -> dict[str, list[Market]]:
    """Return, by exchange, the markets of the accounts that trade on another one than the desk's."""
    found: dict[str, dict[Market, None]] = {}
    for name, rules in settings.accounts.items():
        exchange = settings.account_exchange(name)
        if exchange != settings.exchange:
            markets = (market for market in _listed(settings, at_ms) if market.quote == rules.quote)
            found.setdefault(exchange, {}).update(dict.fromkeys(replace(market, exchange=exchange) for market in markets))
    return {exchange: list(markets) for exchange, markets in found.items()}


def _delisted_ms(settings: Settings, market: Market) -> int:
    """Return when the settings say that a market ends, the end of time when they do not."""
    delisted = settings.market_settings(market).delisted
    return NEVER_MS if delisted is None else to_ms(delisted)


def _first_told(known: MarketRules | None, closed_at_ms: int, at_ms: int) -> int:
    """Return when the market is seen to be delisted: at the time that the settings say, unless later sightings are stored."""
    return closed_at_ms if known is None or (known.last_seen_at or 0) < closed_at_ms else at_ms


def _record(found: RulesOfDay, run_id: str) -> RecordedInputs:
    return RecordedInputs(
        asset="market_rules",
        partition=found.day,
        content_hash=found.content_hash,
        code_version=CODE_VERSION,
        settings_hash="",
        run_id=run_id,
        inputs=(),
        row_count=len(found.rules),
    )


def _metadata(stores: Stores, found: RulesOfDay, *, fetched: bool) -> dict[str, Any]:
    from fks_assets.assets.market_data.presentation import exchange_badge

    metadata: dict[str, Any] = {
        "dagster/row_count": len(found.rules),
        "seen": "fetched on that day" if fetched else "read from what was stored by the end of that day",
        "changed": len(found.changes),
        "content hash": found.content_hash,
        "exchange": exchange_badge(stores),
        "rules": _table([rules.document() for _, rules in sorted(found.rules.items())]),
    }
    changed = [
        {"market": change.after.market.key, "rule": name, "before": old, "after": new}
        for change in found.changes
        for name, (old, new) in change.changed.items()
    ]
    if changed:
        metadata["changes since the version before"] = _table(changed)
    if found.failures:
        metadata["without usable rules"] = {market.key: str(error) for market, error in found.failures.items()}
    return metadata


def _table(rows: Sequence[dict[str, str | None]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [dg.TableRecord({name: "–" if value is None else value for name, value in row.items()}) for row in rows]
    )
