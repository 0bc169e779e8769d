"""Text files that name images: the lists of train, val and test."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from mtl.data.formats.base import Problem, Reading, folder_split, split_of
from mtl.data.formats.mentions import Files, normal
from mtl.data.formats.partners import same_split
from mtl.data.formats.text import decoded, lines
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

NUMBERS = 4
"""How many may follow a name: VOC's lists of a class have one, those of Oxford's pets three."""
WHOLE = ("trainval", "default", "all", "images")
"""Lists that are not of one split; of `trainval` another part is a test."""


OTHER_WORDS = frozenset(
    ("autosplit", "list", "lists", "id", "ids", "set", "split", "images", "image", "files", "pairs")
)
"""What may stand beside the split in a list's name: train_list, val_id."""


def list_split(file: str) -> str | None:
    """The split that a list's name says; a list of `trainval` is trained on."""
    stem = PurePosixPath(file).stem.lower().removeprefix("autosplit_")
    if (found := "train" if stem == "trainval" else split_of(stem)) is not None:
        return found
    said = [word for word in re.split(r"[^a-z0-9]+", stem) if word not in OTHER_WORDS]
    return split_of(said[0]) if len(said) == 1 else None


def listed_images(file: str, text: str, files: Files, problems: list[Problem]) -> list[str]:
    """Images that a list names: paths, names, or names without extension, with a number behind them or not.

    Args:
        problems: gets a problem for each line whose image is not there, or one for all of them.
    """
    found: list[str] = []
    missing: list[Problem] = []
    folder = PurePosixPath(file).parent.as_posix()
    for number, line in lines(text):
        if line.startswith("#"):
            continue
        try:
            found.append(_listed(line, files, folder))
        except DataError as error:
            missing.append(Problem.of(f"{file} line {number}", error, file))
    if missing and not found:
        missing = [Problem(file, f"none of the {len(missing)} images that it names is there", loses="annotation")]
    problems += missing
    return found


def _listed(line: str, files: Files, folder: str) -> str:
    """The image of one line.

    Raises:
        DataError: it is not there.
    """
    whole = line
    try:
        return _found(line, files, folder)
    except DataError:
        for _ in range(NUMBERS):
            line, _, number = line.rpartition(" ")
            line = line.rstrip()
            if not line or not number.lstrip("-").isdecimal():
                break
            with contextlib.suppress(DataError):
                return _found(line, files, folder)
        first, *others = re.split(r"[\s,;]+", whole, maxsplit=1)
        if not others:
            raise
        return _found(first, files, folder)  # of a pair: the map is the second


def read_split_lists(tree: FileTree, images: Iterable[str], reading: Reading) -> dict[str, str | None]:
    """Image → split, as lists of some of the images say it; what is in none of them is trained on, if no list says what is."""
    named = [(name, split) for name in tree.names("", (".txt",)) if (split := list_split(name))]
    own = [*images] if named else []
    files = Files(own)
    said: dict[str, list[str]] = {}
    for name, split in named:
        problems: list[Problem] = []
        try:
            found = listed_images(name, decoded(tree.read(name)), files, problems)
        except DataError:  # a text of another kind, which the account of files names
            continue
        if len(found) > len(problems):
            reading.documents.add(name)
            reading.problems += [replace(problem, loses="annotation") for problem in problems]
            said.setdefault(split, []).extend(found)
    splits = one_split(said, reading.notes)
    if said and "train" not in said:
        rest = [name for name in own if name not in splits and folder_split(name) is None]
        reading.notes += Counter({"images in no list, trained on as the lists are of the others": len(rest)})
        return dict.fromkeys(rest, "train") | splits
    return splits


def _found(line: str, files: Files, folder: str) -> str:
    name = line.strip("\"'")
    image = files.find(name, folder)
    if not same_split(normal(name), image):
        raise DataError(f"{name} is not there", found=f"one of its name, in another split: {image}")
    return image


def one_split(said: Mapping[str, Iterable[str]], notes: Counter[str]) -> dict[str, str | None]:
    """Image → split, of images by split. Two splits of the same images are none; of others the one trained on least counts."""
    images = {split: set(found) for split, found in said.items() if found}
    same = {split for split in images if any(images[split] == images[other] for other in images if other != split)}
    result: dict[str, str | None] = {}
    for split in sorted(images, key=SPLITS.index):
        for image in images[split]:
            if split in same:
                result.setdefault(image, None)
            else:
                if image in result:
                    notes["images in two splits, which are in the one that is trained on least"] += 1
                result[image] = split
    if same:
        notes["images in splits that are the same, which are split anew"] = len(set.union(*(images[s] for s in same)))
    return result
