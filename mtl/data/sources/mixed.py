"""`sources`: images of three origins, each labelled for other tasks: partial labels as teams have them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mtl import seeds
from mtl.config.data import SourcesSource
from mtl.data.raw.rows import RawSample, write_spec, write_split
from mtl.data.sources.parts import SPECIES, Glyphs, Parts, load_parts
from mtl.data.sources.scene import Canvas, png
from mtl.data.sources.trees import Photograph, grid_tiles, load_trees, random_tile
from mtl.data.sources.zoo import DIGITS
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec

TARGETS = {
    "digit": TargetSpec(kind="label", classes=DIGITS),
    "species": TargetSpec(kind="label", classes=SPECIES),
    "animals": TargetSpec(kind="mask", classes=("background", *SPECIES)),
    "trees": TargetSpec(kind="boxes", classes=("tree",)),
}
NAMES = ("digits", "animals", "trees")
SIZES = (0.75, 0.95)  # of a drawing, in shares of the image's side


def fetch_sources(settings: SourcesSource, seed: int, folder: Path, cache: Path) -> DatasetSpec:
    """Write all splits into `folder`. A sample depends on the seed, its source, its split and its index alone."""
    parts, records, notes = load_parts(seed, cache)
    photographs, trees = load_trees(cache)
    spec = DatasetSpec(name="sources", targets=TARGETS, slices=("source",), sources=(*records, trees), notes=notes)
    chosen = NAMES if settings.only == "all" else (settings.only,)
    sizes = {"train": settings.num_train, "val": settings.num_val, "test": settings.num_test}
    for number, split in enumerate(SPLITS):
        samples: list[RawSample] = []
        for name in chosen:
            rngs = [seeds.single(seed, number, NAMES.index(name), i) for i in range(sizes[split])]
            if name == "trees":
                samples += _trees(photographs[split], split, rngs, settings.image_size)
            else:
                samples += [
                    _drawn(name, parts[split], rng, settings.image_size, f"{name}-{split}-{i:06d}")
                    for i, rng in enumerate(rngs)
                ]
        write_split(folder, split, spec, samples)
    write_spec(folder, spec)
    return spec


def _drawn(name: str, parts: Parts, rng: np.random.Generator, size: int, identifier: str) -> RawSample:
    """One digit, or one animal, that fills most of the image, in one colour on another."""
    canvas = Canvas.plain(rng, size)
    glyphs: Glyphs = parts.digits if name == "digits" else parts.silhouettes
    index = int(rng.integers(len(glyphs.labels)))
    label = int(glyphs.labels[index])
    region = 1 if name == "digits" else 1 + label
    canvas.draw(rng, glyphs.images[index], label, region, SIZES)
    targets = {"digit": label} if name == "digits" else {"species": label, "animals": png(canvas.regions)}
    return RawSample(id=identifier, image=canvas.encoded(rng), targets=targets, slices={"source": name})


def _trees(photographs: list[Photograph], split: str, rngs: list[np.random.Generator], size: int) -> list[RawSample]:
    """Random tiles to train on; to judge by, tiles of other photographs that do not overlap (test)."""
    if split == "train":
        tiles = [random_tile(photographs, rng, size) for rng in rngs]
    else:
        tiles = grid_tiles(photographs, size, size if split == "test" else size // 2)[: len(rngs)]
    samples: list[RawSample] = []
    for index, (image, boxes) in enumerate(tiles):
        targets = {"trees": [[*map(float, box), 0.0] for box in boxes]}
        data = png(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        samples.append(RawSample(f"trees-{split}-{index:06d}", data, targets, {"source": "trees"}))
    return samples
