"""Deals as a desk decides on them a moment ago."""

from decimal import Decimal

from fks_assets.clock import now_ms
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Side
from fks_assets.stores.ledger.deals import NewDeal

HOUR_MS = 3_600_000


def bought_now(market: Market, price: int, strategy: str = "technical") -> NewDeal:
    """Return a deal of the account main: BUY 0.01 at the price, by the signal of the last whole hour."""
    return NewDeal(
        account="main",
        strategy=strategy,
        provider="simulated",
        market=market,
        timeframe="1h",
        signal_time=now_ms() // HOUR_MS * HOUR_MS - HOUR_MS,
        side=Side.BUY,
        price=Decimal(price),
        quantity=Decimal("0.01"),
        confidence=Decimal("0.5"),
        reason="test",
        at_ms=now_ms(),
        stop_loss_price=Decimal(round(price * 0.8)),
        take_profit_price=Decimal(round(price * 1.2)),
    )
