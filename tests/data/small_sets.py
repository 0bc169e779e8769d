"""Small sets of pictures for tests of formats: written, read by a section, proposed, fetched."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mtl.config.files import FilesSource
from mtl.data.formats import FORMATS, Reading
from mtl.data.raw.account import Account, read_account
from mtl.data.raw.rows import RawSample, read_split
from mtl.data.sources.files import fetch_files
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.storage.file_tree import FileTree


def encoded(seed: int, size: tuple[int, int] = (32, 24), kind: str = "PNG", **how: Any) -> bytes:
    """A picture that no other seed gives: width and height in pixels."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(buffer, kind, **how)
    return buffer.getvalue()


def pictures(folder: Path, names: Iterable[str], size: tuple[int, int] = (32, 24), seed: int = 0) -> None:
    """PNG bytes under these names, whatever their extensions: each another picture."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(seed + number, size))


def written(path: Path, text: str | bytes) -> Path:
    """A file of annotations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, **section: Any) -> Reading:
    """What a section reads in a folder."""
    source = FilesSource.model_validate(
        {"type": "files", "sets": {"own": {"path": str(folder), **section}}}, strict=False
    )
    chosen = source.sets["own"]
    return FORMATS[chosen.format](chosen, FileTree(chosen.path))


def labels(reading: Reading, target: str) -> dict[str, Any]:
    """Id → a target, of images that have it; names of classes in the place of their indices."""
    classes = reading.targets[target].classes
    found = {entry.id: entry.targets[target] for entry in reading.entries if target in entry.targets}
    if reading.targets[target].kind == "label":
        return {name: classes[value] for name, value in found.items()}
    if reading.targets[target].kind == "labels":
        return {name: [classes[value] for value in values] for name, values in found.items()}
    return found


def fetched(sets: dict[str, Any], folder: Path, **source: Any) -> tuple[DatasetSpec, dict[str, RawSample], Account]:
    """What the fetch stage makes of sets: the spec, the samples by id, and the account."""
    chosen = FilesSource.model_validate({"type": "files", "sets": sets, **source}, strict=False)
    spec = fetch_files(chosen, 0, folder / "raw", folder / "cache")
    samples = {s.id: s for split in SPLITS for s in read_split(folder / "raw", split, spec)}
    return spec, samples, read_account(folder / "raw")
