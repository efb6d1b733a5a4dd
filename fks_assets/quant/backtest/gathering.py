"""The rows of signals that act, gathered from their columns in one look."""

from math import isfinite

from fks_assets.quant.backtest.compiled import compiled_on_disk


@compiled_on_disk
def gather(action, confidence, stop, target, first_row, rows, sides, confidences, stops, targets):
    """Write what acts, each row counted from `first_row` on; return whether every action is 1 or -1 with a finite confidence."""
    place, clear = 0, True
    for row in range(len(action)):
        side = action[row]
        if side != 0:
            rows[place], sides[place] = first_row + row, side
            confidences[place], stops[place], targets[place] = confidence[row], stop[row], target[row]
            clear &= -1 <= side <= 1 and isfinite(confidence[row])
            place += 1
    return clear
