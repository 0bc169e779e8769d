"""Wheels as data: fetched from the package index by pip, checked by hash, opened as zip files, never installed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mtl.errors import DataError
from mtl.storage import atomic
from mtl.storage.digest import file_sha256


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel. Its dependencies are not fetched and none of its code runs."""

    package: str
    version: str
    sha256: str
    licence: str


def download(wheel: Wheel, cache: Path) -> Path:
    """The wheel's path in `cache`, fetched if it is not there already.

    Raises:
        DataError: the index is out of reach, or the bytes are not the pinned ones.
    """
    cached = cache / f"{wheel.package}-{wheel.version}-{wheel.sha256[:12]}.whl"
    if cached.exists() and file_sha256(cached) == wheel.sha256:
        return cached
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        pinned = Path(scratch, "pinned.txt")
        pinned.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--require-hashes", "--dest", scratch, "--requirement", str(pinned)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise DataError(
                f"cannot fetch {wheel.package}=={wheel.version}",
                found=(done.stderr.strip().splitlines() or ["pip wrote nothing"])[-1],
                fix="check the network and pip's index settings (pip config list), then run again",
            )
        atomic.move(wheels[0], cached)
    return cached
