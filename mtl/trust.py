"""Whose signatures count, and what they sign: a statement is canonical JSON under an ECDSA signature.

A statement that does not hold is either *unverified* (nobody signed it whom we know: it may be used if a setting says so) or
*altered* (signed by somebody trusted, as something else than it is here: it is never used).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.config import RegistryError
from mtl.signing import own_keys
from mtl.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

DOMAIN = b"mtl statement 1\n"
"""Before what is signed: a signature of this kind is good for nothing else."""
COPY = ".entries.json"
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
        public: Sequence[Path] = (),
        private: Path | None = None,
        own: Path | None = None,
        seen: Path | None = None,
        *,
        unverified: bool = False,
    ) -> None:
        """
        Args:
            public: public keys in PEM, or folders of them.
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

    def sign(self, payload: dict[str, Any]) -> dict[str, Any]:
        """A statement of this content.

        Raises:
            RegistryError: there is no key to sign with, or it is none.
        """
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if self.private is None and self.own is None:
            raise RegistryError("there is no key to sign with", fix="set MTL_SIGNING_KEY")
        key = _private(self.private or own_keys(self.own or Path())[0])
        public = key.public_key()
        self.keys[_id(public)] = public
        signature = key.sign(DOMAIN + canonical(payload), ec.ECDSA(hashes.SHA256()))
        return {"payload": payload, "key": _id(public), "signature": base64.b64encode(signature).decode()}

    def check(self, statement: Any, kind: str, **expected: Any) -> tuple[dict[str, Any], Doubt | None]:
        """A statement's content, and why it does not count, if so.

        Args:
            kind: what it must be a statement of.
            expected: what its content must have, so that it is not another's.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        payload = statement.get("payload") if isinstance(statement, dict) else None
        if not isinstance(payload, dict):
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

    def recall(self, place: str) -> str:
        """The hash up to which a history was seen; empty if it never was."""
        path = self.seen and self.seen / place
        return path.read_text(encoding="utf-8") if path and path.exists() else ""

    def remember(self, place: str, head: str) -> None:
        """Keep the hash up to which a history was seen."""
        if self.seen is not None and head and head != self.recall(place):
            Store(str(self.seen)).put(place, head.encode())

    def kept(self, place: str) -> dict[str, str]:
        """The copy of a ledger's entries as they were last seen here: key → signed text."""
        path = self.seen and self.seen / f"{place}{COPY}"
        return json.loads(path.read_bytes()) if path and path.exists() else {}

    def keep(self, place: str, entries: Mapping[str, str]) -> None:
        """Keep a copy of a ledger's entries."""
        if self.seen is not None and entries:
            Store(str(self.seen)).put(f"{place}{COPY}", json.dumps(dict(entries)).encode())

    @cached_property
    def keys(self) -> dict[str, EllipticCurvePublicKey]:
        """The public keys that are trusted, by id.

        Raises:
            RegistryError: one that was named is missing or is none.
        """
        paths = [p for path in self.public for p in (sorted(path.glob("*.pem")) if path.is_dir() else [path])]
        if self.public and not paths:
            raise RegistryError("no public key is where one was named", found=str(self.public[0]), fix=FIX)
        if self.own is not None and (self.own / "public.pem").exists():
            paths.append(self.own / "public.pem")
        found = [_public(path) for path in paths]
        found += [_private(self.private).public_key()] if self.private is not None else []
        return {_id(key): key for key in found}


def trusted(home: Path) -> Trust:
    """Whose signatures count by the environment: those of MTL_SIGNING_PUBLIC_KEY (files and folders of keys, separated as in
    PATH), of MTL_SIGNING_KEY, and of a home's own key."""
    private = os.environ.get("MTL_SIGNING_KEY")
    return Trust(
        [Path(path) for path in os.environ.get("MTL_SIGNING_PUBLIC_KEY", "").split(os.pathsep) if path],
        Path(private) if private else None,
        None if private else home / "keys",
        home / "seen",
        unverified=os.environ.get(UNVERIFIED) == "allow",
    )


FIX = "MTL_SIGNING_KEY and MTL_SIGNING_PUBLIC_KEY name keys in PEM, P-256, the private one without a password"


def canonical(payload: dict[str, Any]) -> bytes:
    """The one text of a content."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _id(key: EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(data).hexdigest()[:32]


def _private(path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise RegistryError(f"nothing can be signed with {path}", found=str(error)[:300], fix=FIX) from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise RegistryError(f"nothing can be signed with {path}", found=type(key).__name__, fix=FIX)
    return key


def _public(path: Path) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RegistryError(f"{path} is no public key", found=str(error)[:300], fix=FIX) from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise RegistryError(f"{path} is no public key that this program knows", found=type(key).__name__, fix=FIX)
    return key
