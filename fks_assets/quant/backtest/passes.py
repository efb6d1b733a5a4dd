"""Many passes over the same market and the same signals in one call, without Python or its lock between them."""

from fks_assets.quant.backtest.compiled import compiled_on_disk
from fks_assets.quant.backtest.kernel import simulate
from fks_assets.quant.backtest.summary import summarise


@compiled_on_disk
def simulate_each(
    time, open_, high, low, close, volume,
    signal_row, signal_side, signal_confidence, signal_stop, signal_target,
    series, terms, funding, finer_time, finer_open, finer_high, finer_low, finer_close,
    legs, partials, states, strategies, accounts, refused,
    bar_time, bar_equity, bar_exposure, trades, orders,
    first_states, first_strategies, first_accounts, each_leg, base, daily_rows, figures, ruined,
):  # fmt: skip
    """Run a book of one leg once for each record of `each_leg`; write the FIGURES of each run into its row of `figures`, and
    into `ruined` whether it lost everything.

    The other columns are those of `simulate`; `first_…` is what the records of that name begin each run as.
    """
    for place in range(len(each_leg)):
        legs[0] = each_leg[place]
        states[0], strategies[0], accounts[0] = first_states[0], first_strategies[0], first_accounts[0]
        for reason in range(refused.shape[1]):
            refused[0, reason] = 0
        simulate(
            time, open_, high, low, close, volume,
            signal_row, signal_side, signal_confidence, signal_stop, signal_target,
            series, terms, funding, finer_time, finer_open, finer_high, finer_low, finer_close,
            legs, partials, states, strategies, accounts, refused,
            bar_time, bar_equity, bar_exposure, trades, orders,
        )  # fmt: skip
        ruined[place] = summarise(bar_equity, base, daily_rows, trades, accounts[0].trades, figures[place])
