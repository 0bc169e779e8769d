"""From the raw data set to shards: every image through the operations, statistics from the training split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mtl.config import DataConfig, DataError
from mtl.config.data import Edges
from mtl.data import manifest as manifests
from mtl.data import shards
from mtl.data.manifest import Manifest, Quarantined, ShardRecord, Statistics
from mtl.data.maps import decode_depth, decode_normals
from mtl.data.operations import Picture, decode, image_size, num_channels, run
from mtl.data.raw import RawSample, read_spec, read_split
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec
from mtl.digest import file_sha256


def prepare(config: DataConfig, raw: Path, folder: Path, say: Callable[[str], None] = print) -> Manifest:
    """Write shards and manifest into `folder` (which must be empty).

    Raises:
        DataError: more than `max_bad_fraction` of a split cannot be used; the first ones are named.
    """
    given = read_spec(raw)
    spec = _with_edges(given, config)
    folder.mkdir(parents=True, exist_ok=True)
    moments = _Moments(num_channels(config.operations))
    records: list[ShardRecord] = []
    bad: list[Quarantined] = []
    digests: dict[str, str] = {}
    for split in SPLITS:
        writer = _SplitWriter(folder, split, spec, config)
        digest = hashlib.sha256()
        seen = 0
        for sample in read_split(raw, split, given):
            seen += 1
            _digest(digest, sample)
            try:
                ready = prepare_sample(sample, spec, config)
            except DataError as error:
                bad.append(Quarantined(id=sample.id, split=split, reason=str(error).replace("\n", ";")))
                continue
            if split == "train":
                moments.add(ready["image"])
            writer.add(sample, ready)
        writer.flush()
        records += writer.records
        digests[split] = digest.hexdigest()
        _refuse_too_many([b for b in bad if b.split == split], seen, split, raw, config.max_bad_fraction)
        say(f"prepare: {split}: {seen} images, {len(writer.records)} shards")
    height, width = image_size(config.operations)
    manifest = Manifest(
        spec=spec,
        operations=config.operations,
        height=height,
        width=width,
        channels=num_channels(config.operations),
        statistics=moments.statistics(any(o.type == "standardize" for o in config.operations)),
        shards=tuple(records),
        quarantined=tuple(bad),
        split_sha256=digests,
    )
    manifests.write(folder, manifest)
    return manifest


def prepare_sample(sample: RawSample, spec: DatasetSpec, config: DataConfig) -> dict[str, Any]:
    """One sample's `image` (uint8 [height, width, channels]) and present targets, as shards hold them."""
    kinds = {name: spec.targets[name].kind for name in sample.targets}
    tables = {n: np.array(sample.targets[n], np.float32).reshape(-1, 5) for n in kinds if kinds[n] == "boxes"}
    picture = Picture(
        image=np.zeros((0, 0, 0), np.uint8),
        encoded=sample.image,
        boxes={name: table[:, :4] for name, table in tables.items()},
        masks={n: decode(sample.targets[n], "grey")[..., 0] for n in kinds if kinds[n] == "mask"},
    )
    for name, kind in kinds.items():
        if kind == "depth":
            picture.maps[name] = decode_depth(sample.targets[name], spec.targets[name].scale)
        elif kind == "normals":
            picture.maps[name] = decode_normals(sample.targets[name])
    run(config.operations, picture)
    ready: dict[str, Any] = {"image": picture.image, **picture.masks, **picture.maps}
    for name, kind in kinds.items():
        if kind in ("label", "value"):
            ready[name] = sample.targets[name]
        elif kind == "labels":
            ready[name] = _one_hot(name, sample.targets[name], len(spec.targets[name].classes))
        elif kind == "boxes":
            ready[name] = np.concatenate([picture.boxes[name], tables[name][:, 4:]], axis=1)
            _check_boxes(name, ready[name], spec.targets[name], picture.image.shape)
        if kind == "label" and not 0 <= ready[name] < len(spec.targets[name].classes):
            raise DataError(
                f"{name} is no class", found=str(ready[name]), fix=f"0 to {len(spec.targets[name].classes) - 1}"
            )
    return ready


def _one_hot(name: str, labels: list[int], num_classes: int) -> np.ndarray:
    row = np.zeros(num_classes, np.uint8)
    if labels and not 0 <= min(labels) <= max(labels) < num_classes:
        raise DataError(f"{name} has a label that is no class", found=str(labels), fix=f"0 to {num_classes - 1}")
    row[labels] = 1
    return row


def _check_boxes(name: str, table: np.ndarray, target: TargetSpec, shape: tuple[int, ...]) -> None:
    if not len(table):
        return
    height, width = shape[:2]
    if (table[:, 2] <= table[:, 0]).any() or (table[:, 3] <= table[:, 1]).any():
        raise DataError(f"{name} has a box without area", found=str(table[:, :4].tolist()))
    if table[:, :4].min() < -0.5 or table[:, 2].max() > width + 0.5 or table[:, 3].max() > height + 0.5:
        raise DataError(f"{name} has a box outside the image of {width}×{height}", found=str(table[:, :4].tolist()))
    if table[:, 4].min() < 0 or table[:, 4].max() >= len(target.classes):
        raise DataError(f"{name} has a label that is no class", found=str(table[:, 4].tolist()))


def _with_edges(spec: DatasetSpec, config: DataConfig) -> DatasetSpec:
    """Targets that operations add."""
    added = {
        o.target: TargetSpec(kind="mask", classes=("plain", "edge"))
        for o in config.operations
        if isinstance(o, Edges) and o.output == "target"
    }
    return spec.model_copy(update={"targets": {**spec.targets, **added}})


def _digest(digest: Any, sample: RawSample) -> None:
    digest.update(sample.id.encode() + b"\0" + hashlib.sha256(sample.image).digest())
    for name, value in sorted(sample.targets.items()):
        digest.update(name.encode() + (value if isinstance(value, bytes) else json.dumps(value).encode()))


def _refuse_too_many(bad: list[Quarantined], seen: int, split: str, raw: Path, allowed: float) -> None:
    if not seen:
        raise DataError(f"the {split} split of {raw} is empty", fix="give it at least one image")
    if len(bad) > allowed * seen:
        shown = "\n         ".join(f"{b.id}: {b.reason}" for b in bad[:5])
        raise DataError(
            f"{len(bad)} of {seen} images of {raw}/{split}.parquet cannot be used "
            f"(data.max_bad_fraction allows {allowed:g})",
            found=shown,
            fix="mend or remove them (dvc repro -f fetch restores the zoo), or raise data.max_bad_fraction",
        )


class _Moments:
    """Mean and deviation per channel, exact in integers whatever the order."""

    def __init__(self, channels: int) -> None:
        self.count, self.sum, self.squares = 0, np.zeros(channels, np.int64), np.zeros(channels, np.int64)

    def add(self, image: np.ndarray) -> None:
        flat = image.reshape(-1, image.shape[2]).astype(np.int64)
        self.count += len(flat)
        self.sum += flat.sum(0)
        self.squares += (flat * flat).sum(0)

    def statistics(self, standardize: bool) -> Statistics:
        if not standardize:
            return Statistics(mean=(0.0,) * len(self.sum), std=(1.0,) * len(self.sum))
        mean = self.sum / self.count
        std = np.sqrt(np.maximum(self.squares / self.count - mean**2, 1.0))
        return Statistics(mean=tuple((mean / 255).tolist()), std=tuple((std / 255).tolist()))


class _SplitWriter:
    """Collects samples and writes a shard whenever it is full."""

    def __init__(self, folder: Path, split: str, spec: DatasetSpec, config: DataConfig) -> None:
        self.folder, self.split, self.spec, self.config = folder, split, spec, config
        self.records: list[ShardRecord] = []
        self._samples: list[tuple[RawSample, dict[str, Any]]] = []

    def add(self, sample: RawSample, ready: dict[str, Any]) -> None:
        self._samples.append((sample, ready))
        if len(self._samples) == self.config.shard_size:
            self.flush()

    def flush(self) -> None:
        if not self._samples:
            return
        path = self.folder / f"{self.split}-{len(self.records):05d}.safetensors"
        height, width = image_size(self.config.operations)
        slices = {name: [s.slices[name] for s, _ in self._samples] for name in self.spec.slices}
        arrays = shards.pack(self.spec, [ready for _, ready in self._samples], height, width)
        shards.write(path, arrays, [s.id for s, _ in self._samples], slices)
        record = ShardRecord(split=self.split, file=path.name, sha256=file_sha256(path), num_samples=len(self._samples))
        self.records.append(record)
        self._samples = []
