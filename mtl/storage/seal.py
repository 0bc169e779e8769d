"""Documents that lie where others may write: sealed with a key that does not lie there, and refused if it does not fit.

The key of a run is derived from a secret of this MTL_HOME, so that every process that has it goes on with what another
began. Nodes get it beside the bucket: with Ray's arguments, or in a job's environment.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from mtl.errors import SealError
from mtl.storage.private import secret_of
from mtl.storage.store import Store

SECRET = Path("keys", "runs.secret")
"""In MTL_HOME."""
SEAL = "seal"
"""The key of a sealed document under which its MAC stands."""


@dataclass(frozen=True)
class Seal:
    """What seals the documents of one run: HMAC-SHA256 over where a document lies and what it says."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def name(self) -> str:
        """By which keys are told apart; it says nothing of the key."""
        return hmac.digest(self.key, b"name", "sha256").hex()[:12]

    def write(self, store: Store, name: str, document: Mapping[str, object]) -> None:
        """Put a document, sealed."""
        plain = json.loads(json.dumps(document))
        store.put(name, json.dumps(plain | {SEAL: self._mac(store, name, plain)}).encode())

    def read(self, store: Store, name: str) -> dict[str, JsonValue]:
        """A document that was sealed with this key, and for this place.

        Raises:
            FileNotFoundError: there is none.
            SealError: it was not.
        """
        data = store.get(name)
        document: dict[str, JsonValue] = {}
        try:
            document = json.loads(data)
            found = str(document.pop(SEAL))
            holds = hmac.compare_digest(found.encode(), self._mac(store, name, document).encode())
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            found, holds = "no seal in it", False
        if not holds:
            raise SealError(
                f"{store.url}/{name} was not written by this run",
                found=f"seal {found[:16]}… of another key, place or content" if len(found) == 64 else "no seal in it",
                fix=f"it is not used; look who writes there. If {SECRET} in MTL_HOME is a new one, remove the file",
            )
        return document

    def _mac(self, store: Store, name: str, document: Mapping[str, object]) -> str:
        # Folders are known by their last two parts: they may be mounted elsewhere.
        place = "/".join([*store.url.replace("\\", "/").split("/")[-2:], name])
        said = json.dumps([place, document], sort_keys=True)
        return hmac.digest(self.key, said.encode(), hashlib.sha256).hex()


class SealedFiles(BaseModel):
    """A sealed list of files: name → SHA-256."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    files: dict[str, str]


def seal_of(run: str, home: Path) -> Seal:
    """The seal of a run, by its name, in every process that has this MTL_HOME."""
    return Seal(hmac.digest(secret_of(home / SECRET), run.encode(), "sha256"))
