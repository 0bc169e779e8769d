"""Shards on every node: from the DVC remote by their hashes, once per node, where the prepared folder is not shared."""

from __future__ import annotations

import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from ruamel.yaml import YAML

from mtl.data.shards.manifest import NAME, Manifest
from mtl.errors import ConfigError, DataError
from mtl.storage.digest import bytes_sha256, file_sha256
from mtl.storage.dvc_settings import cached_object, dvc_settings, remotes
from mtl.storage.names import checked_name
from mtl.storage.private import private_folder
from mtl.storage.store import Store

THREADS = 16
"""Objects fetched at a time."""


@dataclass(frozen=True)
class ShardManifest:
    """What a node needs to fetch a prepared folder.

    url: of the DVC remote; files: name → MD5; manifest: the manifest's SHA-256, by which a folder is known.
    """

    url: str
    files: dict[str, str]
    manifest: str


def shard_manifest(root: Path, prepared: Path) -> ShardManifest | None:
    """What DVC knows of a prepared folder, from dvc.lock, the cache's list of the folder and the remote's address; None if
    it is not under DVC, or the remote is a folder of this machine.
    """
    try:
        lock = YAML(typ="safe").load((root / "dvc.lock").read_text(encoding="utf-8"))
        (out,) = (o for o in lock["stages"]["prepare"]["outs"] if (root / o["path"]).resolve() == prepared.resolve())
        listing = cached_object(root, out["md5"]).read_text(encoding="utf-8")
        files = {entry["relpath"]: entry["md5"] for entry in json.loads(listing)}
        url = remotes(root)[dvc_settings(root)["core"]["remote"]]
    except (FileNotFoundError, KeyError, ValueError, ConfigError):
        return None
    if "://" not in url:
        return None
    return ShardManifest(url, files, file_sha256(prepared / NAME))


def ensure_local(prepared: Path, given: ShardManifest | None) -> Path:
    """A folder of this node with the shards: the prepared one if this node sees it, else one that is fetched once.

    Raises:
        DataError: neither is possible, what came is not what was asked for, or the node's folder of shards is somebody
            else's.
        StageError: the remote is out of reach.
    """
    if seen(prepared, given):
        return prepared
    if given is None:
        raise DataError(
            f"this node does not see {prepared}",
            fix="share the folder among the nodes, or use a DVC remote in a bucket: dvc remote add -d team s3://…",
        )
    parent = node_folder()
    folder = parent / checked_name(given.manifest[:32], str(parent))
    with FileLock(parent / f"{folder.name}.lock"):  # the node's other workers wait for the first
        manifest = folder / NAME
        if not manifest.exists() or file_sha256(manifest) != given.manifest:
            _fetch(given, folder)
    return folder


def seen(prepared: Path, given: ShardManifest | None) -> bool:
    """Whether this node sees the prepared folder, as it was when it was described."""
    return (prepared / NAME).exists() and (given is None or file_sha256(prepared / NAME) == given.manifest)


def node_folder() -> Path:
    """Where this node keeps shards that came from elsewhere: in MTL_SHARDS, or the folder of temporary files.

    Raises:
        DataError: it is somebody else's.
    """
    place = Path(os.environ.get("MTL_SHARDS", tempfile.gettempdir()))
    return private_folder(place / f"mtl-shards-{os.getuid()}")


def object_name(md5: str) -> str:
    """The name of a file in a DVC remote."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _fetch(wanted: ShardManifest, folder: Path) -> None:
    """Every object, checked by the SHA-256 that the manifest has of it; the manifest, checked by the job's, last."""
    here, there = Store(str(folder)), Store(wanted.url)
    manifest = _object(there, NAME, wanted.files[NAME], wanted.manifest)
    digests = {shard.file: shard.sha256 for shard in Manifest.model_validate_json(manifest, strict=False).shards}

    def one(item: tuple[str, str]) -> None:
        name, md5 = item
        if name not in digests:
            raise DataError(f"{name} is in DVC's list and not in the manifest", fix="dvc repro -f prepare")
        if name not in here or bytes_sha256(here.get(name)) != digests[name]:
            here.put(name, _object(there, name, md5, digests[name]))

    shards = {name: md5 for name, md5 in wanted.files.items() if name != NAME}
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, shards.items()))
    here.put(NAME, manifest)


def _object(store: Store, name: str, md5: str, sha256: str) -> bytes:
    """A file from the DVC remote, which names it by its MD5: a hash against damage, not against malice."""
    try:
        data = store.get(object_name(md5))
    except FileNotFoundError as error:
        raise DataError(f"{name} is not in {store.url}", found=f"no object {md5}", fix="dvc push prepare") from error
    if bytes_sha256(data) != sha256:
        fix = f"it should be {sha256}; look who writes there, and push it again: dvc push prepare"
        raise DataError(f"{name} from {store.url} is damaged", found=bytes_sha256(data), fix=fix)
    return data
