"""The page of an account's report: what it earned and how, what it did and holds, how it was watched and what it risked."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fks_assets.assets.account_reports.account_report import AccountReport
from fks_assets.assets.account_reports.style import STYLE
from fks_assets.assets.account_reports.tables import by_currency, duration, lines, minute, price_text, table, tone_of
from fks_assets.assets.account_reports.words import (
    amount,
    cents_of,
    percent,
    period_words,
    sentence,
    share_of_all,
    undefined_words,
)
from fks_assets.assets.reporting.style import html_page
from fks_assets.quant.account_report import LEVELS, NOT_LOOKED, OF_RETURNS, OF_TRADES
from fks_assets.quant.counting import counted
from fks_assets.quant.performance import FIGURES
from fks_assets.quant.performance_words import figure, quantity

_LEVEL_WORDS = {NOT_LOOKED: "not looked at", "NONE": "nothing held"}
_CLOSED = ("Closed (UTC)", "Market", "Strategy", "Side", "#Quantity", "#Entry", "#Exit", "#Profit", "#Return", "Ended by")
_HELD = ("Opened (UTC)", "Market", "Strategy", "Side", "#Quantity", "#Entry", "#Price", "#Unrealised", "#After fees", "#Return")
_GROUPS = ("#Trades", "#Won", "#Win rate", "#Profit")


def report_page(report: AccountReport) -> str:
    """Return the page of a report; the same report is the same bytes."""
    document = report.document
    cents = cents_of(document)
    body = (
        f"{_notes(document)}{_cards(document, cents)}{_picture(report)}"
        f'<div class="pair"><div>{_money(document, cents)}{_risk(document)}</div>{_metrics(document, cents)}</div>'
        f"{_trades(document, cents)}{_positions(document, cents)}"
        f'<div class="pair">{_stops(document)}{_messages(document)}</div>{_locks(document)}'
    )
    subtitle = (
        f"account {document['account']} · {period_words(document, report.period)} · {document['mode']} at "
        f"{document['exchange']}, in {document['quote']} · days are UTC"
    )
    badge = "SIMULATED" if document["simulated"] else None
    return html_page(f"{report.period.type.capitalize()} report", body, style=STYLE, badge=badge, subtitle=subtitle)


def picture_of(report: AccountReport, *, alone: bool) -> str | None:
    """Return equity without deposits over the period as SVG; None when less than two points above 0 are known.

    `alone`: with colours of its own, a heading and the badge, such as for the metadata of an asset.
    """
    from fks_assets.quant.performance_charts import Curve, equity_chart, equity_picture

    time, value = report.curve.time, report.curve.value
    equity = report.document["equity"]
    if len(time) < 2 or not (value > 0).all() or equity["end"] is None:
        return None
    worth = float(equity["end"]) / value[-1] if equity["start"] is None else float(equity["start"]) / value[0]
    if worth <= 0:
        return None
    curve = Curve("Equity without deposits" if float(equity["net_deposits"]) else "Equity", time, value * worth)
    if not alone:
        return equity_chart(curve, width=1080, height=330)
    title = f"Equity of account {report.account.name}, {report.period.words}"
    return equity_picture(curve, title=title, badge="SIMULATED" if report.document["simulated"] else None)


def _notes(document: Mapping[str, Any]) -> str:
    items = "".join(f"<li>{escape(sentence(line))}</li>" for line in document["notes"])
    return f'<section class="card notes"><ul>{items}</ul></section>' if items else ""


def _cards(document: Mapping[str, Any], cents: int) -> str:
    equity, trades, stops = document["equity"], document["trades"], document["stops"]
    won = f"{percent(trades['win_rate_percent'], digits=0)} won".replace(" ", "\xa0")
    won = "" if trades["win_rate_percent"] is None else f", {won}"
    trade, position = ("" if number == 1 else "s" for number in (trades["closed"], document["positions"]["open"]))
    cards = (
        (amount(equity["end"], cents=cents), "equity at the end", ""),
        (amount(equity["profit"], cents=cents, sign=True), "profit", tone_of(equity["profit"])),
        (percent(equity["profit_percent"], sign=True), "return", tone_of(equity["profit_percent"])),
        (f"{trades['closed']:,}", f"trade{trade} closed{won}", ""),
        (f"{document['positions']['open']:,}", f"position{position} open", ""),
        (share_of_all(stops["coverage_percent"]), "of the time stops watched", ""),
    )
    shown = "".join(f'<div class="card"><b class="{tone}">{value}</b><span>{words}</span></div>' for value, words, tone in cards)
    return f'<div class="figures">{shown}</div>'


def _picture(report: AccountReport) -> str:
    drawn = picture_of(report, alone=False)
    return "" if drawn is None else f'<section class="card wide">{drawn}</section>'


def _money(document: Mapping[str, Any], cents: int) -> str:
    equity, flows = document["equity"], document["flows"]

    def at(moment: str | None) -> str:
        return "" if moment is None else f" <small>balance of {moment[:16].replace('T', ' ')}</small>"

    rows = [
        (f"Equity at the beginning{at(equity['start_at'])}", amount(equity["start"], cents=cents), ""),
        *(
            (words, by_currency(flows[name], document["quote"], cents), "")
            for name, words in (("deposits", "Paid in"), ("withdrawals", "Taken out"), ("adjustments", "Adjusted"))
            if flows[name]
        ),
        ("Realised, after fees", amount(equity["realised"], cents=cents, sign=True), tone_of(equity["realised"])),
        (
            "Change of unrealised",
            amount(equity["unrealised_change"], cents=cents, sign=True),
            tone_of(equity["unrealised_change"]),
        ),
        *(
            [("Funding, fees in other coins, dust", amount(equity["other"], cents=cents, sign=True), tone_of(equity["other"]))]
            if equity["other"] not in (None, "0")
            else []
        ),
        (f"Equity at the end{at(equity['end_at'])}", amount(equity["end"], cents=cents), ""),
    ]
    below = [
        ("Unrealised at the end", amount(equity["unrealised"], cents=cents, sign=True), tone_of(equity["unrealised"])),
        ("Fees paid", by_currency(document["fees"], document["quote"], cents), ""),
        *([("Funding", by_currency(document["funding"], document["quote"], cents), "")] if document["funding"] else []),
    ]
    return (
        f'<section class="card"><h2>Money, in {escape(document["quote"])}</h2><table class="lines"><tbody>'
        f'{lines(rows[:1])}{lines(rows[1:-1])}{lines(rows[-1:], "sum")}</tbody><tbody class="below">{lines(below)}</tbody>'
        f"</table></section>"
    )


def _metrics(document: Mapping[str, Any], cents: int) -> str:
    rows = []
    for name in (*OF_RETURNS, *OF_TRADES):
        cells = []
        for section in ("metrics", "metrics_30_days"):
            why = document["undefined"].get(f"{section}.{name}", "")
            title = f' title="{escape(why)}"' if why else ""
            cells.append(f'<td class="number"{title}>{figure(name, document[section][name], cents)}</td>')
        rows.append(f'<tr><th scope="row">{escape(FIGURES[name].label)}{_unit(name)}</th>{"".join(cells)}</tr>')
    reasons = undefined_words(document)
    why = f'<p class="why">{escape(reasons)}</p>' if reasons else ""
    head = '<th scope="col">Figure</th><th scope="col" class="number">Period</th><th scope="col" class="number">30 days</th>'
    return (
        f'<section class="card"><h2>Metrics</h2><table class="lines"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"</table>{why}</section>"
    )


def _unit(name: str) -> str:
    """Return what tells a figure from the one in percent that has the same label."""
    return " <small>money</small>" if FIGURES[name].unit == "money" else ""


def _trades(document: Mapping[str, Any], cents: int) -> str:
    trades = document["trades"]
    groups = "".join(
        f"<div><h3>By {name}</h3>{table((name.capitalize(), *_GROUPS), [_group(row, name, cents) for row in trades[key]])}</div>"
        for name, key in (("strategy", "by_strategy"), ("market", "by_market"))
        if trades[key]
    )
    rows = [
        (
            minute(row["closed_at"]),
            row["market"],
            row["strategy"],
            row["side"].lower(),
            quantity(float(row["quantity"])),
            price_text(row["entry_price"]),
            price_text(row["exit_price"]),
            (amount(row["pnl"], cents=cents, sign=True), tone_of(row["pnl"])),
            (percent(row["pnl_percent"], sign=True), tone_of(row["pnl"])),
            row["ended_by"],
        )
        for row in reversed(trades["last"])
    ]
    if not rows:
        return '<section class="card"><h2>Trades</h2><p>No trade was ever closed.</p></section>'
    closed = (
        f"{counted(trades['closed'], 'trade')} closed in the period, profit {amount(trades['profit'], cents=cents, sign=True)}"
    )
    return (
        f'<section class="card"><h2>Trades</h2><p>{closed}</p><div class="pair">{groups}</div>'
        f"<h3>The last {len(rows)} up to the end</h3>{table(_CLOSED, rows)}</section>"
    )


def _group(row: Mapping[str, Any], name: str, cents: int) -> tuple[Any, ...]:
    rate = percent(row["win_rate_percent"], digits=1)
    return (
        row[name],
        f"{row['closed']:,}",
        f"{row['won']:,}",
        rate,
        (amount(row["profit"], cents=cents, sign=True), tone_of(row["profit"])),
    )


def _positions(document: Mapping[str, Any], cents: int) -> str:
    positions = document["positions"]
    rows = [
        (
            minute(row["opened_at"]),
            row["market"],
            row["strategy"],
            row["side"].lower(),
            quantity(float(row["quantity"])),
            price_text(row["entry_price"]),
            price_text(row["mark_price"]),
            (amount(row["unrealised_pnl"], cents=cents, sign=True), tone_of(row["unrealised_pnl"])),
            (amount(row["pnl"], cents=cents, sign=True), tone_of(row["pnl"])),
            (percent(row["pnl_percent"], sign=True), tone_of(row["pnl"])),
        )
        for row in positions["list"]
    ]
    shown = table(_HELD, rows) if rows else "<p>Nothing was held at the end of the period.</p>"
    return f'<section class="card"><h2>Open positions, {positions["open"]:,}</h2>{shown}</section>'


def _stops(document: Mapping[str, Any]) -> str:
    stops = document["stops"]
    rows = [
        ("Watched", share_of_all(stops["coverage_percent"]), ""),
        ("Time of positions without a check in time", duration(stops["unwatched_seconds"]), ""),
        ("Breaches told", f"{stops['breaches']:,}", "loss" if stops["breaches"] else ""),
        ("Executed", f"{stops['executed']:,}", ""),
    ]
    return f'<section class="card"><h2>Stops</h2><table class="lines"><tbody>{lines(rows)}</tbody></table></section>'


def _messages(document: Mapping[str, Any]) -> str:
    said = document["messages"]
    rows = [
        ("Written", f"{said['written']:,}", ""),
        ("Sent", f"{said['sent']:,}", ""),
        ("Failed, and waiting", f"{said['failed']:,}, {said['waiting']:,}", "loss" if said["failed"] else ""),
        ("Went on, because nobody acknowledged", f"{said['escalated']:,}", ""),
    ]
    return (
        f'<section class="card"><h2>Messages of the desk</h2><table class="lines"><tbody>{lines(rows)}</tbody></table></section>'
    )


def _risk(document: Mapping[str, Any]) -> str:
    risk = document["risk"]
    shown = [
        (level, percent(risk["percent"][level], digits=1), risk["seconds"][level]) for level in (*reversed(LEVELS), NOT_LOOKED)
    ]
    parts = "".join(
        f'<i class="{level.lower()}" style="width:{float(risk["percent"][level]):.3f}%"></i>' for level, _, held in shown if held
    )
    label = ", ".join(f"{_level(level)} {share}" for level, share, held in shown if held)
    rows = "".join(
        f'<tr><th scope="row"><i class="{level.lower()}"></i>{_level(level)}</th><td class="number">{duration(held)}</td>'
        f'<td class="number">{share}</td></tr>'
        for level, share, held in shown
    )
    return (
        f'<section class="card"><h2>Time at each level of risk</h2><div class="share" role="img" aria-label="{escape(label)}">'
        f'{parts}</div><table class="lines levels"><tbody>{rows}</tbody></table>'
        f"<p>{counted(risk['looks'], 'look')} in the period; a look tells of an hour at most.</p></section>"
    )


def _locks(document: Mapping[str, Any]) -> str:
    rows = [
        (minute(row["since"]), row["protection"], f"{row['scope']} {row['name']}".strip(), minute(row["until"]), row["reason"])
        for row in document["locks"]
    ]
    if not rows:
        return ""
    heads = ("Since (UTC)", "Protection", "Locked", "Until", "Why")
    return f'<section class="card"><h2>Locks of protections</h2>{table(heads, rows)}</section>'


def _level(level: str) -> str:
    return _LEVEL_WORDS.get(level, level.lower())
