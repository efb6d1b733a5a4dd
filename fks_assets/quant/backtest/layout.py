"""The records that the kernel reads and writes: one row a leg, series, strategy, set of trading rules, trade or order.

Prices and money are float64, times int64 UTC milliseconds, rows places in the joined candle columns, shares and rates fractions.
A field that ends in _low makes a pair of the one before it (pairs.py); in markets without a lot it is 0.
"""

import numpy as np

NEVER = -(1 << 60)
FAR = 1 << 60
NO_LIMIT = 1 << 60

PESSIMISTIC, OPTIMISTIC, FINER = range(3)
# The part of the initial cash below which cash counts as none: what rounding leaves is no money.
DUST = 1e-6

SERIES = np.dtype(
    [
        ("step", "i8"),
        ("first", "i8"),
        ("end", "i8"),
        ("terms_first", "i8"),
        ("terms_end", "i8"),
        ("finer_first", "i8"),
        ("finer_end", "i8"),
        ("slippage", "f8"),
        ("impact", "f8"),
        ("impact_limit", "f8"),
    ],
    align=True,
)
TERMS = np.dtype(
    [
        ("valid_from", "i8"),
        ("tick", "f8"),
        ("tick_parts", "f8"),
        ("lot", "f8"),
        ("lot_parts", "f8"),
        ("min_quantity", "f8"),
        ("max_quantity", "f8"),
        ("min_notional", "f8"),
        ("maker", "f8"),
        ("taker", "f8"),
        ("maker_low", "f8"),
        ("taker_low", "f8"),
    ],
    align=True,
)
FUNDING = np.dtype(
    [
        ("at_open", "f8"),
        ("at_open_low", "f8"),
        ("inside", "f8"),
        ("inside_low", "f8"),
        ("due_at_open", "i4"),
        ("due_inside", "i4"),
        ("unknown_at_open", "i4"),
        ("unknown_inside", "i4"),
    ],
    align=True,
)
LEG_RULES = [
    ("sizing", "i8"),
    ("size", "f8"),
    ("size_cap", "f8"),
    ("largest_stake", "f8"),
    ("of_equity", "i8"),
    ("long", "i8"),
    ("short", "i8"),
    ("exit_on_signal", "i8"),
    ("from_fill", "i8"),
    ("tie", "i8"),
    ("stop_fraction", "f8"),
    ("target_fraction", "f8"),
    ("trailing", "f8"),
    ("leverage", "f8"),
    ("margin", "f8"),
    ("margin_low", "f8"),
    ("liquidation_of_long", "f8"),
    ("liquidation_of_short", "f8"),
    ("liquidation_fee", "f8"),
    ("liquidation_fee_low", "f8"),
    ("cooldown", "i8"),
    ("cooldown_after_exit", "i8"),
    ("daily_trades", "i8"),
    ("oldest_signal", "i8"),
]
LEG = np.dtype(
    [
        ("series", "i8"),
        ("market", "i8"),
        ("strategy", "i8"),
        ("signals_first", "i8"),
        ("signals_end", "i8"),
        ("partials_first", "i8"),
        ("partials_end", "i8"),
        *LEG_RULES,
    ],
    align=True,
)
PARTIAL_EXIT = np.dtype([("part", "f8"), ("gain", "f8"), ("closes", "i8")], align=True)
# What changes while the pass runs: of a leg and its position, of a strategy, of the book.
STATE = np.dtype(
    [
        ("leg", "i8"),
        ("next_time", "i8"),
        ("next_event", "i8"),
        ("candidate", "i8"),
        ("signal", "i8"),
        ("row", "i8"),
        ("terms", "i8"),
        ("entry_terms", "i8"),
        ("last_trade", "i8"),
        ("day_end", "i8"),
        ("day_trades", "i8"),
        ("side", "i8"),
        ("entry_row", "i8"),
        ("trailed", "i8"),
        ("partials_taken", "i8"),
        ("quantity", "f8"),
        ("quantity_low", "f8"),
        ("first_quantity", "f8"),
        ("entry_price", "f8"),
        ("entry_low", "f8"),
        ("stake", "f8"),
        ("entry_rate", "f8"),
        ("funding_a_coin", "f8"),
        ("stop", "f8"),
        ("target", "f8"),
        ("liquidation", "f8"),
        ("lower", "f8"),
        ("upper", "f8"),
        ("mark", "f8"),
        ("ambiguous", "i8"),
        ("decided", "i8"),
        ("funding_due", "i8"),
        ("funding_unknown", "i8"),
        ("before_rules", "i8"),
        ("parts_skipped", "i8"),
    ],
    align=True,
)
STRATEGY = np.dtype([("share", "f8"), ("share_low", "f8"), ("max_positions", "i8"), ("positions", "i8")], align=True)
ACCOUNT = np.dtype(
    [
        ("cash", "f8"),
        ("cash_low", "f8"),
        ("least", "f8"),
        ("max_positions", "i8"),
        ("positions", "i8"),
        ("trades", "i8"),
        ("orders", "i8"),
        ("now", "i8"),
    ],
    align=True,
)
TRADE = np.dtype(
    [
        ("market", "i2"),
        ("strategy", "i2"),
        ("side", "i1"),
        ("exit_reason", "i1"),
        ("ambiguous", "?"),
        ("candles_held", "i4"),
        ("leg", "i4"),
        ("entry_time", "i8"),
        ("exit_time", "i8"),
        ("booked_at", "i8"),
        ("entry_price", "f8"),
        ("exit_price", "f8"),
        ("quantity", "f8"),
        ("entry_fee", "f8"),
        ("exit_fee", "f8"),
        ("funding", "f8"),
        ("pnl", "f8"),
        ("return_fraction", "f8"),
    ],
    align=True,
)
ORDER = np.dtype(
    [
        ("market", "i2"),
        ("strategy", "i2"),
        ("side", "i1"),
        ("reason", "i1"),
        ("time", "i8"),
        ("quantity", "f8"),
        ("price", "f8"),
        ("fee", "f8"),
        ("leg", "i4"),
        ("booked_at", "i8"),
    ],
    align=True,
)


def read_only(column: np.ndarray) -> np.ndarray:
    """Return the column contiguous and read-only, without a copy where it already is: one type for the kernel, compiled once."""
    flags = column.flags
    if flags.c_contiguous and not flags.writeable:
        return column
    view = np.ascontiguousarray(column).view()
    view.setflags(write=False)
    return view
