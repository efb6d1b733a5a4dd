"""Trade ideas at a desk with stored candles: what is heard, what becomes of a market, and what the asset stores and shows.

The candles are walks, cut where technical and breakout act; what strategies say of them is computed from the candles alone.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest
import sqlalchemy as sa

from fks_assets import clock
from fks_assets.assets.trading.evaluation import Evaluation, evaluate_markets
from fks_assets.clock import iso
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets.quant.idea_scores import Band
from fks_assets.quant.indicators import compute_indicators
from fks_assets.quant.lookahead import judgement
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import TIMEFRAMES, month_window, months_between
from fks_assets.resources.stores import Stores
from fks_assets.stores import embedded
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.market_checks import CheckResult, record_checks
from fks_assets.stores.market_rules import record_rules
from fks_assets.stores.strategy_records import switch
from fks_assets.stores.trade_ideas import IdeaStatus, read_ideas
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.trading.desks import DAY, HOUR, store, walk

H1, D1 = TIMEFRAMES["1h"], TIMEFRAMES["1d"]
END = month_window("2026-03")[0] + 9 * DAY + 7 * HOUR
NEWEST = END - HOUR
TODAY = "2026-03-10"
NAMES = ("technical", "breakout")
COLUMNS = ("open_time", *OHLCV_COLUMNS)
# Seed and rows of each market's walk: both BUY, technical SELL and breakout BUY, nobody acts.
CUTS = {"BTC": (6, 1523), "ETH": (8, 1565), "SOL": (1, 1500)}
MONTHS = months_between(END - 600 * DAY, END)


@cache
def hours(base: str) -> Candles:
    seed, rows = CUTS[base]
    return walk(END - rows * HOUR, 1600, seed=seed).slice(0, rows)


@cache
def days(base: str) -> Candles:
    """600 days up to the last midnight, rising for BTC and falling for the others."""
    return walk(END - 7 * HOUR - 600 * DAY, 600, seed=3, step_ms=DAY, drift=0.004 if base == "BTC" else -0.004)


@cache
def said(base: str, name: str):
    return judgement(create_strategy(name), hours(base))


def build(home: Path, url: str) -> Desk:
    symbols = [f"{base}-USDT" for base in CUTS]
    return build_desk(home, url, "http://127.0.0.1:9", symbols=symbols, TIMEFRAMES="1h,1d", FIRST_MONTH=MONTHS[0])


@contextmanager
def copied_database(postgres_home: Path, template: str, name: str) -> Iterator[str]:
    """Give the URL of a copy of a database to which nobody is connected."""
    directory = embedded.ensure_running(postgres_home)
    server = sa.create_engine(embedded.url_of(directory, "postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        yield embedded.url_of(directory, name)
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


def stop_clock(patch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stop the clock five minutes after the newest candle has closed, until a test moves it."""
    moment = SimpleNamespace(ms=END + 300_000)
    patch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: moment.ms * 1_000_000))
    return moment


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[Path]:
    """The home of a desk with candles, indicators and signals; its database is called `prepared_ideas`."""
    home = tmp_path_factory.mktemp("prepared")
    with copied_database(postgres_home, "fks_template", "prepared_ideas") as url, pytest.MonkeyPatch.context() as patch:
        stop_clock(patch)
        desk = build(home, url)
        for market in desk.settings.market_list():
            store(desk.stores.candles, market, hours(market.base))
            store(desk.stores.candles, market, days(market.base), "1d")
        assert desk.run(["indicators_1h", "signals_1h", "indicators_1d"], MONTHS).success
        desk.stores.database.engine.dispose()
        yield home


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return stop_clock(monkeypatch)


@pytest.fixture
def desk(prepared: Path, home: Path, postgres_home: Path, now: SimpleNamespace) -> Iterator[Desk]:
    """A copy of the prepared desk."""
    shutil.copytree(prepared, home, dirs_exist_ok=True)
    with copied_database(postgres_home, "prepared_ideas", "ideas") as url:
        desk = build(home, url)
        yield desk
        desk.stores.database.engine.dispose()


def markets(desk: Desk) -> tuple[Market, ...]:
    return tuple(desk.settings.market_list())


def run(desk: Desk, *, day: str = TODAY, asked: bool = False) -> dg.ExecuteInProcessResult:
    """Run the job as its sensor asks for it, or as a person does."""
    tags = {"dagster/partition": day} | ({} if asked else {"dagster/sensor_name": "ideas_sensor"})
    return desk.definitions.resolve_job_def("ideas").execute_in_process(instance=desk.instance, tags=tags, raise_on_error=False)


def open_ideas(stores: Stores, at: int) -> dict[str, int]:
    """Return the score of each market's open idea."""
    found = read_ideas(stores.database, at, statuses=[IdeaStatus.OPEN])
    return {each.document["market"].split("-")[0]: each.document["score"] for each in found}


def details(found: Evaluation) -> dict[str, str]:
    return {key.split("-")[0]: words for key, words in found.summary["details"].items()}


def test_an_idea_says_what_the_strategies_say_of_the_newest_candle(desk: Desk) -> None:
    """S4.2, S4.19: BTC has two entries, breakout's strong (0.8) and technical's weak (0.5), and its days rise."""
    btc, eth, sol = markets(desk)
    found = evaluate_markets(desk.stores, H1)
    assert list(found.ideas) == [btc, eth, sol] and found.without == {}
    for market, idea in found.ideas.items():
        assert (idea.open_time, idea.close, idea.unheard) == (NEWEST, hours(market.base).close[-1], ())
        for voice in idea.voices:
            signals = said(market.base, voice.name)
            assert (voice.action, voice.confidence, voice.reason) == (
                signals.action[-1],
                signals.confidence[-1],
                signals.reason(-1),
            )
    assert [(voice.name, voice.action, voice.confidence) for voice in found.ideas[btc].voices] == [
        ("technical", 1, 0.5),
        ("breakout", 1, 0.8),
    ]
    assert [each.points for each in found.ideas[btc].points] == [30, -15, 30, 25, 10]
    assert found.ideas[btc].points[-1].reason == "align: 1d points up"
    best = said("BTC", "breakout")
    assert (found.ideas[btc].stop, found.ideas[btc].target) == (best.stop[-1], best.target[-1])
    assert (found.ideas[btc].score, found.ideas[btc].band) == (80, Band.OPEN_OR_SCALE), "0.3 % and 0.6 % pay 2"
    assert "1d points up: +10" in found.ideas[eth].better, "its days fall"
    assert [voice.action for voice in found.ideas[eth].voices] == [-1, 1]
    assert (found.ideas[sol].score, found.ideas[sol].action) == (0, 0)
    assert [idea.market for idea in found.by_score] == [btc, eth, sol]
    assert found.document()["ideas"][0]["place"] == 1


def test_the_longer_timeframe_is_read_at_its_newest_closed_candle(desk: Desk) -> None:
    """No hour may know the day that it is in: of the day that has not closed nothing is read, though it is stored."""
    btc, *_ = markets(desk)
    closed = days("BTC")
    indicators = compute_indicators(closed)
    assert (indicators["ema_12"] > indicators["ema_26"])[-1]
    crash = closed.close[-1] * 0.2
    last = int(closed.open_time[-1])
    today = Candles(np.array([last + DAY]), *(np.array([crash]) for _ in range(4)), np.ones(1))
    seen = compute_indicators(Candles(*(np.append(getattr(closed, name), getattr(today, name)) for name in COLUMNS)))
    assert (seen["ema_12"] < seen["ema_26"])[-1], "else reading it would show nothing"
    store(desk.stores.candles, btc, today, "1d")
    assert desk.run(["indicators_1d"], MONTHS[-1:]).success
    assert evaluate_markets(desk.stores, H1, [btc]).ideas[btc].points[-1].reason == "align: 1d points up"


def test_a_past_time_is_evaluated_by_what_had_closed_by_then(desk: Desk) -> None:
    """Every hour of the last two weeks at which a strategy acts on ETH, against the candles cut there."""
    _, eth, _ = markets(desk)
    times = hours("ETH").open_time
    acting = [row for row in range(len(times) - 336, len(times)) if any(said("ETH", name).action[row] for name in NAMES)]
    assert len(acting) > 20
    for row in acting[::4]:
        closed = int(times[row]) + HOUR
        idea = evaluate_markets(desk.stores, H1, [eth], at_ms=closed + 5_000).ideas[eth]
        assert idea.open_time == times[row]
        heard = {voice.name: (voice.action, voice.confidence) for voice in idea.voices}
        assert heard == {name: (said("ETH", name).action[row], said("ETH", name).confidence[row]) for name in NAMES}
        earlier = evaluate_markets(desk.stores, H1, [eth], at_ms=closed - 1).ideas[eth]
        assert earlier.open_time == times[row - 1], "the candle had not closed yet"


def test_a_late_or_halted_or_suspect_market_gives_no_idea_and_says_why(desk: Desk, now: SimpleNamespace) -> None:
    """S3.4: and does not stop the others."""
    btc, eth, sol = markets(desk)
    with desk.stores.database.transaction() as connection:
        record_checks(connection, [CheckResult(eth, "1h", "sane", "1 spike")], END)
        rules = [MarketRules(market, status) for market, status in ((btc, MarketStatus.DELISTED),)]
        record_rules(connection, rules, END)
    found = evaluate_markets(desk.stores, H1)
    assert details(found) == {
        "SOL": "HOLD, 0, observe",
        "BTC": "no idea: the exchange says that the market is delisted",
        "ETH": "no idea: a check fails: sane: 1 spike",
    }
    assert {name: found.summary[name] for name in ("status", "total", "processed", "errors")} == {
        "status": "success",
        "total": 3,
        "processed": 3,
        "errors": 0,
    }
    now.ms = END + 2 * HOUR
    assert sol in evaluate_markets(desk.stores, H1).ideas
    now.ms += 1
    late = evaluate_markets(desk.stores, H1)
    assert late.without[sol] == f"its newest candle closed at {iso(END)}, more than 2 timeframes ago"
    now.ms += 60 * DAY
    assert evaluate_markets(desk.stores, H1).without[sol] == "no 1h candle of the last 2 timeframes is stored"


def test_a_candle_that_no_strategy_has_judged_gives_no_idea_and_takes_none_back(desk: Desk, now: SimpleNamespace) -> None:
    btc, *_ = markets(desk)
    assert run(desk).success
    assert set(open_ideas(desk.stores, now.ms)) == {"BTC", "ETH"}
    now.ms += HOUR
    close = hours("BTC").close[-1:]
    store(desk.stores.candles, btc, Candles(np.array([END]), close, close, close, close, np.ones(1)))
    assert evaluate_markets(desk.stores, H1).without == {btc: f"no strategy has judged its candle of {iso(END)} yet"}
    assert run(desk).success
    assert set(open_ideas(desk.stores, now.ms)) == {"BTC", "ETH"}


def test_a_market_that_cannot_be_read_stops_no_other(desk: Desk, home: Path) -> None:
    """S3.4."""
    btc, *others = markets(desk)
    partition = PartitionId("signals.breakout", btc, "1h", TODAY[:7])
    head = desk.stores.candles.heads("signals.breakout", "1h", [btc], [TODAY[:7]])[partition]
    (home / "candles" / head.object_name).unlink()
    assert run(desk).success
    [event] = desk.events("trade_ideas")
    assert [event.metadata[name].value for name in ("status", "total", "processed", "errors")] == [
        "completed_with_errors",
        3,
        2,
        1,
    ]
    assert event.metadata["details"].value[btc.key].startswith("error: ")
    assert {row.data["market"] for row in event.metadata["ideas"].records} == {market.key for market in others}
    for market in others:
        for head in desk.stores.candles.heads("ohlcv", "1h", [market]).values():
            (home / "candles" / head.object_name).unlink()
    assert not run(desk).success, "nothing could be looked at"


def test_the_asset_stores_ideas_once_and_reports_only_what_changed(desk: Desk, now: SimpleNamespace) -> None:
    """S4.2: every quarter of an hour, and most of them change nothing."""
    assert run(desk).success
    ideas = read_ideas(desk.stores.database, now.ms)
    assert [(each.document["market"].split("-")[0], each.document["action"]) for each in ideas] == [
        ("BTC", "BUY"),
        ("ETH", "BUY"),
    ]
    found = evaluate_markets(desk.stores, H1)
    assert ideas[0].document == found.by_score[0].document()
    now.ms += 900_000
    assert run(desk).success
    assert read_ideas(desk.stores.database, now.ms) == ideas
    [event] = desk.events("trade_ideas")
    assert event.partition == TODAY
    rows = [row.data for row in event.metadata["ideas"].records]
    assert tuple(rows[0][name] for name in ("market", "score", "band", "place")) == (
        "BTC-USDT@simulated",
        80,
        "open_or_scale",
        1,
    )
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert rows[0]["why"].startswith("+30 entry: technical, ") and rows[-1]["why"] == "nobody acts"
    assert event.metadata["exchange"].value == "SIMULATED - not real market data"
    assert run(desk, asked=True).success
    assert len(desk.events("trade_ideas")) == 2, "a person gets an answer"
    now.ms = END + 2 * HOUR + 1
    assert run(desk).success
    assert len(desk.events("trade_ideas")) == 3
    assert {each.status for each in read_ideas(desk.stores.database, now.ms)} == {IdeaStatus.EXPIRED}


def test_the_record_names_the_rows_that_an_idea_was_made_from(desk: Desk) -> None:
    """A candle that comes later in the month is none of its inputs, and changes no record."""
    assert run(desk).success
    [record] = latest_inputs(desk.stores.database, "trade_ideas", [TODAY]).values()
    btc, *_ = markets(desk)
    day = iso(int(days("BTC").open_time[-1]))
    assert {(ref.asset, ref.partition) for ref in record.inputs if ref.partition.startswith(btc.key)} == {
        ("ohlcv_1h", f"{btc}|2026-03|{iso(NEWEST)}"),
        ("signals_1h", f"{btc}|2026-03|{iso(NEWEST)}"),
        ("indicators_1d", f"{btc}|2026-03|{day}"),
    }
    assert record.row_count == 3


def test_a_strategy_that_is_switched_off_is_not_heard_and_its_idea_is_replaced(desk: Desk, now: SimpleNamespace) -> None:
    """S2.14."""
    btc, eth, _ = markets(desk)
    assert run(desk).success
    before = open_ideas(desk.stores, now.ms)
    now.ms += 60_000
    with desk.stores.database.transaction() as connection:
        switch(connection, "breakout", False, reason="a holiday", by="Ada", at_ms=now.ms)
    found = evaluate_markets(desk.stores, H1)
    assert found.silent == {"breakout": f"switched off at {iso(now.ms)} by Ada: a holiday"}
    assert [voice.name for voice in found.ideas[btc].voices] == ["technical"]
    assert found.ideas[eth].document()["action"] == "SELL"
    assert evaluate_markets(desk.stores, H1, at_ms=now.ms - 1).silent == {}, "it was on until then"
    assert run(desk).success
    assert before == {"BTC": 80, "ETH": before["ETH"]} and open_ideas(desk.stores, now.ms) == {"BTC": 25, "ETH": 0}
    with desk.stores.database.transaction() as connection:
        switch(connection, "technical", False, reason="a holiday", by="Ada", at_ms=now.ms)
    assert set(evaluate_markets(desk.stores, H1).without.values()) == {"no strategy in force is switched on"}
    assert run(desk).success
    assert open_ideas(desk.stores, now.ms) == {}


def test_a_check_that_fails_takes_open_ideas_back(desk: Desk, now: SimpleNamespace) -> None:
    _, eth, _ = markets(desk)
    assert run(desk).success
    with desk.stores.database.transaction() as connection:
        record_checks(connection, [CheckResult(eth, "1h", "sane", "1 spike")], now.ms)
    assert run(desk).success
    assert set(open_ideas(desk.stores, now.ms)) == {"BTC"}
    [taken] = read_ideas(desk.stores.database, now.ms, markets=[eth])
    assert (taken.status, taken.decided_by, taken.decision_reason) == (
        IdeaStatus.EXPIRED,
        "the desk",
        "a check fails: sane: 1 spike",
    )


def test_one_market_is_evaluated_where_the_run_names_it(desk: Desk, now: SimpleNamespace) -> None:
    """S4.3, in the web UI: the run configuration names the markets; one that the desk has not is refused in one line."""
    btc, *_ = markets(desk)
    job = desk.definitions.resolve_job_def("ideas")

    def ask(name: str) -> dg.ExecuteInProcessResult:
        config = {"ops": {"trade_ideas": {"config": {"markets": [name]}}}}
        return job.execute_in_process(
            run_config=config, instance=desk.instance, tags={"dagster/partition": TODAY}, raise_on_error=False
        )

    assert ask(btc.key).success
    assert set(open_ideas(desk.stores, now.ms)) == {"BTC"}
    refused = ask("XYZ-USDT@binance")
    assert not refused.success
    [failure] = [event for event in refused.all_events if event.is_step_failure]
    assert "markets: market 'XYZ-USDT@binance' is not on this desk; it has BTC-USDT@" in str(failure.event_specific_data)


def test_a_past_day_shows_its_last_candle_and_stores_no_idea(desk: Desk, now: SimpleNamespace) -> None:
    assert run(desk, day="2026-03-09", asked=True).success
    [event] = desk.events("trade_ideas")
    assert event.partition == "2026-03-09"
    assert {row.data["candle"] for row in event.metadata["ideas"].records} == {"2026-03-09T22:00:00Z"}
    assert read_ideas(desk.stores.database, now.ms) == []


@pytest.mark.parametrize(
    ("name", "ended"), [("ideas_sensor", "PIPELINE_SUCCESS"), ("ideas_after_failure_sensor", "PIPELINE_FAILURE")]
)
def test_a_sensor_asks_for_today_after_a_run_of_the_signals_job_however_it_ended(desk: Desk, name: str, ended: str) -> None:
    sensor = desk.definitions.resolve_sensor_def(name)
    finished = dg.DagsterRun(job_name="signals", run_id="the-run")
    event = dg.DagsterEvent(event_type_value=ended, job_name="signals")
    answer = sensor(dg.build_run_status_sensor_context(name, event, desk.instance, finished))
    assert (answer.partition_key, answer.run_key) == (TODAY, "ideas:the-run")
