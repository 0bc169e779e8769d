"""Whose signatures count, and what they sign: a statement is canonical JSON under an ECDSA signature.

A statement that does not hold is either *unverified* (nobody signed it whom we know: it may be used if a setting says so) or
*altered* (signed by somebody trusted, as something else than it is here: it is never used).
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.errors import RegistryError
from mtl.registry.key_files import FIX, KeySource, key_id, key_source, private_key, public_key, said
from mtl.registry.signing import own_keys
from mtl.storage.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from pydantic import JsonValue

DOMAIN = b"mtl statement 1\n"
"""Before what is signed: a signature of this kind is good for nothing else."""
COPY = ".entries.json"
DECLARED = "trusted_keys"
"""Folder of a checkout with the public keys of those whose versions count, committed as its code is."""
UNVERIFIED = "MTL_UNVERIFIED"
"""`allow`: versions and changes that nobody who is trusted has signed may be used."""


@dataclass(frozen=True)
class Doubt:
    """Why something does not count."""

    why: str
    altered: bool = False
    """Signed as something else: no setting lets it through."""


class Trust:
    """The keys of those who are trusted, and the one that signs here."""

    def __init__(
        self,
        public: Sequence[KeySource] = (),
        private: KeySource | None = None,
        own: Path | None = None,
        seen: Path | None = None,
        *,
        unverified: bool = False,
    ) -> None:
        """Args:
        public: public keys in PEM (files, or their texts), or folders of such files.
        private: what is signed with; its public half is trusted.
        own: the folder of a key pair that is made when something is first signed and there is no `private`.
        seen: a folder that remembers which history was seen last, so that one that was cut off is found.
        unverified: let through what nobody who is trusted has signed.
        """
        self.public, self.private, self.own, self.seen = tuple(public), private, own, seen
        self.unverified = unverified

    def lets(self, doubt: Doubt | None) -> bool:
        """Whether something with this doubt may be used."""
        return doubt is None or (self.unverified and not doubt.altered)

    def sign(self, payload: Mapping[str, object]) -> dict[str, object]:
        """A statement of this content.

        Raises:
            RegistryError: there is no key to sign with, or it is none.
        """
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if self.private is None and self.own is None:
            raise RegistryError("there is no key to sign with", fix="set MTL_SIGNING_KEY")
        key = private_key(self.private or own_keys(self.own or Path())[0])
        public = key.public_key()
        self.keys[key_id(public)] = public
        signature = key.sign(DOMAIN + canonical(payload), ec.ECDSA(hashes.SHA256()))
        return {"payload": payload, "key": key_id(public), "signature": base64.b64encode(signature).decode()}

    def check(self, statement: object, kind: str, **expected: object) -> tuple[dict[str, JsonValue], Doubt | None]:
        """A statement's content, and why it does not count, if so.

        Args:
            kind: what it must be a statement of.
            expected: what its content must have, so that it is not another's.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if not isinstance(statement, dict) or not isinstance(payload := statement.get("payload"), dict):
            return {}, Doubt("it is not signed (made before there were statements, or by somebody without a key)")
        if not self.keys:
            return payload, Doubt("no public key is known here")
        public = self.keys.get(str(statement.get("key")))
        if public is None:
            return payload, Doubt(f"it is signed with a key that is not trusted: {str(statement.get('key'))[:16]!r}")
        try:
            signature = base64.b64decode(str(statement.get("signature")), validate=True)
            public.verify(signature, DOMAIN + canonical(payload), ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return payload, Doubt("its signature is wrong: it was changed after it was signed", altered=True)
        for key, value in {"kind": kind, **expected}.items():
            if payload.get(key) != value:
                return payload, Doubt(f"it is a statement of {key} {payload.get(key)!r}, not {value!r}", altered=True)
        return payload, None

    def recall(self, history: str) -> str:
        """The hash up to which a history was seen; empty if it never was."""
        path = self.seen and self.seen / history
        return path.read_text(encoding="utf-8") if path and path.exists() else ""

    def remember(self, history: str, head: str) -> None:
        """Keep the hash up to which a history was seen."""
        if self.seen is not None and head and head != self.recall(history):
            Store(str(self.seen)).put(history, head.encode())

    def load_entries(self, history: str) -> dict[str, str]:
        """The copy of a ledger's entries as they were last seen here: key → signed text."""
        path = self.seen and self.seen / f"{history}{COPY}"
        return json.loads(path.read_bytes()) if path and path.exists() else {}

    def save_entries(self, history: str, entries: Mapping[str, str]) -> None:
        """Keep a copy of a ledger's entries."""
        if self.seen is not None and entries:
            Store(str(self.seen)).put(f"{history}{COPY}", json.dumps(dict(entries)).encode())

    @property
    def signer(self) -> str | None:
        """The id of the key that signs here; None if one is made first, or there is none.

        Raises:
            RegistryError: it is no key.
        """
        private = self.private
        if private is None and self.own is not None and (self.own / "private.pem").exists():
            private = self.own / "private.pem"
        return None if private is None else key_id(private_key(private).public_key())

    @cached_property
    def keys(self) -> dict[str, EllipticCurvePublicKey]:
        """The public keys that are trusted, by id.

        Raises:
            RegistryError: one that was named is missing or is none.
        """
        paths: list[KeySource] = []
        for source in self.public:
            folder = isinstance(source, Path) and source.is_dir()
            paths += sorted(Path(source).glob("*.pem")) if folder else [source]
        if self.public and not paths:
            raise RegistryError("no public key is where one was named", found=said(self.public[0]), fix=FIX)
        if self.own is not None and (self.own / "public.pem").exists():
            paths.append(self.own / "public.pem")
        found = [public_key(path) for path in paths]
        found += [private_key(self.private).public_key()] if self.private is not None else []
        return {key_id(key): key for key in found}


def trusted(home: Path, root: Path | None = None) -> Trust:
    """Whose signatures count: those of MTL_SIGNING_PUBLIC_KEY (files and folders of keys, or texts, separated as in PATH), of
    MTL_SIGNING_KEY (a file, or a text), of a home's own key, and those that a checkout declares.

    Args:
        root: the checkout: whoever may write there says what code runs, and so whose versions count.
    """
    private = os.environ.get("MTL_SIGNING_KEY")
    public = [key_source(path) for path in os.environ.get("MTL_SIGNING_PUBLIC_KEY", "").split(os.pathsep) if path]
    if root is not None and any((root / DECLARED).glob("*.pem")):
        public.append(root / DECLARED)
    return Trust(
        public,
        key_source(private) if private else None,
        None if private else home / "keys",
        home / "seen",
        unverified=os.environ.get(UNVERIFIED) == "allow",
    )


def canonical(payload: Mapping[str, object]) -> bytes:
    """The one text of a content."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
