"""A look into a few maps of pairs: whether they are photographs, or what the camera can see, and whether they fit their images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mtl.codecs.header import Header
from mtl.codecs.maps import MAX_VALUES, mask_values
from mtl.codecs.mask_codes import colours_of
from mtl.codecs.rasters import read_raster
from mtl.data.formats.shapes import shown_size
from mtl.data.onboard.look import Look, some
from mtl.data.onboard.pair_layouts import Pairs
from mtl.errors import DataError

LOOKED_INTO = 16
"""Maps of one kind that are read."""
SAME = 0.9
"""The share of what any of the masks has that all of them have, if they show the camera and not what it sees."""
FEWEST = 4
"""Maps that must say so."""


def sorted_out(look: Look, found: Iterable[Pairs]) -> tuple[list[Pairs], list[Pairs]]:
    """Pairs without those whose maps are photographs; and, for themselves, those whose masks are the camera's field of view."""
    kept: list[Pairs] = []
    views: list[Pairs] = []
    for pairs in found:
        if pairs.kind not in ("mask", "picture", "second", "edge"):
            kept.append(pairs)
            continue
        data = _some_maps(look, pairs)
        if _may_be_photographs(pairs) and 2 * sum(map(_is_photograph, data)) > len(data):
            continue
        (views if _show_the_camera(data) else kept).append(pairs)
    return kept, views


def _some_maps(look: Look, pairs: Pairs) -> list[bytes]:
    """A few maps, encoded; those that cannot be read are left to who reads all."""
    found: list[bytes] = []
    for name in some(sorted(pairs.map_files))[:LOOKED_INTO]:
        try:
            found.append(look.tree.read(name))
        except DataError:
            continue
    return found


def _may_be_photographs(pairs: Pairs) -> bool:
    """Unless images lie in a folder that is called so, and maps beside it: classes are called mask or label too."""
    return not (pairs.is_named and "/" not in pairs.maps.strip("/"))


def _is_photograph(data: bytes) -> bool:
    """Whether a picture has more colours than anybody draws."""
    try:
        found = mask_values(data)
    except DataError:
        return False
    return found.kind == "colour" and found.num_values > MAX_VALUES


def _show_the_camera(data: Sequence[bytes]) -> bool:
    """Whether masks show what the camera can see: the same in all, around the centre, more than half of the picture, and no corner."""
    seen: list[np.ndarray] = []
    for one in data:
        try:
            codes = colours_of(read_raster(one))
        except DataError:
            return False
        seen.append(codes == codes[codes.shape[0] // 2, codes.shape[1] // 2])
    if len(seen) < FEWEST or any(one.shape != seen[0].shape for one in seen):
        return False
    always, ever = np.all(seen, axis=0), np.any(seen, axis=0)
    corners = ever[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool(not corners.any() and 2 * always.sum() > always.size and always.sum() >= SAME * ever.sum())


def other_sizes(look: Look, pairs: Sequence[Pairs]) -> str:
    """What is wrong if most maps have another size than their images, as stored or as a viewer shows them; nothing if not."""
    both = some([files for one in pairs for files in one.files])[:LOOKED_INTO]
    headers = look.tree.headers({name for files in both for name in files})
    wrong: list[str] = []
    for image, map_file in both:
        mine, theirs = headers.get(image), headers.get(map_file)
        if not isinstance(mine, Header) or not isinstance(theirs, Header):
            continue
        if shown_size(theirs) not in (shown_size(mine), (mine.width, mine.height)):
            wrong.append(f"{map_file} of {_size(theirs)} and {image} of {_size(mine)}")
    if 2 * len(wrong) <= len(both):
        return ""
    return f"maps have another size than their images: {wrong[0]}; scale or cut them to one size"


def _size(header: Header) -> str:
    return "×".join(map(str, shown_size(header)))
