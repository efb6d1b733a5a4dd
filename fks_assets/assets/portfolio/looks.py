"""One look at an account for each asset: what is done, what the partition then says, and from what."""

import asyncio
from typing import TYPE_CHECKING, Any

from fks_assets.assets.portfolio.account_asset import AccountLook, input_of
from fks_assets.assets.portfolio.documents import (
    balance_document,
    deal_document,
    fill_document,
    order_document,
    position_document,
)
from fks_assets.assets.portfolio.presentation import equity_metadata, table
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.quant.orders import Mode
from fks_assets.stores.lineage import InputRef, latest_inputs

if TYPE_CHECKING:
    import dagster as dg

    from fks_assets.desk.floor import Floor
    from fks_assets.resources.stores import Stores

DEALS, ORDERS, FILLS, POSITIONS, BALANCES = "deals", "orders", "fills", "positions", "balances"
ROWS_KEPT = 200
CURVE_DAYS = 90
RECONCILED_MS = 60_000
_DEAL_COLUMNS = (
    "id",
    "strategy",
    "market",
    "candle",
    "side",
    "quantity",
    "price",
    "stop_loss_price",
    "take_profit_price",
    "status",
    "refusal",
)
_ORDER_COLUMNS = (
    "id",
    "deal",
    "market",
    "leg",
    "side",
    "type",
    "quantity",
    "executed_quantity",
    "stop_price",
    "price",
    "status",
    "updated_at",
)
_FILL_COLUMNS = ("id", "order", "market", "side", "quantity", "price", "fee", "fee_currency", "traded_at")
_POSITION_COLUMNS = (
    "deal",
    "strategy",
    "market",
    "side",
    "quantity",
    "entry_price",
    "mark_price",
    "unrealised_pnl",
    "pnl",
    "pnl_percent",
    "opened_at",
)


def look_at_deals(context: "dg.AssetExecutionContext", floor: "Floor", stores: "Stores", name: str) -> AccountLook:
    """Decide on every new signal, once; what was decided stays."""
    from fks_assets.assets.portfolio.obstacles import desk_obstacles
    from fks_assets.assets.trading.account_strategies import idle_shares
    from fks_assets.desk.deciding import decide_signals
    from fks_assets.desk.floor import account_timeframe
    from fks_assets.desk.recording import give_up_unexecuted
    from fks_assets.desk.signals import newest_heads, read_signals
    from fks_assets.stores.ledger.deals import read_deals

    account, rules = floor.account(name), floor.rules(name)
    timeframe = account_timeframe(stores.settings, rules)
    strategies = list(rules.strategies)
    with stores.database.transaction() as connection:
        heads = newest_heads(connection, strategies, floor.heard_markets(account), timeframe, floor.clock())
        if account.mode is Mode.ALERT:
            give_up_unexecuted(connection, account, rules, at_ms=floor.clock())
    heard, unreadable = read_signals(stores.candles, heads.for_exchange(account.exchange), timeframe)
    heard.sort(key=lambda each: each.signal.action)
    for words in idle_shares(stores.database, stores.settings, name):
        context.log.warning(words)
    decided = asyncio.run(decide_signals(floor, account, heard, desk_obstacles(floor)))
    decided.errors |= {place: str(error) for place, error in unreadable.items()}
    for (strategy, market), why in {**decided.errors, **decided.waiting}.items():
        context.log.warning(f"{name}: {strategy} in {market}: {why}")
    deals = [deal_document(deal) for deal in read_deals(stores.database, account=name, newest=ROWS_KEPT)]
    summary = decided.summary(strategies)
    return AccountLook(
        rows=[{key: deal[key] for key in ("client_deal_id", "side", "price", "quantity", "refusal")} for deal in deals],
        inputs=_deal_inputs(stores, name, [each.source for each, made in decided.decisions if made.deal is not None], deals),
        metadata={
            **_figures(stores, {"new deals": len(decided.deals)}),
            **table("deals", deals, _DEAL_COLUMNS),
            "strategies": summary,
        },
        summary=summary,
    )


def look_at_orders(context: "dg.AssetExecutionContext", floor: "Floor", stores: "Stores", name: str) -> AccountLook:
    """Compare with the venue, guard what is held, send what is decided and not sent."""
    from fks_assets.assets.portfolio.obstacles import desk_obstacles
    from fks_assets.desk.cycle import open_account
    from fks_assets.stores.ledger.orders import read_orders

    account = floor.account(name)
    summary: dict[str, Any] = {"mode": account.mode.value}

    async def trade() -> None:
        async with open_account(floor, name, holder=f"run {context.run.run_id}") as desk:
            reconciled, entered = await desk.trade(desk_obstacles(floor))
            summary["reconciled"] = {"ok": reconciled.ok, "new trades": reconciled.trades, "unknown": reconciled.unknown}
            summary["entries"] = {str(each.deal.id): each.words for each in entered}

    if account.mode is not Mode.ALERT:
        asyncio.run(trade())
    orders = [order_document(order) for order in read_orders(stores.database, account=name, newest=ROWS_KEPT)]
    still_open = [order_document(order) for order in read_orders(stores.database, account=name, active=True)]
    return AccountLook(
        rows=[{key: order[key] for key in ("client_order_id", "status", "executed_quantity")} for order in orders],
        inputs=input_of(stores, DEALS, name),
        metadata={
            **_figures(stores, {"open orders": len(still_open), **_worded(summary)}),
            **table("open orders", still_open, _ORDER_COLUMNS),
            **table("last orders", orders, _ORDER_COLUMNS),
        },
        summary=summary,
    )


def look_at_fills(context: "dg.AssetExecutionContext", floor: "Floor", stores: "Stores", name: str) -> AccountLook:
    """Bring in what was executed, unless the orders of this run have just done that; nothing is sent."""
    from fks_assets.desk.cycle import open_account
    from fks_assets.stores.ledger.fills import read_fills
    from fks_assets.stores.ledger.reconciliations import newest_reconciliations

    account = floor.account(name)
    newest = next(iter(newest_reconciliations(stores.database, name)), None)
    is_fresh = newest is not None and newest.detail.get("passed") and 0 <= floor.clock() - newest.at <= RECONCILED_MS

    async def settle() -> None:
        async with open_account(floor, name, holder=f"run {context.run.run_id}") as desk:
            await desk.settle()

    if account.mode is not Mode.ALERT and not is_fresh:
        asyncio.run(settle())
    fills = [fill_document(fill) for fill in read_fills(stores.database, account=name, newest=ROWS_KEPT)]
    return AccountLook(
        rows=[{key: fill[key] for key in ("market", "trade_id", "price", "quantity", "fee")} for fill in fills],
        inputs=input_of(stores, ORDERS, name),
        metadata={**_figures(stores, {"fills shown": len(fills)}), **table("last fills", fills, _FILL_COLUMNS)},
        summary={"fills shown": len(fills)},
    )


def look_at_positions(context: "dg.AssetExecutionContext", floor: "Floor", stores: "Stores", name: str) -> AccountLook:
    """Mark the open positions with the newest prices (S2.3)."""
    from fks_assets.desk.valuing import mark_positions
    from fks_assets.stores.ledger.positions import read_positions

    account = floor.account(name)
    marks = asyncio.run(mark_positions(floor, account))
    for market in marks.missing:
        context.log.warning(f"{name}: {market} has no price now, its position keeps its last mark")
    positions = [position_document(position) for position in read_positions(stores.database, account=name, newest=ROWS_KEPT)]
    held = [position_document(position) for position in read_positions(stores.database, account=name, is_open=True)]
    prices = [InputRef("prices", market.key, f"{quote.close!r} at {quote.at_ms}") for market, quote in marks.quotes.items()]
    return AccountLook(
        rows=[{key: value for key, value in position.items() if key != "marked_at"} for position in positions],
        inputs=[*input_of(stores, FILLS, name), *prices],
        metadata={
            **_figures(stores, {"open positions": len(held)}),
            **table("open positions", held, _POSITION_COLUMNS),
            **table(
                "closed positions",
                [each for each in positions if not each["open"]],
                (*_POSITION_COLUMNS, "exit_price", "closed_at"),
            ),
        },
        summary={"open_positions": len(held), "without_price": [market.key for market in marks.missing]},
    )


def look_at_balances(context: "dg.AssetExecutionContext", floor: "Floor", stores: "Stores", name: str) -> AccountLook:
    """Store what the account is worth by the last marks (S2.2)."""
    from fks_assets.desk.valuing import balances_document, take_balance
    from fks_assets.stores.ledger.balances import read_balances

    balance = take_balance(floor, floor.account(name))
    document = balance_document(balance)
    history = read_balances(stores.database, name, since_ms=balance.at - CURVE_DAYS * MILLISECONDS_PER_DAY)
    answer = balances_document({name: balance}, {})
    return AccountLook(
        rows=[{key: value for key, value in document.items() if key != "at"}],
        inputs=input_of(stores, POSITIONS, name),
        metadata={
            **_figures(stores, {key: value for key, value in document.items() if key not in ("account", "details")}),
            **equity_metadata(history, name, simulated=stores.settings.is_simulated),
            "balances": answer,
            "details": document["details"],
        },
        summary=answer,
    )


def _deal_inputs(stores: "Stores", name: str, new: list[InputRef], deals: list[dict[str, Any]]) -> list[InputRef]:
    """Return the rows of signals that the shown deals were made from: the new ones, and those that earlier records name."""
    before = latest_inputs(stores.database, DEALS, [name])
    # An account on another exchange trades on signals of the desk's.
    places = {(deal["market"].split("@")[0], deal["candle"]) for deal in deals}
    kept = [ref for ref in (before[name].inputs if name in before else ()) if _place_of(ref) in places]
    return [*kept, *(ref for ref in new if ref not in kept)]


def _place_of(ref: InputRef) -> tuple[str, str]:
    market, _, candle = ref.partition.split("|")
    return market.split("@")[0], candle


def _figures(stores: "Stores", figures: dict[str, Any]) -> dict[str, Any]:
    from fks_assets.assets.market_data.presentation import exchange_badge

    return {**figures, "exchange": exchange_badge(stores)}


def _worded(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key != "entries" or value}
