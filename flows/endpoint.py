"""`mtl endpoint`: a registered version behind HTTP, verified before it is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from flows.checks import check, disk
from flows.leftovers import noted
from flows.settings import Settings
from flows.ui import end_with_parent, refuse_busy
from flows.versioning import stop_tree
from flows.versions import opened, resolve
from mtl.config import MtlError


def serve_endpoint(settings: Settings, name: str, host: str, port: int, replicas: int) -> None:
    """Serve until Ctrl-C.

    Raises:
        BusyError: the port is taken.
        RegistryError: no such version, or its package is not what was registered.
        MtlError: the server ended by itself.
    """
    refuse_busy(port, "the endpoint", "--port")
    config, registry = opened(settings)
    check(settings, config, (disk,))
    version = resolve(registry, name)
    with noted(settings), tempfile.TemporaryDirectory() as scratch:
        package = registry.package(version, Path(scratch), settings.packages)
        job = {
            "bundle": str(package / "artifacts" / "bundle"),
            "version": str(version.number),
            "host": host,
            "port": port,
            "replicas": replicas,
        }
        command = [sys.executable, "-m", "mtl.stages.endpoint", json.dumps(job)]
        process = subprocess.Popen(
            command, cwd=settings.root, env=os.environ, text=True, preexec_fn=end_with_parent, start_new_session=True
        )
        try:
            code = process.wait()
        finally:
            stop_tree(process)
    raise MtlError("the endpoint ended", found=f"exit code {code}", fix="see the lines above")
