"""Small trees of pictures and their maps, and what is read of them: each pixel's class by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl.codecs.maps import decode_depth, decode_mask
from mtl.config.files import FilesSource
from mtl.data.onboard.propose import propose
from mtl.data.raw.account import Account, read_account
from mtl.data.raw.rows import FileRef, read_split
from mtl.data.sources.files import fetch_files
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.data.drawn import picture

WIDTH, HEIGHT, NUMBER = 32, 24, 20
Codes = Mapping[str, Any]
"""Class → what its pixels have: a grey value, an index, or a colour; '' is what nobody knows."""
WHITE: Codes = {"background": 0, "object": 255}
PLAIN: Codes = {"background": 0, "class_1": 1, "class_2": 2}


def part(number: int) -> str:
    """The split of a picture, where a tree has splits."""
    return ("train", "train", "train", "val", "test")[number % 5]


def regions(number: int, classes: int) -> np.ndarray:
    """int [HEIGHT, WIDTH]: places of `classes` classes, of which each has some pixels, elsewhere in every picture."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    found = (columns + rows // 4 + number) * classes // WIDTH % classes
    found[2 + number % 5 : 9, 3:11] = number % classes
    return found


def drawn(number: int, codes: Codes) -> np.ndarray:
    """Values [HEIGHT, WIDTH], or with channels of colours, of 8 or 16 bits."""
    table = np.array([*codes.values()])
    return table[regions(number, len(codes))].astype(np.uint16 if table.max() > 255 else np.uint8)


@dataclass
class Read:
    """What was proposed and fetched: target → image → its pixels' classes by name, or depths; image → split; and the proposal's sets
    and facts."""

    shown: dict[str, dict[str, np.ndarray]]
    splits: dict[str, str]
    sets: dict[str, dict[str, Any]]
    facts: list[str]
    account: Account


@dataclass
class Tree:
    """Pictures with masks in a folder, and what they show."""

    scratch: Path
    drawn: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    @property
    def root(self) -> Path:
        return self.scratch / "given"

    def picture(self, name: str, number: int, **options: Any) -> None:
        """A picture, which has no mask yet."""
        picture(self.root / name, number, WIDTH, HEIGHT, **options)

    def mask(self, name: str, number: int, codes: Codes, palette: Sequence[int] = (), **options: Any) -> None:
        """A map alone."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(drawn(number, codes))
        if palette:
            image.putpalette(palette)
        image.save(path, **options)

    def pair(self, image: str, mask: str, number: int, codes: Codes, palette: Sequence[int] = ()) -> None:
        """A picture, and its mask."""
        self.picture(image, number)
        self.mask(mask, number, codes, palette)
        self.drawn[image] = np.array([*codes])[regions(number, len(codes))]

    def text(self, name: str, text: str) -> None:
        """Any other file."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def read(self) -> Read:
        """What is proposed, as it is fetched. Every file is accounted for."""
        proposal = propose(str(self.root))
        source = FilesSource.model_validate(proposal.source, strict=False)
        spec = fetch_files(source, 0, self.scratch / "raw", self.scratch / "cache")
        account = read_account(self.scratch / "raw")
        assert [files.unaccounted.files for files in account.files] == [() for _ in account.files]
        read = Read({}, {}, source.model_dump()["sets"], proposal.facts, account)
        for split in SPLITS:
            for sample in read_split(self.scratch / "raw", split, spec):
                assert isinstance(sample.image, FileRef)
                read.splits[sample.image.name] = split
                for target in sample.targets.keys() & {
                    n for n, s in spec.targets.items() if s.kind in ("mask", "depth")
                }:
                    pixels = _pixels(spec, target, sample.targets[target])
                    read.shown.setdefault(target, {})[sample.image.name] = pixels
        return read

    def inside(self, image: str, read: Read) -> str:
        """An image as a set names it: a sole folder on top is stepped into."""
        return Path(self.root, image).relative_to(next(iter(read.sets.values()))["path"]).as_posix()

    def check(self) -> Read:
        """Every mask shows what was drawn, and there are no others."""
        read = self.read()
        assert read.shown.keys() == {"regions"}
        assert read.account.annotations == ()
        drawn = {self.inside(image, read): names for image, names in self.drawn.items()}
        assert read.shown["regions"].keys() == drawn.keys()
        for image, names in drawn.items():
            assert (read.shown["regions"][image] == names).all(), image
        return read

    def refused(self, *reasons: str) -> None:
        """Nothing is proposed, for these reasons."""
        with pytest.raises(DataError) as raised:
            propose(str(self.root))
        for reason in reasons:
            assert reason in str(raised.value)


def _pixels(spec: DatasetSpec, target: str, value: FileRef | bytes) -> np.ndarray:
    what = spec.targets[target]
    data = FileTree(spec.roots[value.owner]).read(value.name) if isinstance(value, FileRef) else value
    if what.kind == "depth":
        return decode_depth(data, what.scale)
    names = np.array([*what.classes, *[""] * (256 - len(what.classes))])
    return names[decode_mask(data, len(what.classes), what.values, what.ignored)]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty one."""
    return Tree(tmp_path)
