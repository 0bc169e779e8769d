"""Trees from above: real aerial photographs with boxes, from the deepforest wheel. No code of it runs."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from mtl.data.prepare.geometry import Fit
from mtl.data.spec import SourceRecord
from mtl.errors import DataError
from mtl.storage.wheels import Wheel, download

DEEPFOREST = Wheel("deepforest", "2.1.0", "8c2798d8e9be7f0004b194fe207b76c1d9fff6e711b3db67b9508dcd5d00ae54", "MIT")
# Whole photographs to splits: no tree is seen in two.
PHOTOGRAPHS = {
    "train": ("2019_YELL_2_528000_4978000_image_crop2",),
    "val": ("OSBS_029", "SOAP_061"),
    "test": ("2019_YELL_2_541000_4977000_image_crop",),
}
SHRINK = 2  # crowns are 40 to 70 pixels wide: halved, several fit into a tile of 64
MIN_VISIBLE = 0.4  # share of a box that a tile must hold


@dataclass(frozen=True)
class Photograph:
    """uint8 [h, w, 3], and boxes float [n, 4] in its pixels."""

    image: np.ndarray
    boxes: np.ndarray

    def tile(self, left: int, top: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """A square of the photograph with the boxes that lie in it, clipped: float [k, 4] in the tile's pixels."""
        boxes = self.boxes - np.array([left, top, left, top])
        clipped = boxes.clip(0, size)
        area, kept = (boxes[:, 2:] - boxes[:, :2]).prod(1), (clipped[:, 2:] - clipped[:, :2]).prod(1)
        return self.image[top : top + size, left : left + size], clipped[kept >= MIN_VISIBLE * np.maximum(area, 1)]


def load_trees(cache: Path) -> tuple[dict[str, list[Photograph]], SourceRecord]:
    """The photographs of every split, at half size, and where they came from."""
    found: dict[str, list[Photograph]] = {}
    with zipfile.ZipFile(download(DEEPFOREST, cache)) as wheel:
        for split, names in PHOTOGRAPHS.items():
            found[split] = [_photograph(wheel, name) for name in names]
    record = SourceRecord(
        name="trees from above, with boxes",
        package=DEEPFOREST.package,
        version=DEEPFOREST.version,
        licence=DEEPFOREST.licence,
        sha256=DEEPFOREST.sha256,
        num_items=sum(len(p.boxes) for photographs in found.values() for p in photographs),
    )
    return found, record


def _photograph(wheel: zipfile.ZipFile, name: str) -> Photograph:
    data = np.frombuffer(wheel.read(f"deepforest/data/{name}.png"), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError(f"deepforest's {name}.png cannot be decoded")
    fit = Fit.of(image.shape[:2], (image.shape[0] // SHRINK, image.shape[1] // SHRINK), keep_aspect=False)
    # The wheel is pinned by hash: this XML is what it was when it was looked at.
    tree = ElementTree.fromstring(wheel.read(f"deepforest/data/{name}.xml"))
    corners = ("xmin", "ymin", "xmax", "ymax")
    boxes = [[float(box.findtext(c) or "nan") for c in corners] for box in tree.iter("bndbox")]
    return Photograph(
        fit.image(image), fit.points(np.array(boxes, np.float64).reshape(-1, 2)).reshape(-1, 4).astype(np.float64)
    )


def random_tile(photographs: list[Photograph], rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A tile at a random place of a random photograph."""
    chosen = photographs[rng.integers(len(photographs))]
    height, width = chosen.image.shape[:2]
    return chosen.tile(int(rng.integers(width - size + 1)), int(rng.integers(height - size + 1)), size)


def grid_tiles(photographs: list[Photograph], size: int, step: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """All tiles of a regular grid: with a step of their size they do not overlap."""
    return [
        photograph.tile(left, top, size)
        for photograph in photographs
        for top in range(0, photograph.image.shape[0] - size + 1, step)
        for left in range(0, photograph.image.shape[1] - size + 1, step)
    ]
