"""How the backtest of an account is shown to people: the tear sheet of its book, and what each strategy and market did in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from fks_assets.assets.trading.account_backtest import AccountBacktest
from fks_assets.assets.trading.evidence import evidence_for
from fks_assets.assets.trading.presentation import figure_text, rule_words, sheet_of
from fks_assets.clock import iso
from fks_assets.quant.book_parts import Part
from fks_assets.quant.performance_words import money_digits, signed
from fks_assets.quant.tear_sheet import tear_sheet_html
from fks_assets.quant.tear_sheet_tables import Table
from fks_assets.resources.stores import Stores

Row = Mapping[str, str]


def account_html(test: AccountBacktest, known: Sequence[str] = ()) -> str:
    """Return the tear sheet of an account's book; `known` are sentences that stand before its own notes."""
    return tear_sheet_html(
        sheet_of(
            test,
            subtitle=f"Backtest of the {test.rules.mode} account {test.account}, {', '.join(test.result.markets)}",
            rules=[*rule_words({**_leg_rules(test), **test.book.model_dump(mode="json")}), ("fees charged", test.fee_words)],
            provenance=[
                ("Candles", f"{iso(test.start_ms)} to {iso(test.end_ms)}"),
                *(
                    (
                        name,
                        f"{subject.version_words}, parameters {subject.parameters_hash}, code {subject.code_version}",
                    )
                    for name, subject in test.subjects.items()
                ),
                ("Inputs", f"{test.inputs_hash} ({len(test.inputs)} partitions)"),
                ("Orders", test.result.order_list_hash),
            ],
            notes=[*known, *test.notes],
            tables=[_table("Strategies", strategy_rows(test)), _table("Markets", market_rows(test))],
        )
    )


def _leg_rules(test: AccountBacktest) -> dict[str, Any]:
    """Return how the strategies trade by name, once where all trade alike, as they do but for a what-if."""
    ways = {name: rules.model_dump(mode="json") for name, rules in test.leg_rules.items()}
    alike = len({*test.leg_rules.values()}) == 1
    return next(iter(ways.values())) if alike else {f"rules of {name}": way for name, way in ways.items()}


def evidence_notes(stores: Stores, test: AccountBacktest) -> list[str]:
    """Return what is recorded of the account's strategies, in sentences."""
    return [f"{name}: {note}" for name, subject in test.subjects.items() for note in evidence_for(stores.database, subject).notes]


def strategy_rows(test: AccountBacktest) -> list[Row]:
    """Return what each strategy did, in words by column."""
    return [
        {
            "strategy": part.name,
            "version": str(test.subjects[part.name].version),
            "share": f"{100 * part.share:g} %",
            **_figures(test, part),
            "budget used": f"{part.budget_used_pct:.1f} %",
            "at most": f"{part.budget_used_most_pct:.1f} %",
        }
        for part in test.strategies
    ]


def market_rows(test: AccountBacktest) -> list[Row]:
    """Return what each market did, in words by column."""
    return [{"market": part.name, **_figures(test, part)} for part in test.parts_by_market]


def _figures(test: AccountBacktest, part: Part) -> Row:
    cents = money_digits(test.book.initial_cash)
    return {
        "trades": f"{part.trades:,}",
        "win rate": figure_text("win_rate_pct", part.win_rate_pct),
        f"profit ({test.rules.quote})": signed(part.pnl, cents),
        f"fees ({test.rules.quote})": signed(part.fees, cents),
    }


def _table(heading: str, rows: Sequence[Row]) -> Table:
    columns = [name[:1].upper() + name[1:] for name in rows[0]]
    return Table(heading, columns, [tuple(row.values()) for row in rows])
