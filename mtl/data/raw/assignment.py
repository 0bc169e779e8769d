"""A whole data set to its splits: no group, and no copies of an image, in two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mtl.config.files import HashedSplit
from mtl.data.raw.groups import COPIES, Image, group_of
from mtl.data.raw.splits import AnySplit
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from mtl.storage.shelf import Shelf

Problems = list[tuple[str, DataError]]
"""An image's id, and why it is in no split."""


class Assigned(NamedTuple):
    """Where an image goes, and the group that goes there with it; empty: it is alone."""

    split: str
    group: str


def assigned_shelf() -> Shelf[Assigned]:
    """A shelf of such places, as text."""
    return Shelf[Assigned](
        lambda place: f"{place.split}\0{place.group}".encode("utf-8", "surrogatepass"),
        lambda stored: Assigned(*stored.decode("utf-8", "surrogatepass").split("\0", 1)),
    )


def copies_apart(images: Iterable[Image], settings: AnySplit, choose: Callable[[Image], str]) -> Problems:
    """Copies of one image whose groups lie in different splits: each of them would show one split's image to another.

    Where a set or a date says the split, it says it of copies too: `mtl data check` names those in two splits.
    """
    problems: Problems = []
    if not isinstance(settings, HashedSplit):
        return problems
    for copies in by_content(images).values():
        splits = {split for image in copies if isinstance(split := _tried(image, choose), str)}
        if len(splits) > 1:
            found = ", ".join(image.id for image in copies[:3]) + (" …" if len(copies) > 3 else "")
            fix = "remove all but one of them"
            problems += [
                (image.id, DataError("it has copies whose groups are in other splits", found=found, fix=fix))
                for image in copies
            ]
    return problems


def assign(
    images: Iterable[Image],
    settings: AnySplit,
    choose: Callable[[Image], str],
    copied: Container[str] | None = None,
) -> tuple[Shelf[Assigned], Problems]:
    """Each image's place, by id, and those that have none.

    By hash and by table a group has one place. Sets and dates speak of images: a group that they divide is left out, whole
    where a set says the splits; where a date does, what is in a later split than the group's first image. So an image is where
    it is said to be, or nowhere.

    Args:
        copied: the content of those images that have copies, if somebody knows them.
    """
    if not isinstance(settings, HashedSplit):
        copied = ()
    elif copied is None:
        copied = by_content(images)
    places = assigned_shelf()
    problems: Problems = []
    grouped = False
    for image in images:
        try:
            group = group_of(image, settings) or (COPIES + image.content if image.content in copied else "")
            places[image.id] = Assigned(choose(image), group)
            grouped = grouped or bool(group)
        except DataError as error:
            problems.append((image.id, error))
    divided = dict(_divided(places, first_stays=settings.type == "time")) if grouped else {}
    problems += divided.items()
    for found in divided:
        del places[found]
    return places, problems


def by_content(images: Iterable[Image], marks: Iterable[int] | None = None) -> dict[str, list[Image]]:
    """Images with the same bytes, where there are several. Of others it has no more than a number for a moment.

    Args:
        marks: the hash of each image's content, if somebody knows them.
    """
    known = marks if marks is not None else (hash(image.content) for image in images)
    values, counts = np.unique(np.fromiter(known, np.int64), return_counts=True)
    several = frozenset(values[counts > 1].tolist())
    found: dict[str, list[Image]] = {}
    for image in images if several else ():
        if hash(image.content) in several:
            found.setdefault(image.content, []).append(image)
    return {content: copies for content, copies in found.items() if len(copies) > 1}


def _tried(image: Image, choose: Callable[[Image], str]) -> str | DataError:
    try:
        return choose(image)
    except DataError as error:
        return error


def _divided(places: Shelf[Assigned], *, first_stays: bool) -> Iterator[tuple[str, DataError]]:
    """Images of groups that lie in several splits; of those in the group's earliest one none, if that stays."""
    counts: dict[str, Counter[str]] = {}
    for _, place in places.pairs():
        if place.group:
            counts.setdefault(place.group, Counter())[place.split] += 1
    for found, place in places.pairs() if counts else ():
        splits = counts.get(place.group, Counter())
        if len(splits) < 2:
            continue
        first = next(split for split in SPLITS if splits[split])
        if first_stays and place.split == first:
            continue
        told = ", ".join(f"{splits[split]} in {split}" for split in SPLITS if splits[split])
        fix = "correct the group or the split; without a group, its images may be in several splits"
        yield found, DataError(f"its group {place.group!r} is in several splits", found=told, fix=fix)
