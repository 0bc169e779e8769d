"""Ray runs what it is told: nobody but who started a cluster may tell it anything."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.network import beyond_loopback, inside, listeners
from tests.conftest import ROOT, clean_environment
from tests.flows.watch import Watched

# As a training uses a cluster: two workers that have met, so that all listen who ever do.
TRAINING = """
import sys, time
from pathlib import Path
from mtl.cluster.session import cluster
from mtl.config.params import load

def work(job):
    import torch, torch.distributed as dist
    dist.all_reduce(number := torch.ones(()))
    Path(job["met"]).write_text(str(int(number)))
    while not Path(job["end"]).exists():
        time.sleep(0.2)

with cluster(load(), 2) as ray:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from mtl.train.worker_group import GroupConfig
    job = {"met": sys.argv[1] + "/met", "end": sys.argv[1] + "/end"}
    import threading
    scaling, run = ScalingConfig(num_workers=2), RunConfig(storage_path=sys.argv[1] + "/ray")
    trainer = TorchTrainer(work, train_loop_config=job, torch_config=GroupConfig(), scaling_config=scaling, run_config=run)
    threading.Thread(target=trainer.fit, daemon=True).start()
    while not Path(job["met"]).exists():
        time.sleep(0.2)
    print("gcs", ray.get_runtime_context().gcs_address, "workers", Path(job["met"]).read_text(), flush=True)
    while not Path(job["end"]).exists():
        time.sleep(0.2)
"""
STRANGER = """
import sys, pathlib
import ray
@ray.remote
def intrude():
    pathlib.Path(sys.argv[2]).write_text("in")
ray.init(sys.argv[1], logging_level="error")
ray.get(intrude.remote(), timeout=30)
"""


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watched, str]]:
    """A local cluster with a training in it, on a machine that has an address; where its head is."""
    folder = tmp_path_factory.mktemp("training")
    command = inside(sys.executable, "-c", TRAINING, str(folder))
    watched = Watched(command, ROOT, clean_environment() | {"PYTHONPATH": str(ROOT)})
    try:
        watched.until("workers 2", 240)
        yield watched, watched.output.split("gcs ")[-1].split()[0]
    finally:
        (folder / "end").touch()
        watched.process.wait(60)


@pytest.mark.slow
@pytest.mark.attack(boundary="neighbour", attack="reach a local training's Ray")
def test_nothing_of_a_training_listens_beyond_loopback(training: tuple[Watched, str]) -> None:
    process = training[0].process.pid
    assert len(listeners(process)) > 8  # the head's, the node's, the agents', the workers'
    assert beyond_loopback(process) == []


@pytest.mark.slow
@pytest.mark.attack(boundary="local user", attack="run a task in a local training's Ray")
@pytest.mark.parametrize(
    "mode", [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}]
)
def test_a_stranger_runs_no_task(training: tuple[Watched, str], mode: dict[str, str], tmp_path: Path) -> None:
    watched, address = training
    network = ["nsenter", "--net", f"--target={watched.process.pid}"]
    # Else Ray looks for it at the machine's other address, where it is not.
    own = clean_environment() | mode | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_TMPDIR": str(tmp_path)}
    command = [*network, sys.executable, "-c", STRANGER, address, str(tmp_path / "in")]
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert not (tmp_path / "in").exists()
    assert "uthenticat" in done.stdout + done.stderr, done.stderr[-2000:]


CALLS = """
import json, sys
import grpc, httpx
for host, port in json.loads(sys.argv[1]):
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    said = {}
    for path in ("/get_or_create_runtime_env", "/api/jobs/", "/api/job_agent/jobs/", "/api/serve/applications/"):
        try:
            said[path] = httpx.post(f"http://{place}{path}", json={"entrypoint": "id"}, timeout=1).status_code
        except httpx.HTTPError as error:
            said[path] = type(error).__name__
    with grpc.insecure_channel(place) as channel:
        for call in (
            "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", "/ray.rpc.JobInfoGcsService/AddJob",
            "/ray.rpc.ActorInfoGcsService/RegisterActor", "/ray.rpc.InternalKVGcsService/InternalKVPut",
            "/ray.rpc.NodeManagerService/RequestWorkerLease", "/ray.rpc.CoreWorkerService/PushTask",
            "/ray.rpc.CoreWorkerService/Exit", "/ray.rpc.ObjectManagerService/Pull", "/ray.rpc.LogService/ListLogs",
            "/ray.rpc.ReporterService/GetTraceback", "/ray.serve.ASGIService/HandleRequest",
        ):
            try:
                channel.unary_unary(call)(b"", timeout=1)
                said[call] = "OK"
            except grpc.RpcError as error:
                said[call] = error.code().name
    print(json.dumps(said), flush=True)
"""
NOBODY_THERE = {"UNAVAILABLE", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "RemoteProtocolError", "ReadTimeout", 404, 405}
"""What a port says that offers no such thing."""


def called(watched: Watched, places: list[tuple[str, int]]) -> list[dict[str, str | int]]:
    """What every place in a process's network says to who has no token: by call, a status or an error's name."""
    network = ["nsenter", "--net", f"--target={watched.process.pid}"]
    command = [*network, sys.executable, "-c", CALLS, json.dumps(places)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.attack(boundary="local user", attack="call every port of a local training's Ray")
def test_no_port_answers_a_stranger(training: tuple[Watched, str]) -> None:
    watched, _ = training
    said = [answer for port in called(watched, listeners(watched.process.pid)) for answer in port.items()]
    refused = {what for what, answer in said if answer in ("UNAUTHENTICATED", 401)}
    assert {
        "/ray.rpc.JobInfoGcsService/AddJob",
        "/ray.rpc.CoreWorkerService/PushTask",
        "/get_or_create_runtime_env",
    } <= refused
    assert [(what, answer) for what, answer in said if answer not in {"UNAUTHENTICATED", 401} | NOBODY_THERE] == []


@pytest.mark.slow
@pytest.mark.attack(boundary="neighbour", attack="reach more of the endpoint than its port")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_of_an_endpoint_only_its_port_answers(bundle: Path, host: str) -> None:
    job = {"bundle": str(bundle), "version": "7", "host": host, "port": 8123, "replicas": 1}
    command = inside(sys.executable, "-m", "mtl.entrypoints.endpoint", json.dumps(job))
    watched = Watched(command, ROOT, clean_environment() | {"PYTHONPATH": str(ROOT)})
    try:
        watched.until("model    http", 240)
        reached = beyond_loopback(watched.process.pid)
        assert reached == ([] if host == "127.0.0.1" else [(host, 8123)])
    finally:
        watched.end()


@pytest.mark.slow
@pytest.mark.attack(boundary="neighbour", attack="reach the Ray of mtl stack")
def test_nodes_of_one_machine_are_on_loopback() -> None:
    own = clean_environment() | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    with tempfile.TemporaryDirectory(prefix="mtl", dir="/tmp") as scratch:  # Ray's sockets want a short path
        nodes = Watched(inside(sys.executable, "-m", "mtl.cluster.local_nodes", "8265", "2", "1", scratch), ROOT, own)
        try:
            deadline = time.monotonic() + 120
            while ("127.0.0.1", 8265) not in (found := listeners(nodes.process.pid)) or len(found) < 14:
                assert nodes.process.poll() is None, nodes.output
                assert time.monotonic() < deadline, found
                time.sleep(1)
            assert beyond_loopback(nodes.process.pid) == []
            time.sleep(2)  # until it listens to signals
        finally:
            nodes.end()
