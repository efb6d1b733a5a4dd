"""Plain `dagster dev` beside workspace.yaml and dagster.yaml works with nothing prepared and leaves nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from fks_assets.errors import TradingError
from fks_assets.settings import PROJECT_ROOT
from fks_assets.stores import embedded
from fks_assets.supervisor import ports
from fks_assets.supervisor.graphql import DeskApi
from fks_assets.supervisor.sweep import TOKEN_VARIABLE, sweep
from fks_assets_tests.supervisor.desks import environment_of, leftovers, wait_for


@pytest.mark.nightly
def test_dagster_dev_serves_the_desk_from_its_own_database(home: Path, tmp_path: Path) -> None:
    folder, token, port = tmp_path / "project", "dagster-dev-test", ports.any_free()
    folder.mkdir()
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(PROJECT_ROOT / name, folder)
    environment = environment_of(
        home,
        port,
        FKS_EXCHANGE="simulated",
        FKS_HISTORY_DAYS__5m="1",
        FKS_HISTORY_DAYS__1h="2",
        FKS_HISTORY_DAYS__1d="5",
        FKS_EXCHANGES__SIMULATED__URL=f"http://{ports.HOST}:{ports.any_free()}",
        PYTHONPATH=str(PROJECT_ROOT),
        **{TOKEN_VARIABLE: token},
    )
    log = (tmp_path / "dev.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "dev", "--port", str(port)],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    api = DeskApi(f"http://{ports.HOST}:{port}", 20.0)

    def serves() -> bool:
        assert process.poll() is None, (tmp_path / "dev.log").read_text()
        try:
            return {"critical_path", "risk", "signals"} <= set(api.job_names())
        except TradingError:
            return False

    try:
        wait_for(serves, f"the desk's jobs in dagster dev; it said: {(tmp_path / 'dev.log').read_text()[-2000:]}", 180)
        with psycopg2.connect(host=embedded.status(home).socket_directory, user="fks", dbname="dagster") as connection:
            wait_for(lambda: has_rows(connection), "schedules that tick without being switched on")
        connection.close()
        with psycopg2.connect(host=embedded.status(home).socket_directory, user="fks", dbname="fks") as connection:
            connection.cursor().execute(
                "INSERT INTO notifications (kind, severity, message, dedup_key) VALUES ('alert', 'HIGH', 'hello', 'hello')"
            )
        connection.close()
        alerts = home / "alerts.log"
        wait_for(lambda: alerts.exists() and "hello" in alerts.read_text(), "a message that the outbox sensor delivers", 90)
        process.send_signal(signal.SIGINT)
        process.wait(90)
        wait_for(lambda: leftovers_but_the_database(token) == [], "nothing left of dagster dev")
        assert sorted(each.name for each in folder.iterdir()) == ["dagster.yaml", "workspace.yaml"]
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(60)
        sweep(token, 2.0)
        embedded.stop(home)
        log.close()


def has_rows(connection: "psycopg2.extensions.connection") -> bool:
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM instigators")
        return cursor.fetchone()[0] >= 3


def leftovers_but_the_database(token: str) -> list[str]:
    return [line for line in leftovers(token) if "embedded_keeper" not in line and "simulat" not in line]
