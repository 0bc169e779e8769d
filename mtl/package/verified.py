"""A package that MLflow brought, compared with its signature before anything of it is read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mtl.registry import ADDED
from mtl.signing import verify

UNVERIFIED = "unverified"


def verified(package: Path) -> str:
    """What was checked, in words; `UNVERIFIED` where no public key is known.

    Raises:
        RegistryError: a file was changed, added or removed, or the signature is missing or a stranger's.
    """
    key = public_key()
    if key is None:
        return UNVERIFIED
    with _as_signed(package) as folder:
        return verify(folder, None, key)


def public_key() -> Path | None:
    """MTL_SIGNING_PUBLIC_KEY, or that of MTL_HOME or of the checkout in which this runs; None: nobody's is known."""
    given = os.environ.get("MTL_SIGNING_PUBLIC_KEY")
    if given:
        return Path(given)
    own = Path(os.environ.get("MTL_HOME", ".mtl"), "keys", "public.pem")
    return own if own.exists() and not os.environ.get("MTL_SIGNING_KEY") else None


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
