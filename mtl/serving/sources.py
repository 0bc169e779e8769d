"""Which images are meant: files, folders, archives, buckets, patterns."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from mtl.errors import DataError
from mtl.storage.file_tree import ARCHIVES, IMAGES, FileTree


@dataclass(frozen=True)
class Chosen:
    """One image: the place where it lies, its name there, and what changes when the file does."""

    root: str
    name: str
    version: str

    @property
    def label(self) -> str:
        """What it is called in the results."""
        return f"{self.root.rstrip('/')}/{self.name}"


class Reader:
    """Images by their place and name; each place is opened once."""

    def __init__(self) -> None:
        self._trees: dict[str, FileTree] = {}

    def read(self, root: str, name: str) -> bytes:
        """An image's bytes.

        Raises:
            DataError: the place or the image is not there, or cannot be read.
        """
        if root not in self._trees:
            self._trees[root] = FileTree(root)
        return self._trees[root].read(name)


def choose(paths: list[str]) -> list[Chosen]:
    """Every image that the paths mean, once each, in order.

    Raises:
        DataError: a path is not there, or means no image.
    """
    found: dict[str, Chosen] = {}
    for path in paths:
        for given in _matches(path):
            tree, names = _opened(given)
            for name in names:
                chosen = Chosen(tree.path, name, tree.versions[name])
                found.setdefault(chosen.label, chosen)
    if not found:
        raise DataError(
            "there is no image to predict", found=", ".join(paths), fix=f"files that end in {', '.join(IMAGES)}"
        )
    return [found[label] for label in sorted(found)]


def _matches(path: str) -> list[str]:
    if "://" in path or not glob.has_magic(path) or Path(path).exists():
        return [path]
    matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207  # a Path's own needs a folder to start from
    if not matches:
        raise DataError(f"{path} matches nothing", fix="check the pattern")
    return matches


def _opened(path: str) -> tuple[FileTree, list[str]]:
    """The place, and the images that are meant in it: all, or the one file."""
    single = path.lower().endswith(IMAGES) and not Path(path).is_dir()
    if not single or path.lower().endswith(tuple(ARCHIVES)):
        tree = FileTree(path)
        return tree, tree.images()
    folder, _, name = path.rpartition("/")
    tree = FileTree(folder or ".")
    if name not in tree:
        raise DataError(f"{path} is not there", fix="check the path")
    return tree, [name]
