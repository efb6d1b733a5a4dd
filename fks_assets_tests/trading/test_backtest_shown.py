"""What a user is shown of a backtest: which finer candles decided, what is missing, how trades are counted, every one of them."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from fks_assets.assets.trading.backtest_run import Backtest, backtest
from fks_assets.assets.trading.backtest_tables import equity_csv, trade_rows, trades_csv
from fks_assets.assets.trading.finer_candles import timeframes_inside
from fks_assets.assets.trading.in_force import strategy_named
from fks_assets.assets.trading.presentation import html_of, picture_of, sheet_of
from fks_assets.clock import iso
from fks_assets.quant.backtest.named_rules import DESK_RULES
from fks_assets.quant.backtest.rules import LegRules, PartialExit
from fks_assets.quant.candles import Candles, concatenate
from fks_assets.quant.performance_trades import trades_counted
from fks_assets.quant.timeframes import month_window, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets_tests.desk import build_desk
from fks_assets_tests.trading.desks import HOUR, store, twelfths, walk

START = month_window("2026-01")[0]
FROM = month_window("2026-02")[0]
H1 = parse_timeframe("1h")
ROWS = walk(START, 2400, seed=1)
END = START + 2400 * HOUR
MIDDLE = START + 1600 * HOUR
PARTS = DESK_RULES.model_copy(update={"partial_exits": (PartialExit(part=0.5, gain_percent=0.3),)})


@pytest.fixture
def stores(home: Path, database_url: str) -> Stores:
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "ETH-USDT"])
    store(desk.stores.candles, desk.settings.market_list()[0], ROWS)
    return desk.stores


def run(stores: Stores, markets: int = 1, rules: LegRules = DESK_RULES, start: int = FROM, end: int = END) -> Backtest:
    subject = strategy_named(stores.database, stores.settings, "breakout", {})
    return backtest(stores, subject, stores.settings.market_list()[:markets], H1, start, end, rules=rules)


def quarters(hours: Candles) -> Candles:
    """Return the 15 minute candles of the same course as `twelfths`."""
    fives = twelfths(hours)
    threes = {name: getattr(fives, name).reshape(-1, 3) for name in ("open_time", "open", "high", "low", "close", "volume")}
    return Candles(
        threes["open_time"][:, 0].copy(),
        threes["open"][:, 0].copy(),
        threes["high"].max(axis=1),
        threes["low"].min(axis=1),
        threes["close"][:, -1].copy(),
        threes["volume"].sum(axis=1),
    )


def read_of(test: Backtest) -> set[str]:
    return {ref.asset for ref in test.inputs if ref.asset.startswith("ohlcv")}


def test_ties_are_decided_by_what_is_stored_whatever_the_settings_name(stores: Stores) -> None:
    """C25: 15m stands in no setting of this desk; 5m is read for the hours alone that 15m leaves open."""
    (btc, _), inside = stores.settings.market_list(), ROWS.between(FROM, END)
    assert "15m" not in stores.settings.timeframes and "5m" in stores.settings.timeframes
    assert run(stores).result.decided_by_finer == 0
    store(stores.candles, btc, twelfths(inside), "5m")
    by_fives = run(stores)
    assert read_of(by_fives) == {"ohlcv_1h", "ohlcv_5m"}, "nothing longer is stored"
    store(stores.candles, btc, quarters(inside.between(FROM, MIDDLE)), "15m")
    mixed = run(stores)
    assert read_of(mixed) == {"ohlcv_1h", "ohlcv_15m", "ohlcv_5m"}
    assert mixed.result.ambiguous_candles == by_fives.result.ambiguous_candles > 0
    only = run(stores, end=MIDDLE)
    assert read_of(only) == {"ohlcv_1h", "ohlcv_15m"}, "every hour of it is covered by the longest"


def test_a_timeframe_of_the_settings_of_which_nothing_is_stored_hides_no_shorter_one(home: Path, database_url: str) -> None:
    named = {"TIMEFRAMES": "5m,15m,1h,1d", "HISTORY_DAYS__15m": "60"}
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"], **named)
    (btc,) = desk.settings.market_list()
    assert "15m" in desk.settings.timeframes
    store(desk.stores.candles, btc, ROWS)
    store(desk.stores.candles, btc, twelfths(ROWS.between(FROM, END)), "5m")
    result = run(desk.stores).result
    assert result.decided_by_finer > 0.9 * result.ambiguous_candles > 0


def test_of_an_hour_that_the_longer_timeframe_holds_in_part_the_shorter_one_is_taken(stores: Stores) -> None:
    (btc, _), inside = stores.settings.market_list(), ROWS.between(FROM, END)
    store(stores.candles, btc, twelfths(inside), "5m")
    whole = run(stores)
    quarter = quarters(inside)
    first_of_each = np.arange(0, len(quarter), 4)
    firsts = Candles(*(getattr(quarter, name)[first_of_each] for name in Candles.__dataclass_fields__))
    store(stores.candles, btc, firsts, "15m")
    again = run(stores)
    assert again.result.order_list_hash == whole.result.order_list_hash
    assert again.result.decided_by_finer == whole.result.decided_by_finer > 0


def test_timeframes_that_reach_over_the_edge_of_a_candle_decide_nothing_in_it() -> None:
    """8h candles of 12h ones: 08:00 to 16:00 lies in two of them."""
    names = [each.name for each in timeframes_inside(parse_timeframe("12h"))]
    assert names == ["6h", "4h", "2h", "1h", "30m", "15m", "5m", "3m", "1m"]
    assert timeframes_inside(parse_timeframe("1m")) == []


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("optimistic", "; the optimistic rule decided them."),
        ("pessimistic", "; the pessimistic rule decided them."),
        ("finer", "; finer candles decided 0 of them, the pessimistic rule "),
    ],
)
def test_ties_are_told_with_the_rule_that_was_in_force(stores: Stores, rule: str, words: str) -> None:
    test = run(stores, rules=DESK_RULES.model_copy(update={"tie_rule": rule}))
    ties = test.result.ambiguous_candles
    assert ties > 0
    [note] = [each for each in test.notes if "reached both" in each]
    reached = "reached both the stop and the target, or a stop that they had trailed themselves"
    assert note.startswith(f"{ties:,} candles {reached}{words}")


def test_what_is_missing_of_each_market_is_said(stores: Stores) -> None:
    """1,400 hours are missing in the midst of one market; the other one begins ten days late and ends five days early."""
    (_, eth), quiet = stores.settings.market_list(), run(stores)
    assert not [note for note in quiet.notes if "stored candles" in note or "are missing" in note]
    late, early = FROM + 240 * HOUR, END - 120 * HOUR
    store(stores.candles, eth, walk(late, (early - late) // HOUR, seed=2))
    both = run(stores, markets=2)
    assert both.notes[:2] == [
        f"The stored candles of {eth} begin at {iso(late)}, not at {iso(FROM)}.",
        f"The stored candles of {eth} end at {iso(early)}, not at {iso(END)}.",
    ]
    assert (both.start_ms, both.end_ms) == (FROM, END), "the book has candles from end to end"


def test_candles_missing_in_the_midst_are_counted(home: Path, database_url: str) -> None:
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    (btc,) = desk.settings.market_list()
    rows = walk(START, 2880, seed=3)
    kept = concatenate([rows.slice(0, 740), rows.slice(2140)])
    store(desk.stores.candles, btc, kept)
    test = run(desk.stores, start=START, end=START + 2880 * HOUR)
    assert "1,400 of 2,880 candles are missing between the first and the last." in test.notes


def test_candles_are_drawn_of_the_market_that_was_traded_most(stores: Stores) -> None:
    """The first market has too little history to be traded at all."""
    (btc, eth), late = stores.settings.market_list(), END - 100 * HOUR
    store(stores.candles, eth, walk(late, 100, seed=2))
    subject = strategy_named(stores.database, stores.settings, "breakout", {})
    test = backtest(stores, subject, [eth, btc], H1, FROM, END)
    assert test.result.markets == (eth.key, btc.key) and set(test.result.trades.market.tolist()) == {1}
    page = html_of(test)
    assert f"Trades on candles, {btc}" in page and "with 0 trades" not in page
    assert sheet_of(test, title="x").candles_market == 1
    assert "SIMULATED" in page and picture_of(test).startswith("![breakout on 2 markets")


def test_exits_and_trades_are_told_apart(stores: Stores) -> None:
    """C27: half of a position may be closed before the rest; the figure counts entries, the table rows."""
    test = run(stores, rules=PARTS)
    trades = test.result.trades
    entries = len({*zip(trades.market.tolist(), trades.entry_time.tolist(), strict=True)})
    assert test.performance.total_trades == entries < len(trades)
    assert trades_counted(trades) == f"{len(trades):,} exits of {entries:,} trades"
    assert f"{len(trades):,} exits of {entries:,} trades</h2>" in html_of(test)
    plain = run(stores).result.trades
    assert trades_counted(plain) == f"{len(plain):,} trades"


def test_every_trade_is_told_with_all_that_its_profit_is_made_of(stores: Stores) -> None:
    """S4.2: profit = side × quantity × (exit − entry) − fees − funding, from the CSV alone."""
    test = run(stores, rules=PARTS.model_copy(update={"short": True}))
    read = list(csv.DictReader(io.StringIO(trades_csv(test.result))))
    assert len(read) == len(test.result.trades) > 20
    assert [{name: str(value) for name, value in row.items()} for row in trade_rows(test.result)] == read
    for row in read:
        number = {name: float(row[name]) for name in ("quantity", "entry_price", "exit_price", "fees", "funding", "pnl")}
        side = {"long": 1, "short": -1}[row["side"]]
        moved = side * number["quantity"] * (number["exit_price"] - number["entry_price"])
        assert number["pnl"] == pytest.approx(moved - number["fees"] - number["funding"], abs=1e-9)
        assert (row["market"], row["strategy"]) == ("BTC-USDT@simulated", "breakout")
    assert {row["exit_reason"] for row in read} >= {"partial", "stop"}
    held = [int(row["candles_held"]) for row in read]
    assert held == test.result.trades.candles_held.tolist()


def test_the_equity_curve_is_told_to_the_last_digit(stores: Stores) -> None:
    test = run(stores)
    read = list(csv.DictReader(io.StringIO(equity_csv(test.time, test.equity, test.exposure))))
    assert [float(row["equity"]) for row in read] == test.equity.tolist()
    assert [float(row["exposure"]) for row in read] == test.exposure.tolist()
    assert (read[0]["time"], read[-1]["time"]) == (iso(FROM), iso(END)) and len(read) == len(ROWS.between(FROM, END)) + 1
