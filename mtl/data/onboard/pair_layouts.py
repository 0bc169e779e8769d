"""Where images and their maps lie: in folders whose paths differ in a word or two, or in one folder under two names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from mtl.data.formats.mentions import normal
from mtl.data.formats.pairs import Side, split_said
from mtl.data.onboard.look import some
from mtl.data.onboard.map_words import MAP_PARTS, MapKind, is_image_name, map_kind
from mtl.data.onboard.pair_names import SOME, side_names

Parts = tuple[str, ...]
LONGEST = 3
"""Folders of a path that may differ."""
CLASSES = 50
"""Folders side by side whose names are those of maps, above which they are classes of something."""


@dataclass(frozen=True)
class Pairs:
    """Images and maps of one kind: their folders, what their names are, and the files, pair by pair. num_maps: all that are called so
    in folders where some have an image.
    """

    images: str
    maps: str
    image_name: str
    map_name: str
    kind: MapKind
    files: tuple[tuple[str, str], ...]
    num_maps: int

    @cached_property
    def map_files(self) -> frozenset[str]:
        """All maps."""
        return frozenset(map_file for _, map_file in self.files)

    @cached_property
    def image_files(self) -> frozenset[str]:
        """All images."""
        return frozenset(image for image, _ in self.files)

    @property
    def is_named(self) -> bool:
        """Whether the images' folder, or what is put to their names, says that they are images."""
        return is_image_name(f"{self.images} {self.image_name}")


@dataclass(frozen=True)
class Stranger:
    """A folder of maps that belongs to a folder of images, and few of whose files have an image of their name."""

    images: Parts
    maps: Parts
    example: tuple[str, str]
    number: int


def pairs_in(names: Sequence[str]) -> tuple[list[Pairs], list[Stranger]]:
    """All that may be pairs; and folders that look like it, and are not."""
    folders: dict[Parts, list[str]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        folders.setdefault(tuple(folder.split("/")) if folder else (), []).append(last.rpartition(".")[0])
    found: dict[tuple[str, str, str, str], Pairs] = {}
    strangers: list[Stranger] = []
    groups = _groups(folders)
    every = _Names(names if groups else ())
    for (images, maps), between in groups.items():
        some_pairs = side_names([(folders[ours], folders[theirs]) for ours, theirs in some(between)])
        fitting = [
            pairs
            for image_name, map_name in some_pairs
            if (pairs := every.pairs("/".join(images), "/".join(maps), image_name, map_name)) is not None
        ]
        found |= {(one.images, one.maps, one.image_name, one.map_name): one for one in fitting}
        ours, theirs = between[0]
        if not fitting and ours != theirs and is_image_name("/".join(images) or "images"):
            example = (min(folders[ours]), min(folders[theirs]))
            strangers.append(Stranger(ours, theirs, example, len(folders[theirs])))
    return [*found.values()], strangers


def _groups(folders: Mapping[Parts, Sequence[str]]) -> dict[tuple[Parts, Parts], list[tuple[Parts, Parts]]]:
    """What differs between the paths of images and of maps → the folders of both that differ in it."""
    spots: dict[tuple[Parts, Parts], list[Parts]] = {}
    found: dict[tuple[Parts, Parts], list[tuple[Parts, Parts]]] = {}
    for folder in folders:
        for before, between, after in _cuts(folder):
            spots.setdefault((before, after), []).append(between)
    for (before, after), betweens in spots.items():
        maps = [between for between in betweens if map_kind("/".join(between)) is not None]
        images = [between for between in betweens if map_kind("/".join(between)) is None]
        if len(maps) > CLASSES:
            continue
        if len(images) * len(maps) > CLASSES * CLASSES:  # images of classes; only what is called so lies beside maps
            images = [between for between in images if not between or is_image_name("/".join(between))]
        for mine, theirs in product(images, maps):
            if _differ(mine, theirs):
                found.setdefault((mine, theirs), []).append(((*before, *mine, *after), (*before, *theirs, *after)))
    own = [(folder, folder) for folder, stems in folders.items() if _may_have_maps("\n".join(stems).lower())]
    if own:
        found[(), ()] = own
    return found


def _may_have_maps(names: str) -> bool:
    """Whether the names of a folder's files, in small letters, have what maps' names have: looked for first, for it is fast."""
    return any(part in names for part in MAP_PARTS)


def _differ(mine: Parts, theirs: Parts) -> bool:
    """Whether paths differ in all of this, and not in their splits."""
    one, other = split_said("/".join(mine)), split_said("/".join(theirs))
    if one and other and one != other:
        return False
    if len(mine) == len(theirs) and any(a != b and map_kind(b) is None for a, b in zip(mine, theirs, strict=True)):
        return False  # Rural/images and Urban/masks
    return not mine or (mine[0] != theirs[0] and mine[-1] != theirs[-1])


def _cuts(folder: Parts) -> Iterator[tuple[Parts, Parts, Parts]]:
    """A path with what may differ from another's cut out."""
    for start in range(len(folder) + 1):
        for stop in range(start, min(start + LONGEST, len(folder)) + 1):
            yield folder[:start], folder[start:stop], folder[stop:]


class _Names:
    """Files, as a reader will see them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._folders: dict[Parts, list[tuple[str, str]]] = {}
        self._keyed: dict[tuple[str, str], dict[str, list[str]]] = {}
        for name in names:
            *parts, last = normal(name).split("/")
            self._folders.setdefault(tuple(parts), []).append((last, name))

    def pairs(self, images: str, maps: str, image_name: str, map_name: str) -> Pairs | None:
        """The pairs of a layout, if most of its maps have an image."""
        kind = map_kind(f"{maps} {map_name}")
        if kind is None or (images, image_name) == (maps, map_name):
            return None
        if not maps and (map_kind(map_name) is None or map_kind(image_name) is not None):
            return None
        mine, theirs = self._of(images, image_name), self._of(maps, map_name)
        taken = {name for files in theirs.values() for name in files}
        files = [
            (image, theirs[key][0])
            for key in sorted(theirs)
            if (image := next((name for name in mine.get(key, ()) if name not in taken), None)) is not None
        ]
        of_maps = {map_file.rpartition("/")[0] for _, map_file in files}
        number = sum(found[0].rpartition("/")[0] in of_maps for found in theirs.values())
        if len(files) < 2 or len(files) < SOME * number:
            return None
        return Pairs(images, maps, image_name, map_name, kind, tuple(files), number)

    def _of(self, folder: str, name: str) -> dict[str, list[str]]:
        """Key → files, of one side; a folder's path is looked at once."""
        if (folder, name) in self._keyed:
            return self._keyed[folder, name]
        side, found = Side(folder, name), dict[str, list[str]]()
        for parts, files in self._folders.items():
            rest = side.rest(parts)
            if rest is None:
                continue
            before = "".join(f"{part}/" for part in rest)
            for last, file in files:
                common = side.common(last)
                if common is not None:
                    found.setdefault(f"{before}{common}", []).append(file)
        self._keyed[folder, name] = found
        return found
