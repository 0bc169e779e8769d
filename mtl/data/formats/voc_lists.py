"""ImageSets of Pascal VOC, and other lists of the images of a split."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from mtl.data.formats.base import Problem, Reading
from mtl.data.formats.lists import WHOLE, list_split, listed_images, one_split
from mtl.data.formats.mentions import Files
from mtl.data.formats.partners import folders
from mtl.data.formats.text import decoded, lines
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

KINDS = ("main", "", "segmentation", "layout", "action")
"""Folders of ImageSets, the list that counts first; no folder is any other list. Layout and Action are of images that are not
wholly annotated."""


class Lists:
    """Lists of images by what they are for.

    classes: names in ImageSets/Main's lists of one class each.
    """

    def __init__(self, tree: FileTree, images: Iterable[str], reading: Reading) -> None:
        self.classes: set[str] = set()
        self._files = Files(images)
        self._reading = reading
        self._said: dict[str, dict[str, list[str]]] = {}
        self._of_a_class: dict[str, str] = {}
        self._roots: set[str] = set()
        for name in tree.names("", (".txt",)):
            stem = PurePosixPath(name).stem.lower()
            inside = "imagesets" in folders(name)
            if inside or list_split(name) or stem in WHOLE:
                self._add(name, stem, tree, inside)

    def splits(self, only_masks: bool) -> dict[str, str | None]:
        """Image → split; None of one in a list that is of no split. Lists of a class count if there are no others, as VoTT has it."""
        if not self._said:
            for name, text in self._of_a_class.items():
                self._take(name, text, list_split(name.rpartition("_")[2]), "", [])
        found: dict[str, str | None] = {}
        for kind in sorted(self._said, key=lambda kind: (only_masks and kind != "segmentation", KINDS.index(kind))):
            if found and kind in ("layout", "action"):
                continue
            said = self._said[kind]
            here = one_split({split: said[split] for split in SPLITS if split in said}, self._reading.notes)
            for whole, split in (("trainval", "train"), ("", None)):
                for image in said.get(whole, ()):
                    here.setdefault(image, split)
            found = here | found
        return found

    def left_out(self, image: str) -> bool:
        """Whether an image that no list has lies where ImageSets names all that are meant, those for training among them."""
        return any(image.startswith(root) for root in self._roots)

    def _add(self, name: str, stem: str, tree: FileTree, inside: bool) -> None:
        try:
            text = decoded(tree.read(name))
        except DataError as error:
            self._reading.problems.append(Problem.of(name, error, file=name))
            return
        rows = [line.split() for _, line in lines(text)]
        split = list_split(name)
        if inside and split is None and all(len(row) > 1 and row[-1] in ("-1", "0", "1") for row in rows) and rows:
            self.classes.add(PurePosixPath(name).stem.rpartition("_")[0])
            self._of_a_class[name] = text
            self._reading.documents.add(name)
            return
        if split is None and stem not in WHOLE:
            self._reading.left_out[name] = "a list that is of no split"
            return
        mine = folders(name) & set(KINDS) if inside else set[str]()
        problems: list[Problem] = []
        if not self._take(name, text, split, mine.pop() if mine else "", problems, sure=inside):
            return
        self._reading.documents.add(name)
        self._reading.problems += problems
        if inside and split not in ("val", "test"):
            self._roots.add(name[: name.lower().rindex("imagesets/")])

    def _take(
        self, name: str, text: str, split: str | None, kind: str, problems: list[Problem], sure: bool = True
    ) -> bool:
        """Whether it is a list: any text may be called test.txt."""
        images = listed_images(name, text, self._files, problems)
        if not sure and len(problems) > len(images):
            return False
        said = self._said.setdefault(kind, {})
        whole = PurePosixPath(name).stem.lower().endswith("trainval")
        said.setdefault("trainval" if whole else split or "", []).extend(images)
        return True
