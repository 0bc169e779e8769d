"""`mtl deploy`: a real worker takes the schedule's runs; what Kubernetes would be told; what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import clean_environment, mtl, set_params
from tests.flows.watch import Watched
from tests.servers import Server, ask, prefect_server, running

IMAGE = f"registry.example.com/mtl@sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(prefect_server(tmp_path_factory.mktemp("prefect"))) as found:
        yield found


def test_a_worker_makes_the_runs(retrained: Path, server: Server) -> None:
    own = {"PREFECT_API_URL": server.address}
    done = mtl(retrained, "deploy", "--pool", "machines", **own)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deployed retrain/scheduled-multitask-" in done.stdout and " to machines" in done.stdout
    assert mtl(retrained, "deploy", "--pool", "machines", **own).returncode == 0  # again: brought up to date
    (deployment,) = ask(f"{server.address}/deployments/filter", body={})
    assert deployment["work_pool_name"] == "machines"
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert deployment["schedules"][0]["schedule"]["timezone"] == "Europe/London"
    run = ask(f"{server.address}/deployments/{deployment['id']}/create_flow_run", body={"state": {"type": "SCHEDULED"}})
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "machines", "--run-once"]
    environment = clean_environment() | own | {"PYTHONPATH": str(retrained)}
    environment["PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER"] = "json"
    worker = Watched(command, retrained, environment)
    deadline = time.monotonic() + 200
    while (state := ask(f"{server.address}/flow_runs/{run['id']}")["state"])["type"] not in ("COMPLETED", "FAILED"):
        assert time.monotonic() < deadline, worker.output
        time.sleep(1)
    worker.process.wait(60)
    assert state["type"] == "COMPLETED", state
    lines = [line for line in list(worker.lines.queue) if line and line.startswith("{")]
    told = [json.loads(line) for line in lines]
    assert any(one.get("flow_run_id") == run["id"] and one["name"] == "prefect.flow_runs" for one in told), lines
    other = mtl(retrained, "deploy", "--pool", "machines", *words(retrained), **own)
    assert other.returncode == 2
    assert "of another kind" in other.stderr


def test_others_may_ask_for_a_retraining_by_an_event(retrained: Path, server: Server) -> None:
    assert mtl(retrained, "deploy", "--pool", "idle", PREFECT_API_URL=server.address).returncode == 0
    event = {
        "occurred": datetime.now(UTC).isoformat(),
        "event": "mtl.retrain",
        "resource": {"prefect.resource.id": "team.backbone"},
        "payload": {"reason": "the backbone's version 7 was promoted"},
        "id": str(uuid.uuid4()),
    }
    ask(f"{server.address}/events", body=[event])
    deadline = time.monotonic() + 60
    while not (reasons := [run["parameters"]["reason"] for run in runs(server) if run["parameters"].get("reason")]):
        assert time.monotonic() < deadline
        time.sleep(1)
    assert reasons == ["the backbone's version 7 was promoted"]


@pytest.mark.slow
def test_runs_of_a_priority_wait_in_its_queue(retrained: Path, server: Server) -> None:
    text = (retrained / "params.yaml").read_text()
    set_params(retrained / "params.yaml", "schedule.priority=2")
    try:
        for _ in range(2):  # again: the queue is there
            assert mtl(retrained, "deploy", "--pool", "ordered", PREFECT_API_URL=server.address).returncode == 0
    finally:
        (retrained / "params.yaml").write_text(text)
    queues: list[dict[str, Any]] = ask(f"{server.address}/work_pools/ordered/queues/filter", body={})
    (queue,) = [queue for queue in queues if queue["name"] == "priority-2"]
    assert queue["priority"] == 2
    filtered = {"work_pools": {"name": {"any_": ["ordered"]}}}
    (deployment,) = ask(f"{server.address}/deployments/filter", body=filtered)
    assert deployment["work_queue_id"] == queue["id"]


def runs(server: Server) -> list[dict[str, Any]]:
    """All flow runs that the server knows."""
    return ask(f"{server.address}/flow_runs/filter", body={})


def words(checkout: Path) -> list[str]:
    """What Kubernetes needs to be told; the repository is the checkout itself."""
    return ["--kind", "kubernetes", "--image", IMAGE, "--repository", f"file://{checkout}"]


def test_kubernetes_gets_an_image_and_a_secret_by_name(retrained: Path, server: Server) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=retrained, capture_output=True, text=True, check=True
    ).stdout.strip()
    own = {"PREFECT_API_URL": server.address}
    done = mtl(retrained, "deploy", "--pool", "cluster", *words(retrained), "--revision", commit, **own)
    assert done.returncode == 0, done.stdout + done.stderr
    pool: dict[str, Any] = ask(f"{server.address}/work_pools/cluster")
    assert pool["type"] == "kubernetes"
    pod = pool["base_job_template"]["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "mtl"}}]
    assert pod["securityContext"]["runAsNonRoot"]
    filtered = {"work_pools": {"name": {"any_": ["cluster"]}}}
    (deployment,) = ask(f"{server.address}/deployments/filter", body=filtered)
    project = deployment["name"].removeprefix("scheduled-")
    assert deployment["job_variables"] == {"image": IMAGE, "env": {"MTL_PROJECT": project}}
    assert deployment["parameters"] == {}
    (pull,) = deployment["pull_steps"]
    assert pull["prefect.deployments.steps.git_clone"]["commit_sha"] == commit


def test_what_is_missing_is_said(retrained: Path, server: Server) -> None:
    assert "PREFECT_API_URL is not set" in mtl(retrained, "deploy").stderr
    own = {"PREFECT_API_URL": server.address}
    done = mtl(retrained, "deploy", "--kind", "kubernetes", "--image", "mtl:latest", **own)
    assert done.returncode == 2
    assert "named by its digest" in done.stderr
    done = mtl(retrained, "deploy", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 2
    assert "out of reach" in done.stderr
