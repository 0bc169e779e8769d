"""Pairs of images and maps: folders whose names differ in a word, or names that differ in what is put around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import product
from pathlib import PurePosixPath
from typing import Any

from mtl.config import DataError
from mtl.data.formats.base import split_of
from mtl.data.formats.pairs import Side
from mtl.data.header import Header
from mtl.data.onboard.look import Finding, Look, identifier, some
from mtl.data.onboard.mask_classes import classes_of_masks

AFTER_MAPS = (
    "", "_mask", "_masks", "-mask", ".mask", "_Mask", "_gt", "_GT", "_seg", "_segmentation", "_Segmentation", "_label", "_labels",
    "_L", "_lab", "_annotation", "_manual1", "_1stHO", "_anno", "_trimap", "_gtFine_labelTrainIds", "_gtFine_labelIds",
    "_gtCoarse_labelIds", "_depth", "_disparity", "_disp",
)  # fmt: skip
AFTER_IMAGES = ("", "_leftImg8bit", "_image", "_img", "_sat", "_training", "_test", "_rgb", "_RGB", "_color", "_orig")
BEFORE = (
    ("", ""),
    ("image_", "mask_"),
    ("img_", "mask_"),
    ("", "mask_"),
    ("image", "mask"),
    ("img", "mask"),
    ("rgb_", "depth_"),
)
"""What stands around the common name, of images and of maps, in the data sets that people bring."""
MAP_WORDS = re.compile(
    r"mask|label|segment|annot|annt|gt|ground.?truth|trimap|seg|semantic|target|matte|depth|disparity|stuffthing",
    re.IGNORECASE,
)
DEPTH_WORDS = re.compile(r"depth|disparity|disp\b", re.IGNORECASE)
OTHERS = ("*_color.png", "*_instanceIds.png", "*_instanceTrainIds.png", "*_polygons.json")
"""Cityscapes' further files of each image."""
LEAST = 0.5
"""The share of the maps that must have an image."""


@dataclass(frozen=True)
class Layout:
    """Where images and maps of one kind lie, and how they are called."""

    images: str
    maps: str
    image_name: str
    map_name: str

    @property
    def likeness(self) -> int:
        """How surely the folders belong to each other: train and trainannot do, test and valannot do not."""
        if self.maps.lower().startswith(self.images.lower()):
            return 2
        return 0 if split_of(self.images) else 1

    def pairs(self, names: list[str]) -> tuple[list[str], list[str]]:
        """Images and their maps."""
        image_side, map_side = Side(self.images, self.image_name), Side(self.maps, self.map_name)
        maps = {key: files[0] for key, files in map_side.keyed(names).items()}
        taken = set(maps.values())
        images = {key: files[0] for key, files in image_side.keyed(n for n in names if n not in taken).items()}
        both = sorted(images.keys() & maps.keys())
        return [images[key] for key in both], [maps[key] for key in both]


def detect(look: Look) -> Iterator[Finding]:
    """A finding of masks and one of depths, each with a set for every pair of folders."""
    found: dict[str, list[Layout]] = {}
    for layout in _layouts(look):
        found.setdefault(
            "depth_pairs" if DEPTH_WORDS.search(layout.maps + layout.map_name) else "mask_pairs", []
        ).append(layout)
    if "mask_pairs" in found:
        yield _masks(look, found["mask_pairs"])
    if "depth_pairs" in found:
        yield _depths(look, found["depth_pairs"])


def _layouts(look: Look) -> list[Layout]:
    """The layouts that pair most files, each map once."""
    if not look.images:
        return []
    names = [n for n in look.unclaimed(*_suffixes(look)) if not any(fnmatch(n, pattern) for pattern in OTHERS)]
    left = set(names)
    chosen: list[Layout] = []
    candidates = sorted(_candidates(names), key=lambda one: (-one[0].likeness, -len(one[1])))
    for layout, maps in candidates:
        rest = [name for name in maps if name in left]
        images, _ = layout.pairs(names)
        if len(rest) == len(maps) and not set(images) & {m for c in chosen for m in c.pairs(names)[1]}:
            chosen.append(layout)
            left -= set(maps)
    return chosen


def _suffixes(look: Look) -> tuple[str, ...]:
    return tuple({PurePosixPath(name).suffix.lower() for name in look.images})


def _candidates(names: list[str]) -> Iterator[tuple[Layout, list[str]]]:
    """Layouts that fit, with the maps that they pair."""
    folders: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        folders.setdefault(path.parent.parts, []).append(path.stem)
    seen: set[Layout] = set()
    likely = [f for f, stems in folders.items() if any(map(MAP_WORDS.search, f)) or _any_affix(stems)]
    for ours, theirs in product(folders, likely):
        for layout in _between(ours, theirs, folders):
            if layout in seen:
                continue
            seen.add(layout)
            maps = layout.pairs(names)[1]
            total = sum(len(files) for files in Side(layout.maps, layout.map_name).keyed(names).values())
            if maps and len(maps) > LEAST * total and (layout.maps != layout.images or len(maps) > 1):
                yield layout, maps


def _any_affix(stems: list[str]) -> bool:
    """Whether some files are called as maps are."""
    before = tuple(b for _, b in BEFORE if b)
    after = tuple(a for a in AFTER_MAPS if a)
    return any(stem.startswith(before) or stem.endswith(after) for stem in some(stems))


def _between(
    ours: tuple[str, ...], theirs: tuple[str, ...], folders: dict[tuple[str, ...], list[str]]
) -> Iterator[Layout]:
    """How the files of one folder may be maps of those of another, by the names of folders and files."""
    if ours == theirs:
        different = ("", "")
    else:
        place = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
        )
        mine, other = ours[place : place + 1], theirs[place : place + 1]
        # All but one folder of the path must be the same; at the root, images may have none: a.png and masks/a.png.
        if ours[:place] != theirs[:place] or ours[place + len(mine) :] != theirs[place + len(other) :]:
            return
        different = ("/".join(mine), "/".join(other))
        if not MAP_WORDS.search(different[1]) or (MAP_WORDS.search(different[0]) and not split_of(different[0])):
            return
    stems = (set(folders[ours]), folders[theirs])
    for (before, map_before), after, map_after in product(BEFORE, AFTER_IMAGES, AFTER_MAPS):
        if ours == theirs and before + after == map_before + map_after:
            continue
        if ours == theirs and not (map_before or map_after):
            continue
        sample = some(stems[1])
        fits = sum(
            s.startswith(map_before) and s.endswith(map_after)
            and f"{before}{s[len(map_before) : len(s) - len(map_after)]}{after}" in stems[0]
            for s in sample
        )  # fmt: skip
        if fits > LEAST * sum(s.startswith(map_before) and s.endswith(map_after) for s in sample):
            yield Layout(*different, f"{before}{{}}{after}", f"{map_before}{{}}{map_after}")


def _masks(look: Look, layouts: list[Layout]) -> Finding:
    maps = {layout: layout.pairs(look.images)[1] for layout in layouts}
    every = [name for names in maps.values() for name in names]
    evidence = frozenset(every)
    try:
        classes = classes_of_masks(look, every)
    except DataError as error:
        return Finding("mask_pairs", evidence=evidence, fault=error.line)
    others = [pattern for pattern in OTHERS if any(fnmatch(name, pattern) for name in look.names)]
    sets: dict[str, dict[str, Any]] = {}
    for layout in layouts:
        section = {"path": look.place.path, "format": "mask_pairs", **_folders(layout, "masks", "mask_name")}
        section |= classes.section | _prefix(layout, len(layouts)) | ({"ignore": others} if others else {})
        sets[_name(layout, len(layouts), "masks")] = section
    facts = [*classes.facts, *(f"{pattern}: not read" for pattern in others)]
    return Finding(
        "mask_pairs", sets, evidence | {n for n in look.names if any(fnmatch(n, p) for p in others)}, tuple(facts)
    )


def _depths(look: Look, layouts: list[Layout]) -> Finding:
    every = [name for layout in layouts for name in layout.pairs(look.images)[1]]
    headers = [h for h in look.place.headers(some(every)).values() if isinstance(h, Header)]
    deep = all(header.maximum > 255 for header in headers)
    fault = "" if deep else "the depths have 8 bits, and nothing says what a step is: save them as 16-bit PNG"
    sets: dict[str, dict[str, Any]] = {}
    for layout in layouts:
        section = {"path": look.place.path, "format": "depth_pairs", **_folders(layout, "depths", "depth_name")}
        sets[_name(layout, len(layouts), "depths")] = section | _prefix(layout, len(layouts))
    fact = "depth: a step of the PNG is taken for a millimetre, as most sensors have it: `scale` says otherwise"
    return Finding("depth_pairs", sets, frozenset(every), (fact,), fault)


def _folders(layout: Layout, folder: str, name: str) -> dict[str, Any]:
    section: dict[str, Any] = {"images": layout.images, folder: layout.maps}
    section |= {"image_name": layout.image_name} if layout.image_name != "{}" else {}
    return section | ({name: layout.map_name} if layout.map_name != "{}" else {})


def _name(layout: Layout, number: int, kind: str) -> str:
    return kind if number == 1 else identifier(f"{layout.images}_{kind}")


def _prefix(layout: Layout, number: int) -> dict[str, str]:
    """Images of several folders may be called alike."""
    return {"id_prefix": f"{layout.images}/"} if number > 1 and layout.images else {}
