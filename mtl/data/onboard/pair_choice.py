"""Which of all that may be pairs are meant: of several kinds of maps of the same images, and of several images of the same maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mtl.data.formats.base import split_of
from mtl.data.formats.kitti import OTHER_SENSORS
from mtl.data.formats.pairs import split_said
from mtl.data.onboard.map_words import IMAGE, NOT_READ, MapKind, words
from mtl.data.onboard.pair_layouts import Pairs

HALF = 0.5
"""The share of maps that must have an image; of images, that two kinds of maps must share to be of the same ones."""
SEMANTIC: tuple[MapKind, ...] = ("mask", "picture", "second", "edge")
"""Kinds that may be masks of classes, the best first."""


@dataclass
class Choice:
    """What is to be read. masks, depths: by what the maps of several splits have in common; others: pairs that are not read, and why.
    faults: why something that is meant cannot be; doubts: why folders that look like it are none; doubtful: these.
    """

    masks: dict[str, list[Pairs]] = field(default_factory=dict[str, list[Pairs]])
    depths: dict[str, list[Pairs]] = field(default_factory=dict[str, list[Pairs]])
    others: list[tuple[Pairs, str]] = field(default_factory=list[tuple[Pairs, str]])
    faults: list[str] = field(default_factory=list[str])
    doubts: list[str] = field(default_factory=list[str])
    doubtful: list[Pairs] = field(default_factory=list[Pairs])


def files_of(found: Iterable[Pairs]) -> frozenset[str]:
    """All maps of some pairs."""
    return frozenset[str]().union(*(pairs.map_files for pairs in found))


def chosen(found: Iterable[Pairs]) -> Choice:
    """Choose."""
    choice = Choice()
    kept = _whole(_covering(_one_image_each(found, choice), choice), choice)
    semantic = [pairs for pairs in kept if pairs.kind in SEMANTIC]
    if any("manual" in words(pairs.maps) for pairs in semantic):  # DRIVE, and sets that are laid out like it
        views = [pairs for pairs in semantic if words(pairs.maps) <= {"mask", "masks"}]
        choice.others += [(pairs, NOT_READ["view"]) for pairs in views]
        semantic = [pairs for pairs in semantic if pairs not in views]
    best = next((kind for kind in SEMANTIC if any(pairs.kind == kind for pairs in semantic)), None)
    choice.masks = _grouped([pairs for pairs in semantic if pairs.kind == best], choice)
    choice.depths = _grouped([pairs for pairs in kept if pairs.kind == "depth"], choice)
    read = {one for groups in (choice.masks, choice.depths) for some in groups.values() for one in some}
    told = read.union(one for one, _ in choice.others)
    choice.others += [(pairs, NOT_READ[pairs.kind]) for pairs in kept if pairs not in told]
    return choice


def _one_image_each(found: Iterable[Pairs], choice: Choice) -> list[Pairs]:
    """Without pairs whose maps have better images. Where nothing tells which are meant, that is a fault."""
    kept: list[Pairs] = []
    for pairs in sorted(found, key=lambda one: (_rank(one), one.images, one.image_name, one.maps, one.map_name)):
        rivals = [one for one in kept if len(one.map_files & pairs.map_files) > HALF * len(pairs.files)]
        if not rivals:
            kept.append(pairs)
        elif _rank(rivals[0])[:3] == _rank(pairs)[:3] and len(pairs.files) > HALF * len(rivals[0].files):
            mine, theirs = (_images(one) for one in (rivals[0], pairs))
            fault = f"{_maps(pairs)} may be of {mine} or of {theirs}, which are other pictures of the same names: "
            choice.faults.append(fault + "describe them with `images` and `image_name`, and `ignore` the others")
    return kept


def _rank(pairs: Pairs) -> tuple[bool, int, int, int]:
    """The less, the surer these images are meant: called so, with few other words, in a folder near the maps'."""
    said = words(f"{pairs.images} {pairs.image_name}")
    other = len({word for word in said - IMAGE if split_of(word) is None})
    sensor = bool(OTHER_SENSORS & {*pairs.images.split("/")})
    beginning = pairs.maps.lower().startswith(pairs.images.lower()) and pairs.images != ""
    return ((not pairs.is_named and not beginning) or sensor), other, len(pairs.images.split("/")), -len(pairs.files)


def _covering(kept: Sequence[Pairs], choice: Choice) -> list[Pairs]:
    """Those most of whose maps have an image, in one folder or in another."""
    sides: dict[tuple[str, str], list[Pairs]] = {}
    for pairs in kept:
        sides.setdefault((pairs.maps, pairs.map_name), []).append(pairs)
    result: list[Pairs] = []
    for some in sides.values():
        number = len(files_of(some))
        total = max(pairs.num_maps for pairs in some)
        if number > HALF * total:
            result += some
        else:
            choice.doubts.append(f"of {total} files of {_maps(some[0])}, {number} have an image of their name")
            choice.doubtful += some
    return result


def _whole(kept: Sequence[Pairs], choice: Choice) -> list[Pairs]:
    """Without masks of single objects: in one folder files of several names for an image, none of which most images have."""
    names: dict[tuple[str, str], dict[str, frozenset[str]]] = {}
    for pairs in kept:
        inside = names.setdefault((pairs.maps, pairs.images), {})
        inside[pairs.map_name] = inside.get(pairs.map_name, frozenset()) | pairs.image_files
    result: list[Pairs] = []
    for pairs in kept:
        inside = names[pairs.maps, pairs.images]
        every = frozenset[str]().union(*inside.values())
        if len(inside) > 1 and len(inside[pairs.map_name]) <= HALF * len(every):
            fault = f"{pairs.maps or 'a folder'} has a file for each object, it seems, as {_maps(pairs)}: unite the masks of one image"
            choice.doubts.append(fault)
            choice.doubtful.append(pairs)
        else:
            result.append(pairs)
    return result


def _grouped(found: Sequence[Pairs], choice: Choice) -> dict[str, list[Pairs]]:
    """Pairs by what their maps are of; further ones of the same images and maps' name are not read."""
    groups: dict[tuple[str, ...], list[Pairs]] = {}
    for pairs in sorted(found, key=lambda one: (len(words(one.map_name)), one.maps, one.map_name)):
        group = groups.setdefault(_subject(pairs), [])
        if any(len(one.image_files & pairs.image_files) > HALF * len(pairs.files) for one in group):
            first = next(
                (one for one in group if _without_digits(one.map_name) == _without_digits(pairs.map_name)), None
            )
            if first is None or first.maps != pairs.maps:
                choice.others.append((pairs, "further maps of the same images"))
            elif len(pairs.files) > HALF * len(first.files):  # of few, the reader says it
                fault = f"images have several masks each, {_maps(first)} and {_maps(pairs)}: unite those of one image"
                choice.faults.append(fault)
        else:
            group.append(pairs)
    shared = frozenset.intersection(*map(frozenset, groups)) if groups else frozenset[str]()
    return {"_".join(word for word in subject if word not in shared): some for subject, some in groups.items()}


def _subject(pairs: Pairs) -> tuple[str, ...]:
    """What maps are of, by the words of their names; those of splits, and single letters, say nothing of it."""
    said = words(f"{pairs.maps} {pairs.map_name}")
    return tuple(sorted(word for word in said if len(word) > 1 and not _is_split(word)))


def _is_split(word: str) -> bool:
    return split_said(word) is not None or word in ("trainannot", "valannot", "testannot")


def _without_digits(name: str) -> str:
    return "".join(letter for letter in name if not letter.isdecimal())


def _images(pairs: Pairs) -> str:
    return f"{pairs.images}/{pairs.image_name}".lstrip("/")


def _maps(pairs: Pairs) -> str:
    return f"{pairs.maps}/{pairs.map_name}".lstrip("/")
