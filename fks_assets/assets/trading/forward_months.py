"""Walk-forward windows of the desk: parameters chosen on the days before a month, tried in the month, and recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fks_assets.assets.trading.evidence import together_of
from fks_assets.assets.trading.in_force import OF_THE_SETTINGS, StrategyInForce
from fks_assets.assets.trading.search_run import Ground, ground_of
from fks_assets.clock import MILLISECONDS_PER_DAY, iso
from fks_assets.errors import InsufficientData
from fks_assets.ids import document_hash, stable_id
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.markets import Market
from fks_assets.quant.optimisation import Found, SearchRules
from fks_assets.quant.search_trials import Stretch
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import Timeframe, month_window
from fks_assets.quant.walk_forward import OutOfSample, Window, WindowOutcome, run_window
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import RecordedInputs, record_many
from fks_assets.stores.searches import WindowRecord, read_windows, record_window

ASSET = "walk_forward"


@dataclass(frozen=True, slots=True)
class Plan:
    """How every window is searched: the days before the month, the candles, the markets, how they are traded, the search.

    One that is `standard` is searched as the schedule does it, on the markets that the desk has then.
    """

    in_days: int
    timeframe: Timeframe
    markets: Sequence[Market]
    rules: LegRules
    book: BookRules
    search: SearchRules
    workers: int = 1
    standard: bool = False

    @property
    def settings_hash(self) -> str:
        """One id for all that decides what a window gives, but for candles and code, and of a standard one the markets.

        A desk that gets another market goes on with the same windows.
        """
        return stable_id(
            str(self.in_days),
            self.timeframe.name,
            *(["every market"] if self.standard else [market.key for market in self.markets]),
            self.search.model_dump_json(),
            self.rules.model_dump_json(),
            self.book.model_dump_json(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class MonthOfStrategy:
    """One window: what was chosen and what it gave, on which ground, and what all recorded windows show together with it."""

    month: str
    ground: Ground
    outcome: WindowOutcome
    found: Found
    document: dict[str, Any]
    together: OutOfSample
    windows: tuple[WindowRecord, ...]

    @property
    def key(self) -> str:
        return f"{self.month}|{self.ground.subject.strategy.name}"

    @property
    def content_hash(self) -> str:
        """The SHA-256, in hexadecimal, of everything that the window says."""
        return document_hash(self.document)


def run_month(stores: Stores, strategy: str, month: str, plan: Plan, *, code_version: str, run_id: str) -> MonthOfStrategy:
    """Return the window of a strategy whose out-of-sample stretch is a month, recorded with what it was made from.

    Parameters without bounds are those of the settings, or the defaults: a parameter set may have been found on the month itself.
    Raises InsufficientData unless candles reach from the first day in sample to the last day of the month.
    """
    subject = StrategyInForce(strategy, create_strategy(strategy, stores.settings.strategies.get(strategy)), OF_THE_SETTINGS)
    outside = Stretch(*month_window(month))
    inside = Stretch(outside.start_ms - plan.in_days * MILLISECONDS_PER_DAY, outside.start_ms)
    ground = ground_of(
        stores,
        subject,
        plan.markets,
        plan.timeframe,
        inside.start_ms,
        outside.end_ms,
        rules=plan.rules,
        book=plan.book,
        skip_missing=True,
    )
    for late_ms, what, wanted in (
        (ground.stretch.start_ms - inside.start_ms, f"begin at {iso(ground.stretch.start_ms)}", iso(inside.start_ms)),
        (outside.end_ms - ground.stretch.end_ms, f"end at {iso(ground.stretch.end_ms)}", iso(outside.end_ms)),
    ):
        if late_ms > MILLISECONDS_PER_DAY:
            raise InsufficientData(
                f"the window {month} needs candles from {iso(inside.start_ms)} to {iso(outside.end_ms)}; those stored {what}, "
                f"not at {wanted}: `fks backfill --from` loads older ones"
            )
    outcome, found = run_window(
        ground.space, ground.markets, Window(inside, outside), ground.terms, plan.search, workers=plan.workers
    )
    document = {**ground.document(), **_outcome_document(outcome, found), "in_days": plan.in_days, "standard": plan.standard}
    with stores.database.transaction() as connection:
        record_window(
            connection,
            WindowRecord(
                strategy=strategy,
                month=month,
                document=document,
                code_version=subject.code_version,
                settings_hash=plan.settings_hash,
                content_hash=document_hash(document),
                run_id=run_id,
            ),
        )
        record_many(
            connection,
            [
                RecordedInputs(
                    asset=ASSET,
                    partition=f"{month}|{strategy}",
                    content_hash=document_hash(document),
                    code_version=f"{code_version} {subject.code_version}",
                    settings_hash=plan.settings_hash,
                    run_id=run_id,
                    inputs=ground.inputs,
                    row_count=len(outcome.outside),
                )
            ],
        )
        windows = tuple(read_windows(connection, strategy, subject.code_version, plan.settings_hash))
    return MonthOfStrategy(month, ground, outcome, found, document, together_of(subject, windows), windows)


def _outcome_document(outcome: WindowOutcome, found: Found) -> dict[str, Any]:
    sides: dict[str, Any] = {}
    for name, side in (("in_sample", "inside"), ("out_of_sample", "outside")):
        stretch, returns = getattr(outcome.window, side), getattr(outcome, side)
        sides[name] = {
            "start": iso(stretch.start_ms),
            "end": iso(stretch.end_ms),
            "annual_pct": outcome.annual_pct("inside" if side == "inside" else "outside"),
            "daily_returns": returns.tolist(),
        }
    best = found.best
    return {
        **sides,
        "parameters": None if outcome.values is None else dict(outcome.values),
        "return_pct": outcome.gain * 100,
        "trades": outcome.trades,
        "ruined": outcome.ruined,
        "search": {
            **found.rules.model_dump(mode="json"),
            "trials": len(found.trials),
            **{state: found.count(state) for state in ("complete", "pruned", "unfit")},
            "score": None if best is None else best.score,
        },
        **found.space.document(),
    }
