"""The endpoint beside a registry that lives: promotions, rollbacks and the end of the process, while clients go on calling."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.settings import Settings
from mtl.registry.registry import Registry
from mtl.registry.tracking import FINGERPRINT, Tracker
from mtl.reports import PackageReport
from mtl.serving.limits import FIX, Limits, Refused
from mtl.serving.requests import images_of
from tests.conftest import ROOT, clean_environment, embedded, free_port, not_none
from tests.data.small_sets import encoded
from tests.flows.watch import Watched

IMAGE = encoded(5, (64, 64))
TEXT = base64.b64encode(IMAGE).decode()
SOON = 60
"""Seconds in which a promotion is served on a machine that does other things; alone it takes seven."""


@dataclass
class Project:
    """A checkout with a registry, in which versions are made from one bundle."""

    root: Path
    bundle: Path

    @property
    def settings(self) -> Settings:
        return embedded(self.root)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.mlflow_uri, "multitask", self.settings.trust)

    def register(self, name: str, shift: float) -> int:
        """A version whose `count` is larger by so much."""
        import torch
        from safetensors.torch import load_file, save_file

        digest, folder = (name * 64)[:64], self.root / name
        shutil.copytree(self.bundle, folder / "model" / "artifacts" / "bundle")
        weights = load_file(self.bundle / "weights.safetensors")
        (head,) = (n for n in weights if n.startswith("heads.count.") and weights[n].shape == (1,))
        shifted = {**weights, head: weights[head] + torch.full((1,), shift)}
        save_file(shifted, folder / "model" / "artifacts" / "bundle" / "weights.safetensors")
        tracker = Tracker(self.settings.mlflow_uri, "daily", self.settings.artifacts)
        run = tracker.open_run(digest, name)
        report = PackageReport(weights_sha256="w" * 64, num_bytes=1000, files={})
        tags = {FINGERPRINT: digest}
        version = self.registry.register(run, folder / "model", report, tags, {}, self.settings.ensure_signing_key())
        return version.number

    def promote(self, number: int) -> None:
        promotions = self.registry.promotions
        promotions.promote(number, promotions.champion(), why="the test")

    def serve(self, *words: str) -> tuple[Watched, str]:
        port = free_port()
        command = [sys.executable, "-m", "flows.cli", "endpoint", "--port", str(port), *words]
        watched = Watched(command, self.root, clean_environment() | {"PYTHONPATH": str(ROOT)})
        watched.until("model    http", 240)
        return watched, f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def project(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two versions, the first of them champion."""
    root = tmp_path_factory.mktemp("project")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, root / name)
    found = Project(root, bundle)
    assert [found.register("a", 0.0), found.register("b", 5.0)] == [1, 2]
    found.promote(1)
    return found


@pytest.fixture(scope="module")
def served(project: Project) -> Iterator[tuple[Watched, str]]:
    watched, address = project.serve()
    yield watched, address
    assert watched.end() == 0


@dataclass
class Load:
    """Clients that call without a pause: each answer's version, and what failed."""

    address: str
    versions: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    over: threading.Event = field(default_factory=threading.Event)
    began: list[float] = field(default_factory=list[float])
    """When each of those that failed was asked."""

    def call(self, one: Callable[[], tuple[str, float]]) -> None:
        counts: dict[str, float] = {}
        while not self.over.is_set():
            began = time.monotonic()
            try:
                version, count = one()
                self.versions.append(version)
                if abs(counts.setdefault(version, count) - count) > 1e-4:
                    self.began.append(began)
                    self.failed.append(f"version {version} says {count} and {counts[version]}")
            except Exception as error:
                self.began.append(began)
                self.failed.append(f"{type(error).__name__}: {error}")
            time.sleep(0.02)

    def by_httpx(self) -> None:
        with httpx.Client(timeout=60) as client:

            def one() -> tuple[str, float]:
                answer = client.post(f"{self.address}/predict", content=IMAGE, headers={"content-type": "image/png"})
                assert answer.status_code == 200, answer.text
                return answer.json()["version"], answer.json()["predictions"][0]["count"]

            self.call(one)

    def by_curl(self) -> None:
        def one() -> tuple[str, float]:
            found = json.loads(curl(f"{self.address}/predict", "--data-binary", "@-", "--fail-with-body", body=IMAGE))
            return found["version"], found["predictions"][0]["count"]

        self.call(one)

    def by_mlflow(self) -> None:
        with httpx.Client(timeout=60) as client:

            def one() -> tuple[str, float]:
                answer = client.post(f"{self.address}/invocations", json={"instances": [TEXT, TEXT]})
                assert answer.status_code == 200, answer.text
                return answer.headers["x-model-version"], answer.json()["predictions"][1]["count"]

            self.call(one)


@contextlib.contextmanager
def load(address: str) -> Generator[Load]:
    found = Load(address)
    clients = [found.by_httpx, found.by_httpx, found.by_curl, found.by_mlflow]
    threads = [threading.Thread(target=client, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.over.set()
        for thread in threads:
            thread.join(60)


def curl(*words: str, body: bytes = b"") -> str:
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *words], input=body, capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr, done.stdout)
    return done.stdout.decode()


def until(true: Callable[[], bool], what: str) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < SOON, what
        time.sleep(0.1)
    return time.monotonic() - began


# --- what it takes


@pytest.mark.daily(situation="images as MLflow's scoring protocol, TensorFlow's servers and `base64` write them")
@pytest.mark.parametrize(
    "document",
    [
        {"images": [TEXT]},
        {"instances": [TEXT]},
        {"instances": [{"image": TEXT}]},
        {"instances": [{"image": {"b64": TEXT}}]},
        {"instances": [{"b64": TEXT}]},
        {"inputs": [TEXT]},
        {"inputs": {"image": [TEXT]}},
        {"inputs": [[TEXT]], "params": {}},
        {"dataframe_split": {"columns": ["image"], "index": [0], "data": [[TEXT]]}},
        {"dataframe_records": [{"image": TEXT}]},
        {"images": [base64.encodebytes(IMAGE).decode()]},
    ],
)
def test_forms(document: dict[str, Any]) -> None:
    assert images_of("application/json", json.dumps(document).encode(), Limits())[0] == [IMAGE]


@pytest.mark.parametrize(
    ("document", "fragment"),
    [
        ({"instances": [TEXT], "inputs": [TEXT]}, "no list"),
        ({"instances": TEXT}, "no list"),
        ({"inputs": {"picture": [TEXT]}}, "no list"),
        ({"dataframe_split": {"columns": ["picture"], "data": [[TEXT]]}}, "another column"),
        ({"dataframe_split": [TEXT]}, "another column"),
        ({"dataframe_records": [{"picture": TEXT}]}, "not base64"),
        ({"instances": [TEXT], "params": {"threshold": 1}}, "no list"),
        ({"instances": [[[0, 1], [2, 3]]]}, "not base64"),
    ],
)
def test_forms_that_it_does_not_take(document: dict[str, Any], fragment: str) -> None:
    with pytest.raises(Refused, match=fragment) as found:
        images_of("application/json", json.dumps(document).encode(), Limits())
    assert found.value.status == 400
    assert found.value.body["error"]["fix"] == FIX


@pytest.mark.daily(situation="curl --data-binary, whose content type says nothing")
def test_what_says_nothing_of_its_kind() -> None:
    unsaid = "application/x-www-form-urlencoded"
    assert images_of(unsaid, IMAGE, Limits())[0] == [IMAGE]
    assert images_of(unsaid, json.dumps({"images": [TEXT]}).encode(), Limits())[0] == [IMAGE]


@pytest.mark.slow
@pytest.mark.daily(situation="curl, with GET, HEAD, OPTIONS and what the message itself advises")
def test_curl(served: tuple[Watched, str], tmp_path: Path) -> None:
    _, address = served
    (tmp_path / "image.png").write_bytes(IMAGE)
    found = json.loads(curl(f"{address}/predict", "--data-binary", f"@{tmp_path}/image.png"))
    assert found["version"] == "1"
    advised = json.loads(curl(f"{address}/predict", "-F", f"file=@{tmp_path}/image.png"))["error"]["fix"]
    assert "curl --data-binary" in advised
    for path in ("/", "/model", "/live", "/ready", "/metrics", "/health", "/ping", "/version"):
        assert " 200 " in curl("-I", address + path).splitlines()[0]
        assert "allow: GET, HEAD, OPTIONS" in curl("-i", "-X", "OPTIONS", address + path)
    assert "allow: POST, OPTIONS" in curl("-i", "-X", "OPTIONS", f"{address}/predict")
    for words, status in (
        ([f"{address}/predict"], 405),
        ([f"{address}/nothing"], 404),
        (["-I", f"{address}/predict"], 405),
    ):
        assert curl("-o", "/dev/null", "-w", "%{http_code}", *words) == str(status)
    figures = curl(f"{address}/metrics")
    assert 'mtl_endpoint_requests_total{path="/predict",status="200"} 1.0' in figures
    assert "mtl_endpoint_version 1.0" in figures


@pytest.mark.slow
@pytest.mark.daily(situation="MLflow's own client of scoring servers")
def test_mlflow_client(served: tuple[Watched, str]) -> None:
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    _, address = served
    client = ScoringServerClient("127.0.0.1", int(address.rpartition(":")[2]))
    client.ping()
    rows = client.invoke(pd.DataFrame({"image": [TEXT, TEXT]})).get_predictions()
    assert isinstance(rows, pd.DataFrame)
    assert len(rows) == 2
    assert "count" in rows.columns


# --- while it goes on


@pytest.mark.slow
@pytest.mark.daily(situation="a promotion and a rollback are served without a failed request; a pinned version stays")
def test_it_follows_the_champion(
    project: Project, served: tuple[Watched, str], record_property: Callable[[str, object], None]
) -> None:
    _, address = served
    pinned, fixed = project.serve("--model", "1")
    seconds: list[float] = []
    with load(address) as calls:
        until(lambda: len(calls.versions) > 20, "no answers")
        for number in (2, 1):
            project.promote(number)
            seconds.append(until(lambda n=number: calls.versions[-1] == str(n), f"version {number} is not served"))
            have = len(calls.versions)
            until(lambda have=have: len(calls.versions) > have + 20, "no answers")
    record_property("seconds", seconds)
    assert calls.failed == []
    assert {*calls.versions} == {"1", "2"}
    assert httpx.get(f"{fixed}/ready", timeout=60).json() == {"status": "ready", "version": "1", "behind": ""}
    assert pinned.end() == 0


@pytest.mark.slow
@pytest.mark.daily(situation="a champion whose package was changed is refused, and the one before it goes on")
def test_a_version_that_does_not_verify(project: Project, served: tuple[Watched, str]) -> None:
    watched, address = served
    number = project.register("c", 9.0)
    registry = project.registry
    where = not_none(registry.client.get_run(registry.get(number).run).info.artifact_uri).removeprefix("file://")
    weights = Path(where, "model", "artifacts", "bundle", "weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with load(address) as calls:
        project.promote(number)
        until(lambda: bool(httpx.get(f"{address}/ready", timeout=60).json()["behind"]), "nothing is said")
    assert calls.failed == []
    assert {*calls.versions} == {"1"}
    ready = httpx.get(f"{address}/ready", timeout=60)
    assert ready.status_code == 200
    assert "not what was registered" in ready.json()["behind"]
    watched.until("version 1 goes on: the package is not what was registered", 10)
    assert "mtl_endpoint_behind 1.0" in httpx.get(f"{address}/metrics", timeout=60).text
    project.promote(2)
    until(lambda: httpx.get(f"{address}/ready", timeout=60).json()["version"] == "2", "version 2 is not served")


@pytest.mark.slow
@pytest.mark.daily(situation="a process of the model is killed: it is started again, and no request fails")
def test_a_killed_model(project: Project) -> None:
    import psutil

    watched, address = project.serve("--model", "1")
    family = psutil.Process(watched.process.pid).children(recursive=True)
    (model,) = (one for one in family if "spawn_main" in " ".join(one.cmdline()))
    with load(address) as calls:
        until(lambda: len(calls.versions) > 10, "no answers")
        model.kill()
        have = len(calls.versions)
        until(lambda: len(calls.versions) > have + 20, "no answers")
    assert calls.failed == []
    assert watched.end() == 0


@pytest.mark.slow
@pytest.mark.daily(situation="SIGTERM: what was accepted is answered, what comes later is refused, exit code 0")
def test_sigterm(project: Project) -> None:
    watched, address = project.serve("--model", "1")
    host, port = "127.0.0.1", int(address.rpartition(":")[2])
    head = f"POST /predict HTTP/1.1\r\nhost: {host}\r\ncontent-type: image/png\r\ncontent-length: {len(IMAGE)}\r\n\r\n"
    accepted = [socket.create_connection((host, port), 60) for _ in range(6)]
    for one in accepted:
        one.sendall(head.encode() + IMAGE[:100])
    until(lambda: "mtl_endpoint_open_requests 6.0" in httpx.get(f"{address}/metrics").text, "they were not accepted")
    with load(address) as calls:
        until(lambda: len(calls.versions) > 10, "no answers")
        signalled = time.monotonic()
        watched.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{address}/ready").json()["status"] == "ending", "it does not say that it is ending")
        assert httpx.get(f"{address}/live").status_code == 200
        late = httpx.post(f"{address}/predict", content=IMAGE)
        assert late.status_code == 503
        assert late.json()["error"]["what"] == "the endpoint is ending"
        for one in accepted:
            one.sendall(IMAGE[100:])
        for one in accepted:
            assert one.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert watched.process.wait(60) == 0
    # What was asked before was answered, be it that this was the end; later ones were told so, or found nobody there.
    earlier = [line for began, line in zip(calls.began, calls.failed, strict=True) if began < signalled]
    assert [line for line in earlier if "the endpoint is ending" not in line] == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, port), 5)
