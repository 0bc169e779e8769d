"""Real servers on loopback for tests: started, waited for, killed and started again on the same data."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

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


def _http(url: str) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True  # it refuses, so it is there
        except OSError:
            return False

    return answers


def prefect_server(folder: Path) -> Server:
    """A Prefect server over SQLite."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    address = f"http://127.0.0.1:{port}/api"
    environment = {"PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    return Server(command, folder, address, _http(f"{address}/health"), environment)


def mlflow_server(folder: Path, store: str) -> Server:
    """An MLflow server that keeps its artifacts itself."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
    address = f"http://127.0.0.1:{port}"
    return Server(command, folder, address, _http(f"{address}/health"))


def postgres(folder: Path) -> Server:
    """A Postgres with a database `mlflow`. It refuses to run as root: then it runs as nobody."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    user: list[str] = []
    if os.getuid() == 0:
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        shutil.chown(folder, 65534, 65534)
        for parent in folder.parents:  # pytest's own folders are root's alone
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    initdb = [*user, "initdb", "-D", str(folder / "data"), "-U", "mtl", "-A", "trust"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder)
    command = [*user, "postgres", "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    where = ["-h", "127.0.0.1", "-p", str(port)]

    def answers() -> bool:
        if subprocess.run(["pg_isready", "-q", *where], check=False).returncode:
            return False
        subprocess.run(["createdb", *where, "-U", "mtl", "mlflow"], check=False, capture_output=True)
        return True

    address = f"postgresql+psycopg2://mtl@127.0.0.1:{port}/mlflow"
    # SIGINT: it does not wait for its clients.
    return Server(command, folder, address, answers, stop_signal=signal.SIGINT)


def object_store(folder: Path) -> Server:
    """A SeaweedFS with an S3 API; `s3_environment` reaches it."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"accessKey": KEY, "secretKey": SECRET}
    identity = {"name": "t", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: str(free_port()) for name in ("master", "volume", "filer", "s3")}
    command = [str(Path(sys.executable).with_name("weed")), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-dir={folder}", "-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-volume.max=200"]
    command += [f"-{name}.port={port}" for name, port in ports.items()] + ["-master.volumeSizeLimitMB=64"]
    command += [f"-{name}.port.grpc={free_port()}" for name in ports]
    address = f"http://127.0.0.1:{ports['s3']}"
    # SIGKILL: it would take half a minute to say goodbye.
    return Server(command, folder, address, lambda: _has_buckets(address), stop_signal=signal.SIGKILL)


def s3_environment(address: str) -> dict[str, str]:
    """What reaches an object store of ours."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _has_buckets(address: str) -> bool:
    """Whether it answers; the buckets are made at the first time."""
    import s3fs

    try:
        client = s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=address, skip_instance_cache=True)
        for bucket in BUCKETS:
            if not client.exists(bucket):
                client.mkdir(bucket)
        return True
    except Exception:
        return False
