"""An account that reached zero is over, whatever its positions would have been worth later."""

import numpy as np

DUST = 1e-9


def after_ruin(equity: np.ndarray, base: float) -> tuple[np.ndarray, int | None]:
    """Return (the equity with a billionth of `base` from the first value at or below that on, the row of that value or None).

    A curve without such a value is returned as it is. Every figure stays defined: the return is -100 %, the drawdown 100 %.
    """
    lost = equity <= base * DUST
    if not lost.any():
        return equity, None
    row = int(np.argmax(lost))
    return np.concatenate((equity[:row], np.full(len(equity) - row, base * DUST))), row
