"""Whether shards should be compressed: what it saves, and what unpacking costs beside a copy of the same bytes.

    python -m benchmarks.compression      (in a checkout that has prepared: dvc repro prepare)

Real shards, on one core, in turns: those of the checkout (scenes of 64×64), and photographs of 224×224. A node that fetches a
shard gains as long as its network is slower than what unpacking saves: below `pays below`, in megabytes per second. Writes
benchmarks/results/compression.json.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.prepare import settings, timed, write_photos
from mtl.config.files import FilesSource
from mtl.data.prepare.prepare import prepare
from mtl.data.sources.files import fetch_files

CODECS: dict[str, Any] = {"lz4": pa.Codec("lz4")} | {f"zstd {level}": pa.Codec("zstd", level) for level in (1, 3, 9)}
ROUNDS = 5
MOST = 64 << 20
"""Bytes of shards that are looked at."""


def main() -> None:
    """Measure, print, keep."""
    result: dict[str, Any] = {"scenes": measured(Path("outputs/prepared"))}
    with tempfile.TemporaryDirectory() as scratch:
        write_photos(Path(scratch, "photos"), 600, (480, 640))
        config = settings(Path(scratch, "photos"), 224, 256)
        assert isinstance(config.source, FilesSource)
        fetch_files(config.source, 0, Path(scratch, "raw"), Path(scratch, "cache", "downloads"))
        prepare(config, Path(scratch, "raw"), Path(scratch, "prepared"))
        result["photographs"] = measured(Path(scratch, "prepared"))
    print(json.dumps(result, indent=1))
    Path("benchmarks/results/compression.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measured(folder: Path) -> dict[str, Any]:
    """By codec: bytes left of one, MB/s of packing, unpacking and a copy, and the bandwidth below which it pays."""
    shards = [path.read_bytes() for path in sorted(folder.glob("*.safetensors"))]
    data = b"".join(shards)[:MOST]
    found: dict[str, Any] = {"MB": len(data) / 1e6}
    for name, codec in CODECS.items():
        packed = codec.compress(data, asbytes=True)
        seconds: dict[str, list[float]] = {"pack": [], "unpack": [], "copy": []}
        for _ in range(ROUNDS):
            seconds["copy"].append(timed(partial(bytearray, data)))
            seconds["pack"].append(timed(partial(codec.compress, data)))
            seconds["unpack"].append(timed(partial(codec.decompress, packed, len(data))))
        speeds = {what: len(data) / 1e6 / statistics.median(values) for what, values in seconds.items()}
        left = len(packed) / len(data)
        found[name] = {"left": left, **speeds, "pays below": speeds["unpack"] * (1 - left)}
    return found


if __name__ == "__main__":
    main()
