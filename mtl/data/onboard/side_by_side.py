"""A photograph and a PNG of one name in one folder: an image and its mask, if the PNGs are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from mtl.config import DataError
from mtl.data.maps import mask_values
from mtl.data.onboard.look import Look, some
from mtl.data.onboard.pair_layouts import Pairs

PHOTOGRAPHS = (".jpg", ".jpeg")
FEW = 64
"""Values of what is drawn."""


def side_by_side(look: Look, names: Sequence[str]) -> list[Pairs]:
    """The pairs, if most photographs have a PNG, and those that are looked into have few values, as no photograph has."""
    stems: dict[str, dict[str, str]] = {}
    photographs = [name for name in names if name.lower().endswith(PHOTOGRAPHS)]
    drawings = [name for name in names if name.lower().endswith(".png")] if photographs else []
    for name in (*photographs, *drawings):
        path = PurePosixPath(name)
        stems.setdefault(path.with_suffix("").as_posix(), {})[path.suffix] = name
    suffixes = {suffix for found in stems.values() for suffix in found}
    pairs = [(photo, found[".png"]) for found in stems.values() if ".png" in found for photo in _photographs(found)]
    if len(suffixes) != 2 or len(pairs) < 2 or 2 * len(pairs) <= len(photographs):
        return []
    if not all(_is_drawn(look, drawing) for _, drawing in some(pairs)[:16]):
        return []
    photograph = next(iter(suffixes - {".png"}))
    return [Pairs("", "", f"{{}}{photograph}", "{}.png", "mask", tuple(pairs), len(drawings))]


def _photographs(found: dict[str, str]) -> list[str]:
    return [name for suffix, name in found.items() if suffix != ".png"]


def _is_drawn(look: Look, name: str) -> bool:
    try:
        return mask_values(look.place.read(name)).num_values <= FEW
    except DataError:
        return False
