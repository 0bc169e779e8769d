"""Files that name classes, and say which pixels of a mask are theirs: label maps, lists of colours, class dictionaries."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from mtl.data.formats.text import decoded, lines, plain
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

UNKNOWN = frozenset(
    (
        *("void", "ignore", "ignored", "__ignore__", "unlabelled", "unlabeled", "unlabel", "unknown", "unannotated"),
        *("no data", "nodata", "no-data", "no_data", "don't care", "dontcare", "not labeled", "not labelled"),
    )
)
"""What classes are called, in lower case, whose pixels nobody knows."""

NAME_COLUMNS = ("name", "class", "label", "class_name")
"""What tables of classes call the column of their names."""


class Label(NamedTuple):
    """A class, its grey value or palette index, and its colour as '#rrggbb', as far as they are said."""

    name: str
    value: int | None
    colour: str | None


def is_label_file(name: str) -> bool:
    """Whether a file's name is one of those that hold classes."""
    return _parser(name) is not None


def read_labels(name: str, text: str) -> list[Label]:
    """The classes of a file, in its order.

    Raises:
        DataError: it is not as its name says.
    """
    parser = _parser(name)
    try:
        found = parser(text) if parser else []
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, csv.Error) as error:
        raise DataError(f"{name} does not name classes", found=f"{type(error).__name__}: {error}") from error
    if not found or len({label.name for label in found}) < len(found) or not all(label.name for label in found):
        raise DataError(f"{name} does not name classes, each once", found=str([label.name for label in found])[:120])
    return found


def label_files(tree: FileTree) -> dict[str, list[Label]]:
    """The files of a tree that name classes, and can be read; the nearest to the root first."""
    found: dict[str, list[Label]] = {}
    names = tree.names("", (".txt", ".csv", ".json", ".names"))
    for name in sorted(filter(is_label_file, names), key=lambda name: (name.count("/"), name)):
        try:
            found[name] = read_labels(PurePosixPath(name).name, decoded(tree.read(name)))
        except DataError:  # what it is instead, others may know
            continue
    return found


def colour(red: Any, green: Any, blue: Any) -> str:
    """'#rrggbb' of three numbers from 0 to 255."""
    parts = [int(part) for part in (red, green, blue)]
    if not all(0 <= part <= 255 for part in parts):
        raise ValueError(f"{parts} is no colour")
    return "#{:02x}{:02x}{:02x}".format(*parts)


def _labelmap(text: str) -> list[Label]:
    """`name:r,g,b:parts:actions`, as CVAT and datumaro write it for VOC; the line's number is the index."""
    rows = [line.split(":") for _, line in lines(text) if not line.startswith("#")]
    return [
        Label(plain(row[0]), number, colour(*row[1].split(",")) if len(row) > 1 and row[1].strip() else None)
        for number, row in enumerate(rows)
    ]


def _colours(text: str) -> list[Label]:
    """`r g b name`, as CamVid and KITTI have it."""
    found = [re.split(r"[\s,]+", line, maxsplit=3) for _, line in lines(text) if not line.startswith("#")]
    return [Label(plain(row[3]), None, colour(*row[:3])) for row in found]


def _dictionary(text: str) -> list[Label]:
    """A table with a column of names, and r, g, b or a value. A colour without a name is of no class."""
    rows = [
        {k.strip().lower(): plain(v or "") for k, v in row.items() if k} for row in csv.DictReader(text.splitlines())
    ]
    found: list[Label] = []
    for number, row in enumerate(rows):
        name = next((row[key] for key in NAME_COLUMNS if key in row), "")
        shown = colour(row["r"], row["g"], row["b"]) if {"r", "g", "b"} <= row.keys() else None
        value = next((row[key] for key in ("pixel value", "value", "id", "index") if row.get(key)), None)
        if name or not shown:
            found.append(Label(name, int(value) if value is not None else None if shown else number, shown))
    return found


_NUMBERED = (re.compile(r"(\d+)\s*[:,;\t ]\s*(\S.*)"), re.compile(r"(.*\S)\s*[:,;\t ]\s*(\d+)"))
"""A number before a name, and behind it."""


def names_in(text: str) -> list[Label]:
    """A name per line, whose number is the index; or names and their numbers: `0: background`, `/a/airfield 0`."""
    found = [line for _, line in lines(text)]
    for place, pattern in enumerate(_NUMBERED):
        matched = [match for line in found if (match := pattern.fullmatch(line))]
        labels = {int(match.group(1 + place)): match.group(2 - place).strip("'\" ") for match in matched}
        if found and len({*labels.values()}) == len(labels) == len(found) and min(labels) <= 1:
            return [Label(name, number, None) for number, name in labels.items()]
    return [Label(line, number, None) for number, line in enumerate(found)]


def _objects(text: str) -> list[Label]:
    """ADE20K's objectInfo150.txt: a line of titles, then number, shares, name. 0 is what is none of them."""
    head, *rows = [line.split("\t") for _, line in lines(text)]
    number, name = head.index("Idx"), head.index("Name")
    return [Label("unlabelled", 0, None), *(Label(plain(row[name]), int(row[number]), None) for row in rows)]


def _json(text: str) -> list[Label]:
    """Names in order; names by number, numbers or colours by name; or a list of objects with a name, and more."""
    document: Any = json.loads(text)
    listed = document.get("labels", document.get("classes")) if isinstance(document, dict) else document
    if isinstance(listed, list):
        return [_item(number, item) for number, item in enumerate(listed)]
    if "label_map" in document:
        return _meta(document)
    if isinstance(listed, dict):  # nnU-Net's dataset.json
        document = listed
    if all(key.isdecimal() and isinstance(value, str) for key, value in document.items()):
        return [Label(document[key], int(key), None) for key in sorted(document, key=int)]
    if all(isinstance(value, list) for value in document.values()):
        return [Label(name, None, colour(*value)) for name, value in document.items()]
    return [Label(name, int(value), None) for name, value in document.items()]


def _item(number: int, item: Any) -> Label:
    """One of a list; Mapillary's has names for programs and for people."""
    if isinstance(item, str):
        return Label(item, number, None)
    name = next((item[key] for key in ("readable", "name", "label", "title", "class") if key in item), "")
    value = next((int(item[key]) for key in ("id", "value", "index") if key in item), number)
    shown = item.get("color", item.get("colour"))
    if isinstance(shown, str) and re.fullmatch("#[0-9a-fA-F]{6}", shown):
        return Label(plain(str(name)), value, shown.lower())
    return Label(plain(str(name)), value, colour(*shown[:3]) if isinstance(shown, list) else None)


def _meta(document: dict[str, Any]) -> list[Label]:
    """datumaro's dataset_meta.json."""
    names = document["label_map"]
    pairs = (
        sorted((int(k), str(v)) for k, v in names.items()) if isinstance(names, dict) else [*enumerate(map(str, names))]
    )
    colours = document.get("segmentation_colors") or []
    shown = [colour(*colours[place]) if place < len(colours) else None for place in range(len(pairs))]
    return [Label(name, value, c) for (value, name), c in zip(pairs, shown, strict=True)]


_PARSERS: dict[str, Callable[[str], list[Label]]] = {
    r"labelmap\.txt": _labelmap,
    r"label_?colou?rs?(_list)?\.txt": _colours,
    r"(_|\w+_)?class(es|_dict)?(_seg)?\.csv": _dictionary,
    r"(obj\.names|class(es|_?names)?\.txt|labels?(_?names)?\.txt|codes\.txt|synsets?(_words)?\.txt|categories\w*\.txt)": names_in,
    r"objectinfo150\.txt": _objects,
    r"(dataset_meta|dataset|config(_v[\d.]+)?|id2label|label2id|label_?map|class(es|_?names)|labels|palette)\.json": _json,
    r"obj_class_to_machine_color\.json": _json,
}


def _parser(name: str) -> Callable[[str], list[Label]] | None:
    last = PurePosixPath(name).name.lower()
    return next((parser for pattern, parser in _PARSERS.items() if re.fullmatch(pattern, last)), None)


def unknown_names(names: Iterable[str]) -> set[str]:
    """Names of classes that say that nobody knows; none if fewer than two others would be left."""
    every = [*names]
    found = {name for name in every if name.lower() in UNKNOWN}
    return found if len({*every} - found) > 1 else set()
