"""Deals, positions, orders and stops made by hand: a long position of 4 at 100 whose stop rests at 90."""

from dataclasses import replace
from decimal import Decimal

from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.exchanges.orders.venue import Features
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, OrderType, PositionSide, ProcessedSide, Side
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.order_rows import Order
from fks_assets.stores.ledger.positions import Position
from fks_assets.stores.ledger.stops import Stop, StopState

MARKET = Market("BTC", "USDT", "binance")
ZERO = Decimal(0)
NOW_MS = 1_763_683_200_000
VALIDITY_MS = 5_000
BINANCE = Features(oco=True, stop_market=True, stop_limit=True, take_profit=True, replace=True)
KRAKEN = Features(oco=False, stop_market=True, stop_limit=True, take_profit=True, replace=False)
STOP_LIMITS = Features(oco=False, stop_market=False, stop_limit=True, take_profit=False, replace=True)
WALLEX = Features(oco=False, stop_market=False, stop_limit=False, take_profit=False, replace=False)


def rules(**changes: object) -> MarketRules:
    values = {
        "status": MarketStatus.TRADING,
        "tick_size": Decimal("0.5"),
        "lot_size": Decimal("0.1"),
        "min_quantity": Decimal("0.1"),
        "min_notional": Decimal(5),
    }
    return MarketRules(MARKET, **{**values, **changes})  # type: ignore[arg-type]


def a_deal(side: Side = Side.BUY, **changes: object) -> Deal:
    deal = Deal(
        id=1,
        client_deal_id="DEAL",
        account="main",
        strategy="breakout",
        provider="binance",
        market=MARKET,
        timeframe="1h",
        signal_time=NOW_MS - 3_600_000,
        side=side,
        price=Decimal(100),
        quantity=Decimal(4),
        confidence=Decimal("0.8"),
        reason="test",
        stop_loss_price=Decimal(90),
        take_profit_price=None,
        stop_loss_order_id=None,
        take_profit_order_id=None,
        trailing_stop_enabled=False,
        trailing_stop_distance=None,
        status=DealStatus.RUNNING,
        is_active=True,
        is_processed=True,
        processed_side=ProcessedSide.BUY,
        refusal=None,
        created_at=NOW_MS,
        updated_at=NOW_MS,
    )
    return replace(deal, **changes)  # type: ignore[arg-type]


def a_position(side: Side = Side.BUY, entered: str = "4", left: str = "0", **changes: object) -> Position:
    bought, sold = (entered, left) if side is Side.BUY else (left, entered)
    is_over = Decimal(entered) == Decimal(left)
    position = Position(
        deal_id=1,
        account="main",
        strategy="breakout",
        market=MARKET,
        side=PositionSide.LONG if side is Side.BUY else PositionSide.SHORT,
        bought_quantity=Decimal(bought),
        bought_sum=Decimal(bought) * 100,
        sold_quantity=Decimal(sold),
        sold_sum=Decimal(sold) * 100,
        fees_quote=ZERO,
        fee_base=ZERO,
        dust_quantity=ZERO,
        opened_at=NOW_MS,
        closed_at=NOW_MS if is_over else None,
        mark_price=None,
        marked_at=None,
        updated_at=NOW_MS,
    )
    return replace(position, **changes)  # type: ignore[arg-type]


def an_order(leg: Leg, number: int = 1, side: Side = Side.SELL, **changes: object) -> Order:
    type_ = {Leg.STOP: OrderType.STOP_MARKET, Leg.TARGET: OrderType.LIMIT}.get(leg, OrderType.MARKET)
    order = Order(
        id=number,
        deal_id=1,
        account="main",
        exchange="binance",
        market=MARKET,
        client_order_id=f"ORDER{number}",
        exchange_order_id=str(number),
        leg=leg,
        generation=0,
        side=side,
        type=type_,
        price=None,
        stop_price=Decimal(90) if leg is Leg.STOP else None,
        reference_price=None,
        quantity=Decimal(4),
        executed_quantity=ZERO,
        executed_sum=ZERO,
        status=OrderStatus.OPEN,
        active=True,
        list_id=None,
        replaces=None,
        reason="test",
        epoch=1,
        created_at=NOW_MS,
        submitted_at=NOW_MS,
        updated_at=NOW_MS,
    )
    order = replace(order, **changes)  # type: ignore[arg-type]
    return replace(order, active=order.status.is_active)


def a_stop(state: StopState = StopState.RESTING, **changes: object) -> Stop:
    deadline = NOW_MS + 10_000 if state is StopState.GAP else None
    stop = Stop(1, Decimal(90), None, None, 1, state, deadline, 1 if state is StopState.RESTING else None, NOW_MS)
    return replace(stop, **changes)  # type: ignore[arg-type]


def a_quote(close: float, high: float | None = None, low: float | None = None) -> Quote:
    return Quote(close, high or close, low or close, close, 0.0, NOW_MS)
