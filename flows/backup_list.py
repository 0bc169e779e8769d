"""The list of what a back-up holds: signed, and checked before anything that it names is touched."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtl.config import RegistryError
from mtl.names import checked_name
from mtl.signing import SIGNATURE, sign, verify
from mtl.store import Store

MANIFEST = "manifest.json"
SHA256 = re.compile("[0-9a-f]{64}")


def signature(manifest: bytes, key: Path) -> bytes:
    """What lies beside a list that this key has signed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "signed")
        folder.mkdir()
        (folder / MANIFEST).write_bytes(manifest)
        sign(folder, key, Path(scratch, SIGNATURE))
        return Path(scratch, SIGNATURE).read_bytes()


def facts_of(
    store: Store, name: str, key: Path | None, say: Callable[[str], None], *, unsigned: bool
) -> dict[str, Any]:
    """A back-up's list: `database`, `kind`, and `files`, name → SHA-256. Names and digests are what they should be.

    Args:
        key: whose signature it must have.
        unsigned: take it without.

    Raises:
        RegistryError: it is not signed by the key, or is no list of this back-up.
        DataError: it names what is not below the registry's artifacts.
    """
    manifest = store.get(f"{name}/{MANIFEST}")
    if unsigned:
        say(f"unverified: who made {name} is not known (--unsigned)")
    else:
        _check_signature(store, name, manifest, key)
    facts: dict[str, Any] = {}
    try:
        facts = json.loads(manifest)
        said, files, digests = facts.get("name", name), facts["files"], [facts["database"], *facts["files"].values()]
        known = all(isinstance(one, str) and SHA256.fullmatch(one) for one in digests) and isinstance(
            facts["kind"], str
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said, files, known = name, dict[str, str](), False
    if not known or said != name:
        found = f"the list of {said}" if known else f"{MANIFEST} is not one"
        raise RegistryError(f"the back-up {name} is not what was written", found=found, fix="take another one")
    for path in files:
        checked_name(path, f"{store.url}/{name}/{MANIFEST}")
    return facts


def _check_signature(store: Store, name: str, manifest: bytes, key: Path | None) -> None:
    fix = (
        "MTL_SIGNING_PUBLIC_KEY names the public key of who made it (there keys/public.pem in MTL_HOME); "
        "--unsigned takes it without, if nobody else may write there"
    )
    if key is None:
        raise RegistryError(f"the back-up {name} cannot be verified", found="no public key is known here", fix=fix)
    if f"{name}/{SIGNATURE}" not in store:
        raise RegistryError(f"the back-up {name} is not signed", found=f"no {name}/{SIGNATURE}", fix=fix)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, MANIFEST).write_bytes(manifest)
        Path(folder, SIGNATURE).write_bytes(store.get(f"{name}/{SIGNATURE}"))
        try:
            verify(Path(folder), None, key)
        except RegistryError as error:
            what = f"the back-up {name} is not signed by {key}"
            raise RegistryError(what, found=error.found, fix=fix) from error
