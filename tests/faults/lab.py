"""One kill after the other: each in a checkout of its own, then the run again, then a look at what there is."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from mtl.registry.promotion import CHAMPION
from mtl.registry.registry import Registry
from mtl.registry.trust import Trust
from mtl.storage.digest import file_sha256
from tests.conftest import clean_environment, dvc, make_checkout, set_params
from tests.faults.points import Point
from tests.servers import Server, mlflow_server, object_store, postgres, prefect_server, s3_environment

SETTINGS = ("train.epochs=2", "train.patience=20", "flow.retry_delay_seconds=1.0")
STAGES = ("fetch", "prepare", "train", "evaluate", "package")
INJECT = Path(__file__).parent / "inject"
LIMIT = 420.0
"""Seconds that one run may take."""
AWAY = 3.0
"""Seconds for which a killed server is away."""
LINGER = 45.0
"""Seconds in which all that a killed run started has to be gone."""


@dataclass
class Result:
    """What one point showed. survived: all of the rest is as it should be."""

    name: str
    killed: str
    survived: bool
    reached: bool
    went_on: str
    """What did: "the run itself", or "the next run"."""
    weights_equal: bool
    versions: int
    champions: int
    promotions: int
    processes_left: int
    seconds: float
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """A row of the table."""
        return asdict(self)


class Lab:
    """Checkouts at every stage, made once, and a Prefect server for all."""

    def __init__(self, folder: Path, downloads: Path) -> None:
        self.folder, self.downloads = folder, downloads
        self.prefect = prefect_server(folder / "prefect")
        self.digest = ""

    def open(self) -> None:
        """Make the states, and the digest of weights of a run that nobody disturbs."""
        self.prefect.start()
        fresh = self.folder / "state-fresh"
        fresh.mkdir(parents=True)
        make_checkout(fresh, self.downloads, *SETTINGS)
        before = fresh
        for name in STAGES:
            state = self.folder / f"state-{name}"
            shutil.copytree(before, state, symlinks=True)
            dvc(state, "repro", "--single-item", "-q", name, MTL_HOME=str(state / ".mtl"), MTL_FROM_SCRATCH="")
            before = state
        self.digest = file_sha256(before / "outputs" / "train" / "weights.safetensors")

    def fail(self, point: Point, error: Exception, seconds: float) -> Result:
        """The row of a point at which the looking itself failed."""
        note = "".join(traceback.format_exception(error))[-1500:]
        return Result(point.name, point.killed, False, False, "nothing", False, 0, 0, 0, 0, round(seconds, 1), note)

    def close(self) -> None:
        """End the server."""
        self.prefect.stop()

    def check(self, point: Point, servers: dict[str, Server] | None = None) -> Result:
        """Kill once, run again if that ended the run, and look."""
        began = time.monotonic()
        servers = {"prefect": self.prefect} | (servers or {})
        root = self.folder / f"point-{uuid.uuid4().hex[:8]}"
        shutil.copytree(self.folder / f"state-{point.state}", root, symlinks=True)
        environment = self._environment(root, servers)
        if "mlflow" in servers:  # the same server for several points: each has a model of its own
            set_params(root / "params.yaml", f"registry.model={root.name}", f"registry.experiment={root.name}")
        if "store" in servers:
            dvc(root, "remote", "add", "--force", "--default", "team", f"s3://store/{root.name}")
            git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qam", "remote"]
            subprocess.run(git, cwd=root, check=True)
        marks = self.folder / f"{root.name}.mark"
        kill = {"MTL_KILL": point.call, "MTL_KILL_MARK": str(marks)} if point.call else {}
        run = Run(root, environment | kill, point, servers, marks)
        code = run.wait()
        left = run.left()
        went_on, note = "the run itself", ""
        if code != 0:
            went_on = "the next run"
            again = Run(root, environment, None, servers, marks)
            code = again.wait()
            left += again.left()
            note = "" if code == 0 else again.output[-1500:]
        reached = marks.exists()
        result = self._look(point, root, environment["MLFLOW_TRACKING_URI"], went_on, left)
        result.reached, result.note = reached, note or ("" if reached else run.output[-1500:])
        result.survived = result.survived and reached and code == 0
        result.seconds = round(time.monotonic() - began, 1)
        if result.survived:
            shutil.rmtree(root, ignore_errors=True)
        return result

    def _environment(self, root: Path, servers: dict[str, Server]) -> dict[str, str]:
        paths = os.pathsep.join([str(root), str(INJECT)])
        found = clean_environment() | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "MTL_HOME": str(root / ".mtl")}
        found["PREFECT_API_URL"] = servers["prefect"].address
        embedded = f"sqlite:///{root}/.mtl/mlflow.db"
        found["MLFLOW_TRACKING_URI"] = servers["mlflow"].address if "mlflow" in servers else embedded
        return found | (s3_environment(servers["store"].address) if "store" in servers else {})

    def _look(self, point: Point, root: Path, uri: str, went_on: str, left: int) -> Result:
        registry = Registry(uri, _model(root), Trust(own=root / ".mtl" / "keys"))
        versions = registry.versions()
        equal = [v.tags.get("mtl.weights_sha256") == self.digest for v in versions]
        changes = registry.promotions.history()
        alias = registry.at(CHAMPION)
        champions = int(alias is not None and bool(versions) and alias.number == versions[-1].number)
        decided = all("mtl.decision" in version.tags for version in versions)
        good = len(versions) == 1 and all(equal) and champions == 1 and len(changes) == 1 and left == 0 and decided
        return Result(
            point.name, point.killed, good, False, went_on, bool(equal) and all(equal), len(versions), champions,
            len(changes), left, 0.0,
        )  # fmt: skip


class Run:
    """`mtl retrain`, watched; whatever it starts carries a mark of its own in its environment."""

    def __init__(
        self,
        root: Path,
        environment: dict[str, str],
        point: Point | None,
        servers: dict[str, Server],
        mark: Path,
        command: Sequence[str] = (sys.executable, "-m", "flows.cli", "retrain"),
    ) -> None:
        self.point, self.servers, self.marks = point, servers, mark
        self.fallen: queue.Queue[Server] = queue.Queue()
        self.token = uuid.uuid4().hex
        self.output = ""
        self.process = subprocess.Popen(
            list(command),
            cwd=root,
            env=environment | {"MTL_FAULT_TOKEN": self.token},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            point = self.point
            if point and point.line and point.line in line and not self.marks.exists():
                self.marks.touch()
                self._kill(point)

    def _kill(self, point: Point) -> None:
        if point.process.startswith("server:"):
            server = self.servers[point.process.split(":")[1]]
            server.kill()
            self.fallen.put(server)  # not started here: what a thread starts may be told to end when the thread does
            return
        for member in sorted(self.family(), key=lambda p: p.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                if point.process in " ".join(member.cmdline()):
                    member.send_signal(getattr(signal, point.signal))
                    return
        self.marks.unlink()

    def family(self) -> list[psutil.Process]:
        """All processes that carry the mark."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("MTL_FAULT_TOKEN") == self.token and process.status() != "zombie":
                    found.append(process)
        return found

    def wait(self) -> int:
        """The exit code; what takes too long is killed, and has code 1000. A server that was killed is started again."""
        deadline = time.monotonic() + LIMIT
        while (code := self.process.poll()) is None:
            if time.monotonic() > deadline:
                for member in self.family():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        member.kill()
                code = 1000
                break
            self._raise_fallen()
            time.sleep(0.2)
        self.reader.join(10)
        self._raise_fallen()
        return code

    def _raise_fallen(self) -> None:
        with contextlib.suppress(queue.Empty):
            server = self.fallen.get_nowait()
            time.sleep(AWAY)
            server.start()

    def left(self) -> int:
        """Processes that are still there after a while."""
        deadline = time.monotonic() + LINGER
        while (family := self.family()) and time.monotonic() < deadline:
            time.sleep(0.5)
        for member in family:
            self.output += f"\nleft: {member.pid} {' '.join(member.cmdline())[:200]}"
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.reader.join(10)
        return len(family)


def _model(root: Path) -> str:
    from mtl.config.params import load

    return load(root / "params.yaml").registry.model


def team(folder: Path) -> dict[str, Server]:
    """MLflow on Postgres, and a bucket for the DVC remote."""
    database = postgres(folder / "postgres").start()
    store = object_store(folder / "store").start()
    tracking = mlflow_server(folder / "mlflow", database.address).start()
    return {"postgres": database, "store": store, "mlflow": tracking}
