"""A look at somebody's files: their names, and a look into a few. What a detector of a format sees, and what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import orjson

from mtl.data.formats.mentions import Files
from mtl.data.formats.text import decoded
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

SAMPLED = 64
"""Files of one kind that are looked into."""

Item = TypeVar("Item")
Section = dict[str, object]
"""A section of params.yaml as it is proposed. Whether it is a valid one is seen when it is tried."""


@dataclass(frozen=True)
class Finding:
    """A format that is there.

    sets: name → section of `data.source.sets`; several where one file is a split. evidence: the files that say so, which are
    nobody else's. facts: what a person may want to know. fault: why no section can be proposed, although it is this format.
    """

    format: str
    sets: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Section])
    evidence: frozenset[str] = frozenset()
    facts: tuple[str, ...] = ()
    fault: str = ""


class Look:
    """Files of a tree, those that were claimed by a finding, and what is in them, read once."""

    def __init__(self, tree: FileTree) -> None:
        self.tree = tree
        self.claimed: set[str] = set()
        self.taken: set[str] = set()
        """Of those that were claimed, the files of findings that can be read: of others it is only known what they are."""
        self._texts: dict[str, str | None] = {}
        self._documents: dict[str, object] = {}

    @cached_property
    def names(self) -> list[str]:
        """All files but hidden ones, sorted."""
        return self.tree.names()

    @cached_property
    def images(self) -> list[str]:
        """Files whose names are those of images; masks and depths are among them."""
        return self.tree.images()

    @cached_property
    def files(self) -> Files:
        """Images by the ways in which an annotation may name them."""
        return Files(self.images)

    def unclaimed(self, *suffixes: str, folder: str = "") -> list[str]:
        """Files that no finding has claimed, with one of these suffixes, in any case."""
        return [n for n in self.tree.names(folder, suffixes) if n not in self.claimed]

    def text(self, name: str) -> str | None:
        """What a file says; None if it is no text or cannot be read."""
        if name not in self._texts:
            try:
                self._texts[name] = decoded(self.tree.read(name))
            except DataError:
                self._texts[name] = None
        return self._texts[name]

    def json(self, name: str) -> object:
        """A JSON document; None if it is none."""
        if name not in self._documents:
            try:
                data = self.tree.read(name)
                try:
                    self._documents[name] = orjson.loads(data)
                except ValueError:  # NaN, a byte order mark: less strict readers take them
                    self._documents[name] = json.loads(decoded(data))
            except (DataError, ValueError, RecursionError):
                self._documents[name] = None
        return self._documents[name]


def ignored(section: Mapping[str, object]) -> list[str]:
    """The patterns of files that a section says are not meant."""
    patterns = section.get("ignore")
    return [str(pattern) for pattern in patterns] if isinstance(patterns, list | tuple) else []


def some(items: Sequence[Item]) -> Sequence[Item]:
    """A few of many, evenly."""
    return items[:: max(1, len(items) // SAMPLED)][:SAMPLED]


def identifier(name: str) -> str:
    """A name as targets, tasks and sets have them."""
    found = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_")
    return found if found[:1].isalpha() else f"t_{found}".rstrip("_")
