"""The manifest of shards that a benchmark writes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtl.data.shards.manifest import NAME, Manifest, ShardRecord, Statistics
from mtl.data.spec import DatasetSpec


def write_manifest(folder: Path, spec: DatasetSpec, side: int, records: Sequence[ShardRecord]) -> None:
    """Let the loader find shards of images [side, side, 3], which it does not standardize."""
    manifest = Manifest(
        spec=spec,
        recipe="",
        operations=(),
        height=side,
        width=side,
        channels=3,
        statistics=Statistics(mean=(0.0,) * 3, std=(1.0,) * 3),
        shards=tuple(records),
        split_sha256={},
    )
    (folder / NAME).write_text(manifest.model_dump_json())
