"""What streams need to know of shards that are not here: made once where they are, read by every node.

In a store, below the first 32 digits of the manifest's SHA-256: `manifest.json`; for each split `<split>.index`, a shard with the
facts of all its samples, the bytes of each shard (`sizes`), its samples (`samples`) and empty arrays in place of pixels; and
`stream.json`, which says where the shards are and what each of these must hash to. A job carries the hash of that last one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl.config.section import Section
from mtl.data.shards import shards
from mtl.data.shards.manifest import NAME, Manifest, read
from mtl.data.shards.shards import Shard
from mtl.data.spec import SPLITS
from mtl.errors import DataError, StageError
from mtl.storage.digest import bytes_sha256, file_sha256
from mtl.storage.store import Store

DESCRIPTION, SIZES, SAMPLES = "stream.json", "sizes", "samples"
THREADS = 16
"""Shards put into the store at a time."""


@dataclass(frozen=True)
class StreamAddress:
    """By which a node finds the description: a store and its name there, and its SHA-256."""

    url: str
    name: str
    sha256: str


class Stream(Section):
    """What `stream.json` says.

    url: the store with the shards; objects: a shard's file → its name there; indexes: split → SHA-256; num_bytes, largest: of
    all shards, and of the largest.
    """

    url: str
    objects: dict[str, str]
    manifest: str
    indexes: dict[str, str]
    num_bytes: int
    largest: int


def publish(prepared: Path, store: Store, objects: tuple[str, Mapping[str, str]] | None) -> StreamAddress:
    """Put what nodes need to stream a prepared folder into a store; shards that it lacks, too.

    Args:
        objects: the address of a store that has the shards already, and a file's name there.

    Raises:
        MtlError: the store is out of reach or full.
    """
    manifest = read(prepared)
    sha256 = file_sha256(prepared / NAME)
    described = store.child(sha256[:32])
    files = [record.file for record in manifest.shards if record.num_samples]
    if objects is None:
        _put(prepared, files, store)
        objects = store.url, {file: file for file in files}
    indexes: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for split in SPLITS:
            if manifest.of(split):
                path = Path(scratch) / f"{split}.index"
                indexes[split] = _write_index(path, prepared, manifest, split)
                described.upload(path.name, path)
    described.upload(NAME, prepared / NAME)
    sizes = [(prepared / file).stat().st_size for file in files]
    found = Stream(
        url=objects[0],
        objects={file: objects[1][file] for file in files},
        manifest=sha256,
        indexes=indexes,
        num_bytes=sum(sizes),
        largest=max(sizes, default=0),
    )
    text = found.model_dump_json().encode()
    described.put(DESCRIPTION, text)
    return StreamAddress(described.url, DESCRIPTION, bytes_sha256(text))


def _put(prepared: Path, files: list[str], store: Store) -> None:
    """Shards are named by what they hold: those that are there need not be put again."""
    there = set(store.names())
    missing = [file for file in files if file not in there]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(store.upload, missing, [prepared / file for file in missing]))


def _write_index(path: Path, prepared: Path, manifest: Manifest, split: str) -> str:
    """Facts of all samples of a split; its SHA-256."""
    opened = [Shard(prepared / record.file) for record in manifest.of(split)]
    arrays: dict[str, Any] = {}
    for name, array in opened[0].arrays.items():
        if name.endswith(".present"):
            arrays[name] = np.concatenate([shard.arrays[name] for shard in opened])
        else:
            row = array.shape[1:]
            arrays[name] = np.empty((0, *row), array.dtype)
    sizes = [(prepared / record.file).stat().st_size for record in manifest.of(split)]
    arrays[SIZES] = np.array(sizes, np.int64)
    arrays[SAMPLES] = np.array([len(shard.ids) for shard in opened], np.int64)
    slices = {name: [v for shard in opened for v in shard.slices[name]] for name in manifest.spec.slices}
    ids, keys = ([v for shard in opened for v in getattr(shard, fact)] for fact in ("ids", "keys"))
    return shards.write(path, arrays, ids, keys, slices)


def describe(address: StreamAddress) -> Stream:
    """What a node reads first.

    Raises:
        DataError: it is not what the job was given, or not there.
        StageError: the store is out of reach.
    """
    return Stream.model_validate_json(checked(Store(address.url), address.name, address.sha256), strict=False)


def checked(store: Store, name: str, sha256: str) -> bytes:
    """An object that must hash to this."""
    try:
        data = store.get(name)
    except FileNotFoundError as error:
        raise StageError(f"{store.url}/{name} is not there", fix="run again: it is put there again") from error
    if bytes_sha256(data) != sha256:
        raise DataError(
            f"{store.url}/{name} is not what was put there",
            found=f"SHA-256 {bytes_sha256(data)}; it should be {sha256}",
            fix="look who writes there, and run again: it is put there again",
        )
    return data
