"""What there is to say of the encoded images, as they came: their formats and sizes, wherever they are looked at."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mtl.codecs.header import SUFFIXES, read_header
from mtl.data.inspect.report import WrongExtension
from mtl.data.prepare.cores import Each
from mtl.data.raw.rows import FileRef, RawSample, RawSplit
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from mtl.storage.members import Member
from mtl.storage.shelf import batched

SOME = 256
"""Images of an order."""
THREADS = 16
"""Files that are read at a time, and are in memory."""


@dataclass
class Files:
    """Those that are another format than their name says; those with further pages or frames, which nobody reads; how many have
    which width and height. number: of the order.
    """

    number: int = 0
    wrong: list[WrongExtension] = field(default_factory=list[WrongExtension])
    first_of_many: list[str] = field(default_factory=list[str])
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter[tuple[int, int]])


@dataclass
class FileLook:
    """Looks at some samples' images. It travels to other processes and machines.

    roots: where the files of each set are; base: what local roots are relative to.
    """

    roots: Mapping[str, str]
    base: Path = field(default_factory=Path.cwd)
    _trees: dict[str, FileTree] = field(default_factory=dict[str, FileTree])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_trees": {}}

    def __call__(self, order: tuple[int, list[RawSample]]) -> Files:
        """What there is to say of them; of images that cannot be read nothing: they are quarantined."""
        number, samples = order
        found = Files(number)
        for sample, data in self._read(samples):
            with contextlib.suppress(DataError):
                header = read_header(data)
                found.sizes[header.width, header.height] += 1
                found.first_of_many += [sample.id] if header.has_more else []
                suffix = _suffix(sample.image)
                if suffix and suffix not in SUFFIXES.get(header.format, (suffix,)):
                    wrong = {"id": sample.id, "file": str(sample.image), "is": header.format}
                    found.wrong.append(WrongExtension.model_validate(wrong))
        return found

    def _read(self, samples: list[RawSample]) -> Iterator[tuple[RawSample, bytes]]:
        for owner in {sample.image.owner for sample in samples if isinstance(sample.image, FileRef)} - {*self._trees}:
            root = self.roots[owner]
            self._trees[owner] = FileTree(root if "://" in root else str(self.base / root))
        with ThreadPoolExecutor(THREADS) as pool:
            for some in batched(samples, THREADS):
                yield from zip(some, pool.map(self._data, some), strict=True)

    def _data(self, sample: RawSample) -> bytes:
        if not isinstance(sample.image, FileRef):
            return sample.image
        return self._trees[sample.image.owner].read_or_none(sample.image.name) or b""


def look_at_files(raw: Path, given: DatasetSpec, each: Each) -> Files:
    """Look at every image of a raw data set once."""
    found = Files()
    wrong: dict[int, list[WrongExtension]] = {}
    first_of_many: dict[int, list[str]] = {}
    for files in each(FileLook(given.roots), enumerate(_some(raw, given))):
        found.sizes += files.sizes
        wrong |= {files.number: files.wrong} if files.wrong else {}
        first_of_many |= {files.number: files.first_of_many} if files.first_of_many else {}
    found.wrong = [one for number in sorted(wrong) for one in wrong[number]]
    found.first_of_many = [one for number in sorted(first_of_many) for one in first_of_many[number]]
    return found


def _some(raw: Path, given: DatasetSpec) -> Iterator[list[RawSample]]:
    for split in SPLITS:
        rows = RawSplit(raw, split, given)
        for start in range(0, len(rows), SOME):
            yield list(rows.samples(start, min(start + SOME, len(rows))))


def _suffix(image: bytes | FileRef) -> str:
    """What its name says that it is; nothing if it has none."""
    if not isinstance(image, FileRef):
        return ""
    member = Member.parse(image.name)
    return PurePosixPath(member.name if member else image.name).suffix.lower()
