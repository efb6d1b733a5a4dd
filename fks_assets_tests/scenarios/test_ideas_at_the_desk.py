"""From candles of the simulated exchange to trade ideas, hour by hour, as the schedules and the sensor ask for them."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fks_assets.assets.schedules import TICKS, behind_request, range_tags
from fks_assets.clock import iso
from fks_assets.partitions import day_of
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets.stores.trade_ideas import IdeaStatus, read_ideas
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, SYMBOLS, StoppedDesk, database_of_a_module, stopped_desk

START_MS = parse_time("start", "now", "2025-06-10T09:00:30Z")
FAULTED = "ETH-USDT"
HOURS = 4
ACTIONS = {1: "BUY", -1: "SELL"}


@pytest.fixture
def desk(tmp_path: Path, postgres_home: Path, home: Path) -> Iterator[StoppedDesk]:
    """A desk whose signals are up to date, and an instance on disk, which a sensor needs."""
    with (
        database_of_a_module(postgres_home, "ideas_at_the_desk") as url,
        stopped_desk(tmp_path / "desk", url, START_MS, history_days=25) as desk,
        dg.DagsterInstance.local_temp(str(home)) as desk.desk.instance,
    ):
        yield desk


def tick(desk: StoppedDesk, job: str = "signals") -> None:
    """Run what the schedule of the job asks for."""
    request = behind_request(desk.desk.stores, next(tick.prefixes for tick in TICKS if tick.job == job))
    assert request is not None
    months, names = request
    result = desk.desk.definitions.resolve_job_def(job).execute_in_process(
        instance=desk.desk.instance,
        asset_selection=[dg.AssetKey(name) for name in names],
        tags={**range_tags(desk.desk.stores, months), "dagster/schedule_name": f"{job}_schedule"},
    )
    assert result.success


def follow(desk: StoppedDesk, cursor: str | None) -> tuple[list[dg.RunRequest], str | None]:
    """Let the sensor look, and do what it asks for."""
    definitions = desk.desk.definitions
    sensor = definitions.resolve_sensor_def("ideas_sensor")
    with dg.build_sensor_context(
        desk.desk.instance, cursor, repository_def=definitions.get_repository_def(), sensor_name=sensor.name
    ) as context:
        answer = sensor.evaluate_tick(context)
    for request in answer.run_requests:
        run = definitions.resolve_job_def("ideas").execute_in_process(
            instance=desk.desk.instance, tags={**request.tags, "dagster/partition": request.partition_key}
        )
        assert run.success
    return list(answer.run_requests), answer.cursor


def heard(desk: StoppedDesk, symbol: str) -> dict[str, str]:
    """Return what strategies that act say of the newest candle, read from the store alone."""
    market = next(each for each in desk.desk.settings.market_list() if each.key.startswith(symbol))
    found = {}
    for name in desk.desk.settings.strategies:
        table = desk.desk.stores.candles.read_table(f"signals.{name}", market, "1h")
        assert times_from_arrow(table["open_time"])[-1] == desk.now_ms - desk.now_ms % HOUR_MS - HOUR_MS
        if action := table["action"][-1].as_py():
            found[name] = ACTIONS[action]
    return found


def test_each_hour_of_signals_becomes_ideas_until_a_market_cannot_be_had(desk: StoppedDesk) -> None:
    """S4.2, S3.4, X10: the ideas follow the signals; a market whose candles do not come stops no other."""
    tick(desk)
    asked, cursor = follow(desk, None)
    acted = 0
    for _ in range(HOURS):
        desk.advance(1)
        tick(desk)
        asked, cursor = follow(desk, cursor)
        assert [request.partition_key for request in asked] == [day_of(desk.now_ms)]
        [event, *_] = desk.desk.events("trade_ideas")
        assert event.metadata["status"].value == "success" and event.metadata["processed"].value == len(SYMBOLS)
        rows = {row.data["market"].split("@")[0]: row.data for row in event.metadata["ideas"].records}
        newest = iso(desk.now_ms - desk.now_ms % HOUR_MS - HOUR_MS)
        stored = read_ideas(desk.desk.stores.database, desk.now_ms, statuses=[IdeaStatus.OPEN])
        new = {each.document["market"].split("@")[0]: each for each in stored if each.document["candle"] == newest}
        for symbol in SYMBOLS:
            said = heard(desk, symbol)
            assert rows[symbol]["candle"] == newest
            assert (symbol in new) == bool(said), symbol
            if said:
                document = new[symbol].document
                assert {each["name"]: each["action"] for each in document["strategies"] if each["action"] != "HOLD"} == said
                assert document["score"] == sum(each["points"] for each in document["points"]) == rows[symbol]["score"]
                acted += 1
        assert all(each.expires_at >= desk.now_ms for each in stored)
    assert acted > 2, f"{acted} signals show too little"

    desk.simulator.add_faults({"action": "status", "status": 500, "endpoint": "candles", "symbol": FAULTED})
    desk.set_deadline(1)
    desk.advance(3)
    tick(desk)
    follow(desk, cursor)
    [event, *_] = desk.desk.events("trade_ideas")
    words = {market.split("@")[0]: text for market, text in event.metadata["details"].value.items()}
    assert words[FAULTED].startswith("no idea: a check fails: fresh: ")
    assert len(event.metadata["ideas"].records) == len(SYMBOLS) - 1
    assert not [
        each for each in read_ideas(desk.desk.stores.database, desk.now_ms, statuses=[IdeaStatus.OPEN]) if FAULTED in str(each)
    ]
