"""Files that name classes, and say which pixels of a mask are theirs: label maps, lists of colours, class dictionaries."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from mtl.config import DataError
from mtl.data.formats.text import lines

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
    except (ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(f"{name} does not name classes", found=f"{type(error).__name__}: {error}") from error
    if not found or len({label.name for label in found}) < len(found):
        raise DataError(f"{name} does not name classes, each once", found=str([label.name for label in found])[:120])
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
        Label(row[0].strip(), number, colour(*row[1].split(",")) if len(row) > 1 and row[1].strip() else None)
        for number, row in enumerate(rows)
    ]


def _colours(text: str) -> list[Label]:
    """`r g b name`, as CamVid and KITTI have it."""
    found = [re.split(r"[\s,]+", line, maxsplit=3) for _, line in lines(text) if not line.startswith("#")]
    return [Label(row[3].strip(), None, colour(*row[:3])) for row in found]


def _dictionary(text: str) -> list[Label]:
    """A table with a column of names, and r, g, b or a value."""
    rows = [
        {k.strip().lower(): (v or "").strip() for k, v in row.items() if k} for row in csv.DictReader(text.splitlines())
    ]
    names = [next((row[key] for key in NAME_COLUMNS if key in row), "") for row in rows]
    if "" in names:
        raise ValueError(f"a row has no name in any of the columns {', '.join(NAME_COLUMNS)}")
    found: list[Label] = []
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        shown = colour(row["r"], row["g"], row["b"]) if {"r", "g", "b"} <= row.keys() else None
        value = next((row[key] for key in ("pixel value", "value", "id", "index") if row.get(key)), None)
        found.append(Label(name, int(value) if value is not None else None if shown else number, shown))
    return found


def _names(text: str) -> list[Label]:
    """A name a line; the line's number is the index."""
    return [Label(line, number, None) for number, (_, line) in enumerate(lines(text))]


def _meta(text: str) -> list[Label]:
    """datumaro's dataset_meta.json."""
    document = json.loads(text)
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
    r"_?class(es|_dict)?(_seg)?\.csv": _dictionary,
    r"(obj\.names|class(es|_names)?\.txt|labels\.txt)": _names,
    r"dataset_meta\.json": _meta,
}


def _parser(name: str) -> Callable[[str], list[Label]] | None:
    last = PurePosixPath(name).name.lower()
    return next((parser for pattern, parser in _PARSERS.items() if re.fullmatch(pattern, last)), None)
