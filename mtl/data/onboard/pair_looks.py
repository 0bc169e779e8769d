"""A look into a few maps of pairs: whether they are photographs, or the same in every picture, and whether they fit their images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mtl.config import DataError
from mtl.data.formats.shapes import shown_size
from mtl.data.header import Header
from mtl.data.maps import MAX_VALUES, mask_values
from mtl.data.mask_codes import colours_of
from mtl.data.onboard.look import Look, some
from mtl.data.onboard.pair_layouts import Pairs
from mtl.data.rasters import read_raster

LOOKED_INTO = 16
"""Maps of one kind that are read."""
SAME = 0.9
"""The share of a value's pixels that all maps have in the same place, if they show the camera and not what it sees."""
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
            found.append(look.place.read(name))
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
    """Whether masks of several values have each in the same place: it is what the camera does not see, or a stamp."""
    codes: list[np.ndarray] = []
    for one in data:
        try:
            codes.append(colours_of(read_raster(one)))
        except DataError:
            return False
    if len(codes) < FEWEST or any(one.shape != codes[0].shape for one in codes):
        return False
    distinct = np.unique(codes[0])
    return 1 < len(distinct) <= LOOKED_INTO and all(_stays(codes, value) for value in distinct)


def _stays(codes: Sequence[np.ndarray], value: int) -> bool:
    """Whether a value's pixels are nearly the same ones in all."""
    places = np.stack([one == value for one in codes])
    return bool(places.all(0).sum() >= SAME * places.any(0).sum())


def other_sizes(look: Look, pairs: Sequence[Pairs]) -> str:
    """What is wrong if most maps have another size than their images, as stored or as a viewer shows them; nothing if not."""
    both = some([files for one in pairs for files in one.files])[:LOOKED_INTO]
    headers = look.place.headers({name for files in both for name in files})
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
