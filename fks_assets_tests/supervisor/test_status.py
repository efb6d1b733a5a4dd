"""What `fks status` says of the candles: who is late, who gives no signals, and who is neither."""

from pathlib import Path

import pytest

from fks_assets.clock import MILLISECONDS_PER_DAY, iso, now_ms
from fks_assets.settings import Settings, read_settings
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.market_checks import CheckResult, record_checks
from fks_assets.stores.notification_targets import register_target, target_died
from fks_assets.stores.sync_status import SyncState, record_sync
from fks_assets.supervisor.status import SyncReport, channel_problems, sync_reports
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.quant.series import START_MS, synthetic

LAST = now_ms() - now_ms() % MILLISECONDS_PER_DAY - 10 * MILLISECONDS_PER_DAY


@pytest.fixture
def desk(home: Path, database_url: str) -> Desk:
    """A desk of two markets whose last candles are ten days old."""
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "ETH-USDT"], TIMEFRAMES="1d")
    with desk.stores.database.transaction() as connection:
        for market in desk.settings.market_list():
            record_sync(connection, market, "1d", state=SyncState.COMPLETED, newest_open=LAST, at_ms=LAST)
    return desk


def _report(settings: Settings) -> SyncReport:
    [report] = sync_reports(settings)
    return report


def _told(desk: Desk, database_url: str, line: str = "", **environment: str) -> Settings:
    """Return the desk's settings with a line more for its first market, and with others from the environment."""
    home = desk.settings.home
    text = (home / "desk.toml").read_text(encoding="utf-8")
    (home / "desk.toml").write_text(text.replace('symbol = "BTC-USDT"\n', f'symbol = "BTC-USDT"\n{line}\n'), encoding="utf-8")
    fixed = {"FKS_DESK": str(home / "desk.toml"), "FKS_HOME": str(home), "FKS_DATABASE_URL": database_url, "FKS_TIMEFRAMES": "1d"}
    return read_settings({**fixed, **environment}, home)


@pytest.mark.parametrize(
    "line",
    [f"delisted = {iso(LAST + MILLISECONDS_PER_DAY)}", f"listed = {iso(LAST + 20 * MILLISECONDS_PER_DAY)}"],
    ids=["delisted", "not listed yet"],
)
def test_a_market_is_late_unless_it_was_delisted_or_is_not_listed_yet(desk: Desk, database_url: str, line: str) -> None:
    first, second = (market.key for market in desk.settings.market_list())
    assert _report(desk.settings).late == [first, second]
    assert _report(_told(desk, database_url, line)).late == [second]


def test_a_replay_of_the_past_is_never_late(desk: Desk, database_url: str) -> None:
    assert _report(_told(desk, database_url, FKS_SIMULATOR__REPLAY=str(desk.settings.home))).late == []


def test_a_market_that_gives_no_signals_is_named_with_the_reasons(desk: Desk) -> None:
    market = desk.settings.market_list()[1]
    assert _report(desk.settings).blocked == {}
    partition = PartitionId("ohlcv", market, "1d", iso(START_MS)[:7])
    with desk.stores.candles.begin([partition]) as transaction:
        transaction.merge(partition, candles_table([(synthetic(1), "exchange")]), known_at_ms=START_MS)
        record_checks(transaction.connection, [CheckResult(market, "1d", "sane", "1 suspect candles")], START_MS)
    assert _report(desk.settings).blocked == {market.key: "sane: 1 suspect candles"}


def test_a_channel_that_no_message_reaches_is_a_problem(desk: Desk, database_url: str) -> None:
    """N3: a dead webhook is seen where a person looks, not only on the other channels."""
    named = {"FKS_NOTIFICATIONS__CHANNELS__DISCORD__TYPE": "discord", "FKS_NOTIFICATIONS__CHANNELS__DISCORD__URL_ENV": "HOOK"}
    settings = _told(desk, database_url, **named)
    with desk.stores.database.transaction() as connection:
        register_target(connection, "one", "discord", "discord.com …abcd", at_ms=LAST)
    assert channel_problems(settings) == []
    with desk.stores.database.transaction() as connection:
        target_died(connection, "one", reason="HTTP 404", at_ms=LAST)
    assert channel_problems(settings) == ["messages do not reach discord (discord.com …abcd): HTTP 404"]
    assert channel_problems(desk.settings) == []
