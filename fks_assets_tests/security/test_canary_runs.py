"""Runs of a live account that go wrong in every way, with the loudest logs there are, leave no secret behind."""

import asyncio
import itertools
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.instance import InstanceRef
from pydantic import SecretStr

from fks_assets.desk import cycle
from fks_assets.desk.opening import open_gateway
from fks_assets.exchanges.ccxt_loader import load_exchange_class
from fks_assets.exchanges.orders import signing
from fks_assets.resources import dagster_storage
from fks_assets.settings import Settings
from fks_assets.stores import database
from fks_assets.stores.database import database_urls
from fks_assets.stores.ledger.accounts import enable
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential, read_api_key
from fks_assets_tests.portfolio.accounts import account_desk, faults, floor_of, run
from fks_assets_tests.scenarios.stopped_clock import StoppedDesk
from fks_assets_tests.security.canaries import (
    API_KEY,
    CREDENTIAL_KEY,
    PASSWORD,
    SECRET,
    drop_dagsters_database,
    hits,
    hits_in_database,
    hits_in_files,
    with_password,
)

LIVE = {
    "EXCHANGES__simulated__deadline_seconds": "1",
    "ACCOUNTS__main__mode": "live",
    "ACCOUNTS__main__strategies__technical": "0.5",
    "ACCOUNTS__main__strategies__breakout": "0.5",
}
_numbers = itertools.count(1)
DAGSTER_YAML = """
telemetry: {enabled: false}
storage: {custom: {module: fks_assets.resources.dagster_storage, class: FksStorage, config: {}}}
python_logs: {python_log_level: DEBUG, managed_python_loggers: [root]}
"""


@pytest.fixture
def desk(home: Path, postgres_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoppedDesk]:
    """A live account with all switches on; Dagster's instance keeps what it is told in the database and in files."""
    monkeypatch.setenv("FKS_LIVE", "yes")
    monkeypatch.setenv("FKS_CREDENTIAL_KEY", CREDENTIAL_KEY)
    with account_desk(home, postgres_home, f"canary_runs_{next(_numbers)}", **LIVE) as desk:
        settings = with_password_in(desk.desk.settings)
        monkeypatch.setattr(dagster_storage, "load_settings", lambda: settings)
        monkeypatch.setattr(signing, "LARGEST_SKEW_MS", 600_000)
        (home / "dagster").mkdir()
        (home / "dagster" / "dagster.yaml").write_text(DAGSTER_YAML)
        desk.simulator.set_trading(check_timestamps=False)
        desk.simulator.add_account(API_KEY, SECRET, balances={"USDT": "10000"}, fee_rule="quote")
        floor_of(desk).account("main")
        with desk.desk.stores.database.transaction() as connection:
            enable(connection, "main", True, by="test", reason="canaries", at_ms=desk.now_ms)
            key = ApiKey(SecretStr(API_KEY), SecretStr(SECRET))
            add_credential(connection, load_keys(home, {"FKS_CREDENTIAL_KEY": CREDENTIAL_KEY}), "main", key, by="me", at_ms=1)
        with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home / "dagster"))) as instance:
            desk.desk.instance = instance
            yield desk
        assert settings.database_url is not None
        drop_dagsters_database(settings.database_url.get_secret_value())
        # A process remembers which databases it has found; these are gone.
        database._prepared.clear()


def with_password_in(settings: Settings) -> Settings:
    assert settings.database_url is not None
    url = with_password(settings.database_url.get_secret_value(), PASSWORD)
    return settings.model_copy(update={"database_url": SecretStr(url)})


@pytest.fixture
def loud(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything logs everything: ccxt, aiohttp, asyncio's debug mode, SQLAlchemy with rows and parameters."""
    load_exchange_class("binance")
    names = ("", "ccxt", "aiohttp", "asyncio", "sqlalchemy.engine", "sqlalchemy.pool", "dagster", "fks_assets")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def the_secret_of(gateway: Any) -> str:
    """Return what a careless line of code could get hold of."""
    return f"{gateway.venue._signer._client.apiKey} {gateway.venue._signer._client.secret}"


async def crash_with_secrets(gateway: Any) -> Any:
    """Fail as a careless programmer's code does: the secret in a log, in an error, in its cause, and in a note."""
    secret = the_secret_of(gateway)
    logging.getLogger("somebody.elses").warning("signing with %s", secret)
    print_nothing = {"headers": {"X-MBX-APIKEY": secret}}
    try:
        raise KeyError(str(print_nothing))
    except KeyError as error:
        error.add_note(secret)
        raise RuntimeError(f"cannot sign with {secret}", secret.encode()) from error


async def crash_stubbornly(gateway: Any) -> Any:
    secret = the_secret_of(gateway)

    class Careless(Exception):
        """An error whose words are made anew each time they are asked for."""

        def __str__(self) -> str:
            return f"the request was {secret}"

    raise Careless


CRASHES: dict[str, Callable[[Any], Any]] = {"careless": crash_with_secrets, "stubborn": crash_stubbornly}
FAULTS: dict[str, dict[str, Any]] = {
    "status 500": {"action": "status", "status": 500},
    "status 401": {"action": "status", "status": 401},
    "malformed": {"action": "drop_after_accept", "how": "torn"},
    "html": {"action": "drop_before", "how": "html"},
    "reset": {"action": "drop_before", "how": "reset"},
}


@pytest.mark.nightly
def test_failing_runs_leave_no_secret_in_events_logs_files_databases_or_output(
    desk: StoppedDesk, loud: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Issue 5, S2: canaries; each way of failing is seen to have failed."""
    settings = desk.desk.settings
    asyncio_debug = asyncio.run
    monkeypatch.setattr(asyncio, "run", lambda work: asyncio_debug(work, debug=True))
    desk.desk.stores.database.engine.echo = "debug"
    told: dict[str, list[str]] = {"well": faults(run(desk, "order_monitor", asked=True))}
    for name, rule in FAULTS.items():
        desk.simulator.add_faults({"name": "trouble", "endpoint": "private", **rule})
        told[name] = faults(run(desk, "order_monitor", asked=True))
        desk.simulator.remove_faults()
    for name, crash in CRASHES.items():
        with monkeypatch.context() as patch:
            patch.setattr(cycle, "reconcile", crash)
            told[name] = faults(run(desk, "order_monitor", asked=True))
    with desk.desk.stores.database.transaction() as connection:
        connection.execute(sa.text("UPDATE credentials SET ciphertext = set_byte(ciphertext, 5, get_byte(ciphertext, 5) # 1)"))
    told["changed row"] = faults(run(desk, "order_monitor", asked=True))

    assert told.pop("well") == []
    assert all(len(words) == 1 for words in told.values()), told
    assert "cannot sign with [hidden]" in str(told["careless"]) and "the request was [hidden]" in str(told["stubborn"])
    assert hits(str(told)) == []

    urls = database_urls(settings.home, settings.database_url.get_secret_value() if settings.database_url else None)
    for url in (urls.fks, urls.dagster):
        assert hits_in_database(url) == []
    logs = loud.text + "".join(repr(vars(record)) for record in loud.records)
    assert hits(logs) == []
    assert "INSERT INTO" in logs and "signing with [hidden]" in logs and "GET account" not in logs
    output = capfd.readouterr()
    assert hits(output.out + output.err) == []
    assert "STEP_FAILURE" in output.err
    assert hits_in_files(settings.home) == []
    captured = [path for path in (settings.home / "dagster" / "storage").rglob("*.err") if path.stat().st_size]
    assert captured, "Dagster captured no output"
    events = desk.desk.instance.all_logs(desk.desk.instance.get_runs(limit=1)[0].run_id)
    assert hits(repr(events)) == []


def test_an_event_with_a_secret_in_its_metadata_is_stored_without_it(desk: StoppedDesk) -> None:
    """S2: messages, metadata and failures of any asset in a process that knows the secret; class names stay."""
    instance = desk.desk.instance

    @dg.asset
    def careless(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        context.log.info(f"key {API_KEY}")
        return dg.MaterializeResult(metadata={"key": API_KEY, "rows": 3, "where": dg.MetadataValue.url(f"https://x/?k={SECRET}")})

    @dg.asset
    def broken() -> None:
        raise dg.Failure(f"refused {SECRET}", metadata={"request": API_KEY})

    assert dg.materialize([careless], instance=instance).success
    assert not dg.materialize([broken], instance=instance, raise_on_error=False).success
    [event] = instance.fetch_materializations(dg.AssetKey("careless"), limit=1).records
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert (metadata["key"].value, metadata["rows"].value, metadata["where"].value) == ("[hidden]", 3, "https://x/?k=[hidden]")
    settings = with_password_in(desk.desk.settings)
    assert settings.database_url is not None
    assert hits_in_database(database_urls(settings.home, settings.database_url.get_secret_value()).dagster) == []


def test_no_object_that_holds_a_secret_shows_it(desk: StoppedDesk) -> None:
    """S2: repr, str and format of settings, stores, keys, venues and requests, and of the variables around them."""
    settings = with_password_in(desk.desk.settings)
    assert settings.database_url is not None
    keys = load_keys(settings.home, {"FKS_CREDENTIAL_KEY": CREDENTIAL_KEY})
    stored = read_api_key(desk.desk.stores.database, keys, "main")
    urls = database_urls(settings.home, settings.database_url.get_secret_value())
    instance = desk.desk.instance
    shown: list[Any] = [
        *(settings, settings.model_dump(), settings.model_dump_json(), settings.database_url, vars(settings)),
        *(keys, keys.current, keys.keys, stored, urls, desk.desk.stores.database, desk.desk.stores.database.engine),
        *(
            instance.get_ref(),
            instance.info_dict(),
            instance.storage_directory(),
            str(instance.event_log_storage.__dict__.keys()),
        ),
        floor_of(desk),
    ]

    async def look() -> None:
        floor = floor_of(desk)
        async with open_gateway(floor, floor.account("main"), holder="test") as gateway:
            venue: Any = gateway.venue
            await venue.ready()
            request = venue._signer.request("account", "GET", {})
            assert API_KEY in str(dict(request.headers)), "the request is signed"
            shown.extend([gateway, venue, venue._signer, venue._signer._client, venue._transport, request, vars(gateway)])
            shown.append(await venue.balances())
            try:
                raise ValueError("somewhere inside")
            except ValueError as error:
                shown.extend(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    asyncio.run(look())
    for each in shown:
        assert hits(f"{each!r} {each} {each:}") == [], type(each)
