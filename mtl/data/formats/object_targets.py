"""What annotated objects become: boxes, and masks that are drawn of their outlines."""

from __future__ import annotations

from mtl.data.formats.base import drawn_masks
from mtl.data.formats.shapes import Targets
from mtl.data.spec import TargetSpec


def object_targets(names: Targets, classes: tuple[str, ...]) -> dict[str, TargetSpec]:
    """The targets that are named."""
    specs: dict[str, TargetSpec] = {}
    if names.boxes:
        specs[names.boxes] = TargetSpec(kind="boxes", classes=classes)
    if names.masks:
        specs[names.masks] = drawn_masks(classes)
    return specs
