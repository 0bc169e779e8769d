"""Prefect's and MLflow's servers on loopback."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from flows.processes.guard import LOGIN
from flows.settings import Settings
from mtl.errors import BusyError, MtlError

_LOG = logging.getLogger(__name__)
START_SECONDS = 180.0


def refuse_busy(port: int, what: str, option: str) -> None:
    """Raise BusyError if somebody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BusyError(
                f"port {port}, wanted for {what}, is busy", found=str(error), fix=f"choose another with {option}"
            ) from error


def wait_until_up(url: str, process: subprocess.Popen[Any], what: str) -> None:
    """Wait until a server answers.

    Raises:
        MtlError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MtlError(
                f"{what} ended while it was starting",
                found=f"exit code {process.returncode}",
                fix="mtl doctor looks at versions, disks and ports; then try again",
            )
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:  # it asks who comes: it is there
                return
            time.sleep(0.5)
        except OSError:
            time.sleep(0.5)
    raise MtlError(
        f"{what} did not answer at {url}",
        found=f"nothing within {START_SECONDS:.0f} s",
        fix="end what else keeps this machine busy, and try again; mtl doctor looks at the rest",
    )


def end_with_parent() -> None:
    """In a new process: be told to end when the one that started it is gone, however that ended. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def mlflow_command(port: int, *words: str) -> list[str]:
    """An MLflow server on loopback, as MLflow starts it."""
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        *words,
    ]


def prefect_command(port: int) -> list[str]:
    """A Prefect server on loopback, as Prefect starts it."""
    return [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]


def start_mlflow(settings: Settings, port: int) -> subprocess.Popen[bytes]:
    """The MLflow server over this home's database, for its owner alone."""
    from mlflow.server import constants

    environment = {constants.BACKEND_STORE_URI_ENV_VAR: settings.mlflow_uri}
    environment |= {constants.REGISTRY_STORE_URI_ENV_VAR: settings.mlflow_uri}
    if settings.artifacts:
        environment |= {constants.ARTIFACT_ROOT_ENV_VAR: settings.artifacts}
    return _guarded("mlflow", port, settings.ensure_login(), environment)


def start_prefect(port: int, login: str, days: int = 90) -> subprocess.Popen[bytes]:
    """The Prefect server over this home's database, for whoever has the login (`user:password`).

    Args:
        days: for which it keeps runs.
    """
    environment = {
        "PREFECT_SERVER_API_AUTH_STRING": login,
        # Else the page asks port 4200, whatever port it came from.
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
    }
    vacuum = "PREFECT_SERVER_SERVICES_DB_VACUUM"
    kept = {f"{vacuum}_ENABLED": "events,flow_runs", f"{vacuum}_RETENTION_PERIOD": str(days * 86400)}
    environment |= {key: value for key, value in kept.items() if key not in os.environ}
    return _guarded("prefect", port, login, environment)


def _guarded(name: str, port: int, login: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return start_guarded([sys.executable, "-m", "flows.processes.guard", name, str(port)], login, environment)


def start_guarded(command: list[str], login: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A server behind the guard, which takes the login from the environment."""
    return subprocess.Popen(
        command,
        env=os.environ | environment | {LOGIN: login},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_parent,
    )
