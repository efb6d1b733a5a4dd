"""The table of trades of a tear sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from fks_assets.quant.backtest.results import ExitReason, Trades
from fks_assets.quant.performance_trades import trades_counted, whole_trades
from fks_assets.quant.performance_words import minute, price, quantity, signed

TRADES_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a tear sheet; the first of its columns names the row, the others are numbers in words."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def rows_table(table: Table) -> str:
    """Return a table as HTML."""
    first, *others = (escape(each) for each in table.columns)
    head = f'<th scope="col">{first}</th>' + "".join(f'<th scope="col" class="number">{each}</th>' for each in others)
    rows = [[escape(cell) for cell in row] for row in table.rows]
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td class=number>{cell}</td>" for cell in cells)}</tr>'
        for name, *cells in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="list"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def trades_table(trades: Trades, markets: Sequence[str], strategies: Sequence[str], cents: int = 2) -> tuple[str, str]:
    """Return a heading and the table of the newest 100 rows, the newest first; one market or one strategy has no column.

    `cents` is how many decimals amounts of money have.
    """
    rows = np.arange(len(trades))[::-1][:TRADES_SHOWN]
    named = [(head, codes, names) for head, codes, names in _names(trades, markets, strategies) if len(names) > 1]
    heads = [*(head for head, _, _ in named), "Side", "Entry (UTC)", "Exit (UTC)", "Candles"]
    numbers = ["Quantity", "Entry price", "Exit price", "Fees", "Profit", "Return", "Closed by"]
    head = "".join(f'<th scope="col">{words}</th>' for words in heads[:-1])
    head += "".join(f'<th scope="col" class="number">{words}</th>' for words in [heads[-1], *numbers[:-1]])
    head += f'<th scope="col">{numbers[-1]}</th>'
    body = "".join(_trade(trades, int(row), named, cents) for row in rows)
    total = len(trades)
    counted = f"{total:,}" if len(whole_trades(trades).pnl) == total else trades_counted(trades)
    heading = f"Trades, the newest {len(rows)} of {counted}" if total > len(rows) else f"Trades, {counted}"
    return heading, f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _names(trades: Trades, markets: Sequence[str], strategies: Sequence[str]) -> list[tuple[str, np.ndarray, Sequence[str]]]:
    return [("Market", trades.market, markets), ("Strategy", trades.strategy, strategies)]


def _trade(trades: Trades, row: int, named: Sequence[tuple[str, np.ndarray, Sequence[str]]], cents: int) -> str:
    words = [names[code] if (code := int(codes[row])) < len(names) else str(code) for _, codes, names in named]
    words += ["long" if trades.side[row] > 0 else "short", minute(trades.entry_time[row]), minute(trades.exit_time[row])]
    profit, share = float(trades.pnl[row]), float(trades.return_fraction[row]) * 100
    tone = " gain" if profit > 0 else " loss" if profit < 0 else ""
    numbers = [
        (f"{trades.candles_held[row]:,}", ""),
        (quantity(float(trades.quantity[row])), ""),
        *((price(float(each[row])), "") for each in (trades.entry_price, trades.exit_price)),
        (signed(float(trades.entry_fee[row] + trades.exit_fee[row]), cents), ""),
        (signed(profit, cents), tone),
        (f"{signed(share, 2)} %", tone),
    ]
    reason = ExitReason(int(trades.exit_reason[row])).name.lower()
    closed = f"{reason}, tie" if trades.ambiguous[row] else reason
    cells = "".join(f"<td>{escape(each)}</td>" for each in words)
    cells += "".join(f'<td class="number{kind}">{each}</td>' for each, kind in numbers)
    return f"<tr>{cells}<td>{closed}</td></tr>"
