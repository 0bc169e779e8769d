"""Keys in PEM: where they are named, what they are, and their ids."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import RegistryError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

KeySource = Path | str
"""A key's file, or its text itself, as a secret in the environment of a job has it."""
FIX = "MTL_SIGNING_KEY and MTL_SIGNING_PUBLIC_KEY name keys in PEM (or are keys), P-256, the private one without a password"


def key_source(named: str) -> KeySource:
    """What a variable names: a file, or the key itself."""
    return named if named.lstrip().startswith("-----BEGIN") else Path(named)


def key_data(source: KeySource) -> bytes:
    """A key in PEM."""
    return source.encode() if isinstance(source, str) else source.read_bytes()


def key_id(key: EllipticCurvePublicKey) -> str:
    """By what a statement names the key that signed it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(data).hexdigest()[:32]


def private_key(source: KeySource) -> Any:
    """A private key.

    Raises:
        RegistryError: it is none, or has a password.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(key_data(source), None)
    except (OSError, ValueError, TypeError) as error:
        raise RegistryError(f"nothing can be signed with {said(source)}", found=str(error)[:300], fix=FIX) from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise RegistryError(f"nothing can be signed with {said(source)}", found=type(key).__name__, fix=FIX)
    return key


def public_key(source: KeySource) -> EllipticCurvePublicKey:
    """A public key.

    Raises:
        RegistryError: it is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(key_data(source))
    except (OSError, ValueError) as error:
        raise RegistryError(f"{said(source)} is no public key", found=str(error)[:300], fix=FIX) from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise RegistryError(
            f"{said(source)} is no public key that this program knows", found=type(key).__name__, fix=FIX
        )
    return key


def said(source: KeySource) -> str:
    """A key as it may be named: never by its text."""
    return str(source) if isinstance(source, Path) else "the text that a variable has"
