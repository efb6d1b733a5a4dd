"""Live = backtest (D7): each cause is injected at a desk that lives through a day, and gets its label and no other.

Which decisions must differ is worked out from the signs of the candles' moves, not from the strategy.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fks_assets.assets.analysis import derive
from fks_assets.clock import now_ms
from fks_assets.quant.strategies.registry import create_strategy, register_folder
from fks_assets.quant.timeframes import month_of
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.strategies import remove_parameters, write_parameters
from fks_assets_tests.trading.desks import HOUR
from fks_assets_tests.trading.live_days import DAY, MIDNIGHT, STEP, LiveDay

WORDS = {1: "BUY", -1: "SELL", 0: "HOLD"}


@pytest.fixture
def day(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveDay]:
    yield LiveDay(home, database_url, monkeypatch)
    register_folder(None)


def check_of(result: dg.ExecuteInProcessResult) -> Any:
    [check] = result.get_asset_check_evaluations()
    return check


def put(day: LiveDay, name: str, least: float) -> None:
    full = create_strategy("mover", {"least": least}).parameters.model_dump(mode="json")
    with day.desk.stores.database.transaction() as connection:
        write_parameters(connection, name, "mover", full, by="Ada", note="", at_ms=now_ms())


def test_an_untouched_day_has_no_difference(day: LiveDay) -> None:
    day.live()
    check = check_of(day.compare())
    assert check.passed
    assert (check.metadata["decisions"].value, check.metadata["differences"].value) == (6, 0)
    assert day.found() == {}
    [event] = day.desk.events("live_backtest_difference")
    [row] = event.metadata["causes"].records
    assert row.data == {"parameter set": "mover", "decisions": 6, "trades": 0, "cause": "none", "differences": 0}
    [record] = latest_inputs(day.desk.stores.database, "live_backtest_difference", [f"{DAY}|mover"]).values()
    assert {ref.asset for ref in record.inputs} >= {"ohlcv_4h", "indicators_4h", "signals_4h"}
    day.compare()
    assert len(day.desk.events("live_backtest_difference")) == 1, "nothing new, so no event"


@pytest.mark.parametrize("derived_again", [False, True])
def test_a_candle_that_is_restated_after_the_decision_is_a_data_revision(day: LiveDay, derived_again: bool) -> None:
    """Whether or not the signals have been derived again since: what was decided then is what counts."""
    day.live()
    before = day.moves()
    day.stand_at(MIDNIGHT + 22 * HOUR)
    turned = 0.9 if before[3] > 0 else 1.1
    day.restate(3, float(day.candles.close[-4]) * turned)
    after = day.moves()
    if derived_again:
        day.derive()
    check = check_of(day.compare())
    assert not check.passed and check.severity is dg.AssetCheckSeverity.WARN
    assert check.metadata["causes"].value == {"data revision": check.metadata["differences"].value}
    changed = {place for place in range(6) if before[place] != after[place]}
    assert 3 in changed
    found = day.found()
    # The candle's own stop and target change with its close, whatever its sign; those of the next one only with its sign.
    assert found.keys() == changed | {3}
    for place in changed:
        assert found[place] == ("data revision", WORDS[before[place]], WORDS[after[place]])
    assert read_notifications(day.desk.stores.database, ["unexplained_difference"]) == []


def test_a_candle_that_comes_late_is_late_data_for_its_decision_and_for_the_next(day: LiveDay) -> None:
    """The next candle's move was judged against the candle before the hole."""
    hole = 2
    closes = day.candles.close[-7:].copy()
    closes[hole + 2] = (closes[hole] + closes[hole + 1]) / 2
    row = len(day.candles) - 6 + hole + 1
    whole = day.candles.close.copy()
    whole[row] = closes[hole + 2]
    day.candles = replace(
        day.candles,
        close=whole,
        high=day.candles.high.clip(min=whole),
        low=day.candles.low.clip(max=whole),
    )
    truth = day.moves()
    with_hole = 1 if closes[hole + 2] > closes[hole] else -1
    assert truth[hole + 1] == -with_hole, "the hole turns the sign of the next move"

    def later(place: int) -> None:
        if place == 4:
            day.arrives(day.candles.slice(row - 1, row))

    day.live(missing=[hole], between=later)
    check = check_of(day.compare())
    assert check.metadata["causes"].value == {"late data": 2}
    assert day.found() == {
        hole: ("late data", "nothing", WORDS[truth[hole]]),
        hole + 1: ("late data", WORDS[with_hole], WORDS[truth[hole + 1]]),
    }


def test_a_desk_that_slept_decided_nothing(day: LiveDay) -> None:
    day.stand_at(MIDNIGHT + 23 * HOUR)
    day.arrives(day.candles)
    months = sorted({month_of(int(opened)) for opened in day.candles.open_time})
    assert day.desk.run(["indicators_4h", "signals_4h"], months, scheduled=True).success
    day.compare()
    truth = day.moves()
    assert day.found() == {place: ("late data", "nothing", WORDS[truth[place]]) for place in range(6)}


def test_a_change_of_the_code_is_named(day: LiveDay) -> None:
    """C27: the code of then cannot be asked any more; that it was another is recorded with every signal."""
    day.live()
    before = day.moves()
    day.load_code(" * -1")
    check = check_of(day.compare())
    assert check.metadata["causes"].value == {"code change": 6}
    assert day.found() == {place: ("code change", WORDS[move], WORDS[-move]) for place, move in enumerate(before)}
    [event] = day.desk.events("live_backtest_difference")
    words = event.metadata["differences"].records[0].data["words"]
    assert words.startswith("code ") and " decided then, " in words


def test_a_change_of_the_parameters_is_named(day: LiveDay) -> None:
    changes = [abs(float(b / a - 1)) for a, b in zip(day.candles.close[-7:-1], day.candles.close[-6:], strict=True)]
    least = sorted(changes)[2]
    day.live()
    before = day.moves()
    put(day, "mover", least)
    day.derive()
    check = check_of(day.compare())
    small = {place for place, change in enumerate(changes) if change <= least}
    assert check.metadata["causes"].value == {"parameter change": len(small)}
    assert day.found() == {place: ("parameter change", WORDS[before[place]], "HOLD") for place in small}


def test_a_set_that_began_during_the_day_decided_nothing_before(day: LiveDay) -> None:
    def begin(place: int) -> None:
        if place == 2:
            put(day, "second", 0.0)

    day.live(between=begin)
    day.compare()
    [event] = day.desk.events("live_backtest_difference")
    rows = [row.data for row in event.metadata["differences"].records]
    assert {row["parameter set"] for row in rows} == {"second"}
    assert [row["cause"] for row in rows] == ["parameter change"] * 3, "it was made a minute after 08:00"


def test_a_set_that_was_removed_is_not_compared(day: LiveDay) -> None:
    def change(place: int) -> None:
        if place == 1:
            put(day, "second", 0.0)
        if place == 3:
            with day.desk.stores.database.transaction() as connection:
                remove_parameters(connection, "second", by="Ada", note="", at_ms=now_ms())

    day.live(between=change)
    check = check_of(day.compare())
    assert check.passed and check.metadata["decisions"].value == 6


def test_two_causes_on_one_day_are_told_apart(day: LiveDay) -> None:
    """Each difference has its own cause: a late candle in the morning, a restated one in the evening."""

    def later(place: int) -> None:
        if place == 2:
            day.arrives(day.candles.slice(len(day.candles) - 6, len(day.candles) - 5))

    day.live(missing=[0], between=later)
    before = day.moves()
    day.stand_at(MIDNIGHT + 23 * HOUR)
    day.restate(5, float(day.candles.close[-6]) * (0.8 if before[5] > 0 else 1.2))
    day.compare()
    found = day.found()
    assert found[0][0] == "late data" and found[5][0] == "data revision"
    assert {place for place, (cause, *_) in found.items() if cause == "data revision"} == {5}
    assert {place for place, (cause, *_) in found.items() if cause == "late data"} <= {0, 1}


def test_a_candle_restated_while_signals_are_made_from_the_old_one_is_a_data_revision(
    day: LiveDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal is stored after the correction, and was made before it: the record of its inputs says so."""
    real = derive.plan_derivations

    def restating(stores: Any, asset: str, *arguments: Any, **options: Any) -> Any:
        plan = list(real(stores, asset, *arguments, **options))
        last = day.opens[4] + STEP + 60_000
        if asset == "signals_4h" and now_ms() == last:
            day.stand_at(last + 1_000)
            day.restate(4, float(day.candles.close[-3]) * (0.8 if day.moves()[4] > 0 else 1.2))
            day.stand_at(last + 2_000)
        return plan

    before = day.moves()
    monkeypatch.setattr(derive, "plan_derivations", restating)
    day.live()
    day.compare()
    found = day.found()
    assert found[4] == ("data revision", WORDS[before[4]], WORDS[-before[4]])
    assert {cause for cause, *_ in found.values()} == {"data revision"}


def test_what_nobody_can_explain_is_an_error_and_is_told_once(day: LiveDay) -> None:
    """A signal in the store that its strategy never gave."""
    day.live()
    before = day.moves()
    day.stand_at(day.opens[5] + STEP + 120_000)
    candles = day.desk.stores.candles
    partition = PartitionId("signals.mover", day.market, "4h", "2026-03")
    with candles.begin([partition]) as transaction:
        rows = transaction.read(partition)
        last = rows.num_rows - 1
        flipped = rows.drop_columns(["known_at"]).slice(last)
        values = flipped.column("action").to_numpy() * -1
        flipped = flipped.set_column(1, "action", [values])
        transaction.drop(partition)
        # Written anew without the row that was given, then with the false one: no version of it is right.
        transaction.merge(partition, rows.drop_columns(["known_at"]).slice(0, last), known_at_ms=day.opens[4])
        transaction.merge(partition, flipped, known_at_ms=now_ms())
    check = check_of(day.compare())
    assert not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
    assert check.metadata["unexplained"].value == 1
    assert day.found()[5] == ("unexplained", WORDS[-before[5]], WORDS[before[5]])
    day.compare(scheduled=False)
    [told] = read_notifications(day.desk.stores.database, ["unexplained_difference"])
    assert told.severity == "HIGH"
    assert told.message.startswith(f"⚠️ mover on {DAY}: 1 of 6 decisions and 0 trades differ from its backtest without a cause, ")


def test_a_strategy_that_breaks_now_is_an_error_of_the_check_and_stops_no_other(day: LiveDay) -> None:
    """S3.4: what cannot be asked again cannot be held against anything."""
    day.live()
    day.load_code("\n        raise RuntimeError('out of luck')")
    day.stand_at(MIDNIGHT + 24 * HOUR + 30 * 60_000)
    tags = {"dagster/asset_partition_range_start": f"{DAY}|mover", "dagster/asset_partition_range_end": f"{DAY}|mover"}
    job = day.desk.definitions.resolve_job_def("differences")
    result = job.execute_in_process(instance=day.desk.instance, tags=tags, raise_on_error=False)
    check = check_of(result)
    assert not result.success
    assert not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
    (words,) = check.metadata["could not be compared"].value.values()
    assert words.endswith("RuntimeError: out of luck")


def test_a_decision_that_can_still_be_followed_is_not_compared_yet(day: LiveDay) -> None:
    day.live()
    day.stand_at(day.opens[5] + STEP + 120_000)
    tags = {"dagster/asset_partition_range_start": f"{DAY}|mover", "dagster/asset_partition_range_end": f"{DAY}|mover"}
    result = day.desk.definitions.resolve_job_def("differences").execute_in_process(instance=day.desk.instance, tags=tags)
    assert check_of(result).metadata["decisions"].value == 5


def test_the_schedule_asks_for_the_two_days_before_every_strategy_and_a_person_for_the_last(day: LiveDay) -> None:
    """T4: what could still be followed at the end of a day is compared on the next one."""
    from fks_assets.partitions import strategy_day_range, tags_of_today

    day.stand_at(MIDNIGHT + 24 * HOUR + 30 * 60_000)
    schedule = day.desk.definitions.resolve_schedule_def("differences_schedule")
    with dg.DagsterInstance.local_temp(str(day.home)) as instance, dg.build_schedule_context(instance) as context:
        request = schedule(context)
    assert schedule.cron_schedule == "30 0 * * *"
    assert request.tags == strategy_day_range("2026-03-11", DAY)
    assert request.tags["dagster/asset_partition_range_end"] == strategy_day_range(DAY)["dagster/asset_partition_range_end"]
    assert strategy_day_range(DAY) == tags_of_today("differences", "2026-03-13")
