"""Text files that name images: the lists of train, val and test."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from mtl.config import DataError
from mtl.data.formats.base import Problem, split_of
from mtl.data.formats.mentions import Files, normal
from mtl.data.formats.partners import same_split
from mtl.data.formats.text import lines
from mtl.data.spec import SPLITS

NUMBERS = 4
"""How many may follow a name: VOC's lists of a class have one, those of Oxford's pets three."""
WHOLE = ("trainval", "default", "all", "images")
"""Lists that are not of one split; of `trainval` another part is a test."""


def list_split(file: str) -> str | None:
    """The split that a list's name says; a list of `trainval` is trained on."""
    stem = PurePosixPath(file).stem.lower().removeprefix("autosplit_")
    return "train" if stem == "trainval" else split_of(stem)


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
        raise


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
