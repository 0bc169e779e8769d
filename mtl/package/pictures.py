"""What the champion says of the test images that a version's page shows: the same pictures, drawn with the champion's answers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from mtl.config.params import Config
from mtl.evaluate.pictures import Kind, draw_images
from mtl.package.bundle import read_bundle
from mtl.package.reevaluate import split_of, without_target
from mtl.reports.beside import PicturesBeside
from mtl.reports.pictures import Pictures


def pictures_beside(bundle_folder: Path, config: Config, outputs: Path, shown: Pictures) -> PicturesBeside:
    """A bundle's answers for the images that are shown, by its own preprocessing and its own statistics. Nothing is scored.

    Args:
        config: of the version that it stands beside.
        outputs: of that version's stages.
        shown: its pictures.

    Raises:
        DataError: the bundle cannot be built by this code, or cannot read these images.
    """
    model, tasks, bundle = read_bundle(bundle_folder)
    kinds: dict[str, Kind] = {one.id: one.kind for one in shown.pictures}
    with tempfile.TemporaryDirectory() as scratch:
        split = split_of(bundle, config, outputs, Path(scratch), frozenset(kinds))
        reasons = without_target(tasks, split)
        known = {name: task for name, task in tasks.items() if name not in reasons}
        drawn = draw_images(model, known, split, np.arange(len(split))) if known and kinds else {}
    remark = _remark(config.tasks, tasks, reasons)
    return PicturesBeside(pictures=tuple(each.picture(i, kinds[i]) for i, each in drawn.items()), remark=remark)


def _remark(here: Iterable[str], there: Iterable[str], reasons: Mapping[str, str]) -> str:
    """In which tasks the two differ; empty: in none."""
    said = [f"it has no task {name}" for name in sorted(set(here) - set(there))]
    said += [f"it has a task {name}, which this version has not" for name in sorted(set(there) - set(here))]
    said += [f"{name} is not drawn: {why}" for name, why in sorted(reasons.items())]
    return "; ".join(said)
