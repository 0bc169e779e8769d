"""Packages that were fetched from a registry before: a server gives a hundred small files one by one, which takes its time.

What is kept is verified like what was just fetched: nothing rests on it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

MAX_PACKAGES = 8
"""The packages that were used last."""


class PackageCache:
    """A folder of packages, by the digest of their content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def bring(self, sha256: str, target: Path) -> bool:
        """Copy a package to where nothing is yet; whether it was here."""
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            return False  # no digest, but a way out of the folder, perhaps
        kept = self.folder / sha256
        try:
            os.utime(kept)
            shutil.copytree(kept, target)
        except (OSError, shutil.Error):  # not here, or another process has just made room
            shutil.rmtree(target, ignore_errors=True)
            return False
        return True

    def has(self, sha256: str) -> bool:
        """Whether a package is here."""
        return bool(re.fullmatch("[0-9a-f]{64}", sha256)) and (self.folder / sha256).is_dir()

    def add(self, sha256: str, package: Path) -> None:
        """Add a copy, and remove the oldest beyond MAX_PACKAGES. A full disk costs the copy, not the caller."""
        if self.has(sha256):
            return
        with contextlib.suppress(OSError, shutil.Error):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".new-") as scratch:
                copy = shutil.copytree(package, Path(scratch, sha256))
                copy.rename(self.folder / sha256)  # fails if another process was first
        with contextlib.suppress(FileNotFoundError):  # another process makes room just now
            packages = [path for path in self.folder.glob("*") if not path.name.startswith(".")]
            for old in sorted(packages, key=lambda path: path.stat().st_mtime, reverse=True)[MAX_PACKAGES:]:
                self.forget(old.name)

    def forget(self, sha256: str) -> None:
        """Remove one."""
        shutil.rmtree(self.folder / sha256, ignore_errors=True)
