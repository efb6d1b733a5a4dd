"""dagster.yaml names our storage class alone; runs and events land in the desk's PostgreSQL and other processes read them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from fks_assets.stores.database import Database
from fks_assets_tests.stores.processes import PROJECT

DAGSTER_YAML = """
telemetry: {enabled: false}
storage: {custom: {module: fks_assets.resources.dagster_storage, class: FksStorage, config: {}}}
"""
SCRIPT = """
import json, sys
import dagster as dg
from dagster._core.instance import InstanceRef

@dg.asset
def tiny() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 3})

with dg.DagsterInstance.get() as instance:
    if sys.argv[1] == "write":
        assert dg.materialize([tiny], instance=instance).success
    event = instance.get_latest_materialization_event(dg.AssetKey("tiny"))
    ref = instance.get_ref()
    with dg.DagsterInstance.from_ref(ref) as again:
        runs = again.get_runs_count()
    rows = event.asset_materialization.metadata["rows"].value
    print(json.dumps({"rows": rows, "runs": runs, "ref": str(ref), "storage": type(instance.run_storage).__name__}))
"""


def run(what: str, dagster_home: Path, **environment: str) -> dict[str, object]:
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, what],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=dagster_home,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "DAGSTER_HOME": str(dagster_home), **environment},
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def test_a_server_by_url_holds_dagsters_events_and_its_password_is_nowhere(tmp_path: Path, database: Database) -> None:
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML)
    url = sa.make_url(database.url).set(password="hunter2").render_as_string(hide_password=False)
    written = run("write", tmp_path, FKS_DATABASE_URL=url)
    read = run("read", tmp_path, FKS_DATABASE_URL=url)
    assert (written["rows"], read["rows"], read["runs"], read["storage"]) == (3, 3, 1, "PostgresRunStorage")
    assert "hunter2" not in str(written["ref"])
    assert "fks_assets.resources.dagster_storage" in str(written["ref"])
    engine = sa.create_engine(sa.make_url(database.url).set(database="fks_dagster"), poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM runs")) == 1


def test_the_embedded_server_holds_dagsters_events_by_default(tmp_path: Path, postgres_home: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML)
    written = run("write", tmp_path, FKS_HOME=str(postgres_home))
    assert (written["rows"], written["storage"]) == (3, "PostgresRunStorage")
    assert not any("sqlite" in path.name or path.suffix == ".db" for path in tmp_path.rglob("*"))
