"""The file that an annotation means: what it says is a path of another machine, a bare name, or a name without extension."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

from mtl.errors import DataError
from mtl.storage.file_tree import IMAGES

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
"""Of a URL: the protocol and the host."""


def normal(name: str) -> str:
    """A path as files have it: slashes, composed letters, no `./`, no drive, no protocol."""
    text = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
    if _SCHEME.match(text):
        text = unquote(_SCHEME.sub("", text).partition("?")[0].partition("#")[0])
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
        self._by_number: dict[int, list[str]] = {}
        for name in sorted(names):
            plain = normal(name)
            self._exact.setdefault(plain, name)
            self._by_name.setdefault(_last(plain).lower(), []).append(name)
            stem = _stem(plain)
            self._by_stem.setdefault(stem, []).append(name)
            if stem.isascii() and stem.isdecimal():
                self._by_number.setdefault(int(stem), []).append(name)

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
        A number is the file of that number, whatever the zeros before it.

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
        candidates = self._by_name.get(_last(plain).lower()) or self._by_stem.get(_stem(plain)) or self._numbered(plain)
        if not candidates:
            raise DataError(f"{mention} is not there", fix="add the image, or correct its name in the annotation")
        ranked = sorted(candidates, key=lambda name: _likeness(name, plain, near), reverse=True)
        if len(ranked) > 1 and _likeness(ranked[0], plain, near) == _likeness(ranked[1], plain, near):
            shown = ", ".join(ranked[:3])
            raise DataError(f"{mention} may be several files", found=shown, fix="name it with its folder")
        return ranked[0]

    def _numbered(self, plain: str) -> list[str]:
        """Files of a number that stands without its zeros, or as 7.0: what tables make of 0007."""
        found = _NUMBER.fullmatch(_last(plain))
        return self._by_number.get(int(found.group(1)), []) if found else []

    def find_all(self, mentions: Iterable[str], near: str = "") -> dict[str, str | DataError]:
        """What each of one document's mentions means, or why it means no file.

        A document names its images in one way. Where most of them lie in the folders that it says, a file of the same name
        in another folder is another image, and not the one that is missing.
        """
        found: dict[str, str | DataError] = {}
        for mention in dict.fromkeys(mentions):
            try:
                found[mention] = self.find(mention, near)
            except DataError as error:
                found[mention] = error
        names = {mention: name for mention, name in found.items() if isinstance(name, str)}
        heads = {mention: _head(normal(mention), name, near) for mention, name in names.items()}
        usual = Counter(heads.values())
        for mention, head in heads.items():
            if any(usual[above] > usual[head] for above in _above(head)):
                where = f"there is {names[mention]}, in another folder than the others"
                found[mention] = DataError(
                    f"{mention} is not there", found=where, fix="add the image, or correct its name"
                )
        return found


_NUMBER = re.compile(r"([0-9]{1,18})(?:\.0+)?")
_HERE = "."
"""The head of a bare name that lies where its document does, or in a folder above."""


def _head(plain: str, name: str, near: str) -> str:
    """The folders of a mention that are none of its file's: what they were called elsewhere. Of a bare name whether it lies
    beside its document, or was looked for.
    """
    mine, theirs = plain.split("/")[:-1], normal(name).split("/")[:-1]
    if not mine:
        beside = [normal(near), *(normal(str(above)) for above in PurePosixPath(normal(near)).parents)]
        return _HERE if "/".join(theirs) in beside else f"{_HERE}/looked for"
    while mine and theirs and mine[-1].lower() == theirs[-1].lower():
        mine.pop()
        theirs.pop()
    return "/".join(mine)


def _above(head: str) -> list[str]:
    """Heads that say that a file with this one is not where it should be: shorter ones, of which nothing is left over."""
    parts = head.split("/") if head else []
    shorter = ["/".join(parts[:count]) for count in range(len(parts))]
    return [above for above in shorter if above != head and (parts[0] != _HERE or above)]


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
