"""`zoo`: scenes composed of real parts. Each has one digit and one to three animals of one species."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtl import seeds
from mtl.config.data import ZooSource
from mtl.data.prepare.cores import made
from mtl.data.raw.rows import RawSample, write_spec, write_split
from mtl.data.sources.parts import SPECIES, Parts, load_parts
from mtl.data.sources.scene import ANIMAL_SIZE, DIGIT_SIZE, Canvas, png
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec

DIGITS = tuple(str(digit) for digit in range(10))
TARGETS = {
    "digit": TargetSpec(kind="label", classes=DIGITS),
    "species": TargetSpec(kind="label", classes=SPECIES),
    "contents": TargetSpec(kind="labels", classes=DIGITS + SPECIES),
    "objects": TargetSpec(kind="boxes", classes=DIGITS + SPECIES),
    "regions": TargetSpec(kind="mask", classes=("background", "digit", "animal")),
    "count": TargetSpec(kind="value", unit="animals"),
}


def fetch_zoo(settings: ZooSource, seed: int, folder: Path, cache: Path) -> DatasetSpec:
    """Compose all splits into `folder`. A scene depends on the seed, its split and its index alone."""
    parts, sources, notes = load_parts(seed, cache)
    spec = DatasetSpec(
        name="zoo", targets=TARGETS, slices=("background", "animals"), sources=tuple(sources), notes=notes
    )
    sizes = {"train": settings.num_train, "val": settings.num_val, "test": settings.num_test}
    for number, split in enumerate(SPLITS):
        own = parts[split]

        def scene(index: int, number: int = number, split: str = split, own: Parts = own) -> RawSample:
            rng = seeds.scene(seed, number, index)
            return compose(own, rng, settings.image_size, f"{split}-{index:06d}")

        write_split(folder, split, spec, made(scene, sizes[split]))
    write_spec(folder, spec)
    return spec


def compose(parts: Parts, rng: np.random.Generator, size: int, identifier: str) -> RawSample:
    """One scene of `size`×`size` pixels, encoded as PNG, with all its targets."""
    canvas = Canvas.on(parts.photographs, rng, size)
    species = int(rng.integers(len(SPECIES)))
    candidates = np.nonzero(parts.silhouettes.labels == species)[0]
    animals = rng.choice(candidates, size=int(rng.integers(1, 4)), replace=False)
    digit = int(rng.integers(len(parts.digits.labels)))
    label = int(parts.digits.labels[digit])
    canvas.draw(rng, parts.digits.images[digit], label, 1, DIGIT_SIZE)
    num_animals = 0
    for animal in animals:
        glyph = parts.silhouettes.images[animal]
        num_animals += canvas.draw(rng, glyph, len(DIGITS) + species, 2, ANIMAL_SIZE)
    image = canvas.encoded(rng)
    return RawSample(
        id=identifier,
        image=image,
        targets={
            "digit": label,
            "species": species if num_animals else None,
            "contents": sorted({int(box[4]) for box in canvas.boxes}),
            "objects": canvas.boxes,
            "regions": png(canvas.regions),
            "count": float(num_animals),
        },
        slices={"background": canvas.background, "animals": str(num_animals)},
    )
