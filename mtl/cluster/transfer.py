"""Files that travel through a bucket with a job: a sealed list has their hashes, and nothing else is taken."""

from __future__ import annotations

from pathlib import Path

from mtl.errors import SealError
from mtl.storage.digest import bytes_sha256, file_sha256
from mtl.storage.names import checked_name
from mtl.storage.seal import Seal, SealedFiles
from mtl.storage.store import Store

LIST = "sent.json"


def send(store: Store, folder: Path, seal: Seal) -> None:
    """Move a folder's files there; what was sent before and has not changed is not sent again."""
    digests = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
    try:
        known = SealedFiles.model_validate(seal.read(store, LIST)).files
    except (FileNotFoundError, SealError):
        known = {}
    for name, digest in digests.items():
        if known.get(name) != digest or name not in store:
            store.put_file(name, folder / name)
    seal.write(store, LIST, {"files": digests})


def bring(store: Store, folder: Path, seal: Seal) -> None:
    """Write what was sent into a folder.

    Raises:
        SealError: the list is not the sender's, or a file is not what it says.
    """
    for name, digest in SealedFiles.model_validate(seal.read(store, LIST)).files.items():
        data = store.get(checked_name(name, store.url))
        if bytes_sha256(data) != digest:
            store.remove(name)  # the next run sends it again
            raise SealError(
                f"{store.url}/{name} is not what was sent",
                found=f"SHA-256 {bytes_sha256(data)}",
                fix="nothing was made of it; look who writes there, and run again: it is sent again",
            )
        (folder / name).write_bytes(data)
