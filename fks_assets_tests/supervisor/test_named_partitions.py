"""`fks run JOB --partition KEY`: keys of every form that the desk's jobs have, and what is refused before a run is asked for."""

from pathlib import Path

import pytest

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.partitions import ACCOUNT_JOBS, day_before, day_of, last_month
from fks_assets.quant.timeframes import month_of
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.supervisor.launching import asked_range
from fks_assets_tests.desk import Desk, build_desk

TODAY = day_of(now_ms())
KEYS = {
    "critical_path": f"BTC-USDT@simulated|{month_of(now_ms())}",
    "signals": "ETH-USDT@simulated|2024-02",
    "rules": TODAY,
    "ideas": "2024-02-29",
    "backtest_accounts": TODAY,
    "backtest": f"{TODAY}|breakout",
    "differences": "2024-02-29|technical",
    "walk_forward_windows": f"{last_month(now_ms())}|breakout",
    **dict.fromkeys(sorted(ACCOUNT_JOBS), "main"),
    "daily_reports": f"main|{day_before(TODAY)}",
    "weekly_reports": "main|2024-02-26",
    "monthly_reports": f"main|{last_month(now_ms())}",
}


@pytest.fixture
def desk(home: Path, database_url: str) -> Desk:
    return build_desk(home, database_url, "http://127.0.0.1:9")


@pytest.mark.parametrize("job", KEYS)
def test_a_key_of_the_form_of_its_job_is_one_partition_of_it(desk: Desk, job: str) -> None:
    """P1: the job's own definition of its partitions has the key."""
    key = KEYS[job]
    asked = asked_range(desk.settings, job, key, None, None)
    definition = desk.definitions.resolve_job_def(job).partitions_def
    assert definition is not None and definition.has_partition_key(asked.first) and (asked.first, asked.last) == (key, key)


@pytest.mark.parametrize("job", ["critical_path", "rules", "backtest", "walk_forward_windows", "trading", "weekly_reports"])
def test_a_key_of_another_form_is_refused_and_both_forms_are_named(desk: Desk, job: str) -> None:
    for other, key in KEYS.items():
        forms = {asked.split("|")[0].count("-") * 10 + asked.count("|") for asked in (key, KEYS[job])}
        if len(forms) == 1:
            continue
        with pytest.raises(InvalidInput, match=rf"partition '.*' is of the form .*, those of job '{job}' are") as caught:
            asked_range(desk.settings, job, key, None, None)
        assert key in str(caught.value), other


@pytest.mark.parametrize(
    ("job", "key", "words"),
    [
        ("rules", "2026-02-30", "'2026-02-30' is no day"),
        ("rules", "2999-01-01", "month '2999-01' is not on this desk"),
        ("rules", "2022-12-31", "month '2022-12' is not on this desk; it has 2023-01 to"),
        ("backtest", f"{TODAY}|magic", "strategy 'magic' is not on this desk; it has"),
        ("walk_forward_windows", f"{month_of(now_ms())}|breakout", f"it has 2023-01 to {last_month(now_ms())}"),
        ("trading", "nobody", "partition 'nobody' is of none of the forms"),
        ("signals", "DOGE-USDT@simulated|2024-02", "market 'DOGE-USDT@simulated' is not on this desk"),
        ("signals", "BTC-USDT@simulated|2024-13", "'2024-13'"),
        ("daily_reports", f"nobody|{TODAY}", "account 'nobody' is not in the settings; they have main"),
        ("daily_reports", "main|2022-12-31", "month '2022-12' is not on this desk"),
        ("weekly_reports", "main|2024-02-28", "the one that contains it is 2024-02-26"),
        ("monthly_reports", f"main|{month_of(now_ms())}", f"of {month_of(now_ms())} cannot be made before"),
    ],
    ids=[
        *("no day", "month to come", "month before", "strategy", "month under way", "form", "market", "no month"),
        *("account", "day before", "no Monday", "report under way"),
    ],
)
def test_a_key_that_the_desk_does_not_have_is_named(desk: Desk, job: str, key: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        asked_range(desk.settings, job, key, None, None)
    assert words in str(caught.value)


def test_a_month_of_markets_is_nothing_to_a_job_of_accounts(desk: Desk) -> None:
    market = desk.settings.market_list()[0]
    for asked in ((market, None), (None, "2024-02")):
        with pytest.raises(InvalidInput, match=r"--market and --month name is of the form MARKET\|YYYY-MM, .* are ACCOUNT"):
            asked_range(desk.settings, "trading", None, *asked)
    assert asked_range(desk.settings, "risk", None, market, "2024-02").first == f"{market.key}|2024-02"


def test_a_run_of_a_named_day_makes_that_day(home: Path, database_url: str) -> None:
    with running_simulator() as simulator:
        desk = build_desk(home, database_url, simulator.url)
        asked = asked_range(desk.settings, "rules", TODAY, None, None)
        result = desk.definitions.resolve_job_def("rules").execute_in_process(instance=desk.instance, tags=asked.tags)
    assert result.success and desk.materialised("market_rules") == {TODAY}
