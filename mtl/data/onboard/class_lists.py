"""Lists of images with the numbers of their classes: ImageNet's, Caffe's, MMPretrain's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from mtl.data.formats.base import folder_split
from mtl.data.formats.class_lists import UNLABELLED, listed_classes
from mtl.data.formats.label_files import Label, label_files
from mtl.data.formats.lists import list_split
from mtl.data.formats.mentions import Files
from mtl.data.onboard.look import Finding, Look
from mtl.errors import DataError

OTHERS = re.compile(
    r"partition|split|fold|identit|eval|b?box|landmark|attr|pose|count|size|age|score|quality|depth|time|frame|pair",
    re.IGNORECASE,
)
"""In names of lists whose numbers are none of classes."""
LOOKED_AT = 5000
"""Lines of a list that say what it is."""
FEWEST = 20
"""Lines from which on numbers that hardly ever occur twice are none of classes."""

Rows = list[tuple[str, tuple[int, ...]]]


def detect(look: Look) -> Iterator[Finding]:
    """One of all lists; or a word of lists whose numbers nobody explains."""
    lists: dict[str, Rows] = {}
    files: dict[str | None, Files] = {}
    facts: list[str] = []
    for name in look.unclaimed(".txt") if look.images else ():
        if "imagesets" in name.lower().split("/") or OTHERS.search(PurePosixPath(name).stem):
            continue
        split = list_split(name)
        if split not in files:
            files[split] = Files(n for n in look.images if not split or folder_split(n) in (None, split))
        rows = _rows(look, name, files[split])
        if rows:
            lists[name] = rows
    lengths = {len(numbers) for rows in lists.values() for _, numbers in rows}
    if lists and len(lengths) == 1 and lengths != {1}:
        yield Finding(
            "class_list",
            evidence=frozenset(lists),
            facts=(f"{_shown(lists)}: {lengths.pop()} numbers per image, which nothing explains: not read",),
        )
        return
    if not lists:
        return
    labels = {file: found for file, found in label_files(look.tree).items() if file not in lists}
    section, why = _section(lists, labels, facts)
    if why:
        yield Finding("class_list", facts=(f"{_shown(lists)}: {why}: not read",))
        return
    base = {"path": look.tree.path, "format": "class_list", "lists": sorted(lists)}
    names = {section["names"]} if "names" in section else set[str]()
    yield Finding("class_list", {"labels": base | section}, frozenset({*lists} | names), tuple(facts))


def _shown(lists: Mapping[str, Rows]) -> str:
    return ", ".join(sorted(lists)[:4])


def _rows(look: Look, name: str, files: Files) -> Rows:
    """Images and numbers of a list; none if most lines are something else."""
    text = look.text(name)
    if text is None:
        return []
    looked = [*islice(listed_classes(text, files, name.rpartition("/")[0]), LOOKED_AT)]
    good = [(image, numbers) for _, image, numbers in looked if not isinstance(image, DataError)]
    return good if 2 * len(good) > len(looked) and len(good) > 1 else []


def _section(
    lists: Mapping[str, Rows], labels: Mapping[str, Sequence[Label]], facts: list[str]
) -> tuple[dict[str, Any], str]:
    """What a section says of the classes; or why the numbers are none of classes."""
    rows = [row for some in lists.values() for row in some]
    every = [number for _, numbers in rows for number in numbers if number != UNLABELLED]
    distinct = {*every}
    if len(distinct) < 2 or min(distinct) < 0:
        return {}, "all have one number" if len(distinct) < 2 else "numbers below 0"
    section: dict[str, Any] = {"kind": "labels"} if len({len(numbers) for _, numbers in rows}) > 1 else {}
    first = 0 if 0 in distinct else 1
    fitting = {file: found for file, found in labels.items() if _fits(found, distinct, first)}
    if fitting:
        file = min(fitting, key=lambda name: (len(fitting[name]) - len(distinct), name.count("/"), name))
        plain = all(label.value == place for place, label in enumerate(fitting[file]))
        facts.append(
            f"label: the classes' names are those of {file}" + (", the first of which is 1" if plain and first else "")
        )
        return section | {"names": file} | ({"first": 1} if plain and first else {}), ""
    if len(rows) >= FEWEST and 2 * len(distinct) > len(rows):
        return {}, f"{len(distinct)} different numbers in {len(rows)} lines are none of classes, or nothing names them"
    folders = {
        number: {image.split("/")[-2] for image, numbers in rows if number in numbers and "/" in image}
        for number in distinct
    }
    single = [next(iter(found)) for _, found in sorted(folders.items()) if len(found) == 1]
    if len({*single}) == len(distinct) and sorted(distinct) == [*range(first, first + len(distinct))]:
        facts.append("label: the classes' names are those of their folders")
        return section | {"classes": single} | ({"first": 1} if first else {}), ""
    facts.append("label: nothing names the classes, which are called by their numbers: `classes` gives them names")
    return section | ({"first": 1} if first else {}), ""


def _fits(labels: Sequence[Label], numbers: set[int], first: int) -> bool:
    """Whether a file names all classes that occur."""
    plain = all(label.value == place for place, label in enumerate(labels))
    named = {(label.value or 0) + (first if plain else 0) for label in labels}
    return numbers <= named
