"""What signals say in the rows that act, gathered from their columns in one look."""

from math import isfinite

from fks_assets.quant.backtest.compiled import compiled_on_disk


@compiled_on_disk
def gather(action, confidence, stop, target, rows, sides, confidences, stops, targets):
    """Write what the columns say in these rows; return whether every action is 1 or -1 with a finite confidence."""
    clear = True
    for place in range(len(rows)):
        row = rows[place]
        sides[place], confidences[place], stops[place], targets[place] = action[row], confidence[row], stop[row], target[row]
        clear &= abs(sides[place]) == 1 and isfinite(confidence[row])
    return clear
