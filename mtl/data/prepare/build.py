"""One shard: its samples read, put through the operations and packed. What an older shard has already is copied."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtl.config.data import DataConfig
from mtl.config.operations import Edges, Orient
from mtl.data.codecs import ImageCodec, encoder
from mtl.data.kinds import KINDS
from mtl.data.prepare.operations import grey, image_size, run
from mtl.data.prepare.picture import Picture
from mtl.data.prepare.plan import Planned
from mtl.data.raw.rows import FileRef, RawSample, RawSplit
from mtl.data.shards import coded, shards
from mtl.data.shards.manifest import Moments, Quarantined, ShardRecord
from mtl.data.spec import DatasetSpec, TargetSpec
from mtl.errors import DataError, StageError
from mtl.storage import atomic
from mtl.storage.file_tree import FileTree

EXACT_ROWS = 1 << 14
"""Rows whose squares of 255 add up in 32 bits."""


@dataclass
class Builder:
    """Builds shards of one raw data set into one folder. It travels to other processes and machines.

    raw, given: the raw folder and what its spec.json says; spec: with the targets that operations add; base: what
    local roots are relative to.
    """

    config: DataConfig
    raw: Path
    given: DatasetSpec
    spec: DatasetSpec
    folder: Path
    base: Path = field(default_factory=Path.cwd)
    _splits: dict[str, RawSplit] = field(default_factory=dict[str, RawSplit])
    _trees: dict[str, FileTree] = field(default_factory=dict[str, FileTree])
    _old: dict[str, shards.Shard] = field(default_factory=dict[str, shards.Shard])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_splits": {}, "_trees": {}, "_old": {}}

    def build(self, order: tuple[Planned, Mapping[str, tuple[str, int]]]) -> ShardRecord:
        """Write one shard, or nothing if none of its samples can be used.

        Args:
            order: the shard; and content key → file in the folder and place in it, of samples that were prepared in
                the same way before.

        Raises:
            StageError: a file that the raw data set names cannot be read any more.
            OSError: the shard cannot be written.
        """
        planned, old = order
        return self._write(planned, self.samples(planned), old)

    def build_of(
        self, planned: Planned, samples: Iterable[RawSample], old: Mapping[str, tuple[str, int]], folder: Path
    ) -> ShardRecord:
        """The same of samples that were read elsewhere; folder: where the folder of shards is here."""
        return replace(self, folder=folder)._write(planned, samples, old)  # noqa: SLF001 (its own class)

    def build_elsewhere(self, order: tuple[Planned, Sequence[RawSample]]) -> tuple[ShardRecord, bytes]:
        """The same where the folders are not: the record, and the shard's bytes if it has samples."""
        planned, samples = order
        with tempfile.TemporaryDirectory() as scratch:
            record = replace(self, folder=Path(scratch))._write(planned, samples, {})  # noqa: SLF001 (its own class)
            return record, Path(scratch, record.file).read_bytes() if record.num_samples else b""

    def samples(self, planned: Planned) -> Iterator[RawSample]:
        """What goes into a shard."""
        if planned.split not in self._splits:
            self._splits[planned.split] = RawSplit(self.raw, planned.split, self.given)
        return self._splits[planned.split].samples(planned.start, planned.stop)

    def _write(self, planned: Planned, given: Iterable[RawSample], old: Mapping[str, tuple[str, int]]) -> ShardRecord:
        samples: list[RawSample] = []
        ready: list[dict[str, Any]] = []
        bad: list[Quarantined] = []
        images: list[bytes] = []
        codec = encoder(self.config.codec)
        for sample in given:
            again = self._again(sample, old)
            loaded = sample if again else self._loaded(sample)
            try:
                one = again or prepare_sample(loaded, self.spec, self.config)
                if codec:
                    one["image"], code = self._coded(codec, one["image"], old[sample.key] if again else None)
                    images.append(code)
                ready.append(one)
                samples.append(sample)
            except DataError as error:
                bad.append(Quarantined(id=sample.id, split=planned.split, reason=error.line))
        record = ShardRecord(
            split=planned.split, file=planned.file, sha256="", num_samples=len(samples), quarantined=tuple(bad)
        )
        if not samples:
            return record
        height, width = image_size(self.config.operations)
        arrays = shards.pack(self.spec, ready, height, width)
        arrays[shards.HASH] = np.array([perceptual_hash(image) for image in arrays["image"]], np.uint64)
        slices = {name: [s.slices[name] for s in samples] for name in self.spec.slices}
        moments = channel_moments(arrays["image"]) if planned.split == "train" else None
        written = coded.coded(arrays, codec, images) if codec else arrays
        with atomic.replacing(self.folder / planned.file) as scratch:
            sha256 = shards.write(scratch, written, [s.id for s in samples], [s.key for s in samples], slices)
        return record.model_copy(update={"sha256": sha256, "moments": moments})

    def _again(self, sample: RawSample, old: Mapping[str, tuple[str, int]]) -> dict[str, Any] | None:
        """The sample as an older shard has it."""
        if sample.key not in old:
            return None
        file, index = old[sample.key]
        if file not in self._old:
            self._old[file] = shards.Shard(self.folder / file)
        return shards.unpack(self._old[file], self.spec, index)

    def _coded(self, codec: ImageCodec, image: np.ndarray, old: tuple[str, int] | None) -> tuple[np.ndarray, bytes]:
        """The image as training will see it, and its code: of a sample that an older shard has, that one's, since to code a
        second time what has lost something loses more.
        """
        if old:
            return image, self._old[old[0]].arrays["image"].code(old[1]).tobytes()
        code = codec.encode(image)
        return codec.decode(np.frombuffer(code, np.uint8), image.shape, image.dtype), code

    def _loaded(self, sample: RawSample) -> RawSample:
        """With the bytes of what the sample names as files."""
        image = self._read(sample.image) if isinstance(sample.image, FileRef) else sample.image
        targets = {n: self._read(v) if isinstance(v, FileRef) else v for n, v in sample.targets.items()}
        return replace(sample, image=image, targets=targets)

    def _read(self, ref: FileRef) -> bytes:
        if ref.owner not in self._trees:
            root = self.given.roots[ref.owner]
            self._trees[ref.owner] = FileTree(root if "://" in root else str(self.base / root))
        try:
            return self._trees[ref.owner].read(ref.name)
        except DataError as error:
            # It was there when the sets were read: a store that fails for a moment must not cost an image for ever.
            fix = "run again; if it is gone, the fetch stage leaves it out: dvc repro -f fetch"
            raise StageError(error.what, found=error.found, fix=fix) from error


def prepare_sample(sample: RawSample, spec: DatasetSpec, config: DataConfig) -> dict[str, Any]:
    """One sample's `image` (uint8 [height, width, channels]) and present targets, as shards hold them.

    Raises:
        DataError: the image or a target cannot be used.
    """
    assert isinstance(sample.image, bytes)
    picture = Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=sample.image)
    given = [
        (KINDS[spec.targets[name].kind], name, value, spec.targets[name]) for name, value in sample.targets.items()
    ]
    placed = [kind.enter(name, value, target, picture) for kind, name, value, target in given]
    run(config.operations, picture)
    if any(placed):
        _refuse_unturned(picture, config)
    ready: dict[str, Any] = {"image": picture.image, **picture.masks}  # also those that operations add
    for kind, name, value, target in given:
        ready[name] = kind.leave(name, value, target, picture)
    return ready


def _refuse_unturned(picture: Picture, config: DataConfig) -> None:
    """What is given as a viewer shows it lies elsewhere in an image that is left as it is stored."""
    turns = any(isinstance(operation, Orient) for operation in config.operations)
    if picture.orientation != 1 and not turns:
        raise DataError(
            "an image with boxes or masks is to be turned before it is shown, and no operation does it",
            found=f"EXIF orientation {picture.orientation}",
            fix="put {type: orient} after decode",
        )


def channel_moments(images: np.ndarray) -> Moments:
    """Of uint8 [n, height, width, channels]: exact whole numbers, so that no order of adding matters."""
    number, height, width, channels = images.shape
    sums = np.zeros((2, channels), np.int64)
    for image in images:
        flat = image.reshape(height, -1)
        for start in range(0, height, EXACT_ROWS):
            rows = flat[start : start + EXACT_ROWS]
            for place, kind in enumerate((cv2.REDUCE_SUM, cv2.REDUCE_SUM2)):
                sums[place] += cv2.reduce(rows, 0, kind, dtype=cv2.CV_32S).reshape(-1, channels).sum(0, dtype=np.int64)
    return Moments(count=number * height * width, sum=tuple(sums[0].tolist()), squares=tuple(sums[1].tolist()))


def perceptual_hash(image: np.ndarray) -> int:
    """64 bits that near duplicates share: which low frequencies of 32×32 grey pixels lie above their median (Zauner 2010).

    Of an image without structure it is 0.
    """
    small = cv2.resize(grey(image), (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    if np.abs(low[1:]).max() < 1.0:
        return 0
    return int(np.packbits(low > np.median(low[1:])).view(">u8")[0])


def with_added(spec: DatasetSpec, config: DataConfig) -> DatasetSpec:
    """The data set with the targets that operations add."""
    added = {
        o.target: TargetSpec(kind="mask", classes=("plain", "edge"))
        for o in config.operations
        if isinstance(o, Edges) and o.output == "target"
    }
    return spec.model_copy(update={"targets": {**spec.targets, **added}})
