"""An account in a day, a week or a month as one document: money, metrics, trades, positions, stops, risk, messages, locks."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_DOWN, Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fks_assets.assets.account_reports.books import LAST_TRADES, Books, Ended, read_books
from fks_assets.assets.portfolio.documents import position_document
from fks_assets.clock import MILLISECONDS_PER_DAY, iso
from fks_assets.desk.protections import BY
from fks_assets.desk.stop_proof import Coverage, coverage
from fks_assets.quant.account_report import (
    Figures,
    UnitCurve,
    equity_figures,
    level_seconds,
    metrics,
    shares,
    sums_by_currency,
    unit_curve,
)
from fks_assets.quant.account_trades import Trade, trade_sums
from fks_assets.quant.money import DERIVED, ZERO, from_analytics, money_text
from fks_assets.quant.orders import PositionSide
from fks_assets.quant.report_periods import Period
from fks_assets.quant.timeframes import months_between
from fks_assets.stores.guard import HOUR_MS
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.halts import Halt
from fks_assets.stores.ledger.positions import Position
from fks_assets.stores.lineage import InputRef

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores

LONGER_DAYS = 30
# A stored close is no price of a moment that is farther away than this.
OLDEST_PRICE_MS = MILLISECONDS_PER_DAY
_FLOWS = {"deposits": "deposit", "withdrawals": "withdrawal", "adjustments": "adjustment"}


@dataclass(frozen=True)
class AccountReport:
    """What can be told of an account's period up to `through` (UTC ms): a document, and the curve of its returns.

    `prices` are the candles that positions were marked with.
    """

    account: Account
    period: Period
    through: int
    document: Mapping[str, Any]
    curve: UnitCurve
    prices: tuple[InputRef, ...]

    @cached_property
    def text(self) -> str:
        """The document as JSON: the same figures are the same bytes."""
        return json.dumps(self.document, ensure_ascii=False, indent=1) + "\n"

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def report_of(stores: "Stores", account: Account, period: Period, *, now_ms: int) -> AccountReport:
    """Return the report of an account's period as it can be made at a time; nothing is written.

    Raises InvalidInput for a period that is not over (see `Period.through`).
    """
    start, end = period.start, period.through(now_ms)
    longer = period.end - LONGER_DAYS * MILLISECONDS_PER_DAY
    books = read_books(stores.database, account, start, end, balances_since_ms=min(start, longer))
    trades = [_trade(position) for position in books.closed]
    began = next((flow.at for flow in books.flows if flow.currency == account.quote), None)
    own, flows = [trade for trade in trades if trade.closed_at >= start], [flow for flow in books.flows if flow.at >= start]
    curve = unit_curve(books.balances, start, began)
    figures = {
        "equity": equity_figures(books.balances, books.flows, account.quote, start, end),
        "metrics": metrics(curve, own),
        "metrics_30_days": metrics(
            unit_curve(books.balances, longer, began), [trade for trade in trades if trade.closed_at >= longer]
        ),
        "stops": _stops(_watched(stores, account, start, end), books, start),
    }
    positions, prices = _priced(stores, books.held, end)
    document = {
        "account": account.name,
        "mode": account.mode.value,
        "exchange": account.exchange,
        "quote": account.quote,
        "simulated": stores.settings.is_simulated,
        "type": period.type.value,
        "period": period.key,
        "from": iso(start),
        "to": iso(end),
        "complete": end == period.end,
        "empty": books.is_empty,
        "notes": _notes(books, positions, period, end),
        "equity": figures["equity"].values,
        "flows": {
            name: sums_by_currency((flow.currency, flow.amount) for flow in flows if flow.kind == kind)
            for name, kind in _FLOWS.items()
        },
        "fees": sums_by_currency((fill.fee_currency or account.quote, fill.fee) for fill in books.fills),
        "funding": sums_by_currency((flow.currency, flow.amount) for flow in books.funding),
        "metrics": figures["metrics"].values,
        "metrics_30_days": figures["metrics_30_days"].values,
        "trades": {
            **trade_sums(own),
            "last": [_closed(each) for each in books.ended[-LAST_TRADES:]],
        },
        "positions": {"open": len(positions), "list": [position_document(position) for position in positions]},
        "stops": figures["stops"].values,
        "risk": _risk(books, start, end),
        "messages": asdict(books.messages),
        "locks": [_lock(halt) for halt in books.locks],
        "undefined": {f"{section}.{name}": why for section, each in figures.items() for name, why in each.undefined.items()},
    }
    return AccountReport(account, period, end, document, curve, prices)


def _trade(position: Position) -> Trade:
    return Trade(
        deal=position.deal_id,
        strategy=position.strategy,
        market=position.market.key,
        side=1 if position.side is PositionSide.LONG else -1,
        opened_at=position.opened_at,
        closed_at=position.closed_at or 0,
        quantity=_entered(position),
        entry_price=position.entry_price or ZERO,
        exit_price=position.exit_price or ZERO,
        fees=position.fees_quote,
        pnl=position.pnl or ZERO,
        stake=position.entry_sum,
    )


def _closed(ended: Ended) -> dict[str, Any]:
    """Return a closed position as people read it; `quantity` is what was entered."""
    position = ended.position
    said = position_document(position)
    names = ("deal", "strategy", "market", "side", "entry_price", "exit_price", "pnl", "pnl_percent", "opened_at", "closed_at")
    return {
        **{name: said[name] for name in names},
        "quantity": money_text(_entered(position)),
        "fees": money_text(position.fees_quote),
        "ended_by": ended.by,
    }


def _entered(position: Position) -> Decimal:
    return position.bought_quantity if position.side is PositionSide.LONG else position.sold_quantity


def _watched(stores: "Stores", account: Account, start_ms: int, end_ms: int) -> Coverage:
    """Return for how long stops were watched, in whole hours: the guard counts by them."""
    whole = end_ms - end_ms % HOUR_MS
    within = stores.settings.guard.check_within_seconds * 1000
    return coverage(stores.database, start_ms, whole, now_ms=end_ms, within_ms=within, account=account.name)


def _stops(watched: Coverage, books: Books, start_ms: int) -> Figures:
    found = Figures()
    whole = watched.covered_ms + watched.uncovered_ms
    percent = None if not whole else DERIVED.divide(Decimal(100 * watched.covered_ms), Decimal(whole))
    # Rounded down: 100 is all of the time.
    text = None if percent is None else money_text(percent.quantize(Decimal("0.0001"), ROUND_DOWN))
    found.set("coverage_percent", text, "no position was open")
    found.set("watched_seconds", watched.covered_ms // 1000, "")
    found.set("unwatched_seconds", -(-watched.uncovered_ms // 1000), "")
    found.set("breaches", books.breaches, "")
    executed = sum(1 for each in books.ended if each.by == "stop" and (each.position.closed_at or 0) >= start_ms)
    found.set("executed", executed, "")
    return found


def _priced(stores: "Stores", positions: Sequence[Position], at_ms: int) -> tuple[list[Position], tuple[InputRef, ...]]:
    """Return positions marked with the last stored close of their market before a time, and what was read for that.

    A position whose close is too old has no mark. Closes are those of the desk's exchange, wherever the account trades: its
    signals are made from them too.
    """
    from fks_assets.stores.candle_tables import candles_from_table

    shortest = min(stores.settings.timeframe_list(), key=lambda each: each.milliseconds)
    since = at_ms - OLDEST_PRICE_MS - shortest.milliseconds
    marked, inputs = [], set[InputRef]()
    for position in positions:
        market = replace(position.market, exchange=stores.settings.exchange)
        heads = list(stores.candles.heads("ohlcv", shortest.name, [market], months_between(since, at_ms)).values())
        inputs |= {InputRef(f"ohlcv_{shortest}", head.partition.key, head.content_hash) for head in heads}
        price: dict[str, Any] = {}
        if heads:
            candles = candles_from_table(stores.candles.read_heads(heads))
            rows = (candles.open_time >= since) & (candles.open_time + shortest.milliseconds <= at_ms)
            if rows.any():
                closed_at = int(candles.open_time[rows][-1]) + shortest.milliseconds
                price = {"mark_price": from_analytics(candles.close[rows][-1]), "marked_at": closed_at}
        marked.append(replace(position, **price))
    return marked, tuple(sorted(inputs))


def _risk(books: Books, start_ms: int, end_ms: int) -> dict[str, Any]:
    seconds = level_seconds(books.levels, start_ms, end_ms)
    return {
        "looks": sum(1 for at, _ in books.levels if at >= start_ms),
        "seconds": seconds,
        "percent": shares(seconds),
    }


def _lock(halt: Halt) -> dict[str, Any]:
    return {
        "protection": halt.changed_by.removeprefix(BY),
        "scope": halt.scope.value,
        "name": halt.name,
        "since": iso(halt.changed_at),
        "until": iso(halt.until),
        "reason": halt.reason,
    }


def _notes(books: Books, positions: Sequence[Position], period: Period, end_ms: int) -> list[str]:
    """Return what people have to know to read the figures right."""
    notes = []
    if end_ms != period.end:
        notes.append(f"the day is not over: this tells of it up to {iso(end_ms)}")
    if books.is_empty:
        return [*notes, "the account had not begun: no money and no trade up to the end of the period"]
    if not books.balances:
        notes.append("no balance was taken before the end of the period")
    elif books.balances[-1].at < period.start:
        notes.append(f"no balance was taken in the period; the last one is of {iso(books.balances[-1].at)}")
    without = [position.market.key for position in positions if position.mark_price is None]
    if without:
        notes.append(f"no price of the end of the period is stored of {', '.join(without)}")
    return notes
