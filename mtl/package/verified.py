"""A package that MLflow brought, compared with its signature before anything of it is read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mtl.errors import RegistryError
from mtl.registry.contents import ADDED
from mtl.registry.signing import verify
from mtl.registry.trust import trusted

UNVERIFIED = "unverified"


def verified(package: Path) -> str:
    """What was checked, in words; `UNVERIFIED` where no public key is known.

    Raises:
        RegistryError: a file was changed, added or removed, or the signature is missing or a stranger's.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    keys = trusted(Path(os.environ.get("MTL_HOME", ".mtl"))).keys
    refused: RegistryError | None = None
    with _as_signed(package) as folder, tempfile.TemporaryDirectory() as scratch:
        for key in keys.values():
            path = Path(scratch, "public.pem")
            path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
            try:
                return verify(folder, None, path)
            except RegistryError as error:
                refused = error
    if refused is not None:
        raise refused
    return UNVERIFIED


@contextmanager
def _as_signed(package: Path) -> Generator[Path]:
    """The package without what MLflow adds: as it is, or hard links to its files."""
    if not (package / ADDED).is_file():
        yield package
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "package")
        shutil.copytree(package, folder, symlinks=True, copy_function=_link)
        (folder / ADDED).unlink()
        yield folder


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another disk
        shutil.copyfile(source, target, follow_symlinks=False)
