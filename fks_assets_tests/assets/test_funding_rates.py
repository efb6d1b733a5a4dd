"""The asset of the funding rates against the simulator: loading, holes, changed rates, what is behind, what people are told."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from fks_assets import clock
from fks_assets.assets.market_data.funding import coverage_in, load_funding, months_behind
from fks_assets.assets.schedules import range_tags
from fks_assets.clock import iso
from fks_assets.errors import ExchangeUnavailable
from fks_assets.exchanges import transport
from fks_assets.quant.timeframes import month_window
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.funding import funding_hash, read_funding
from fks_assets.stores.lineage import latest_inputs
from fks_assets.supervisor.launching import MARKET_MONTH, _forms_of_jobs, launch_behind
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.simulator.plain_http import get

EIGHT = 8 * 3_600_000
OCTOBER, NOVEMBER = month_window("2025-10")[0], month_window("2025-11")[0]
NOW = NOVEMBER + 10 * EIGHT + 7 * 60_000
BTC_MONTH = "BTC-USDT@simulated|2025-10"


class Machine:
    """The clock of this machine, which stands."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    standing = Machine(NOW)
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: standing.now_ms * 1_000_000))
    monkeypatch.setattr(transport, "RETRIES", 0)
    return standing


@pytest.fixture
def simulator(machine: Machine) -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0) as running:
        yield running


def desk_at(home: Path, database_url: str, url: str, symbols: list[str] | None = None) -> Desk:
    chosen = symbols or ["BTC-USDT", "ETH-USDT"]
    values = {"EXCHANGES__simulated__funding": "binance", "FIRST_MONTH": "2025-10"}
    return build_desk(home, database_url, url, symbols=chosen, **values)


@pytest.fixture
def desk(home: Path, database_url: str, simulator: SimulatorClient) -> Desk:
    return desk_at(home, database_url, simulator.url)


def run(desk: Desk, months: list[str] | None = None, *, scheduled: bool = False, key: str | None = None) -> Any:
    """Materialise by the job, with its check; by default both months of every market."""
    tags = {} if months is None and key is not None else range_tags(desk.stores, months or ["2025-10", "2025-11"])
    if scheduled:
        tags["dagster/schedule_name"] = "funding_schedule"
    job = desk.definitions.resolve_job_def("funding")
    return job.execute_in_process(instance=desk.instance, tags=tags, partition_key=key, raise_on_error=False)


def check_of(result: dg.ExecuteInProcessResult) -> tuple[bool, dict[str, Any]]:
    [found] = result.get_asset_check_evaluations()
    assert found.severity is dg.AssetCheckSeverity.WARN
    return found.passed, {name: value.value for name, value in found.metadata.items()}


def told(simulator: SimulatorClient, start_ms: int, end_ms: int) -> list[tuple[int, Decimal]]:
    """What the exchange says over plain HTTP."""
    rows = get(simulator.url, f"/fapi/v1/fundingRate?symbol=BTCUSDT&startTime={start_ms}&endTime={end_ms - 1}&limit=1000").json
    return [(row["fundingTime"], Decimal(row["fundingRate"])) for row in rows]


def stored(desk: Desk, as_of_ms: int | None = None) -> list[tuple[int, Decimal]]:
    btc = desk.settings.market_list()[0]
    found = read_funding(desk.stores.database, [btc], OCTOBER, NOW, as_of_ms)[btc]
    return [(each.rate.time_ms, each.rate.rate) for each in found]


def test_the_schedule_loads_every_month_and_asks_again_only_when_something_was_due(
    desk: Desk, simulator: SimulatorClient, machine: Machine
) -> None:
    """C23. October has 93 fundings, November 11 by now; one request a market brings both months."""
    assert months_behind(desk.stores) == ["2025-10", "2025-11"]
    result = run(desk, scheduled=True)
    assert result.success and [entry["rows"] for entry in simulator.journal()] == [104, 104]
    passed, figures = check_of(result)
    assert passed and figures == {"failing": {}, "due": 208, "known": 208, "known [%]": 100, "markets": 2}
    assert stored(desk) == told(simulator, OCTOBER, NOW)
    events = {event.partition: event for event in desk.events("funding_rates")}
    assert len(events) == 4
    metadata = {name: value.value for name, value in events[BTC_MONTH].metadata.items()}
    assert (metadata["dagster/row_count"], metadata["due"], metadata["known [%]"], metadata["new"]) == (93, 93, 100, 93)
    october = [rate for time, rate in stored(desk) if time < NOVEMBER]
    assert Decimal(metadata["paid by a long position [%]"]) == 100 * sum(october)
    [record] = latest_inputs(desk.stores.database, "funding_rates", [BTC_MONTH]).values()
    btc = desk.settings.market_list()[0]
    rates = read_funding(desk.stores.database, [btc], OCTOBER, NOVEMBER)[btc]
    assert record.content_hash == funding_hash(rates) == events[BTC_MONTH].tags["dagster/data_version"] and len(rates) == 93

    assert months_behind(desk.stores) is None
    simulator.clear_journal()
    assert run(desk, scheduled=True).success
    assert simulator.journal() == [] and len(desk.events("funding_rates")) == 4
    machine.now_ms += EIGHT
    simulator.set_clock(now=machine.now_ms)
    assert months_behind(desk.stores) == ["2025-11"]
    assert run(desk, ["2025-11"], scheduled=True).success
    assert [entry["rows"] for entry in simulator.journal()] == [4, 4]  # the new one and the three before it
    assert len(desk.events("funding_rates")) == 6


def test_a_hole_is_found_by_the_check_and_repaired_by_materialising_again(desk: Desk, simulator: SimulatorClient) -> None:
    """C23."""
    simulator.add_faults({"action": "missing", "endpoint": "funding", "symbol": "BTC-USDT", "where": "middle", "count": 3})
    result = run(desk, scheduled=True)
    passed, figures = check_of(result)
    missing = sorted(set(told(simulator, OCTOBER, NOW)) - set(stored(desk)))
    simulator.remove_faults()
    holes = [time for time in range(OCTOBER, NOW, EIGHT) if time not in dict(stored(desk))]
    assert result.success and len(holes) == 3 and missing == []
    assert not passed and (figures["due"], figures["known"], figures["known [%]"]) == (208, 205, 98)
    assert figures["failing"] == {"BTC-USDT@simulated": f"3 of 104 are not known, the first of {iso(holes[0])}"}
    [event] = [event for event in desk.events("funding_rates") if event.partition == BTC_MONTH]
    assert event.metadata["not known"].value == ", ".join(str(iso(time)) for time in holes)
    assert months_behind(desk.stores) is None
    again = run(desk, key=BTC_MONTH)
    assert check_of(again)[0] and stored(desk) == told(simulator, OCTOBER, NOW)
    newest = desk.events("funding_rates")[0]
    assert (newest.partition, newest.metadata["new"].value, newest.metadata["known [%]"].value) == (BTC_MONTH, 3, 100)


def test_a_rate_that_the_exchange_changed_is_a_revision(desk: Desk, simulator: SimulatorClient, machine: Machine) -> None:
    """C23: reads as of an earlier time still give the old rate."""
    assert run(desk).success
    before, known_at = stored(desk), machine.now_ms
    changed = OCTOBER + 5 * EIGHT
    simulator.add_faults(
        {"action": "revise", "endpoint": "funding", "symbol": "BTC-USDT", "open_time": changed, "price_factor": 3}
    )
    machine.now_ms += 3_600_000
    assert run(desk, key=BTC_MONTH).success
    after = stored(desk)
    [(old, new)] = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert old[0] == new[0] == changed and new[1] == 3 * old[1]
    assert stored(desk, as_of_ms=known_at) == before
    event = desk.events("funding_rates")[0]
    assert (event.metadata["changed"].value, event.metadata["new"].value) == (1, 0)
    assert run(desk, key=BTC_MONTH).success and stored(desk) == after


def test_a_market_without_a_perpetual_is_named_and_stops_no_other(
    home: Path, database_url: str, simulator: SimulatorClient
) -> None:
    desk = desk_at(home, database_url, simulator.url, ["BTC-USDT", "BTX-USDT"])
    result = run(desk)
    assert result.success
    passed, figures = check_of(result)
    assert not passed and list(figures["failing"]) == ["BTX-USDT@simulated"] and figures["known"] == 104
    [event] = [event for event in desk.events("funding_rates") if event.partition == "BTX-USDT@simulated|2025-10"]
    assert "Invalid symbol" in event.metadata["refused"].value and event.metadata["known [%]"].value == 0
    assert len(stored(desk)) == 104


def test_a_renamed_coin_is_asked_for_under_its_old_name_before(
    home: Path, database_url: str, machine: Machine, simulator: SimulatorClient
) -> None:
    """MATIC became POL in September 2024; between MATIC's end and POL's beginning the simulator lists neither."""
    built = build_desk(home, database_url, simulator.url, FIRST_MONTH="2024-08")
    assert built.settings.exchanges["simulated"].funding == "binance"
    desk = replace(built, instance=dg.DagsterInstance.ephemeral())
    assert run(desk, key="POL-USDT@simulated|2024-09").success
    asked = sorted((entry["params"]["symbol"], entry["rows"]) for entry in simulator.journal())
    assert asked == [("MATICUSDT", 0), ("MATICUSDT", 28), ("POLUSDT", 52)]  # that MATIC ended is asked for, not assumed
    [event] = desk.events("funding_rates")
    assert (event.metadata["dagster/row_count"].value, event.metadata["due"].value) == (80, 80)
    assert "not known" not in event.metadata
    pol = next(market for market in desk.settings.market_list() if market.base == "POL")
    september = month_window("2024-09")
    rates = read_funding(desk.stores.database, [pol], *september)[pol]
    # 2024-09-10T00:00Z is the last of MATIC: whatever is missing before it was due.
    short = [each for each in rates if each.rate.time_ms != 1_725_926_400_000 - EIGHT]
    assert coverage_in(desk.settings, pol, september, NOW, short).missing == (1_725_926_400_000 - EIGHT,)
    only_pol = [each for each in rates if each.rate.time_ms > 1_725_926_400_000]
    assert len(coverage_in(desk.settings, pol, september, NOW, only_pol).missing) == 38


def test_an_exchange_that_is_down_leaves_what_is_stored_and_is_asked_again(desk: Desk, simulator: SimulatorClient) -> None:
    simulator.add_faults({"action": "status", "status": 503, "endpoint": "funding", "symbol": "ETH-USDT"})
    assert run(desk, scheduled=True).success
    assert {event.partition.split("|")[0] for event in desk.events("funding_rates")} == {"BTC-USDT@simulated"}
    keys = [BTC_MONTH, "ETH-USDT@simulated|2025-10"]
    loaded = load_funding(desk.stores, desk.market_data, keys, whole=True, run_id="by a person")
    [(key, error)] = loaded.failures
    assert [month.key for month in loaded.months] == [BTC_MONTH] and key == "ETH-USDT@simulated|2025-10"
    assert isinstance(error, ExchangeUnavailable) and str(error).startswith("ETH/USDT: simulated fundingRate failed: HTTP 503")
    assert months_behind(desk.stores) == ["2025-10", "2025-11"]
    simulator.remove_faults()
    result = run(desk, scheduled=True)
    assert result.success and check_of(result)[0] and months_behind(desk.stores) is None


def test_an_exchange_without_funding_is_not_asked(home: Path, database_url: str, simulator: SimulatorClient) -> None:
    desk = build_desk(home, database_url, simulator.url, symbols=["BTC-USDT"], FIRST_MONTH="2025-10")
    assert desk.settings.funding_profile() is None and months_behind(desk.stores) is None
    result = run(desk)
    [failure] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    words = "exchanges.simulated.funding is not set: simulated is not asked for funding rates"
    assert words in str(failure.event_specific_data.error_display_string)
    schedule = desk.definitions.resolve_schedule_def("funding_schedule")
    with (
        dg.DagsterInstance.local_temp(str(home)) as instance,
        dg.build_schedule_context(instance, resources={"stores": desk.stores}) as context,
    ):
        skipped = schedule(context)
    assert isinstance(skipped, dg.SkipReason) and "the exchange is not asked for any" in str(skipped.skip_message)
    assert simulator.journal() == []


def test_the_schedule_and_fks_run_ask_for_what_is_behind(desk: Desk, home: Path) -> None:
    schedule = desk.definitions.resolve_schedule_def("funding_schedule")
    with (
        dg.DagsterInstance.local_temp(str(home)) as instance,
        dg.build_schedule_context(
            instance, resources={"stores": desk.stores}, scheduled_execution_time=clock.to_datetime(NOW)
        ) as context,
    ):
        request = schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert {name: request.tags[name] for name in range_tags(desk.stores, ["2025-10"])} == range_tags(
        desk.stores, ["2025-10", "2025-11"]
    )
    launched: list[dict[str, str]] = []
    api: Any = SimpleNamespace(launch=lambda job, tags, assets=None: launched.append(dict(tags)))
    launch_behind(api, desk.stores, "funding")
    assert launched == [{**range_tags(desk.stores, ["2025-10", "2025-11"]), "dagster/schedule_name": "funding_schedule"}]
    assert _forms_of_jobs()["funding"] == MARKET_MONTH
    assert run(desk).success
    assert launch_behind(api, desk.stores, "funding") is None and len(launched) == 1
