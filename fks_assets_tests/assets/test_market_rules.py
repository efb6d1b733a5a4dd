"""The daily snapshot of trading rules, against the simulator: what is stored, what an event says, what a past day can tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from fks_assets import clock
from fks_assets.assets.market_data.market_rules import CODE_VERSION, fetch_rules
from fks_assets.clock import to_ms
from fks_assets.errors import ExchangeUnavailable
from fks_assets.exchanges import transport
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.market_rules import MarketStatus, record_rules, rules_as_of, rules_history
from fks_assets.supervisor.launching import launch_behind
from fks_assets_tests.desk import Desk, build_desk

SYMBOLS = ["BTC-USDT", "MATIC-USDT", "POL-USDT"]


def at(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


@contextmanager
def standing_at(text: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorClient]:
    """A simulator whose clock, like this machine's, stands at a time."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: at(text) * 1_000_000))
    with running_simulator(start_ms=at(text), speed=0, limits={"kraken": {"burst": 1e6}}) as simulator:
        yield simulator


def desk_at(home: Path, database_url: str, url: str, *, toml: str = "", symbols: list[str] | None = None) -> Desk:
    desk = build_desk(home, database_url, url, symbols=symbols or SYMBOLS, FIRST_MONTH="2024-08")
    if toml:
        text = (home / "desk.toml").read_text(encoding="utf-8")
        old, new = toml.split(" => ")
        assert old in text
        (home / "desk.toml").write_text(text.replace(old, new), encoding="utf-8")
        from fks_assets.definitions import build_definitions
        from fks_assets.settings import read_settings

        environment = {
            "FKS_DESK": str(home / "desk.toml"),
            "FKS_HOME": str(home),
            "FKS_DATABASE_URL": database_url,
            "FKS_FIRST_MONTH": "2024-08",
            "FKS_EXCHANGES__simulated__url": url,
        }
        settings = read_settings(environment, home)
        return Desk(settings, build_definitions(settings), desk.instance)
    return desk


def materialise(desk: Desk, day: str, *, scheduled: bool = False) -> dg.ExecuteInProcessResult:
    return desk.definitions.resolve_job_def("rules").execute_in_process(
        instance=desk.instance,
        partition_key=day,
        tags={"dagster/schedule_name": "rules_schedule"} if scheduled else {},
        raise_on_error=False,
    )


def said(result: dg.ExecuteInProcessResult) -> str:
    [failure] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    return str(failure.event_specific_data.error_display_string)


def test_the_day_is_stored_and_shown_and_a_delisting_makes_a_new_version(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S4.8, D11. MATIC-USDT is delisted at 2024-09-10T03:00Z and POL-USDT listed at 2024-09-13T10:00Z by the simulator's list."""
    with standing_at("2024-09-09T00:20", monkeypatch) as simulator:
        desk = desk_at(
            home, database_url, simulator.url, toml='symbol = "POL-USDT" => symbol = "POL-USDT"\nlisted = 2024-09-13T10:00:00Z'
        )
        assert materialise(desk, "2024-09-09", scheduled=True).success
        assert [entry["endpoint"] for entry in simulator.journal()] == ["exchangeInfo"]
    [event] = desk.events("market_rules")
    assert event.partition == "2024-09-09"
    rows = {record.data["market"]: record.data for record in event.metadata["rules"].records}
    assert set(rows) == {"BTC-USDT@simulated", "MATIC-USDT@simulated"}
    assert rows["BTC-USDT@simulated"]["tick_size"] == "0.01" and rows["MATIC-USDT@simulated"]["status"] == "trading"

    with standing_at("2024-09-20T00:20", monkeypatch) as simulator:
        desk = replace(desk, definitions=desk_at(home, database_url, simulator.url).definitions)
        assert materialise(desk, "2024-09-20", scheduled=True).success
    event = desk.events("market_rules")[0]
    changes = [record.data for record in event.metadata["changes since the version before"].records]
    assert {"market": "MATIC-USDT@simulated", "rule": "status", "before": "trading", "after": "delisted"} in changes
    assert {change["market"] for change in changes} == {"MATIC-USDT@simulated", "POL-USDT@simulated"}
    btc, matic, _ = desk.settings.market_list()
    database = desk.stores.database
    assert rules_as_of(database, matic, at("2024-09-15T00:00")).status is MarketStatus.TRADING
    assert rules_as_of(database, matic, at("2024-09-21T00:00")).status is MarketStatus.DELISTED
    [only] = rules_history(database, btc)
    assert (only.valid_from, only.last_seen_at) == (at("2024-09-09T00:20"), at("2024-09-20T00:20"))


def test_the_event_of_a_day_is_written_once_by_the_schedule_and_always_for_a_person(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing_at("2024-09-20T00:20", monkeypatch) as simulator:
        desk = desk_at(home, database_url, simulator.url, symbols=["BTC-USDT"])
        for scheduled, events in ((True, 1), (True, 1), (False, 2)):
            assert materialise(desk, "2024-09-20", scheduled=scheduled).success
            assert len(desk.events("market_rules")) == events
    versions = {event.tags["dagster/data_version"] for event in desk.events("market_rules")}
    assert len(versions) == 1
    assert {event.tags["dagster/code_version"] for event in desk.events("market_rules")} == {CODE_VERSION}


def test_a_past_day_is_verified_and_never_fetched(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_at("2024-09-20T00:20", monkeypatch) as simulator:
        desk = desk_at(home, database_url, simulator.url, symbols=["BTC-USDT"])
        assert materialise(desk, "2024-09-20").success
    with standing_at("2024-09-25T12:00", monkeypatch) as simulator:
        desk = replace(desk, definitions=desk_at(home, database_url, simulator.url, symbols=["BTC-USDT"]).definitions)
        later, earlier = materialise(desk, "2024-09-22"), materialise(desk, "2024-09-19")
        assert simulator.journal() == []
    assert later.success
    event = desk.events("market_rules")[0]
    assert event.partition == "2024-09-22"
    assert event.metadata["seen"].value == "read from what was stored by the end of that day"
    assert not earlier.success
    assert (
        "1 of 1 markets have no usable rules on 2024-09-19: BTC-USDT@simulated: none are stored as of 2024-09-19, "
        "and the exchange only tells those of today"
    ) in said(earlier)
    assert desk.materialised("market_rules") == {"2024-09-20", "2024-09-22"}


def test_a_symbol_that_the_exchange_never_listed_is_an_error_and_the_others_are_stored(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing_at("2024-09-20T00:20", monkeypatch) as simulator:
        desk = desk_at(home, database_url, simulator.url, symbols=["BTC-USDT", "BTX-USDT"])
        by_person, scheduled = materialise(desk, "2024-09-20"), materialise(desk, "2024-09-20", scheduled=True)
    assert not by_person.success
    assert "BTX-USDT@simulated: simulated does not list it and no earlier rules are stored" in said(by_person)
    assert scheduled.success
    btc, unknown = desk.settings.market_list()
    assert rules_as_of(desk.stores.database, btc, at("2024-09-21T00:00")).tick_size == Decimal("0.01")
    assert rules_as_of(desk.stores.database, unknown, at("2024-09-21T00:00")) is None
    [event] = desk.events("market_rules")
    assert "BTX-USDT@simulated" in event.metadata["without usable rules"].value


def test_the_settings_say_when_a_market_ended_where_the_exchange_no_longer_tells(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D11: LUNA is unknown to the exchange of today; its rules as of 2021 were stored then."""
    toml = 'symbol = "LUNA-USDT" => symbol = "LUNA-USDT"\ndelisted = 2022-05-13T00:40:00Z'
    with standing_at("2024-09-20T00:20", monkeypatch) as simulator:
        desk = desk_at(home, database_url, simulator.url, toml=toml, symbols=["BTC-USDT", "LUNA-USDT"])
        btc, luna = desk.settings.market_list()
        known = desk.market_data.market_rules([btc])[btc]
        with desk.stores.database.transaction() as connection:
            record_rules(connection, [replace(known, market=luna)], at("2021-06-01T00:20"))
        for _ in range(2):
            assert materialise(desk, "2024-09-20").success
    database = desk.stores.database
    assert rules_as_of(database, luna, at("2021-12-31T00:00")).status is MarketStatus.TRADING
    assert rules_as_of(database, luna, at("2022-05-13T00:39")).status is MarketStatus.TRADING
    assert rules_as_of(database, luna, at("2022-05-13T00:40")).status is MarketStatus.DELISTED
    assert [(each.valid_from, each.last_seen_at) for each in rules_history(database, luna)][1:] == [
        (at("2022-05-13T00:40"), at("2024-09-20T00:20"))
    ]


def test_an_exchange_that_is_down_changes_nothing_and_the_run_may_be_repeated(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "RETRIES", 0)
    with standing_at("2024-09-20T00:20", monkeypatch) as simulator:
        desk = desk_at(home, database_url, simulator.url, symbols=["BTC-USDT"])
        simulator.add_faults({"action": "status", "status": 503, "endpoint": "markets"})
        with pytest.raises(ExchangeUnavailable, match="simulated exchangeInfo failed: HTTP 503"):
            fetch_rules(desk.stores, desk.market_data)
    [asset] = [each for each in desk.definitions.assets if each.key.to_user_string() == "market_rules"]
    assert asset.op.retry_policy.max_retries == 3
    assert rules_history(desk.stores.database, desk.settings.market_list()[0]) == []


def test_the_schedule_asks_for_the_day_on_which_it_ticks(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_at(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    schedule = desk.definitions.resolve_schedule_def("rules_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("20 0 * * *", "UTC")
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: at("2024-09-20T07:00") * 1_000_000))
    with dg.DagsterInstance.local_temp(str(home)) as instance, dg.build_schedule_context(instance) as context:
        request = schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.run_key) == ("2024-09-20", "market_rules:2024-09-20")


def test_fks_run_asks_for_today(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tags that `fks run rules` launches with make a run of the partition of today."""
    launched: list[dict[str, str]] = []
    api = SimpleNamespace(launch=lambda job, tags, assets=None: launched.append(dict(tags)))
    with standing_at("2024-09-20T12:00", monkeypatch) as simulator:
        desk = desk_at(home, database_url, simulator.url, symbols=["BTC-USDT"])
        launch_behind(api, desk.stores, "rules")
        job = desk.definitions.resolve_job_def("rules")
        assert job.execute_in_process(instance=desk.instance, tags=launched[0]).success
    assert desk.materialised("market_rules") == {"2024-09-20"}
