"""Images with what all sets say of them: joined by id, copies made one, contradictions named."""

from __future__ import annotations

import pickle
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from mtl.data.formats.base import Entry, Problem
from mtl.data.raw.rows import FileRef
from mtl.data.spec import SPLITS
from mtl.storage.digest import bytes_sha256
from mtl.storage.shelf import Shelf


@dataclass(slots=True)
class Joined:
    """One image with what all sets say of it. `digests`: of the image and of targets that are files."""

    entry: Entry
    digests: dict[str, str] = field(default_factory=dict[str, str])

    def key(self) -> str:
        """SHA-256 of all that the sample is."""
        targets = {
            name: self.digests.get(name) or (bytes_sha256(value) if isinstance(value, bytes) else value)
            for name, value in sorted(self.entry.targets.items())
        }
        return bytes_sha256(orjson.dumps([self.digests["image"], targets]))

    def says(self, name: str) -> Any:
        """A target's value, or its file's digest: what two sets must agree in."""
        return self.digests.get(name) or self.entry.targets[name]


def joined_shelf() -> Shelf[Joined]:
    """A shelf that takes them apart: a pickle of classes takes three times as long."""
    return Shelf[Joined](_stored, _restored)


def _stored(one: Joined) -> bytes:
    entry = one.entry
    image = tuple(entry.image) if isinstance(entry.image, FileRef) else entry.image
    more = (entry.split, entry.group, entry.time, entry.slices, entry.digests)
    return pickle.dumps((entry.id, image, entry.targets, *more, one.digests), 5)


def _restored(stored: bytes) -> Joined:
    found, image, *more, digests = pickle.loads(stored)  # noqa: S301  # our own: a shelf's file is nobody else's
    return Joined(Entry(found, FileRef(*image) if isinstance(image, tuple) else image, *more), digests)


def join(joined: Shelf[Joined], entry: Entry, digests: dict[str, str], problems: list[Problem]) -> bool:
    """Add what a set says of an image to what others, or the same one, said; whether it is the first to say anything."""
    before = joined.get(entry.id)
    if before is None:
        joined[entry.id] = Joined(entry, digests)
        return True
    if before.digests.get("image") != digests.get("image"):
        problems.append(Problem(entry.id, "two sets have different images of this id; set id_prefix"))
        return False
    joined[entry.id] = merged(before, Joined(entry, digests), problems)
    return False


def merged(one: Joined, other: Joined, problems: list[Problem]) -> Joined:
    """The targets of both; a problem if they say different things of one target."""
    for name in sorted(one.entry.targets.keys() & other.entry.targets.keys()):
        if one.says(name) == other.says(name):
            continue
        mine, theirs = one.entry.id, other.entry.id
        if mine == theirs:
            problems.append(Problem(mine, f"different things are said of its {name!r}"))
        else:
            problems.append(Problem(theirs, f"it has the same bytes as {mine}, but another {name!r}"))
            problems.append(Problem(mine, f"it has the same bytes as {theirs}, but another {name!r}"))
    first, second = one.entry, other.entry
    if first.id == second.id:
        for name in ("split", "group", "time"):
            mine, theirs = getattr(first, name), getattr(second, name)
            if mine and theirs and mine != theirs:
                problems.append(Problem(first.id, f"different things are said of its {name}: {mine!r}, {theirs!r}"))
        for name in sorted(first.slices.keys() & second.slices.keys()):
            mine, theirs = first.slices[name], second.slices[name]
            if mine != theirs:
                problems.append(Problem(first.id, f"different things are said of its {name}: {mine!r}, {theirs!r}"))
    entry = replace(
        first,
        targets={**second.targets, **first.targets},
        split=_held_out(first.split, second.split),
        group=first.group or second.group,
        time=first.time or second.time,
        slices={**second.slices, **first.slices},
    )
    return Joined(entry, {**other.digests, **one.digests})


def _held_out(one: str | None, other: str | None) -> str | None:
    """Of two splits that copies are given, the one that is trained on least."""
    return max((one, other), key=lambda split: -1 if split is None else SPLITS.index(split))


def without_copies(
    joined: Shelf[Joined], several: Iterable[Sequence[str]], placed: Container[str], problems: list[Problem]
) -> tuple[dict[str, Joined], dict[str, str]]:
    """Images with the same bytes become one, with the targets of all; contradictions are problems.

    Args:
        several: the ids of images that have the same bytes.
        placed: ids that a table of splits has: of copies, such a one stays, else the first.

    Returns:
        The images that stay, with what is said of their copies; and of every other, the one that stands for it.
    """
    changed: dict[str, Joined] = {}
    copies: dict[str, str] = {}
    for ids in several:
        first, *others = sorted(ids, key=lambda one: (one not in placed, one))
        one = joined[first]
        for other in others:
            copies[other] = first
            one = merged(one, joined[other], problems)
        changed[first] = one
    return changed, copies
