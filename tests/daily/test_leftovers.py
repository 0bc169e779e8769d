"""After `kill -9`: what a process left is cleared by the next one, and nothing of a living one is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.checkout.leftovers import FOLDER, SERVER, clear
from flows.checkout.workspace import exclusive, running
from flows.observe.metrics import exposition
from flows.observe.status import collect as status
from flows.settings import Settings
from mtl.registry.tracking import Tracker
from tests.conftest import ROOT, clean_environment, not_none
from tests.daily import situation
from tests.servers import prefect_server
from tests.servers import running as serving

WORKER = """
import sys, tempfile, time
from pathlib import Path
from flows.observe.last_run import recorded
from flows.settings import Settings
from flows.checkout.workspace import running, workspace
from mtl.registry.tracking import Tracker
root, uri, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
settings = Settings(root, root / ".mtl", uri, None)
with running(settings, name) as note, recorded(settings, name, note, sys.argv[4]):
    tracker = Tracker(uri, "retraining")
    note.add(mlflow_run=tracker.open_run(name, name))
    with workspace(settings, ["train.epochs=1"], name) as folder:
        Path(tempfile.gettempdir(), "large").write_bytes(bytes(1000))
        print(folder, tempfile.gettempdir(), note.content.mlflow_run, note.name, flush=True)
        time.sleep(120)
"""

FLOW = """
import sys, time
from flows.settings import enter_checkout
settings = enter_checkout()
from flows.checkout.workspace import running
from prefect import flow
from prefect.client.orchestration import get_client

@flow
def waits(name):
    with running(settings, name), get_client(sync_client=True) as client:
        print(client.api_url, flush=True)
        time.sleep(120)

waits(sys.argv[1])
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("MTL_")]:
        monkeypatch.delenv(name)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / ".gitignore").write_text("/.mtl\n")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").touch()
    (tmp_path / "data").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return Settings(tmp_path, tmp_path / ".mtl", f"sqlite:///{tmp_path}/.mtl/mlflow.db", None)


class Worker:
    """A process that works in a home, until it is killed."""

    def __init__(self, settings: Settings, name: str, flow_run: str = "") -> None:
        words = [sys.executable, "-c", WORKER, str(settings.root), settings.mlflow_uri, name, flow_run]
        environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        workspace, scratch, self.run, self.note = self.process.stdout.readline().split()
        self.workspace, self.scratch = Path(workspace), Path(scratch)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    found: list[Worker] = []
    yield found
    for worker in found:
        worker.kill()


@situation("kill -9 in mid-run: copies, temporary folders, MLflow's run, `mtl status` and metrics")
def test_a_killed_run(settings: Settings, workers: list[Worker]) -> None:
    killed, living = Worker(settings, "a" * 16), Worker(settings, "b" * 16)
    workers += [killed, living]
    last = settings.home / "last_run.json"
    last.write_text(json.dumps(json.loads(last.read_text()) | {"process": killed.note}))
    assert not_none(status(settings).last_run).state == "Running"
    killed.kill()
    assert killed.workspace.exists()
    assert (killed.scratch / "large").exists()
    assert not_none(status(settings).last_run).state == "Crashed"  # before anything is cleared
    assert 'mtl_last_run_state{state="Crashed"} 1.0' in exposition(settings).decode()
    before = tempfile.gettempdir()
    with running(settings, "c" * 16):
        assert tempfile.gettempdir() != before
        assert json.loads(last.read_text())["state"] == "Crashed"
        assert not killed.workspace.exists()
        assert not killed.scratch.exists()
        assert living.workspace.exists()
        assert living.scratch.exists()
    assert tempfile.gettempdir() == before
    client = Tracker(settings.mlflow_uri, "retraining").client
    assert client.get_run(killed.run).info.status == "KILLED"
    assert client.get_run(living.run).info.status == "RUNNING"
    assert [path.stem for path in (settings.home / FOLDER).glob("*.json")] == [living.note]
    living.kill()
    with exclusive(settings):
        assert not living.workspace.exists()
    assert list((settings.home / FOLDER).iterdir()) == []


@pytest.mark.slow
@situation("kill -9 twice at the same run: what goes on with its copy and its MLflow run keeps both")
def test_a_run_that_goes_on(settings: Settings, workers: list[Worker]) -> None:
    killed = Worker(settings, "a" * 16)
    workers.append(killed)
    killed.kill()
    again = Worker(settings, "a" * 16)
    workers.append(again)
    assert (again.run, again.workspace) == (killed.run, killed.workspace)
    assert not killed.scratch.exists()
    clear(settings, prefect=False)
    assert again.workspace.exists()
    assert Tracker(settings.mlflow_uri, "retraining").client.get_run(again.run).info.status == "RUNNING"


@situation("records of another machine, and what others called alike, are left alone")
def test_what_is_not_ours(settings: Settings, tmp_path: Path) -> None:
    folder = settings.home / FOLDER
    folder.mkdir(parents=True)
    (settings.home / "workspaces" / "x").mkdir(parents=True)
    foreign = tmp_path / "mtl-foreign"
    foreign.mkdir()
    record = {"host": "another", "pid": 1, "began": "then", "folders": ["workspaces/x"], "scratch": str(foreign)}
    (folder / "another.json").write_text(json.dumps(record))
    outside = record | {"host": os.uname().nodename, "folders": ["../data", ".", "/etc"], "scratch": str(tmp_path)}
    (folder / "outside.json").write_text(json.dumps(outside))
    clear(settings, prefect=False)
    assert (folder / "another.json").exists()
    assert not (folder / "outside.json").exists()
    for path in (settings.home / "workspaces" / "x", foreign, tmp_path / "data", settings.home):
        assert path.exists()


@pytest.mark.slow
@situation("kill -9 in mid-run: Prefect's page says that the flow run crashed")
def test_a_killed_flow_run(settings: Settings, workers: list[Worker], tmp_path: Path) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.states import Running

    @flow
    def nothing() -> None:
        """A flow by name."""

    with (
        serving(prefect_server(tmp_path / "prefect")) as server,
        temporary_settings({PREFECT_API_URL: server.address}),
        get_client(sync_client=True) as client,
    ):
        mine, other = (client.create_flow_run(nothing, state=Running()) for _ in range(2))
        killed = Worker(settings, "a" * 16, str(mine.id))
        workers.append(killed)
        killed.kill()
        clear(settings, prefect=False)  # no server is there: it waits
        (record,) = (settings.home / FOLDER).glob("*.json")
        assert json.loads(record.read_text())["flow_run"] == str(mine.id)
        clear(settings, prefect=True)
        assert not_none(client.read_flow_run(mine.id).state).type == "CRASHED"
        assert not_none(client.read_flow_run(other.id).state).type == "RUNNING"
        assert list((settings.home / FOLDER).glob("*.json")) == []


@pytest.mark.slow
@situation("kill -9 of a flow that embeds Prefect's server: the server ends with the next command, others' do not")
def test_a_killed_flow_s_server(settings: Settings, tmp_path: Path) -> None:
    (settings.root / "dvc.yaml").write_text("stages: {}\n")

    def start(home: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
        environment = clean_environment() | {"PYTHONPATH": str(ROOT), "MTL_HOME": str(home)}
        words = [sys.executable, "-c", FLOW, "a" * 16]
        flow = subprocess.Popen(words, env=environment, cwd=settings.root, stdout=subprocess.PIPE, text=True)
        assert flow.stdout is not None
        assert flow.stdout.readline().startswith("http")
        (server,) = [p for p in psutil.Process(flow.pid).children(recursive=True) if SERVER in p.cmdline()]
        return flow, server

    killed, orphan = start(settings.home)
    living, theirs = start(tmp_path / "another home")
    try:
        killed.kill()
        killed.wait()
        assert orphan.is_running()
        clear(settings, prefect=False)
        assert not orphan.is_running()
        assert theirs.is_running()
    finally:
        living.kill()
        living.wait()
        theirs.kill()
