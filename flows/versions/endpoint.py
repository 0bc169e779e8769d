"""`mtl endpoint`: a registered version behind HTTP, verified before it is loaded."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from flows.checkout.dvc import stop_tree
from flows.checkout.leftovers import noted
from flows.checks import check, disk
from flows.processes.ui import end_with_parent, refuse_busy
from flows.registry.load import load_versions, resolve
from flows.settings import Settings
from mtl.errors import MtlError
from mtl.package import BUNDLE
from mtl.reports.requests import Alias, EndpointRequest

LEAVE_SECONDS = 35.0
"""For the server to answer what it had accepted, and to end."""


def serve_endpoint(settings: Settings, name: str, host: str, port: int, replicas: int) -> None:
    """Serve until SIGTERM or Ctrl-C: a number's version, or whatever version an alias names, now and later.

    Raises:
        BusyError: the port is taken.
        RegistryError: no such version, or its package is not what was registered.
        MtlError: the server ended by itself.
    """
    refuse_busy(port, "the endpoint", "--port")
    config, registry = load_versions(settings)
    check(settings, config, (disk,))
    version = resolve(registry, name)
    with noted(settings), tempfile.TemporaryDirectory() as scratch:
        package = registry.package(version, Path(scratch), settings.packages)
        home, root = str(settings.home), str(settings.root)
        job = EndpointRequest(
            bundle=str(package / BUNDLE),
            version=str(version.number),
            host=host,
            port=port,
            replicas=replicas,
            followed=None if name.isdecimal() else Alias(alias=name, uri=settings.mlflow_uri, home=home, root=root),
        )
        _run([sys.executable, "-m", "mtl.entrypoints.endpoint", job.model_dump_json()], settings.root)


def _run(command: list[str], folder: Path) -> None:
    """Run the server, and hand on to it that it is to end.

    Raises:
        MtlError: it ended by itself, or had not answered all that it had accepted.
    """
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ, text=True, preexec_fn=end_with_parent, start_new_session=True
    )
    try:
        code = _ended(process)
    finally:
        stop_tree(process)
    if code != 0:
        raise MtlError("the endpoint ended", found=f"exit code {code}", fix="see the lines above")


def _ended(process: subprocess.Popen[str]) -> int | None:
    """Its exit code; None if it took too long to answer what it had accepted."""
    try:
        return process.wait() or -1  # by itself, whatever it says
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(LEAVE_SECONDS)
    return None
