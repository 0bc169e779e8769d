"""Real servers on loopback for tests: started, waited for, killed and started again on the same data."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import s3fs
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_fixed

from flows.settings import own_password
from flows.stack import servers as stack
from flows.ui import mlflow_command, prefect_command
from tests.conftest import clean_environment, free_port
from tests.watch import kill_family

BUCKETS = ("photos", "store")
KEY, SECRET = "tester", "secret-of-the-tester"
"""Of the object store."""


@dataclass
class Server:
    """One server's command.

    address: what its clients are told; answers: whether it does.
    """

    command: list[str]
    folder: Path
    address: str
    answers: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        """Start it and wait until it answers."""
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, env=clean_environment() | self.environment, stdout=log, stderr=log
        )
        deadline = time.monotonic() + 180
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"{self.command[:4]} does not answer"
            time.sleep(0.3)
        return self

    def kill(self) -> None:
        """kill -9, and all that it started."""
        assert self.process is not None
        kill_family(self.process.pid)
        self.process.wait(30)

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


@contextlib.contextmanager
def running(server: Server) -> Generator[Server]:
    """A server for as long as a block."""
    try:
        yield server.start()
    finally:
        server.stop()


def prefect_server(folder: Path) -> Server:
    """A Prefect server over SQLite."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    environment = {"PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    return Server(prefect_command(port), folder, address, partial(stack.responds, f"{address}/health"), environment)


def mlflow_server(folder: Path, store: str) -> Server:
    """An MLflow server that keeps its artifacts itself."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    words = ("--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"))
    address = f"http://127.0.0.1:{port}"
    return Server(mlflow_command(port, *words), folder, address, partial(stack.responds, f"{address}/health"))


def of_the_stack(spec: stack.Server, address: str, stop_signal: int | None = None) -> Server:
    """As `mtl stack` runs it."""

    def answers() -> bool:
        if not spec.answers():
            return False
        if spec.furnish:
            spec.furnish()
        return True

    return Server(spec.command, spec.folder, address, answers, spec.environment, stop_signal or spec.stop_signal)


def postgres(folder: Path) -> Server:
    """A Postgres with a database `mlflow`."""
    let_others_in(folder)
    port = free_port()
    address = f"postgresql+psycopg2://mtl:{SECRET}@127.0.0.1:{port}/mlflow"
    return of_the_stack(stack.postgres(folder, port, SECRET, ("mlflow",)), address)


def let_others_in(folder: Path) -> None:
    """Let other accounts pass through pytest's folders: root's Postgres runs as nobody."""
    for parent in folder.parents:
        if os.getuid() == 0 and parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


def object_store(folder: Path) -> Server:
    """A SeaweedFS with an S3 API; `s3_environment` reaches it."""
    s3fs.S3FileSystem.clear_instance_cache()  # clients of an earlier one, which had its address from the environment
    ports = {f"{name}{kind}": free_port() for name in ("master", "volume", "filer", "s3") for kind in ("", "_grpc")}
    spec = stack.object_store(folder, ports, (KEY, SECRET), BUCKETS)
    # SIGKILL: it would take some seconds to say goodbye.
    return of_the_stack(spec, spec.address, signal.SIGKILL)


def s3_environment(address: str) -> dict[str, str]:
    """What reaches an object store of ours."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def basic_of(home: Path) -> str:
    """How the owner of a home's embedded servers says who he is."""
    return "Basic " + b64encode(f"mtl:{own_password(home)}".encode()).decode()


def _busy(error: BaseException) -> bool:
    return isinstance(error, urllib.error.HTTPError) and error.code == 503


# Prefect's server says 503 where SQLite is busy with somebody else, and its clients ask again.
@retry(retry=retry_if_exception(_busy), stop=stop_after_attempt(10), wait=wait_fixed(1), reraise=True)
def ask(url: str, authorization: str = "", body: Any = None) -> Any:
    """JSON of a server that may want to know who asks; None if it has nothing to say."""
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return json.loads(answer.read() or "null")
