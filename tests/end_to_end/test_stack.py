"""`mtl stack`: a scheduled retraining on real servers with passwords, as a team has them, from nothing to a champion."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pyarrow.parquet as pq
import pytest
import s3fs

from flows.stack.keeper import KEEPER
from flows.stack.plan import SECTION, Plan, read_plan
from mtl.config import read_params
from mtl.data.raw.rows import read_split
from mtl.data.spec import DatasetSpec
from tests.conftest import ROOT, clean_environment, dvc, free_port, make_checkout, mtl, set_params
from tests.flows.watch import Watched
from tests.servers import ask, let_others_in

SECONDS = 400


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Path:
    """A checkout whose home Postgres can reach as nobody."""
    folder = tmp_path_factory.mktemp("stack")
    folder.chmod(0o711)
    let_others_in(folder)
    return make_checkout(folder, downloads, "schedule.cron='* * * * *'", "data.source.num_train=200")


@pytest.fixture(scope="module")
def plan(checkout: Path) -> Iterator[Plan]:
    """A running stack with three Ray nodes; nothing of it is left afterwards."""
    let_others_in(checkout)  # a pytest that starts meanwhile closes its folder again
    done = mtl(checkout, "stack", "up", "--nodes", "3")
    if done.returncode:
        mtl(checkout, "stack", "down")
        pytest.fail(done.stdout + done.stderr)
    home = checkout / ".mtl" / "stack"
    keeper = psutil.Process(json.loads((home / KEEPER).read_text())["pid"])
    family = [keeper, *keeper.children(recursive=True)]
    found = read_plan(home)
    assert found is not None
    try:
        yield found
    finally:
        ended = mtl(checkout, "stack", "down")
        assert "has ended" in ended.stdout, ended.stdout + ended.stderr
        assert not [process for process in family if process.is_running()]
        assert mtl(checkout, "stack", "status").returncode == 1


def bucket_of(plan: Plan, key: str = "mtl", secret: str = "") -> Any:
    """The stack's object store."""
    return s3fs.S3FileSystem(
        key=key,
        secret=secret or plan.secrets["store"],
        endpoint_url=plan.url("store_s3"),
        use_listings_cache=False,
        skip_instance_cache=True,
    )


def basic(user: str, password: str) -> str:
    """As browsers say who they are."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@contextlib.contextmanager
def serving(checkout: Path, environment: dict[str, str]) -> Iterator[Watched]:
    """`mtl serve` on the stack's Prefect server."""
    own = clean_environment() | {"PYTHONPATH": str(checkout)} | environment
    served = Watched([sys.executable, "-m", "flows.cli", "serve"], checkout, own)
    try:
        yield served
    finally:
        served.end(seconds=120)


@pytest.fixture(scope="module")
def champion(checkout: Path, plan: Plan) -> dict[str, Any]:
    """What the schedule made: its first tick retrains on the cluster, registers and promotes, the next one does nothing."""
    dvc(checkout, "remote", "add", "--force", "--default", "team", "s3://mtl/dvc", **plan.environment())
    section = read_params(checkout / ".mtl" / "stack" / SECTION)["cluster"] | {"prepare": "ray"}
    set_params(checkout / "params.yaml", *(f"cluster.{name}={value}" for name, value in section.items()))
    with serving(checkout, plan.environment()) as served:
        for stage in ("prepare", "train"):
            served.until(f"{stage}: handed over to", SECONDS)
        served.until("registered as version 1", SECONDS)
        served.until("unchanged", SECONDS)
        lines = served.output
    found = json.loads(mtl(checkout, "status", "--json", **plan.environment()).stdout)
    return {**found, "lines": lines}


@pytest.mark.stack
def test_a_scheduled_retraining_from_end_to_end(checkout: Path, plan: Plan, champion: dict[str, Any]) -> None:
    assert champion["champion"]["version"] == 1
    runs = ask(f"{plan.url('prefect')}/api/flow_runs/filter", basic("mtl", plan.secrets["prefect"]), {})
    assert [run for run in runs if run["auto_scheduled"] and run["state_type"] == "COMPLETED"]
    jobs = ask(f"{plan.url('ray')}/api/jobs/", f"Bearer {plan.secrets['ray']}")
    assert [job["status"] for job in jobs] == ["SUCCEEDED", "SUCCEEDED"]
    bucket = bucket_of(plan)
    assert any(path.endswith(".safetensors") for path in bucket.find("mtl/mlflow"))
    assert bucket.find("mtl/dvc")
    with psycopg2.connect(plan.database("mlflow", "psycopg2").replace("+psycopg2", "")) as link:
        cursor = link.cursor()
        cursor.execute("select version from registered_model_aliases where alias = 'champion'")
        assert cursor.fetchall() == [(1,)]


@pytest.mark.stack
def test_wrong_credentials_are_refused_everywhere(checkout: Path, plan: Plan) -> None:
    for url, authorization in (
        (f"{plan.url('mlflow')}/api/2.0/mlflow/experiments/search?max_results=1", basic("admin", "wrong")),
        (f"{plan.url('mlflow')}/api/2.0/mlflow-artifacts/artifacts", ""),
        (f"{plan.url('prefect')}/api/admin/version", basic("mtl", "wrong")),
        (f"{plan.url('prefect')}/api/admin/version", ""),
        (f"{plan.url('ray')}/api/jobs/", "Bearer wrong"),
        (f"{plan.url('ray')}/api/jobs/", ""),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url, authorization)
        assert refused.value.code in (401, 403), url
    for key, secret in (("mtl", "wrong"), ("nobody", plan.secrets["store"])):
        client = s3fs.S3FileSystem(
            key=key,
            secret=secret,
            endpoint_url=plan.url("store_s3"),
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        with pytest.raises(PermissionError):
            client.find("mtl")
    for password in ("wrong", ""):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(
                host="127.0.0.1", port=plan.ports["postgres"], user="mtl", password=password, dbname="mlflow"
            )


@pytest.mark.stack
@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "wrong", ["status"]),
        ("PREFECT_API_AUTH_STRING", "mtl:wrong", ["retrain"]),
        ("PREFECT_API_AUTH_STRING", "mtl:wrong", ["serve"]),
        ("RAY_AUTH_TOKEN", "wrong", ["retrain", "--set", "train.epochs=2"]),
        ("AWS_SECRET_ACCESS_KEY", "wrong", ["retrain", "--set", "train.epochs=2"]),
    ],
)
def test_a_wrong_password_is_the_users_to_mend(
    checkout: Path, plan: Plan, champion: dict[str, Any], name: str, value: str, command: list[str]
) -> None:
    done = mtl(checkout, *command, **plan.environment() | {name: value})
    output = done.stdout + done.stderr
    assert done.returncode == 2, output[-3000:]
    last = output.rpartition("error: ")[2]  # before it, Prefect's own lines of a flow that failed
    assert "fix:" in last
    assert "Traceback" not in last
    assert json.loads(mtl(checkout, "status", "--json", **plan.environment()).stdout)["champion"]["version"] == 1


@pytest.mark.stack
def test_no_secret_is_anywhere(checkout: Path, plan: Plan, champion: dict[str, Any], tmp_path: Path) -> None:
    """Not in files of the checkout, the registry, logs of flows and jobs, lines of servers, commands of processes."""
    token, password = f"Bearer {plan.secrets['ray']}", basic("mtl", plan.secrets["prefect"])
    texts = {"lines of mtl serve": champion["lines"]}
    logs = ask(f"{plan.url('prefect')}/api/logs/filter", password, {"limit": 200})
    runs = ask(f"{plan.url('prefect')}/api/flow_runs/filter", password, {})
    texts |= {"Prefect": json.dumps([logs, runs])}
    jobs = ask(f"{plan.url('ray')}/api/jobs/", token)
    logs = [ask(f"{plan.url('ray')}/api/jobs/{job['submission_id']}/logs", token) for job in jobs]
    texts |= {"Ray": json.dumps([jobs, logs])}
    texts |= {"processes": json.dumps([process.info["cmdline"] for process in psutil.process_iter(["cmdline"])])}
    bucket = bucket_of(plan)
    blobs = {path: bucket.cat_file(path) for path in bucket.find("mtl")}
    dump = ["pg_dump", "-h", "127.0.0.1", "-p", str(plan.ports["postgres"]), "-U", "mtl"]
    for database in ("mlflow", "prefect"):
        own = os.environ | {"PGPASSWORD": plan.secrets["postgres"]}
        blobs[database] = subprocess.run([*dump, database], env=own, capture_output=True, check=True).stdout
    private = (checkout / ".mtl" / "stack" / "stack.json", checkout / ".mtl" / "stack" / "env")
    for path in checkout.rglob("*"):
        inside = path.relative_to(checkout).as_posix()
        if (
            path.is_file()
            and path not in private
            and not inside.startswith((".mtl/stack/postgres", ".mtl/stack/store"))
        ):
            blobs[inside] = path.read_bytes()
    blobs |= {name: text.encode() for name, text in texts.items()}
    assert len(blobs) > 100
    for name, secret in plan.secrets.items():
        found = [where for where, content in blobs.items() if secret.encode() in content]
        assert found == ([".mtl/stack/mlflow/auth.ini"] if name == "postgres" else []), (name, found)
    for path in (*private, checkout / ".mtl" / "stack" / "mlflow" / "auth.ini"):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.stack
def test_a_bucket_is_predicted_on_the_cluster(
    checkout: Path, plan: Plan, champion: dict[str, Any], raw: Path, spec: DatasetSpec
) -> None:
    bucket = bucket_of(plan)
    for sample in read_split(raw, "test", spec):
        bucket.pipe_file(f"mtl/photos/{sample.id}.png", sample.image)
    command = ["predict", "s3://mtl/photos", "--out", "s3://mtl/predicted", "--json"]
    done = mtl(checkout, *command, **plan.environment())
    assert done.returncode == 0, done.stderr[-3000:]
    assert "handed over" in done.stderr
    assert (found := json.loads(done.stdout))["images"] == found["made"] == 48
    rows = pq.read_table(io.BytesIO(bucket.cat_file("mtl/predicted/predictions.parquet")))
    assert rows.num_rows == 48
    assert not any(rows["_error"].to_pylist())
    again = json.loads(mtl(checkout, *command, **plan.environment()).stdout)
    assert again["made"] == 0
    here = mtl(checkout, "predict", str(checkout), "--out", "s3://mtl/predicted", **plan.environment())
    assert here.returncode != 0
    assert "put images and results in a bucket" in here.stderr


@pytest.mark.stack
def test_methods_are_compared_on_the_cluster(checkout: Path, plan: Plan, champion: dict[str, Any]) -> None:
    words = ["--weightings", "fixed", "--aggregators", "", "--seeds", "1", "--static", "0", "--json"]
    done = mtl(checkout, "compare", *words, **plan.environment())
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout)["rows"]
    assert {"fixed", "equal weights", "frozen fixed"} <= {row["method"] for row in rows}
    assert all("error" not in row for row in rows)
    bucket = bucket_of(plan)
    trials = [
        path for path in bucket.find("mtl/trainings/comparisons") if "/trials/" in path and path.endswith(".json")
    ]
    assert len(trials) > 5
    jobs = ask(f"{plan.url('ray')}/api/jobs/", f"Bearer {plan.secrets['ray']}")
    assert any("mtl.compare.job" in job["entrypoint"] and job["status"] == "SUCCEEDED" for job in jobs)


@pytest.mark.stack
def test_what_is_killed_is_started_again(checkout: Path, plan: Plan) -> None:
    keeper = psutil.Process(json.loads((checkout / ".mtl" / "stack" / KEEPER).read_text())["pid"])
    (server,) = [p for p in keeper.children() if "mlflow" in p.cmdline()]
    for process in (*server.children(recursive=True), server):
        process.kill()
    deadline = time.monotonic() + 120
    while mtl(checkout, "stack", "status").returncode:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert json.loads(mtl(checkout, "status", "--json", **plan.environment()).stdout)["champion"]["version"] == 1


@pytest.mark.stack
def test_the_registry_is_backed_up_and_restored(checkout: Path, plan: Plan, champion: dict[str, Any]) -> None:
    own = plan.environment() | {
        "MLFLOW_BACKEND_STORE_URI": plan.database("mlflow", "psycopg2"),
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mtl/mlflow",
    }
    done = mtl(checkout, "backup", "s3://mtl/backups", **own)
    assert done.returncode == 0, done.stderr
    with psycopg2.connect(plan.database("mlflow", "psycopg2").replace("+psycopg2", "")) as link:
        link.cursor().execute("delete from registered_model_aliases")  # somebody's mistake
    bucket = bucket_of(plan)
    bucket.rm("mtl/mlflow", recursive=True)
    assert "--replace" in mtl(checkout, "restore", "s3://mtl/backups", **own).stderr
    done = mtl(checkout, "restore", "s3://mtl/backups", "--replace", **own)
    assert done.returncode == 0, done.stderr
    assert json.loads(mtl(checkout, "status", "--json", **own).stdout)["champion"]["version"] == 1
    assert any(path.endswith(".safetensors") for path in bucket.find("mtl/mlflow"))


@pytest.mark.slow
def test_nodes_come_up_where_ray_never_was_and_end_at_once(tmp_path: Path) -> None:
    own = clean_environment() | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "nothing")}
    with tempfile.TemporaryDirectory(prefix="mtl", dir="/tmp") as scratch:  # Ray's sockets want a short path
        port = free_port()
        nodes = Watched([sys.executable, "-m", "mtl.cluster.local_nodes", str(port), "2", "1", scratch], ROOT, own)
        try:
            deadline = time.monotonic() + 120
            while _alive_nodes(port) < 2:
                assert nodes.process.poll() is None, nodes.output
                assert time.monotonic() < deadline
                time.sleep(1)
            time.sleep(1)  # until it listens to signals
            family = psutil.Process(nodes.process.pid).children(recursive=True)
        finally:
            code = nodes.end(seconds=25)
        assert code == 0
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, [process.cmdline() for process in alive]


def _alive_nodes(port: int) -> int:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/nodes?view=summary") as page:
        found = json.load(page)["data"]["summary"]
        return sum(node["raylet"].get("state") == "ALIVE" for node in found)
    return 0
