"""Where a YOLO set keeps what: which text file is of which image, and which image is in which split."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mtl.data.formats.base import Reading, folder_split
from mtl.data.formats.lists import WHOLE, list_split, listed_images, one_split
from mtl.data.formats.mentions import Files
from mtl.data.formats.partners import Partners, folders
from mtl.data.formats.text import decoded, lines
from mtl.data.formats.yolo_declared import seen_from
from mtl.data.formats.yolo_files import Declared
from mtl.data.formats.yolo_lines import read_row
from mtl.errors import DataError
from mtl.storage.file_tree import IMAGES, FileTree


@dataclass
class Layout:
    """Images of the set, the label file of each that has one, and the split of each that is said to be in one."""

    images: list[str] = field(default_factory=list[str])
    labels: dict[str, str] = field(default_factory=dict[str, str])
    splits: dict[str, str | None] = field(default_factory=dict[str, str | None])


def arranged(tree: FileTree, declared: Declared | None, encoding: str, reading: Reading, root: str = "") -> Layout:
    """Find out, and say in `reading` what became of files that are no image's labels.

    Args:
        root: the folder that the set is in; beside it may lie another.

    Raises:
        DataError: a declared list cannot be read.
    """
    texts = [name for name in tree.names(root, (".txt",)) if name not in reading.documents]
    partners = Partners(tree.images(root), texts)
    splits = _Splits(tree, declared, partners.images, encoding, reading)
    texts = [name for name in texts if not splits.is_list(name)]
    placed = one_split(splits.said(), reading.notes)
    layout = Layout(labels=_labels(partners, texts, tree, encoding, reading))
    for image in partners.images:
        if image not in placed and splits.only_lists:
            for file in filter(None, (image, layout.labels.pop(image, None))):
                reading.left_out[file] = "in none of the lists of images"
            continue
        layout.images.append(image)
        layout.splits[image] = placed[image] if image in placed else folder_split(image)
    for name in tree.names(root, (".cache",)):
        reading.left_out[name] = "what Ultralytics remembers of labels"
    return layout


def own_root(tree: FileTree, data: str) -> str:
    """The folder of a data.yaml or obj.data that is chosen, if images lie in it; else all is of the set."""
    folder = PurePosixPath(data).parent.as_posix()
    own = folder != "." and data.lower().endswith((".yaml", ".yml", ".data")) and tree.images(folder)
    return folder if own else ""


class _Splits:
    """Folders and lists by split: those that are declared; else lists that are called so."""

    def __init__(
        self, tree: FileTree, declared: Declared | None, images: list[str], encoding: str, reading: Reading
    ) -> None:
        self._tree, self._declared, self._encoding, self._reading = tree, declared, encoding, reading
        self._images, self._files = images, Files(images)
        self._folders = {p.as_posix() for name in images for p in PurePosixPath(name).parents if p.name}
        self._said: dict[str, list[str]] = {}
        self._listed: list[bool] = []
        if declared is not None:
            for split, paths in declared.splits.items():
                for path in paths:
                    self._add(split, path, declared)

    @property
    def only_lists(self) -> bool:
        """Whether the declared splits are lists, which name all images that are meant."""
        return bool(self._listed) and all(self._listed)

    def said(self) -> dict[str, list[str]]:
        """Images by split."""
        return self._said

    def is_list(self, name: str) -> bool:
        """Whether a text file is a list of images; if no splits are declared, it is one."""
        if name in self._reading.documents:
            return True
        split = list_split(name)
        if split is None and PurePosixPath(name).stem.lower() not in WHOLE:
            return False
        text = self._text(name)
        words = [line.strip("\"'").lower() for _, line in lines(text or "")]
        if text is None or not words or not all(word.endswith(IMAGES) for word in words):
            return False
        if self._declared is not None and self._declared.splits:
            self._reading.left_out[name] = f"a list of images that {self._declared.file} does not name"
        else:
            self._take(split, name, text)
        return True

    def _add(self, split: str, path: str, declared: Declared) -> None:
        for found in seen_from(declared, path):
            if found.lower().endswith(".txt") and found in self._tree:
                self._take(split, found, decoded(self._tree.read(found), self._encoding))
                self._listed.append(True)
                return
            if found in self._folders or not found:
                inside = [name for name in self._images if name.startswith(f"{found}/" if found else "")]
                self._said.setdefault(split, []).extend(inside)
                self._listed.append(False)
                return
        self._reading.notes[f"{declared.file} names {split}: {path}, which is not there"] += 1

    def _take(self, split: str | None, name: str, text: str) -> None:
        self._reading.documents.add(name)
        found = listed_images(name, text, self._files, self._reading.problems)
        if split is not None:
            self._said.setdefault(split, []).extend(found)

    def _text(self, name: str) -> str | None:
        try:
            return decoded(self._tree.read(name), self._encoding)
        except DataError:
            return None


def _labels(partners: Partners, texts: list[str], tree: FileTree, encoding: str, reading: Reading) -> dict[str, str]:
    """Image → its label file; a problem of each that has none, or that is one too many."""
    known = Files(texts)
    found: dict[str, str] = {}
    for image in partners.images:
        try:
            found[image] = known.at(label_file(image))
        except DataError:
            continue
    rest = sorted(set(texts) - set(found.values()))
    partners.join(rest, found, lambda name: _is_label_file(name, tree, encoding), reading)
    return found


def label_file(name: str) -> str:
    """images/train/a.jpg → labels/train/a.txt; train/images/a.jpg → train/labels/a.txt; a.jpg → a.txt."""
    parts = name.rsplit(".", 1)[0].split("/")
    places = [number for number, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return "/".join(parts) + ".txt"


def _is_label_file(name: str, tree: FileTree, encoding: str) -> bool:
    """Whether a text that is of no image was meant to be of one: its lines are labels, or it is empty among labels."""
    try:
        found = lines(decoded(tree.read(name), encoding))
        for number, line in found:
            read_row(number, line)
    except DataError:
        return False
    return bool(found) or bool(folders(name) & {"labels", "annotations", "obj_train_data"})
