"""Images and masks that no word tells apart: of one name, in one folder or two, the ones photographed and the others drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import PurePosixPath

from mtl.codecs.maps import mask_values
from mtl.data.onboard.look import Look, some
from mtl.data.onboard.pair_layouts import Pairs
from mtl.errors import DataError
from mtl.storage.file_tree import IMAGES

PHOTOGRAPHS = (".jpg", ".jpeg")
FEW = 64
"""Values of what is drawn."""
LOOKED_INTO = 16
"""Pictures of a folder that are read."""
MOST = 8
"""Folders whose names are compared."""


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
    if not all(_is_drawn(look, drawing) for _, drawing in some(pairs)[:LOOKED_INTO]):
        return []
    photograph = next(iter(suffixes - {".png"}))
    return [Pairs("", "", f"{{}}{photograph}", "{}.png", "mask", tuple(pairs), len(drawings))]


def drawn_folders(look: Look) -> tuple[str, str] | None:
    """A folder of pictures, and one beside it that has the same names, of which those that are looked into are drawn: x_train and
    y_train. Classes may number their pictures alike, and are not drawn in one and photographed in the other.
    """
    folders: dict[str, dict[str, str]] = {}
    for name in look.unclaimed(*IMAGES):
        path = PurePosixPath(name)
        folders.setdefault(path.parent.as_posix(), {})[path.stem] = name
    for images, maps in permutations([*folders][:MOST], 2):
        same = folders[images].keys() & folders[maps].keys()
        if len(same) < 2 or 2 * len(same) <= len(folders[maps]):
            continue
        looked = some(sorted(same))[:LOOKED_INTO]
        drawn, photographed = (sum(_is_drawn(look, folders[one][stem]) for stem in looked) for one in (maps, images))
        if drawn == len(looked) and not photographed:
            return images, maps
    return None


def _photographs(found: dict[str, str]) -> list[str]:
    return [name for suffix, name in found.items() if suffix != ".png"]


def _is_drawn(look: Look, name: str) -> bool:
    try:
        return mask_values(look.tree.read(name)).num_values <= FEW
    except DataError:
        return False
