"""The gate of issue 4: what counts as evidence, what a verdict is worth, and how long a person's word stands."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fks_assets import clock
from fks_assets.assets.trading.daily import DailyOrder, run_strategy_day
from fks_assets.assets.trading.in_force import strategies_in_force
from fks_assets.assets.trading.promotion import may_trade, switch_on
from fks_assets.assets.trading.standard import BacktestPlan, standard_plan
from fks_assets.assets.trading.validation import Verdict, validate_strategies
from fks_assets.clock import iso, to_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings, read_settings
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.strategies import write_parameters
from fks_assets.stores.strategy_records import (
    BacktestRecord,
    StoredCertificate,
    newest_results,
    read_states,
    record_certificate,
    record_result,
    state_history,
    switch,
)
from fks_assets_tests.desk import build_desk
from fks_assets_tests.trading.desks import DAY, store, walk

TODAY = "2026-03-12"
NOW = to_ms(datetime(2026, 3, 12, 1, tzinfo=UTC))
START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
H1 = parse_timeframe("1h")
GOOD = {"sharpe": 1.5, "total_return_pct": 12.0, "max_drawdown_intraday_pct": 9.0, "days": 30.0, "total_trades": 40}
MARKET = "BTC-USDT@simulated"


class Gate:
    """A desk of one certified strategy, whose clock a test moves; nothing but the rows of what happened."""

    def __init__(self, stores: Stores, patch: pytest.MonkeyPatch) -> None:
        self.stores, self.now = stores, NOW
        patch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: self.now * 1_000_000))
        self.certify()

    @property
    def settings(self) -> Settings:
        return self.stores.settings

    @property
    def today(self) -> str:
        return (iso(self.now) or "")[:10]

    def certify(self) -> None:
        """Give whatever is in force a certificate that passed."""
        with self.stores.database.transaction() as connection:
            for subject in strategies_in_force(connection, self.settings)[0].values():
                document = {"findings": [], "notes": []}
                keys = subject.strategy.name, subject.code_version, subject.parameters_hash
                record_certificate(connection, StoredCertificate(*keys, True, False, document, self.now))

    def tested(self, name: str = "breakout", day: str | None = None, content: str = "1", **changed: Any) -> None:
        """Store a backtest of a day (today) on the standard settings: a good one but for what is changed of it."""
        subject = strategies_in_force(self.stores.database, self.settings)[0][name]
        end = day or self.today
        settings_hash = changed.pop("settings_hash", standard_plan(self.settings).settings_hash(self.settings))
        own = {"markets": [MARKET], "left_out": {}, "end": f"{end}T00:00:00Z"}
        outer = {key: changed.pop(key) for key in ("markets", "left_out", "end", "books") if key in changed}
        record = BacktestRecord(
            name=name,
            day=end,
            document={**own, **outer, "metrics": {**GOOD, **changed}},
            order_list_hash="a" * 64,
            code_version=subject.code_version,
            parameters_hash=subject.parameters_hash,
            content_hash=content * 64,
            run_id="run",
            settings_hash=settings_hash,
        )
        with self.stores.database.transaction() as connection:
            record_result(connection, record)

    def judged(self, name: str = "breakout", day: str | None = None, **options: bool) -> Verdict:
        [verdict] = validate_strategies(self.stores, [name], day or self.today, **options)
        return verdict

    def allowed(self, name: str = "breakout") -> tuple[bool, str]:
        with self.stores.database.transaction() as connection:
            return may_trade(connection, self.settings, name)

    def enabled_by_ada(self, days: int | None = None) -> None:
        with self.stores.database.transaction() as connection:
            switch_on(connection, self.settings, "breakout", reason="to watch", by="Ada", at_ms=self.now, days=days)

    def told(self, kind: str) -> list[str]:
        return [each.message for each in read_notifications(self.stores.database, [kind])]


@pytest.fixture
def gate(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(Stores(read_settings({"FKS_HOME": str(home), "FKS_DATABASE_URL": database_url}, home)), monkeypatch)


def test_a_certificate_alone_lets_nothing_trade_and_a_passed_backtest_does(gate: Gate) -> None:
    """S2.14, S1.6; README: "a certificate … and a backtest that passed"."""
    allowed, why = gate.allowed()
    assert not allowed and why.startswith("strategy breakout has no verdict yet: `fks run backtest`, then `fks run validation`")
    gate.tested()
    assert not gate.allowed()[0], "a backtest that nobody judged"
    assert gate.judged(change=False).passed and not gate.allowed()[0], "a look is no verdict"
    assert gate.judged().passed
    assert gate.allowed() == (True, "strategy breakout is certified and passed by its backtest of 2026-03-12")


def test_a_verdict_counts_for_three_more_days_and_its_end_is_told_once(gate: Gate) -> None:
    """S2.14: a strategy whose backtest raises every day does not trade on for ever."""
    gate.tested()
    gate.judged()
    for day in range(1, 4):
        gate.now = NOW + day * DAY
        assert not gate.judged().passed and gate.allowed()[0], f"{gate.today}: not judged, its last verdict still counts"
    assert not gate.told("strategy_verdict_lapsed")
    gate.now = NOW + 4 * DAY - 3_600_001
    assert gate.allowed()[0], "to the last moment of the third day"
    for day in (4, 5):
        gate.now = NOW + day * DAY
        assert gate.judged().unjudged == f"it has no backtest of {gate.today}"
        assert gate.allowed() == (
            False,
            f"strategy breakout has no verdict since 2026-03-12, and one counts for 3 more days; {gate.today}: "
            f"it has no backtest of {gate.today}",
        )
    [message] = gate.told("strategy_verdict_lapsed")
    assert "strategy breakout may not trade any more: it was judged last by its backtest of 2026-03-12" in message
    assert read_states(gate.stores.database) == {}, "it was not switched off: the next verdict that passes lets it trade"
    gate.tested()
    assert gate.judged().passed and gate.allowed()[0]


def test_a_copy_of_what_was_switched_off_does_not_trade_under_another_name(gate: Gate) -> None:
    """S2.14: the same parameters under a name that nothing has judged."""
    gate.tested(sharpe=0.2)
    assert gate.judged().disabled_now and not gate.allowed()[0]
    with gate.stores.database.transaction() as connection:
        same = strategies_in_force(connection, gate.settings)[0]["breakout"].parameters
        write_parameters(connection, "copied", "breakout", same, by="Eve", note="", at_ms=gate.now)
    allowed, why = gate.allowed("copied")
    assert not allowed and "strategy copied has no verdict yet" in why


def test_other_parameters_and_other_settings_need_a_verdict_of_their_own(gate: Gate) -> None:
    gate.tested()
    gate.judged()
    with gate.stores.database.transaction() as connection:
        values = {**strategies_in_force(connection, gate.settings)[0]["breakout"].parameters, "ema_fast": 3}
        write_parameters(connection, "breakout", "breakout", values, by="Ada", note="", at_ms=gate.now)
    gate.certify()
    assert "has no verdict of its code and parameters by the standard backtest" in gate.allowed()[1]
    gate.tested(content="2")
    assert gate.judged().passed and gate.allowed()[0]
    longer = gate.settings.backtests.model_copy(update={"days": 60})
    gate.stores.settings = gate.settings.model_copy(update={"backtests": longer})
    assert "has no verdict of its code and parameters by the standard backtest" in gate.allowed()[1]


def test_only_a_result_on_the_standard_settings_is_evidence_and_others_stay_beside_it(gate: Gate) -> None:
    """An exploratory run of the web UI (a day, another timeframe, one market) took the place of the day's."""
    gate.tested()
    gate.tested(content="2", settings_hash="exploratory", sharpe=38.0, days=1.0)
    assert {each.content_hash[0] for each in newest_results(gate.stores.database).values()} == {"2"}
    verdict = gate.judged()
    assert verdict.passed and verdict.result is not None and verdict.result.content_hash[0] == "1"
    gate.now += DAY
    gate.tested(content="3", settings_hash="exploratory")
    assert gate.judged().unjudged == "its backtest of 2026-03-13 was made on other settings than [backtests]"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"total_trades": 4}, "its backtest of 2026-03-12 has 4 trades, a verdict needs 5"),
        ({"days": 19.0}, "its backtest of 2026-03-12 has 19 days of candles, a verdict needs 20"),
        ({"days": 4.0, "total_trades": 4, "sharpe": 38.0, "total_return_pct": 0.3}, "has 4 days of candles, a verdict needs 20"),
        ({"end": "2026-03-08T00:00:00Z"}, "the candles of its backtest of 2026-03-12 end at 2026-03-08T00:00:00Z"),
        (
            {"left_out": {"ETH-USDT@simulated": "no candles", "SOL-USDT@simulated": "no candles"}},
            "its backtest of 2026-03-12 lacks 2 of 3 markets: ETH-USDT@simulated, SOL-USDT@simulated",
        ),
    ],
)
def test_too_little_evidence_is_no_verdict_and_says_why(gate: Gate, changed: dict[str, Any], words: str) -> None:
    """S2.14: four points with a gain of 0.3 % have a Sharpe ratio of 38."""
    gate.tested(**changed)
    verdict = gate.judged()
    assert verdict.unjudged is not None and words in verdict.unjudged
    assert not verdict.passed and verdict.enabled and not gate.allowed()[0]


def test_a_market_that_is_left_out_is_named_and_half_of_them_is_enough(gate: Gate) -> None:
    gate.tested(left_out={"ETH-USDT@simulated": "no candles"})
    assert gate.judged().words == "passes every rule (without ETH-USDT@simulated)"
    assert gate.allowed()[0]


def test_a_fall_is_judged_however_few_trades_made_it(gate: Gate) -> None:
    """X3: what is lost is lost."""
    gate.tested(total_trades=1, days=2.0, max_drawdown_intraday_pct=30.0)
    assert gate.judged().disabled_now and "Max drawdown, any bar was 30.0000 %" in gate.allowed()[1]


def test_an_old_result_is_no_evidence_when_a_person_asks(gate: Gate) -> None:
    gate.tested(day="2026-03-09")
    [verdict] = validate_strategies(gate.stores, ["breakout"])
    assert verdict.passed, "three days are not too old"
    gate.now += DAY
    [verdict] = validate_strategies(gate.stores, ["breakout"])
    assert verdict.unjudged == "its backtest of 2026-03-09 is more than 3 days old"


def test_of_several_books_each_that_trades_must_pass(gate: Gate) -> None:
    """One verdict of a strategy that trades in two coins: neither hides what the other lost."""
    toman = {"markets": ["BTC-IRT@simulated"], "end": f"{TODAY}T00:00:00Z"}
    good, poor = (
        {"markets": [MARKET], "end": f"{TODAY}T00:00:00Z", "metrics": GOOD},
        {**toman, "metrics": {**GOOD, "sharpe": 0.4}},
    )
    gate.tested(books=[good, {**toman, "metrics": {**GOOD, "sharpe": None, "total_trades": 0, "total_return_pct": 0.0}}])
    assert gate.judged().passed, "a book without a trade says nothing"
    gate.tested(books=[good, poor], content="2")
    assert gate.judged().words == "in IRT: Sharpe ratio was 0.4000, must be >= 1"


def test_what_a_person_switches_on_stays_on_for_its_time_and_the_failure_is_told_once(gate: Gate) -> None:
    """Issue 4: enabling again is a human's act and is logged; the next validation does not undo it."""
    gate.tested(sharpe=0.2)
    assert gate.judged().disabled_now
    gate.enabled_by_ada(days=2)
    until = iso(NOW + 2 * DAY)
    assert gate.allowed() == (True, f"strategy breakout was switched on by Ada until {until}: to watch")
    for _ in range(2):
        gate.now += DAY - 1
        gate.tested(sharpe=0.1)
        verdict = gate.judged()
        assert (verdict.passed, verdict.enabled, verdict.disabled_now) == (False, True, False) and gate.allowed()[0]
    [message] = gate.told("strategy_fails_and_trades")
    assert f"may trade until {until}, as Ada switched it on (to watch): Sharpe ratio was 0.1000" in message
    gate.now = NOW + 2 * DAY
    assert gate.allowed()[1].startswith("strategy breakout failed by its backtest of 2026-03-14: Sharpe ratio was 0.1")
    gate.tested(sharpe=0.1, content="2")
    assert gate.judged().disabled_now
    history = state_history(gate.stores.database, "breakout")
    assert [(each.enabled, each.changed_by) for each in history] == [
        (False, "validation"),
        (True, "Ada"),
        (False, "validation"),
    ]
    assert history[1].document()["holds_until"] == until


def test_a_person_may_let_a_strategy_trade_that_nothing_has_judged_and_take_it_back(gate: Gate) -> None:
    """README, item 8: to watch it anyway."""
    gate.enabled_by_ada()
    assert gate.allowed()[0]
    [state] = state_history(gate.stores.database, "breakout")
    assert state.word is not None and state.word.until == NOW + gate.settings.backtests.enabled_days * DAY
    with gate.stores.database.transaction() as connection:
        switch(connection, "breakout", False, reason="enough", by="Grace", at_ms=gate.now)
    assert "was switched off at 2026-03-12T01:00:00Z by Grace: enough" in gate.allowed()[1]


def test_a_persons_word_is_of_the_parameters_that_were_in_force(gate: Gate) -> None:
    gate.enabled_by_ada()
    with gate.stores.database.transaction() as connection:
        values = {**strategies_in_force(connection, gate.settings)[0]["breakout"].parameters, "ema_fast": 3}
        write_parameters(connection, "breakout", "breakout", values, by="Ada", note="", at_ms=gate.now)
    gate.certify()
    assert "has no verdict yet" in gate.allowed()[1]
    gate.tested(sharpe=0.1)
    assert gate.judged().disabled_now, "the word was of other parameters"


def test_a_word_without_a_certificate_lets_nothing_trade(gate: Gate) -> None:
    """D6."""
    with gate.stores.database.transaction() as connection:
        values = {**strategies_in_force(connection, gate.settings)[0]["breakout"].parameters, "ema_fast": 3}
        write_parameters(connection, "breakout", "breakout", values, by="Ada", note="", at_ms=gate.now)
    gate.enabled_by_ada()
    assert "has no certificate for code" in gate.allowed()[1]


def test_a_desk_in_two_coins_has_a_book_of_each_and_one_result(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A toman market begins with toman enough to trade, and its money is not counted as dollars."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: NOW * 1_000_000))
    stores = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "BTC-IRT", "ETH-IRT"]).stores
    dollar, toman, _ = stores.settings.market_list()
    rows = walk(START, 70 * 24, seed=5, drift=0.0008)
    store(stores.candles, dollar, rows)
    scaled = type(rows)(rows.open_time, *(getattr(rows, name) * 60_000 for name in ("open", "high", "low", "close")), rows.volume)
    store(stores.candles, toman, scaled)
    order = DailyOrder(standard_plan(stores.settings))
    reports = Reports(stores.settings, lambda: None)
    found = run_strategy_day(stores, reports, TODAY, "breakout", order, code_version="1", run_id="run")
    assert not found.failures and [book.quote for book in found.tests["breakout"].books] == ["USDT", "IRT"]
    document = newest_results(stores.database)["breakout"].document
    cash = [(book["markets"], book["metrics"]["start_equity"]) for book in document["books"]]
    assert cash == [([dollar.key], 10_000.0), ([toman.key], 1_000_000_000.0)]
    dollars, tomans = (book["metrics"]["total_return_pct"] for book in document["books"])
    assert dollars == pytest.approx(tomans, abs=1e-6), "the same prices in another unit: the same return"
    assert set(document["left_out"]) == {"ETH-IRT@simulated"}
    assert [saved.page.path.name for saved in found.reports["breakout"]] == [
        f"{TODAY}_breakout_USDT.html", f"{TODAY}_breakout_IRT.html",
    ]  # fmt: skip
    [verdict] = validate_strategies(stores, ["breakout"], TODAY)
    assert verdict.unjudged is None and ("in USDT: " in verdict.words) == ("in IRT: " in verdict.words)


def test_rules_and_parameters_of_a_run_make_it_exploratory(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tried with other rules or parameters is kept, and is not what the partition was made from."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: NOW * 1_000_000))
    stores = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"]).stores
    store(stores.candles, stores.settings.market_list()[0], walk(START, 70 * 24, seed=5))
    usual = standard_plan(stores.settings)
    plans = {
        "standard": usual,
        "costs": BacktestPlan(usual.days, usual.timeframe, usual.markets, {"costs.slippage": 0.0005}),
        "faster": BacktestPlan(usual.days, usual.timeframe, usual.markets, {}, {"ema_fast": 3}),
    }
    reports, returns = Reports(stores.settings, lambda: None), {}
    for name, plan in plans.items():
        found = run_strategy_day(stores, reports, TODAY, "breakout", DailyOrder(plan), code_version="1", run_id=name)
        assert not found.failures and found.is_standard == (name == "standard")
        returns[name] = found.tests["breakout"].weakest.performance.total_return_pct
    assert returns["costs"] < returns["standard"] != returns["faster"]
    [verdict] = validate_strategies(stores, ["breakout"], TODAY)
    assert verdict.result is not None and verdict.result.run_id == "standard"


def test_a_plan_without_days_is_refused(gate: Gate) -> None:
    with pytest.raises(InvalidInput, match="lookback_days must be at least 1, was 0"):
        BacktestPlan(0, H1, ())
