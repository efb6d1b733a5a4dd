"""`fks report`: what an account did in a day, a week or a month."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fks_assets.cli.arguments import JsonFlag
from fks_assets.cli.ledger_arguments import AccountArgument, open_stores

if TYPE_CHECKING:
    from fks_assets.quant.report_periods import Period

_MONEY = ("start", "net_deposits", "realised", "unrealised_change", "other", "end", "profit", "profit_percent", "unrealised")
_TRADES = ("closed_at", "market", "strategy", "side", "quantity", "entry_price", "exit_price", "pnl", "pnl_percent", "ended_by")
_HELD = ("opened_at", "market", "strategy", "side", "quantity", "entry_price", "mark_price", "unrealised_pnl", "pnl_percent")


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    account: AccountArgument,
    kind: Annotated[str, typer.Option("--type", metavar="TYPE", help="daily, weekly or monthly.")] = "daily",
    date: Annotated[
        str | None,
        typer.Option("--date", metavar="DAY", help="Any day of the period, such as 2026-11-21; the last one if not given."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show what an account did in a UTC day, a week from Monday on, or a month: as reported, else computed now."""
    from fks_assets.assets.account_reports.account_report import report_of
    from fks_assets.cli.output import print_json
    from fks_assets.clock import iso, now_ms
    from fks_assets.quant.report_periods import newest_period, period_on, report_type
    from fks_assets.stores.account_reports import newest_report
    from fks_assets.stores.ledger.accounts import read_account

    now, wanted = now_ms(), report_type(kind)
    period = newest_period(wanted, now) if date is None else period_on(wanted, date)
    period.through(now)
    stores = open_stores()
    known = read_account(stores.database, account)
    stored = newest_report(stores.database, known.name, period)
    document = report_of(stores, known, period, now_ms=now).document if stored is None else stored.document
    made_at = None if stored is None else iso(stored.recorded_at)
    if json:
        print_json({"stored": stored is not None, "made_at": made_at, "report": document})
        return
    _print(document, period)
    print("Computed now: it is not stored." if stored is None else f"Stored: it was made at {made_at}.")


def _print(document: Mapping[str, Any], period: "Period") -> None:
    from fks_assets.assets.account_reports.words import cents_of, period_words, sentence, undefined_words
    from fks_assets.cli.output import print_table
    from fks_assets.quant.account_report import OF_RETURNS, OF_TRADES
    from fks_assets.quant.performance import FIGURES
    from fks_assets.quant.performance_words import figure

    simulated = " (SIMULATED)" if document["simulated"] else ""
    print(f"Account {document['account']}: {period_words(document, period)}{simulated}")
    for note in document["notes"]:
        print(sentence(note))
    equity, stops, risk = document["equity"], document["stops"], document["risk"]
    money = [(name, equity[name]) for name in _MONEY] + [
        (f"{name} {coin}", amount)
        for name, amounts in ({**document["flows"], "fees": document["fees"], "funding": document["funding"]}).items()
        for coin, amount in amounts.items()
    ]
    print_table(f"Money ({document['quote']})", ("figure", "amount"), money)
    cents = cents_of(document)
    rows = [
        (FIGURES[name].label, *(figure(name, document[section][name], cents) for section in ("metrics", "metrics_30_days")))
        for name in (*OF_RETURNS, *OF_TRADES)
    ]
    print_table("Metrics", ("figure", "period", "30 days"), rows)
    if reasons := undefined_words(document):
        print(reasons)
    for title, columns, listed in (
        ("Last trades (UTC)", _TRADES, document["trades"]["last"]),
        ("Open positions (UTC)", _HELD, document["positions"]["list"]),
    ):
        print_table(title, columns, ([row[name] for name in columns] for row in listed), "none")
    print_table("Stops", tuple(stops), [tuple(stops.values())])
    print_table("Time at each level of risk (%)", tuple(risk["percent"]), [tuple(risk["percent"].values())])
    print_table("Messages of the desk", tuple(document["messages"]), [tuple(document["messages"].values())])
    locks = document["locks"]
    if locks:
        print_table("Locks (UTC)", tuple(locks[0]), (tuple(lock.values()) for lock in locks))
