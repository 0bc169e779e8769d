"""YOLO: `images/…/name.jpg` and `labels/…/name.txt` with lines `class x y width height`, in shares of the image."""

from __future__ import annotations

import math

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mtl.config import DataError
from mtl.config.files import YoloSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split, image_id
from mtl.data.header import read_header
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def read_yolo(settings: YoloSet, place: Place) -> Reading:
    """Images with their boxes; an empty text file means no boxes, a missing one that they are not known.

    Raises:
        DataError: there are no class names.
    """
    classes = settings.classes or _names(place)
    entries: list[Entry] = []
    problems: list[Problem] = []
    for name in place.images():
        label = _label_file(name)
        found = image_id(name, "images") if name.startswith("images/") else image_id(name)
        if label not in place:
            entries.append(Entry(found, FileRef(name), {}, split=folder_split(name)))
            continue
        try:
            boxes = _boxes(place.read(label).decode(), len(classes), place.read(name))
        except (DataError, UnicodeDecodeError) as error:
            problems.append(Problem.of(found, error, label))
            continue
        entries.append(Entry(found, FileRef(name), {settings.boxes: boxes}, split=folder_split(name)))
    return Reading({settings.boxes: TargetSpec(kind="boxes", classes=classes)}, entries, problems)


def _label_file(name: str) -> str:
    """images/train/a.jpg → labels/train/a.txt; train/images/a.jpg → train/labels/a.txt; a.jpg → a.txt."""
    parts = name.rsplit(".", 1)[0].split("/")
    places = [number for number, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return "/".join(parts) + ".txt"


def _names(place: Place) -> tuple[str, ...]:
    for file in ("data.yaml", "dataset.yaml"):
        if file in place:
            try:
                names = (YAML(typ="safe", pure=True).load(place.read(file).decode()) or {}).get("names")
            except (YAMLError, UnicodeDecodeError, AttributeError) as error:
                raise DataError(f"{file} cannot be read", found=" ".join(str(error).split())) from error
            if isinstance(names, dict):
                names = [names[key] for key in sorted(names)] if sorted(names) == list(range(len(names))) else None
            if names:
                return tuple(str(name) for name in names)
    if "classes.txt" in place:
        return tuple(line.strip() for line in place.read("classes.txt").decode().splitlines() if line.strip())
    raise DataError(
        f"{place.path} does not say its classes' names", fix="`classes:` in params.yaml, or `names:` in data.yaml"
    )


def _boxes(text: str, num_classes: int, image: bytes) -> list[list[float]]:
    """Corners in pixels and label of each line."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    width, height = read_header(image)[:2]
    boxes: list[list[float]] = []
    for line in lines:
        try:
            numbers = [float(word) for word in line]
        except ValueError as error:
            raise DataError("a line is not numbers", found=" ".join(line)[:80]) from error
        if len(numbers) != 5 or not all(math.isfinite(n) for n in numbers):
            raise DataError("a line is not: class x y width height", found=" ".join(line)[:80])
        label, x, y, w, h = numbers
        if not (label.is_integer() and 0 <= label < num_classes):
            raise DataError("unknown class", found=line[0], fix=f"0 to {num_classes - 1}")
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 < w <= 1 and 0 < h <= 1):
            raise DataError("a box is not in shares of the image", found=" ".join(line)[:80])
        corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
        boxes.append([*corners, label])
    return boxes
