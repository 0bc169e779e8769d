"""The file that an annotation means: what it says is a path of another machine, a bare name, or a name without extension."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from mtl.config import DataError
from mtl.data.place import IMAGES


def normal(name: str) -> str:
    """A path as files have it: slashes, composed letters, no `./`, no drive, no protocol."""
    text = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
    if "://" in text:
        text = unquote(urlsplit(text).path)
    if len(text) > 1 and text[1] == ":" and text[0].isalpha():
        text = text[2:]
    return "/".join(part for part in text.split("/") if part not in ("", "."))


class Files:
    """Files by all the ways in which an annotation may name them.

    Args:
        names: the files that may be meant.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._exact: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in sorted(names):
            plain = normal(name)
            self._exact.setdefault(plain, name)
            self._by_name.setdefault(_last(plain).lower(), []).append(name)
            self._by_stem.setdefault(_stem(plain), []).append(name)

    def __bool__(self) -> bool:
        return bool(self._exact)

    def at(self, path: str) -> str:
        """The file at a path from the root, whatever its letters are composed of.

        Raises:
            DataError: there is none.
        """
        found = self._exact.get(normal(path))
        if found is None:
            raise DataError(f"{path} is not there", fix="add the file, or correct its name in the annotation")
        return found

    def find(self, mention: str, near: str = "") -> str:
        """The file that is meant: that of the path, seen from `near`, a folder above it or the root; else the one of that name,
        or of that name but for the extension, whose path ends in the same folders; the nearest to `near` goes before others.

        Args:
            near: a folder, as a rule that of the annotation.

        Raises:
            DataError: there is none, or there are several and nothing tells which.
        """
        plain = normal(mention)
        if not plain:
            raise DataError("an annotation names no image")
        folders = [PurePosixPath(near), *PurePosixPath(near).parents] if near else [PurePosixPath()]
        for folder in folders:
            if (found := self._exact.get(normal(_resolved(folder / plain)))) is not None:
                return found
        candidates = self._by_name.get(_last(plain).lower()) or self._by_stem.get(_stem(plain), [])
        if not candidates:
            raise DataError(f"{mention} is not there", fix="add the image, or correct its name in the annotation")
        ranked = sorted(candidates, key=lambda name: _likeness(name, plain, near), reverse=True)
        if len(ranked) > 1 and _likeness(ranked[0], plain, near) == _likeness(ranked[1], plain, near):
            shown = ", ".join(ranked[:3])
            raise DataError(f"{mention} may be several files", found=shown, fix="name it with its folder")
        return ranked[0]


def _last(plain: str) -> str:
    return plain.rsplit("/", 1)[-1]


def _stem(plain: str) -> str:
    """The name without an image's extension; a dot in it is none."""
    name = _last(plain).lower()
    stem, _, suffix = name.rpartition(".")
    return stem if stem and f".{suffix}" in IMAGES else name


def _resolved(path: PurePosixPath) -> str:
    """Without `..`, as far as it stays inside."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts[-1:] = []
        else:
            parts.append(part)
    return "/".join(parts)


def _likeness(name: str, plain: str, near: str) -> tuple[int, int]:
    """How many last parts of a file's path are those of the mention; how many first parts those of the folder."""
    theirs, mine = normal(name).split("/"), plain.split("/")
    ends = 0
    for a, b in zip(reversed(theirs[:-1]), reversed(mine[:-1]), strict=False):
        if a.lower() != b.lower():
            break
        ends += 1
    begins = 0
    for a, b in zip(theirs, normal(near).split("/"), strict=False):
        if a != b:
            break
        begins += 1
    return ends, begins
