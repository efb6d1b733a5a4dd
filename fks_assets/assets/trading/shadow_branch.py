"""On demand: what if a strategy had other parameters? A branch beside production, with the differences."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import final_errors, link_to
from fks_assets.assets.jobs import UnresolvedAssetJobDefinition
from fks_assets.quant.timeframes import usual_timeframe
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings

if TYPE_CHECKING:
    from fks_assets.assets.trading.shadow import Question, Shadow
    from fks_assets.assets.trading.shadow_account import AccountShadow

ASSET = "shadow_branch"
CODE_VERSION = "1"
SHOWN = 200


@dataclass(frozen=True, slots=True)
class ShadowAsset:
    """The asset of the branches and its job; nothing asks for one but a person."""

    asset: dg.AssetsDefinition
    job: UnresolvedAssetJobDefinition


def build_shadow_branch(settings: Settings) -> ShadowAsset:
    """Return the asset `shadow_branch` and its job `shadow`."""

    class ShadowConfig(dg.Config):
        """Which strategy in force, and what of it is changed: `parameters` and `rules` as NAME=VALUE.

        With an `account` that has the strategy its book is made too. All of the desk's markets if none is named; `start` and
        `end` are days such as 2026-11-01, the last 365 days if empty; `branch` is the name to keep it under, made of the change
        if empty.
        """

        strategy: str
        parameters: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        rules: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        markets: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        timeframe: str = usual_timeframe(settings.timeframes)
        start: str = ""
        end: str = ""
        branch: str = ""
        account: str = ""

    @dg.asset(
        description=(
            "A counterfactual: signals, backtest and figures of a strategy with changed parameters or rules, in a namespace of "
            "its own, held against production, which is not touched. The signals are the dataset shadow.<branch>."
        ),
        group_name="trading",
        kinds={"python", "parquet"},
        owners=["team:research"],
        deps=[*(f"{prefix}_{usual_timeframe(settings.timeframes)}" for prefix in ("ohlcv", "indicators")), "market_rules"],
        code_version=CODE_VERSION,
    )
    def shadow_branch(
        context: dg.AssetExecutionContext,
        config: ShadowConfig,
        stores: dg.ResourceParam[Stores],
        reports: dg.ResourceParam[Reports],
    ) -> dg.MaterializeResult:
        from fks_assets.assets.trading.shadow import make_branch

        with final_errors():
            question = _question(stores, config)
            answer, page = make_branch(stores, reports, question, config.branch or None, run_id=context.run.run_id)
        return dg.MaterializeResult(
            metadata={
                **_metadata(answer),
                "tear sheet": link_to(page),
            },
            data_version=dg.DataVersion(answer.shadow.content_hash),
        )

    job = dg.define_asset_job(
        "shadow",
        selection=[shadow_branch],
        description="Tries a strategy with changed parameters beside production.",
        tags={"dagster/max_runtime": "3000"},
    )
    return ShadowAsset(shadow_branch, job)


def _question(stores: Stores, config: Any) -> "Question":
    from fks_assets.assets.trading.rule_options import assignments
    from fks_assets.assets.trading.shadow import Question
    from fks_assets.quant.markets import parse_market
    from fks_assets.quant.timeframes import parse_timeframe

    return Question(
        config.strategy,
        assignments(config.parameters, "parameters"),
        assignments(config.rules, "rules"),
        [parse_market(market) for market in config.markets] or stores.settings.market_list(),
        parse_timeframe(config.timeframe),
        *_period(config.start, config.end),
        skip_missing=not config.markets,
        account=config.account or None,
    )


def _period(start: str, end: str) -> tuple[int, int]:
    from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms

    end_ms = _day(end, "end") if end else now_ms()
    return _day(start, "start") if start else end_ms - 365 * MILLISECONDS_PER_DAY, end_ms


def _day(text: str, name: str) -> int:
    from fks_assets.errors import InvalidInput
    from fks_assets.partitions import day_window

    try:
        return day_window(text)[0]
    except ValueError:
        raise InvalidInput(f"{name} {text!r} is not a day such as 2026-11-01") from None


def _metadata(answer: "Shadow") -> dict[str, Any]:
    summary = answer.summary()
    named = ("branch", "name", "signals_changed", "trades_added", "trades_removed", "trades_changed")
    return {
        **{name: summary[name] for name in named},
        "changed": json.dumps({**summary["changed_parameters"], **summary["changed_rules"]}),
        "metrics": _table([{"figure": name, **row} for name, row in answer.figures.items()]),
        "trades that differ": _table([each.document() for each in answer.trades[:SHOWN]]),
        "signals that differ": _table([each.document() for each in answer.signals[:SHOWN]]),
        **({} if answer.account is None else _of_account(answer.account)),
    }


def _of_account(book: "AccountShadow") -> dict[str, Any]:
    account = book.shadow.account
    strategies = [
        {"strategy": name, "figure": figure, **row}
        for name, figures in book.strategies.items()
        for figure, row in figures.items()
    ]
    return {
        f"metrics of account {account}": _table([{"figure": name, **row} for name, row in book.figures.items()]),
        f"strategies of account {account}": _table(strategies),
        f"trades of account {account} that differ": _table([each.document() for each in book.trades[:SHOWN]]),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """Return rows as a table, a dash for what is not there; words where there are none, as a table needs columns."""
    if not rows:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table([dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows])


def _cell(value: Any) -> Any:
    return "–" if value is None else json.dumps(value) if isinstance(value, dict) else value
