"""Shards: samples as arrays of bytes in one .npz-like file that is memory-mapped, not read.

A shard is a safetensors file: a JSON header and raw arrays behind it, so it can be mapped, holds no pickle and
needs no reader of ours. Arrays of n samples:

    image            uint8   [n, height, width, channels]
    <label>          int64   [n]                  -1 where absent
    <labels>         uint8   [n, classes]         1 where the class is there
    <value>          float32 [n]                  NaN where absent
    <depth>          float32 [n, height, width]   NaN where unknown
    <normals>        float32 [n, height, width, 3] NaN where unknown
    <mask>           uint8   [n, height, width]   255 where ignored or absent
    <boxes>.boxes    float32 [total, 4]           all samples' boxes in a row
    <boxes>.labels   int64   [total]
    <boxes>.kinds    uint8   [total]              0 where a box counts (mtl/data/kinds/box_table.py); older shards have none
    <boxes>.offsets  int64   [n + 1]              sample i has rows offsets[i]:offsets[i+1]
    <any>.present    bool    [n]
    image.hash       uint64  [n]                  perceptual, by which near duplicates are found

The header also has each sample's id, content key and slices. With `data.codec`, what has a value per pixel is coded row by row
(mtl/data/shards/coded.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtl.data.kinds import KINDS
from mtl.data.shards.coded import Coded, joined, parted
from mtl.data.spec import DatasetSpec
from mtl.errors import DataError

_DTYPES = {"U8": np.uint8, "I64": np.int64, "F32": np.float32, "BOOL": np.bool_, "U64": np.uint64}
_NAMES = {kind: name for name, kind in _DTYPES.items()}
HASH = "image.hash"
PIECE = 1 << 18
"""Bytes written at a time: Linux took six times as long for ten megabytes at once."""


def pack(spec: DatasetSpec, samples: list[dict[str, Any]], height: int, width: int) -> dict[str, np.ndarray]:
    """Samples (`image` and the present targets) as the arrays of one shard."""
    arrays: dict[str, np.ndarray] = {"image": np.stack([sample["image"] for sample in samples])}
    for name, target in spec.targets.items():
        values = [sample.get(name) for sample in samples]
        arrays[f"{name}.present"] = np.array([value is not None for value in values])
        arrays |= KINDS[target.kind].pack(name, values, target, (height, width))
    return arrays


def unpack(shard: Shard, spec: DatasetSpec, index: int) -> dict[str, Any]:
    """One sample as `pack` takes it."""
    sample: dict[str, Any] = {"image": shard.arrays["image"][index]}
    for name, target in spec.targets.items():
        if shard.arrays[f"{name}.present"][index]:
            sample[name] = KINDS[target.kind].unpack(shard.arrays, name, index)
    return sample


def write(
    path: Path,
    given: Mapping[str, np.ndarray | Coded],
    ids: list[str],
    keys: list[str],
    slices: dict[str, list[str]],
) -> str:
    """Write one shard; the same samples give the same bytes. Returns the file's SHA-256.

    The safetensors library reads it, but does not write it: its writer took eight times as long as the disk, and orders
    several metadata keys differently from call to call.
    """
    samples = json.dumps({"ids": ids, "keys": keys, "slices": slices})
    arrays, how = parted(given)
    header: dict[str, Any] = {"__metadata__": {"samples": samples} | ({"coded": json.dumps(how)} if how else {})}
    ordered = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # so that every array is aligned
    offset = 0
    for name in ordered:
        array = arrays[name]
        header[name] = {
            "dtype": _NAMES[array.dtype.type],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (len(text).to_bytes(8, "little"), text, *(_raw(arrays[name]) for name in ordered)):
            digest.update(part)
            for start in range(0, len(part), PIECE):
                file.write(part[start : start + PIECE])
    return digest.hexdigest()


def _raw(array: np.ndarray) -> bytes | memoryview:
    # An empty array has no memory to view.
    return np.ascontiguousarray(array).data.cast("B") if array.size else b""


class Shard:
    """One shard, memory-mapped: reading a sample touches its pages only.

    Raises:
        DataError: it is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        with explained(path):
            length, header = read_header(path)
            samples = json.loads(header["__metadata__"]["samples"])
            self.ids: list[str] = samples["ids"]
            self.keys: list[str] = samples["keys"]
            self.slices: dict[str, list[str]] = samples["slices"]
            self.arrays = mapped(path, length, header)


def read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where a shard's arrays begin, in bytes, and what its header says.

    Raises:
        ValueError, OSError: it has none.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError(f"a header of {length} bytes in a file of {path.stat().st_size}")
        return 8 + length, json.loads(file.read(length))


def mapped(path: Path, begin: int, header: Mapping[str, Any]) -> dict[str, Any]:
    """Name → an array of a shard, or `Coded` rows; the file is mapped as long as there is a view of it.

    Raises:
        ValueError, KeyError, OSError: the file is not what its header says.
    """
    body = np.memmap(path, np.uint8, "r", offset=begin)
    arrays = {name: _view(body, entry) for name, entry in header.items() if name != "__metadata__"}
    return joined(arrays, json.loads(header["__metadata__"].get("coded", "{}")))


@contextlib.contextmanager
def explained(path: Path) -> Generator[None]:
    """What goes wrong with a shard's file, as ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"the shard {path} is missing", fix="dvc repro prepare (or dvc pull)") from error
    except (ValueError, KeyError, OSError) as error:
        raise DataError(
            f"the shard {path} is damaged", found=str(error), fix="remove it, then: dvc checkout or dvc repro"
        ) from error


def _view(body: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    begin, end = entry["data_offsets"]
    if end > len(body):
        raise ValueError(f"truncated: {len(body)} bytes of {end}")
    return body[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
