"""The table of kinds of targets: one class each, which says all that there is to know of its kind."""

from __future__ import annotations

from typing import Any

from mtl.data.kinds.base import Kind, OfObjects
from mtl.data.kinds.boxes import Boxes
from mtl.data.kinds.keypoints import Keypoints
from mtl.data.kinds.labels import Label, Labels
from mtl.data.kinds.pixelwise import Depth, Mask, Normals
from mtl.data.kinds.values import Value

KINDS: dict[str, Kind[Any, Any, Any]] = {
    kind.name: kind for kind in (Label(), Labels(), Boxes(), Mask(), Value(), Depth(), Normals(), Keypoints())
}
OF_OBJECTS: tuple[OfObjects, ...] = tuple(kind for kind in KINDS.values() if isinstance(kind, OfObjects))
