"""Packages are signed when they are registered and verified before they are loaded (OpenSSF Model Signing, with a key)."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mtl.errors import RegistryError
from mtl.output.terminal import one_line
from mtl.registry.key_files import KeySource, key_data
from mtl.storage import atomic
from mtl.storage.digest import file_sha256

SIGNATURE = "model.sig"
"""Lies in the package; it covers all other files."""
NAMED = 5
"""Files that are named of each kind."""


def own_keys(folder: Path) -> tuple[Path, Path]:
    """A private and a public key, made when they are first asked for: where nobody brings keys, versions are signed all
    the same, and what was changed since is found. PEM, P-256.
    """
    private, public = folder / "private.pem", folder / "public.pem"
    if not public.exists():
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from filelock import FileLock

        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(f"{folder}.lock"):
            if not public.exists():
                key = ec.generate_private_key(ec.SECP256R1())
                encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
                data = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
                atomic.write(private, data, 0o600)
                shown = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
                atomic.write(public, shown)  # last: where it is, there is a pair
    return private, public


def package_sha256(folder: Path) -> str:
    """SHA-256 over the names and contents of a package's files, the signature left out.

    Raises:
        RegistryError: it has a link, whose end is not in the package.
    """
    found = sorted(folder.rglob("*"))
    links = [path for path in (folder, *found) if path.is_symlink()]
    if links:
        raise RegistryError("a package has no links", found=str(links[0].relative_to(folder)))
    return _digest(_files(folder))


def _files(folder: Path) -> dict[str, str]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / SIGNATURE]
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def signed_files(package: Path, sha256: str) -> dict[str, str] | None:
    """What a package with this digest consists of, as the signature that lies in it says: name → SHA-256. None if that is the
    signature of another one, or none at all.
    """
    try:
        envelope = json.loads((package / SIGNATURE).read_bytes())["dsseEnvelope"]
        resources: list[dict[str, str]] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["resources"]
        files = {one["name"]: one["digest"] for one in resources}
        return files if _digest(files) == sha256 else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def what_differs(package: Path, sha256: str) -> str:
    """The files that are not as they were signed, by name where that can be told."""
    signed, present = signed_files(package, sha256), _files(package)
    if signed is None:
        return f"another content than {sha256[:16]}…"
    kinds = {
        "added": sorted(present.keys() - signed.keys()),
        "changed": sorted(name for name in present.keys() & signed.keys() if present[name] != signed[name]),
        "missing": sorted(signed.keys() - present.keys()),
    }
    told = [
        f"{kind}: {', '.join(names[:NAMED])}{' …' * (len(names) > NAMED)}" for kind, names in kinds.items() if names
    ]
    return one_line("; ".join(told))


def sign(package: Path, private_key: KeySource, signature: Path) -> None:
    """Sign every file of a package.

    Raises:
        RegistryError: the key is missing or is none.
    """
    from model_signing import signing

    try:
        with tempfile.NamedTemporaryFile() as own:  # which nobody else can read
            own.write(key_data(private_key))
            own.flush()
            signing.Config().use_elliptic_key_signer(private_key=own.name).sign(package, signature)
    except (OSError, ValueError, TypeError) as error:
        named = private_key if isinstance(private_key, Path) else "the key in MTL_SIGNING_KEY"
        fix = "MTL_SIGNING_KEY names a private key in PEM, P-256 without a password"
        raise RegistryError(f"the package cannot be signed with {named}", found=str(error), fix=fix) from error


def verify(package: Path, sha256: str | None, public_key: Path | None) -> str:
    """Refuse a package that is not, byte for byte, what was registered; what was checked, in words.

    Bytecode that a loader left in it is removed first: it would be run and is not signed.

    Args:
        sha256: what the registry has as `package_sha256`; None for a version from before there was one.
        public_key: whose signature is wanted; None: nobody's.

    Raises:
        RegistryError: a file was changed, added or removed, or the signature is missing or somebody else's.
    """
    for cache in list(package.rglob("__pycache__")):
        shutil.rmtree(cache)
    fix = "nothing was loaded; restore the artifacts, or register the version again (mtl reproduce)"
    if sha256 is not None and package_sha256(package) != sha256:
        raise RegistryError(
            "the package is not what was registered",
            found=what_differs(package, sha256),
            fix="nothing was loaded; move away what was added; mtl mend VERSION brings back from a copy what was changed or is missing",
        )
    signature = package / SIGNATURE
    if public_key is None:
        return "content checked" if sha256 else "not checked"
    if not signature.exists():
        raise RegistryError("the package is not signed", found=f"no {SIGNATURE} in it", fix=fix)
    # Half a second of CPU, which who asks for the content alone need not wait for.
    from model_signing import hashing, verifying

    rules = hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key).set_hashing_config(rules)
        verifier.verify(package, signature)
    except Exception as error:  # the library raises many kinds
        raise RegistryError(
            f"the package's signature is not by {public_key}", found=str(error)[:300], fix=fix
        ) from error
    return "content and signature checked"
