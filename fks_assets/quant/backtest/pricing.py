"""Prices on the tick and the smallest order: plain functions of numbers, which the kernel compiles. A tick of 0 is none."""

from math import isnan

from fks_assets.quant.backtest.rounding import SNAP, to_multiple
from fks_assets.quant.stops import ratchet


def price_to_tick(price: float, tick: float, tick_parts: float, direction: int) -> float:
    """Return the price on the tick, up (1) or down (-1), at least one tick."""
    rounded = to_multiple(price, tick, tick_parts, direction)
    return rounded if rounded > 0.0 or tick <= 0.0 else tick / tick_parts


def market_price(
    price: float,
    direction: int,
    quantity: float,
    volume: float,
    slippage: float,
    impact: float,
    impact_limit: float,
    tick: float,
    tick_parts: float,
) -> float:
    """Return the price of a market order: a buy (direction 1) pays more, a sale (-1) gets less, then on the tick likewise.

    The part is `slippage` (the fixed one and half the spread), plus `impact` times the square of the order's share in the
    candle's volume, the share counted up to `impact_limit`.
    """
    part = slippage
    if impact > 0.0:
        share = impact_limit
        if quantity < share * volume:
            share = quantity / volume
        part += impact * share * share
    return price_to_tick(price * (1.0 + direction * part), tick, tick_parts, direction)


def below_smallest(quantity: float, price: float, min_quantity: float, min_notional: float) -> bool:
    """Return whether the market takes no order of this size."""
    return quantity <= 0.0 or quantity < min_quantity * (1.0 - SNAP) or quantity * price < min_notional * (1.0 - SNAP)


def raised_stop(side: int, stop: float, price: float, distance: float, tick: float, tick_parts: float) -> float:
    """Return the stop after the price has been seen: the trailing one on its tick where that is nearer, else the old one."""
    trailed = ratchet(side, stop, price, distance)
    if trailed == stop or isnan(trailed):
        return stop
    trailed = to_multiple(trailed, tick, tick_parts, side)
    return stop if side * (trailed - stop) <= 0.0 else trailed
