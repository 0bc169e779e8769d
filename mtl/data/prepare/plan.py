"""Which samples make which shard: a function of the samples alone, so that a rebuild gives the same files.

A split's samples, sorted by id, are cut after every sample whose id's hash says so (content-defined chunking, as
backup programs cut streams): a sample that comes or goes changes the one shard that it lies in, wherever that is.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mtl.codecs import header, maps, mask_codes, netpbm, pixels, rasters, structure
from mtl.config.data import DataConfig
from mtl.data import codecs, kinds
from mtl.data.codecs import base as codec_base
from mtl.data.codecs import pictures
from mtl.data.kinds import KINDS, base
from mtl.data.kinds import box_table as boxes
from mtl.data.prepare import geometry, operations, picture
from mtl.data.shards import coded, shards
from mtl.data.spec import DatasetSpec

LARGEST = 4
"""A shard is cut at this multiple of the mean size at the latest."""

CODE = (
    base,
    boxes,
    codec_base,
    codecs,
    coded,
    geometry,
    header,
    mask_codes,
    maps,
    netpbm,
    operations,
    picture,
    pictures,
    pixels,
    rasters,
    shards,
    structure,
)
"""What makes a shard's bytes of a sample's, beside build.py and the kinds of its targets."""


@dataclass(frozen=True)
class Planned:
    """A shard to be: the samples from `start` to before `stop` of a split. `key` is a hash of all that goes into it."""

    split: str
    start: int
    stop: int
    key: str

    @property
    def file(self) -> str:
        """Its name in the prepared folder."""
        return f"{self.split}-{self.key[:24]}.safetensors"


def plan(split: str, keys: Iterable[tuple[str, str]], size: int, recipe: str) -> Iterator[Planned]:
    """Shards of `size` samples on average, from (id, content key) in order of ids."""
    start = stop = 0
    digest = hashlib.sha256(f"{recipe}\0{split}\0".encode())
    for found, key in keys:
        digest.update(f"{found}\0{key}\0".encode())
        stop += 1
        if ends_shard(found, size) or stop - start == LARGEST * size:
            yield Planned(split, start, stop, digest.hexdigest())
            start, digest = stop, hashlib.sha256(f"{recipe}\0{split}\0".encode())
    if stop > start:
        yield Planned(split, start, stop, digest.hexdigest())


def ends_shard(found: str, size: int) -> bool:
    """Whether a shard ends after the sample of this id: for one in `size`."""
    return int.from_bytes(hashlib.sha256(found.encode()).digest()[:8], "big") % size == 0


def code_of(spec: DatasetSpec) -> list[Path]:
    """The files that make the bytes of its shards: of kinds of targets those that it has, with what they are made of."""
    modules = {type(KINDS[target.kind]).__module__ for target in spec.targets.values()}
    waiting = [*modules]
    while waiting:
        used = {getattr(one, "__module__", "") or "" for one in vars(sys.modules[waiting.pop()]).values()}
        new = {name for name in used if name.startswith(f"{kinds.__name__}.")} - modules
        modules |= new
        waiting += new
    files = {inspect.getfile(sys.modules[name]) for name in modules} - {base.__file__}
    made = [*(Path(module.__file__ or "") for module in CODE), Path(__file__).with_name("build.py")]
    return [*made, *map(Path, sorted(files))]


def recipe(spec: DatasetSpec, config: DataConfig) -> str:
    """A hash of everything but the samples that a shard's bytes depend on: operations, targets, code, decoders."""
    code = [path.read_text(encoding="utf-8") for path in code_of(spec)]
    facts = {
        "codec": config.codec.model_dump(),
        "operations": [operation.model_dump() for operation in config.operations],
        "targets": {name: target.model_dump() for name, target in sorted(spec.targets.items())},
        "slices": spec.slices,
        "code": [hashlib.sha256(text.encode()).hexdigest() for text in code],
        "decoders": [metadata.version(name) for name in ("opencv-python-headless", "pillow")],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
