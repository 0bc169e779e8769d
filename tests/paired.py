"""Small trees of pictures and their maps, and what is read of them: each pixel's class by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mtl.config import DataError
from mtl.data.maps import decode_depth, decode_mask
from mtl.data.place import Place
from mtl.data.propose import propose
from mtl.data.raw import FileRef
from tests.drawn import picture
from tests.small_sets import fetched

WIDTH, HEIGHT = 32, 24
Codes = Mapping[str, Any]
"""Class → what its pixels have: a grey value, an index, or a colour; '' is what nobody knows."""


def regions(number: int, classes: int) -> np.ndarray:
    """int [HEIGHT, WIDTH]: places of `classes` classes, of which each has some pixels, elsewhere in every picture."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    found = (columns + rows // 4 + number) * classes // WIDTH % classes
    found[2 + number % 5 : 9, 3:11] = number % classes
    return found


def coded(places: np.ndarray, values: Sequence[Any]) -> np.ndarray:
    """What is drawn: uint8 or uint16 [HEIGHT, WIDTH] of values, or with channels of colours."""
    table = np.array(values)
    return table[places].astype(np.uint16 if table.max() > 255 else np.uint8)


class Tree:
    """Pictures with masks in a folder, and what they show."""

    def __init__(self, root: Path) -> None:
        self.root = root / "given"
        self.scratch = root
        self.drawn: dict[str, np.ndarray] = {}

    def picture(self, name: str, number: int, **options: Any) -> None:
        """A picture without a mask."""
        picture(self.root / name, number, WIDTH, HEIGHT, **options)

    def pair(self, image: str, mask: str, number: int, codes: Codes, palette: Sequence[int] = ()) -> None:
        """A picture, and its mask."""
        self.picture(image, number)
        self.mask(mask, number, codes, palette)
        self.drawn[image] = np.array([*codes])[regions(number, len(codes))]

    def mask(self, name: str, number: int, codes: Codes, palette: Sequence[int] = (), **options: Any) -> None:
        """A mask alone."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = Image.fromarray(coded(regions(number, len(codes)), [*codes.values()]))
        if palette:
            drawn.putpalette(palette)
        drawn.save(path, **options)

    def text(self, name: str, text: str) -> None:
        """Any other file."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")

    def proposed(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str], dict[str, dict[str, Any]]]:
        """What is proposed, as it is fetched: target → image → what its pixels show; image → split; and the sets.

        Every file is accounted for, or declared as not meant.
        """
        proposal = propose(str(self.root))
        sets = proposal.source["sets"]
        spec, samples, account = fetched(sets, self.scratch, split=proposal.source["split"])
        self.account = account
        assert account["annotations"] == []
        assert [files["unaccounted"]["files"] for files in account["files"]] == [[] for _ in account["files"]]
        found: dict[str, dict[str, np.ndarray]] = {}
        for sample in samples.values():
            assert isinstance(sample.image, FileRef)
            for target, value in sample.targets.items():
                what = spec.targets[target]
                if what.kind not in ("mask", "depth"):
                    continue
                data = Place(spec.roots[value.owner]).read(value.name) if isinstance(value, FileRef) else value
                if what.kind == "depth":
                    pixels = decode_depth(data, what.scale)
                else:
                    names = np.array([*what.classes, *[""] * (256 - len(what.classes))])
                    pixels = names[decode_mask(data, len(what.classes), what.values, what.ignored)]
                found.setdefault(target, {})[sample.image.name] = pixels
        return found, self.splits(proposal, samples), sets

    def splits(self, proposal: Any, samples: Any) -> dict[str, str]:
        return {}

    def refusal(self) -> str:
        """Why nothing is proposed."""
        try:
            proposal = propose(str(self.root))
        except DataError as error:
            return str(error)
        raise AssertionError(f"proposed: {proposal.source['sets']}")
