"""The pass over a book in time order.

Each leg always has one next event: the close of the candle its position lives in, the open of the next one, or, without a
position, the open after its next signal. So only candles with a position or a signal cost anything. At one moment come first all
closes, then the row of the equity curve, then at the opens funding and exits of all legs, then entries; inside each step the legs
come in the order of the book.
"""

from math import inf

import numpy as np

from fks_assets.quant.backtest.compiled import compiled, compiled_on_disk
from fks_assets.quant.backtest.entering import OPENED, SIDE, enter
from fks_assets.quant.backtest.fills import equity_of, leave_at_market, pay_funding, terms_at
from fks_assets.quant.backtest.holding import is_tie, live_through, live_through_finer
from fks_assets.quant.backtest.layout import FAR, FINER, NEVER, OPTIMISTIC
from fks_assets.quant.backtest.results import END, SIGNAL

NONE, OPEN, CLOSE = 0, 1, 2


@compiled
def wait_for_signal(leg, state, series, signal_row, signal_side, refused, time, row):
    """Set the next event of a leg without a position: the open of the candle after its next signal from `row` on.

    Signals for a side that it may not trade are refused on the way.
    """
    signal = state.signal
    while signal < leg.signals_end and signal_row[signal] < row:
        signal += 1
    while signal < leg.signals_end and not (leg.long if signal_side[signal] > 0 else leg.short):
        refused[SIDE] += signal_row[signal] + 1 < series.end
        signal += 1
    state.signal = signal
    state.next_event, state.next_time = NONE, FAR
    if signal < leg.signals_end and signal_row[signal] + 1 < series.end:
        state.row = signal_row[signal] + 1
        state.next_event, state.next_time = OPEN, time[state.row]


@compiled
def first_bar_from(bar_time, bar, moment):
    """Return the first bar from `bar` on whose time is not before the moment, looking ahead in steps that double."""
    step, low = 1, bar
    while bar + step <= len(bar_time) and bar_time[bar + step - 1] < moment:
        low = bar + step
        step *= 2
    high = min(bar + step, len(bar_time))
    while low < high:
        middle = (low + high) // 2
        if bar_time[middle] < moment:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def exposure_of(equity, gross):
    """Return the value of all positions as a multiple of the equity."""
    if gross > 0.0:
        return gross / equity if equity > 0.0 else inf
    return 0.0


@compiled
def write_bar(bar, equity, gross, bar_equity, bar_exposure):
    """Write one bar; the exposure only where its column is asked for."""
    bar_equity[bar] = equity
    if len(bar_exposure) > 0:
        bar_exposure[bar] = exposure_of(equity, gross)


@compiled
def write_bars(first, end, equity, gross, bar_equity, bar_exposure):
    """Write the same values into the bars from `first` up to `end`, as write_bar does.

    The places are unsigned: a signed one would be asked each time whether it counts from the end, and no two be written at once.
    """
    bars = range(np.uint64(first), np.uint64(end))
    for bar in bars:
        bar_equity[bar] = equity
    if len(bar_exposure) > 0:
        exposure = exposure_of(equity, gross)
        for bar in bars:
            bar_exposure[bar] = exposure


@compiled
def begin_candle(
    leg, state, strategy, account, series, terms, partials, trades, orders,
    time, open_, volume, row, funding, signal_row, signal_side,
):  # fmt: skip
    """Take a position that was held before over the open of candle `row`: funding, what the open has reached, the signal's exit.

    What rests at the exchange (liquidation, stop, partial exits, target) is there before the order that a signal asks for.
    """
    price = open_[row]
    if len(funding) > 0 and funding[row].due_at_open > 0:
        due = funding[row]
        pay_funding(state, account, terms, due.at_open, due.at_open_low, price, due.due_at_open, due.unknown_at_open)
    signal = state.signal
    while signal < leg.signals_end and signal_row[signal] < row - 1:
        signal += 1
    state.signal = signal
    against = signal < leg.signals_end and signal_row[signal] == row - 1 and signal_side[signal] == -state.side
    leaves = against and leg.exit_on_signal and not state.side * (price - state.liquidation) <= 0.0
    may_turn = leg.short if state.side > 0 else leg.long
    if not state.lower < price < state.upper:
        live_through(
            leg, state, strategy, account, series, terms, partials, trades, orders,
            time, row, price, price, price, price, volume[row], False, False,
        )  # fmt: skip
    if leaves:
        if state.side != 0:
            leave_at_market(
                leg, state, strategy, account, series, terms, trades, orders, price, volume[row], time, row, SIGNAL, False
            )
        state.candidate = may_turn


@compiled
def end_candle(
    leg, state, strategy, account, series, terms, partials, trades, orders,
    time, open_, high, low, close, volume, row, funding,
    finer_time, finer_open, finer_high, finer_low, finer_close,
):  # fmt: skip
    """Take a position through the whole of candle `row`, value it at the close, and close it there if no candle follows."""
    tie, told, inside = False, False, state.lower < low[row] and high[row] < state.upper
    if not inside and leg.tie == FINER:
        term = terms_at(state, series, terms, time[row])
        tie = is_tie(leg, state, terms, partials, open_[row], high[row], low[row], close[row], term)
    if tie:
        stop, trailed = state.stop, state.trailed
        told, finer_tie = live_through_finer(
            leg, state, strategy, account, series, terms, partials, trades, orders,
            time, row, high[row], low[row], volume[row], finer_time, finer_open, finer_high, finer_low, finer_close,
        )  # fmt: skip
        if told:
            state.decided += not finer_tie
        else:
            # The finer candles are incomplete: the whole candle decides, with the stop as it was at the open.
            state.stop, state.trailed = stop, trailed
    if state.side != 0 and not inside and not told:
        tie = live_through(
            leg, state, strategy, account, series, terms, partials, trades, orders,
            time, row, open_[row], high[row], low[row], close[row], volume[row], leg.tie == OPTIMISTIC, tie,
        ) or tie  # fmt: skip
    if tie:
        state.ambiguous += 1
    if state.side != 0:
        state.mark = close[row]
        if len(funding) > 0 and funding[row].due_inside > 0:
            due = funding[row]
            pay_funding(state, account, terms, due.inside, due.inside_low, close[row], due.due_inside, due.unknown_inside)
        if row + 1 == series.end:
            leave_at_market(
                leg, state, strategy, account, series, terms, trades, orders, close[row], volume[row], time, row, END, False
            )


@compiled
def coast(
    leg, state, account, series, time, open_, high, low, close, funding, signal_row, signal_side,
    bar, bar_equity, bar_exposure,
):  # fmt: skip
    """Hold the only position of a book of one leg over all candles in which nothing can happen to it; return the next bar.

    It stops at the close of the first candle that reaches a guard, is charged funding or is the last, and at the open of the
    first one that opens beyond a guard or may bring the signal's exit.
    """
    row, signal = state.row, state.signal
    while state.lower < low[row] and high[row] < state.upper and row + 1 < series.end:
        if len(funding) > 0 and (funding[row].due_inside > 0 or funding[row + 1].due_at_open > 0):
            break
        state.mark = close[row]
        gross = state.quantity * state.mark
        equity = account.cash + (state.stake + state.side * (state.mark - state.entry_price) * state.quantity)
        write_bar(bar, equity, gross, bar_equity, bar_exposure)
        bar += 1
        while signal < leg.signals_end and signal_row[signal] < row:
            signal += 1
        row += 1
        against = signal < leg.signals_end and signal_row[signal] == row - 1 and signal_side[signal] == -state.side
        if (against and leg.exit_on_signal) or not state.lower < open_[row] < state.upper:
            state.next_event, state.next_time = OPEN, time[row]
            break
        state.next_time = time[row] + series.step
    state.row, state.signal = row, signal
    return bar


@compiled_on_disk
def simulate(
    time, open_, high, low, close, volume,
    signal_row, signal_side, signal_confidence, signal_stop, signal_target,
    series, terms, funding, finer_time, finer_open, finer_high, finer_low, finer_close,
    legs, partials, states, strategies, accounts, refused,
    bar_time, bar_equity, bar_exposure, trades, orders,
):  # fmt: skip
    """Run the book; fill the bars, trades and orders (their numbers are in the account) and the counts of states and `refused`,
    which are all 0 before.

    Columns of all series, of all legs' signals, of all terms and finer candles are joined; `series` and `legs` say where theirs
    begin and end. The signal of row r acts at the open of row r + 1 and nowhere else: no fill before that can be expressed.
    """
    account = accounts[0]
    for place in range(len(legs)):
        leg, state = legs[place], states[place]
        state.leg, state.signal, state.terms = place, leg.signals_first, series[leg.series].terms_first
        state.last_trade = state.day_end = NEVER
        wait_for_signal(leg, state, series[leg.series], signal_row, signal_side, refused[place], time, 0)
    bar = 0
    equity, gross = account.cash, 0.0
    while True:
        if len(legs) == 1 and states[0].next_event == CLOSE:
            leg = legs[0]
            bar = coast(
                leg, states[0], account, series[leg.series], time, open_, high, low, close, funding, signal_row, signal_side,
                bar, bar_equity, bar_exposure,
            )  # fmt: skip
            equity, gross = equity_of(account, states)
        now = FAR
        for place in range(len(legs)):
            now = min(now, states[place].next_time)
        unchanged = bar
        if now == FAR:
            bar = len(bar_time)
        elif len(legs) == 1:
            # The bars of one series are its rows.
            bar = states[0].row - series[0].first
        else:
            bar = first_bar_from(bar_time, bar, now)
        write_bars(unchanged, bar, equity, gross, bar_equity, bar_exposure)
        if now == FAR:
            break

        closed, account.now = False, now
        for place in range(len(legs)):
            state = states[place]
            if state.next_time == now and state.next_event == CLOSE:
                leg = legs[place]
                own, strategy, row = series[leg.series], strategies[leg.strategy], state.row
                end_candle(
                    leg, state, strategy, account, own, terms, partials, trades, orders,
                    time, open_, high, low, close, volume, row, funding,
                    finer_time, finer_open, finer_high, finer_low, finer_close,
                )  # fmt: skip
                closed = True
                if state.side == 0:
                    if leg.cooldown_after_exit:
                        state.last_trade = now
                    wait_for_signal(leg, state, own, signal_row, signal_side, refused[place], time, row)
                else:
                    state.row = row + 1
                    state.next_event, state.next_time = OPEN, time[row + 1]
        if closed:
            equity, gross = equity_of(account, states)
        if bar < len(bar_time) and bar_time[bar] == now:
            write_bar(bar, equity, gross, bar_equity, bar_exposure)
            bar += 1

        entering = 0
        for place in range(len(legs)):
            state = states[place]
            if state.next_time == now and state.next_event == OPEN:
                leg = legs[place]
                if state.side == 0:
                    state.candidate = 1
                    entering += 1
                    continue
                begin_candle(
                    leg, state, strategies[leg.strategy], account, series[leg.series], terms, partials, trades, orders,
                    time, open_, volume, state.row, funding, signal_row, signal_side,
                )  # fmt: skip
                entering += state.candidate
                if state.side != 0:
                    state.next_event, state.next_time = CLOSE, now + series[leg.series].step
                else:
                    if leg.cooldown_after_exit:
                        state.last_trade = now
                    if state.candidate == 0:
                        wait_for_signal(leg, state, series[leg.series], signal_row, signal_side, refused[place], time, state.row)
        if entering > 0:
            for place in range(len(legs)):
                state = states[place]
                if state.candidate == 0:
                    continue
                state.candidate = 0
                leg, signal = legs[place], state.signal
                outcome = enter(
                    leg, state, strategies[leg.strategy], account, series[leg.series], terms, partials, legs, states, orders,
                    time, open_, close, volume, state.row, signal_side[signal], signal_confidence[signal],
                    signal_stop[signal], signal_target[signal],
                )  # fmt: skip
                if outcome == OPENED:
                    state.next_event, state.next_time = CLOSE, now + series[leg.series].step
                else:
                    refused[place, outcome] += 1
                    wait_for_signal(leg, state, series[leg.series], signal_row, signal_side, refused[place], time, state.row)
        equity, gross = equity_of(account, states)
