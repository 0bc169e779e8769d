"""Checkpoints that exist only once complete: the state first, then a manifest with its hash, sealed, verified on load.

They are written in the background: a step waits for the copy of the state alone.
"""

from __future__ import annotations

import io
import logging
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from mtl.errors import MtlError, SealError
from mtl.storage.digest import bytes_sha256, file_sha256
from mtl.storage.seal import Seal, SealedFiles
from mtl.storage.store import Store, cannot_write

_LOG = logging.getLogger(__name__)

MANIFEST = "manifest.json"
SETTLED = ("best",)
"""Parts of the state that are replaced, never changed in place: they need no copy."""


class Checkpoints:
    """The checkpoints of one training, `step-00000050/` and so on in a store.

    Args:
        keep: complete ones that are kept.
        seal: of the training; by default one of this object's own, which takes no other's.
    """

    def __init__(self, store: Store, keep: int, seal: Seal | None = None) -> None:
        self.store, self.keep, self.seal = store, keep, seal or Seal()
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Copy the state, and write it in the background once the one before is written.

        Raises:
            MtlError: the one before could not be written; nothing incomplete counts.
        """
        self.flush()
        copied = {key: value if key in SETTLED else _copy(value) for key, value in state.items()}
        self._pending = self._writer.submit(self._write, step, copied)

    def flush(self) -> None:
        """Wait until all is written.

        Raises:
            MtlError: it could not be.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, step: int, state: dict[str, Any]) -> None:
        folder = f"step-{step:08d}"
        with tempfile.TemporaryDirectory() as fallback:
            scratch = self.store.scratch(f"{folder}/state", Path(fallback))
            try:
                with scratch.open("wb") as file:
                    torch.save(state, file)
                digest, size = file_sha256(scratch), scratch.stat().st_size
            except (OSError, RuntimeError) as error:
                scratch.unlink(missing_ok=True)
                raise cannot_write(scratch.parent, error) from error
            # Named by its hash: two that write one step at a time never mix.
            name = f"{folder}/state-{digest[:16]}.pt"
            self.store.put_file(name, scratch)
        document = {"files": {name.split("/")[1]: digest}, "step": step, "bytes": size}
        self.seal.write(self.store, f"{folder}/{MANIFEST}", document)
        self._prune(step)

    def _prune(self, newest: int) -> None:
        """Keep the newest complete ones; what is incomplete and older than the newest goes too."""
        names = self.store.names()
        kept = set(_complete(names)[-self.keep :])
        for folder in sorted({name.split("/")[0] for name in names} - kept):
            if folder < f"step-{newest:08d}":
                self.store.remove(f"{folder}/{MANIFEST}")  # first: a state without it is none
                self.store.remove(folder)

    def latest(self) -> dict[str, Any] | None:
        """The newest state that this training wrote and that is undamaged; another is named and the one before it taken."""
        for folder in reversed(_complete(self.store.names())):
            try:
                document = self.seal.read(self.store, f"{folder}/{MANIFEST}")
                ((name, wanted),) = SealedFiles.model_validate(document).files.items()
                data = self.store.get(f"{folder}/{name}")
                if bytes_sha256(data) != wanted:
                    raise ValueError("its content is not what its manifest says")
                return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            except SealError as error:
                _LOG.info(f"train: {error.line}; taking the checkpoint before it")
            except MtlError:
                raise  # a store out of reach is no damage
            except Exception as error:
                _LOG.info(f"train: the checkpoint {folder} is damaged ({error}); taking the one before it")
        return None


def _complete(names: list[str]) -> list[str]:
    return sorted(name.removesuffix(f"/{MANIFEST}") for name in names if name.endswith(f"/{MANIFEST}"))


def _copy(value: object) -> object:
    """A tree of tensors as it is now, in this machine's memory."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copy(item) for item in value)
    return value


def write_manifest(store: Store, seal: Seal, files: dict[str, str]) -> None:
    """Declare files complete, with their hashes."""
    seal.write(store, MANIFEST, {"files": files})


def verified(store: Store, seal: Seal) -> dict[str, bytes] | None:
    """The files that a manifest declares, each as its hash says; None if there is no manifest of this seal, or a file is
    damaged.
    """
    try:
        files = SealedFiles.model_validate(seal.read(store, MANIFEST)).files
        found = {name: store.get(name) for name in files}
    except FileNotFoundError:
        return None
    except SealError as error:
        _LOG.info(f"train: {error.line}")
        return None
    return found if all(bytes_sha256(found[name]) == digest for name, digest in files.items()) else None
