"""Where the images of all sets go: one of each that has copies, each with its split."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mtl.config.files import FilesSource, StratifiedSplit
from mtl.data.formats.base import Problem
from mtl.data.raw.assignment import Assigned, assign, by_content, copies_apart
from mtl.data.raw.groups import Image
from mtl.data.raw.rows import RawSample
from mtl.data.raw.splits import read_table, splitter
from mtl.data.sources.joined import Joined, without_copies
from mtl.storage.shelf import Shelf


@dataclass(frozen=True)
class Images:
    """What a split may depend on, of each image, in order of their ids; any number of times.

    changed: what stands in place of an image, for it has what is said of its copies; without: ids that are left out.
    """

    joined: Shelf[Joined]
    changed: Mapping[str, Joined]
    without: Container[str]

    def __iter__(self) -> Iterator[Image]:
        for found, one in self.joined.pairs():
            if found not in self.without:
                one = self.changed.get(found, one)
                entry = one.entry
                yield Image(found, one.digests["image"], entry.split, entry.group, entry.time)


@dataclass(frozen=True)
class Placed:
    """Every image that is used, by id. copies: of each that is dropped, the image that stands for it."""

    joined: Shelf[Joined]
    changed: Mapping[str, Joined]
    assigned: Shelf[Assigned]
    copies: Mapping[str, str]

    def samples(self) -> Iterator[tuple[str, RawSample]]:
        """Splits with their samples, in order of the ids."""
        places = self.assigned.pairs()
        found, where = next(places, ("", None))
        for name, one in self.joined.pairs():
            if where is None:
                return
            if name == found:
                one = self.changed.get(found, one)
                entry = one.entry
                assert entry.image is not None
                yield where.split, RawSample(found, entry.image, entry.targets, entry.slices, one.key(), where.group)
                found, where = next(places, ("", None))

    def stand_for(self, ids: Iterable[str]) -> dict[str, str]:
        """Of images those that are used, with the id of what is used for each: itself, or what it is a copy of."""
        kept = {found: self.copies.get(found, found) for found in ids}
        self.assigned.ready(kept.values())
        return {found: one for found, one in kept.items() if one in self.assigned}


def lost(problems: list[Problem]) -> dict[str, str]:
    """Id of an image that cannot be used → why."""
    return {p.id: p.reason for p in reversed(problems) if p.loses == "image"}


def place(joined: Shelf[Joined], problems: list[Problem], settings: FilesSource, marks: Iterable[int]) -> Placed:
    """Say of each image where it goes. What can be in no split is added to the problems.

    Args:
        marks: the hash of each image's content.

    Raises:
        DataError: the table of splits cannot be read, or contradicts itself.
    """
    everything = Images(joined, {}, ())
    choose = splitter(settings.split, everything)
    alike = by_content(everything, marks)
    apart = copies_apart([image for images in alike.values() for image in images], settings.split, choose)
    problems += [Problem.of(found, error) for found, error in apart]
    bad = lost(problems)
    left = ([image.id for image in images if image.id not in bad] for images in alike.values())
    several = [ids for ids in left if len(ids) > 1]
    changed, copies = dict[str, Joined](), dict[str, str]()
    if settings.duplicates == "drop":
        placed = read_table(Path(settings.split.table)) if isinstance(settings.split, StratifiedSplit) else {}
        changed, copies = without_copies(joined, several, placed, problems)
    images = Images(joined, changed, lost(problems).keys() | copies.keys())
    copied = () if settings.duplicates == "drop" else {joined[ids[0]].digests["image"] for ids in several}
    assigned, unplaced = assign(images, settings.split, choose, copied)
    problems += [Problem.of(found, error) for found, error in unplaced]
    return Placed(joined, changed, assigned, copies)
