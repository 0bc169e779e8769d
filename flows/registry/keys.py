"""`mtl keys`: who signs here, whose signatures count, and whether a registry knows the key that would sign.

A registry has one key, or a few that are declared: a home that signs with one of its own makes versions that nobody else believes.
"""

from __future__ import annotations

import json
import os
from collections import Counter

from pydantic import Field

from flows.registry.load import load_registry
from flows.settings import Settings
from mtl.errors import RegistryError
from mtl.registry.registry import Registry
from mtl.registry.signing import own_keys
from mtl.registry.trust import DECLARED
from mtl.registry.version import STATEMENT
from mtl.reports.types import Report

SHOWN = 12
"""Characters of a key's id that are shown."""
HAND_OVER = (
    "get the registry's key from whoever set it up (there mtl keys names it) as a secret: a file that you alone can read, or the "
    "text itself, in MTL_SIGNING_KEY; who only looks needs its public half, in MTL_SIGNING_PUBLIC_KEY"
)


def refuse_strange_key(settings: Settings, registry: Registry) -> None:
    """Look, before anything is made that is signed, whether the registry knows the key of this home's own that would sign it. One
    that MTL_SIGNING_KEY names is taken: its user wants it.

    Raises:
        RegistryError: others have signed there, and never this home.
    """
    if os.environ.get("MTL_SIGNING_KEY") or registry.trust.unverified:
        return
    known, own = signers(registry), registry.trust.signer
    if known and own not in known:
        others = ", ".join(f"{key[:SHOWN]}… ({number} versions)" for key, number in known.most_common(3))
        raise RegistryError(
            "this home would sign with a key of its own, which nobody knows who uses this registry: nothing was made",
            found=f"signed by {others}; here {f'{own[:SHOWN]}…' if own else 'there is no key yet'}",
            fix=f"{HAND_OVER}; or, if those are strangers, name this home's own key there ({settings.home}/keys/private.pem)",
        )


def signers(registry: Registry) -> Counter[str]:
    """Ids of keys by which versions say that they are signed → how many. (Anybody who writes there can say so.)"""
    found = registry.raw_versions()
    return Counter(key for version in found if (key := _key_of(dict(version.tags).get(STATEMENT))))


def _key_of(text: str | None) -> str:
    try:
        return str(json.loads(text or "{}").get("key", ""))[:64]
    except (ValueError, AttributeError, RecursionError):
        return ""


class Keys(Report):
    """Who signs here, and who has signed there: ids of keys."""

    model: str
    signs: str | None = Field(description="None: no key was made yet")
    where: str = Field(description="the private key is")
    trusted: tuple[str, ...]
    versions: dict[str, int] = Field(description="key → versions that say they are signed with it")


def collect(settings: Settings) -> Keys:
    """The key that signs here, those that are trusted, and those of the registry's versions."""
    config, registry = load_registry(settings)
    given = os.environ.get("MTL_SIGNING_KEY")
    return Keys(
        model=config.registry.model,
        signs=registry.trust.signer,
        where="MTL_SIGNING_KEY" if given else str(settings.home / "keys" / "private.pem"),
        trusted=tuple(sorted(registry.trust.keys)),
        versions=dict(signers(registry)),
    )


def show(keys: Keys) -> str:
    """It as lines."""
    signs = f"{keys.signs[:SHOWN]}…" if keys.signs else "nobody yet: a key is made when something is first signed"
    lines = [f"signs here   {signs} ({keys.where})"]
    lines += [f"trusted      {key[:SHOWN]}…" for key in keys.trusted]
    for key, number in keys.versions.items():
        told = "trusted" if key in keys.trusted else f"NOT trusted here: {HAND_OVER}"
        lines.append(f"signed       {number} versions of {keys.model} by {key[:SHOWN]}… ({told})")
    lines.append(
        "hand over    the private key to whoever makes versions or champions (a colleague, a job, a new machine), as a secret: "
        f"MTL_SIGNING_KEY; mtl keys --declare writes the public one to {DECLARED}/, to be committed: then every clone trusts it"
    )
    return "\n".join(lines)


def declare(settings: Settings) -> str:
    """Write the public key of who signs here to where the checkout declares whom it trusts; the file.

    Raises:
        RegistryError: there is no such key.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    trust = settings.trust
    if trust.signer is None:
        own_keys(settings.home / "keys")
        trust = settings.trust
    signer = trust.signer or ""
    path = settings.root / DECLARED / f"{signer[:SHOWN]}.pem"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(trust.keys[signer].public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path.relative_to(settings.root).as_posix()
