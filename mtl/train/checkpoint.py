"""Checkpoints that exist only once complete: the state first, then a manifest with its hash, verified on load."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mtl.config import TrainingError
from mtl.digest import file_sha256

STATE, MANIFEST = "state.pt", "manifest.json"


class Checkpoints:
    """The checkpoints of one training, `step-00000050/` and so on in a folder."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write one and remove the oldest.

        Raises:
            TrainingError: the disk is full or read-only; nothing incomplete stays behind.
        """
        target = self.folder / f"step-{step:08d}"
        try:
            target.mkdir(parents=True, exist_ok=True)
            (target / MANIFEST).unlink(missing_ok=True)
            with (target / STATE).open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            write_manifest(target, {STATE: file_sha256(target / STATE)}, step=step)
        except (OSError, RuntimeError) as error:
            shutil.rmtree(target, ignore_errors=True)
            raise cannot_write(target, error) from error
        for old in self._complete()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def latest(self, say: Callable[[str], None] = print) -> dict[str, Any] | None:
        """The newest state that is complete and undamaged; a damaged one is named and the one before it taken."""
        for folder in reversed(self._complete()):
            try:
                wanted = json.loads((folder / MANIFEST).read_text())["files"][STATE]
                if file_sha256(folder / STATE) != wanted:
                    raise ValueError("its content is not what its manifest says")
                return torch.load(folder / STATE, map_location="cpu", weights_only=True)
            except Exception as error:
                say(f"train: the checkpoint {folder.name} is damaged ({error}); taking the one before it")
        return None

    def _complete(self) -> list[Path]:
        return sorted(folder.parent for folder in self.folder.glob(f"step-*/{MANIFEST}"))


def write_manifest(folder: Path, files: dict[str, str], **more: Any) -> None:
    """Declare a folder complete: written beside, synced, then moved into place."""
    scratch = folder / f"{MANIFEST}.tmp"
    with scratch.open("w", encoding="utf-8") as file:
        json.dump({"files": files, **more}, file)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(folder / MANIFEST)


def cannot_write(folder: Path, error: Exception) -> TrainingError:
    """A message for a disk that is full, read-only or too slow to exist."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    # torch's zip writer hides the errno of a full disk behind a RuntimeError.
    full = full or any(sign in str(error) for sign in ("PytorchStreamWriter", "inline_container", "file write failed"))
    place = folder if folder.exists() else next(p for p in folder.parents if p.exists())
    free = shutil.disk_usage(place).free / 2**20
    return TrainingError(
        f"cannot write a checkpoint to {folder}" + (": no space left" if full else ""),
        found=f"{error}; {free:,.0f} MiB free on that disk",
        fix="free some space or set MTL_HOME to a larger disk, then run again: training goes on from the "
        "last complete checkpoint",
    )
