"""The list of what a back-up holds: signed, and checked before anything that it names is touched."""

from __future__ import annotations

import json
import logging
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from mtl.errors import RegistryError
from mtl.registry.trust import Trust
from mtl.reports.types import Report
from mtl.storage.digest import bytes_sha256
from mtl.storage.names import checked_name
from mtl.storage.store import Store

_LOG = logging.getLogger(__name__)

MANIFEST, STATEMENT = "manifest.json", "statement.json"
KIND = "backup"
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class BackUpList(Report):
    """manifest.json: what newer programs add is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str | None = Field(default=None, description="of the back-up; None: not said")
    database: Sha256 = Field(description="of the compressed dump")
    kind: str = Field(description="of database")
    files: dict[str, Sha256] = Field(description="path below the registry's artifacts → digest")


def signature(name: str, manifest: bytes, trust: Trust) -> bytes:
    """What lies beside the list of a back-up: a statement by who made it."""
    return json.dumps(trust.sign({"kind": KIND, "name": name, "sha256": bytes_sha256(manifest)})).encode()


def facts_of(store: Store, name: str, trust: Trust, *, unsigned: bool) -> BackUpList:
    """A back-up's list. Names and digests are what they should be.

    Args:
        trust: whose signature it must have.
        unsigned: take it without.

    Raises:
        RegistryError: it is not signed by somebody trusted, or is no list of this back-up.
        DataError: it names what is not below the registry's artifacts.
    """
    manifest = store.get(f"{name}/{MANIFEST}")
    if unsigned:
        _LOG.info(f"unverified: who made {name} is not known (--unsigned)")
    else:
        _check_signature(store, name, manifest, trust)
    facts = _parsed(manifest)
    if facts is None or facts.name not in (None, name):
        found = f"{MANIFEST} is not one" if facts is None else f"the list of {facts.name}"
        raise RegistryError(f"the back-up {name} is not what was written", found=found, fix="take another one")
    for path in facts.files:
        checked_name(path, f"{store.url}/{name}/{MANIFEST}")
    return facts


def _parsed(manifest: bytes) -> BackUpList | None:
    """A list whose digests are some; None if it is none."""
    try:
        return BackUpList.model_validate_json(manifest)
    except ValidationError:
        return None


def _check_signature(store: Store, name: str, manifest: bytes, trust: Trust) -> None:
    fix = (
        "MTL_SIGNING_PUBLIC_KEY names the public key of who made it (there keys/public.pem in MTL_HOME); "
        "--unsigned takes it without, if nobody else may write there"
    )
    if not trust.keys:
        raise RegistryError(f"the back-up {name} cannot be verified", found="no public key is known here", fix=fix)
    if f"{name}/{STATEMENT}" not in store:
        raise RegistryError(f"the back-up {name} is not signed", found=f"no {name}/{STATEMENT}", fix=fix)
    try:
        statement = json.loads(store.get(f"{name}/{STATEMENT}"))
    except (ValueError, RecursionError):
        statement = None
    _, doubt = trust.check(statement, KIND, name=name, sha256=bytes_sha256(manifest))
    if doubt is not None:
        raise RegistryError(f"the back-up {name} is not signed as it is", found=doubt.why, fix=fix)
