"""Classes of a Pascal VOC set: in the order of a label map, as masks have them, or as objects are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mtl.codecs.maps import mask_values
from mtl.config.masks import IGNORE
from mtl.data.formats.base import Reading
from mtl.data.formats.label_files import Label, colour, is_label_file, read_labels
from mtl.data.formats.mask_meaning import keys_of
from mtl.data.formats.text import decoded
from mtl.data.spec import TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The challenge's own classes; a mask's index is the place, from 1."""
BACKGROUND = ("background", "_background_", "__background__")
UNKNOWN = ("__ignore__", "ignore", "ignored", "void")
BORDER = "#e0e0c0"
"""The colour of VOC's palette at 255."""
LOOKED_INTO = 16
"""Masks that are looked into to see whether they have indices or colours."""


@dataclass(frozen=True)
class Declared:
    """Labels of a file in its order, and its name."""

    file: str
    labels: list[Label]

    def classes(self) -> list[str]:
        """Names without the background and what is not known."""
        return [label.name for label in self.labels if label.name not in (*BACKGROUND, *UNKNOWN)]


def declared_in(tree: FileTree, reading: Reading) -> Declared | None:
    """What the label map nearest to the root says, or else a list of names. Files that say the same are read too.

    Raises:
        DataError: a label map is none.
    """
    files = sorted(
        (name for name in tree.names("", (".txt",)) if is_label_file(name)),
        key=lambda name: (PurePosixPath(name).name.lower() != "labelmap.txt", name.count("/"), name),
    )
    first: Declared | None = None
    for file in files:
        try:
            labels = read_labels(PurePosixPath(file).name, decoded(tree.read(file)))
        except DataError:
            if PurePosixPath(file).name.lower() == "labelmap.txt":
                raise
            continue
        first = first or Declared(file, _from_background(labels))
        if {label.name for label in labels} - {*BACKGROUND, *UNKNOWN} <= set(first.classes()):
            reading.documents.add(file)
        else:
            reading.left_out[file] = f"a list of other classes than {first.file}"
    return first


def of_these(declared: Declared | None, used: set[str], reading: Reading) -> Declared | None:
    """The label map, if objects are called as it says: any text may be called labels.txt."""
    if declared is None or not used or used & set(declared.classes()):
        return declared
    reading.documents.discard(declared.file)
    reading.left_out[declared.file] = "a list of classes that no object has"
    return None


def _from_background(labels: list[Label]) -> list[Label]:
    """In the order of masks' indices: the background is 0, wherever the file names it, or if it does not; what is black is it too.

    labelme's `__ignore__` is -1.
    """
    unknown = labels[:1] if labels[0].name == "__ignore__" else []
    rest = labels[len(unknown) :]
    first = next((label for label in rest if label.name in BACKGROUND), None)
    first = first or next((label for label in rest if label.colour == "#000000" and label.name not in UNKNOWN), None)
    others = [label for label in rest if label is not first]
    known = [Label(name, number, colour_) for number, (name, _, colour_) in enumerate(others, 1)]
    background = Label("background", 0, first.colour if first else "#000000")
    return [background, *known, *(label._replace(value=IGNORE) for label in unknown)]


def class_order(
    chosen: tuple[str, ...], declared: Declared | None, listed: set[str], used: set[str], masks: bool, reading: Reading
) -> tuple[str, ...]:
    """Names of classes; none if nothing says any.

    Args:
        chosen: by the section. listed: as ImageSets has a list of each. used: as objects are called. masks: whether there are any.

    Raises:
        DataError: no object is of a class that is chosen.
    """
    if chosen and used and not used & set(chosen):
        raise DataError("no object is of a declared class", found=f"they are called {', '.join(sorted(used)[:12])}")
    if chosen:
        return chosen
    if declared is not None:
        more = sorted(used - set(declared.classes()))
        if more:
            reading.notes[f"classes that {declared.file} does not name, put behind its own: {', '.join(more[:8])}"] += 1
        return (*declared.classes(), *more)
    names = (listed - {*BACKGROUND, *UNKNOWN}) | used
    if names and names <= {*VOC} and masks:
        return VOC
    return tuple(sorted(names))


def mask_spec(
    tree: FileTree, masks: Sequence[str], classes: tuple[str, ...], labels: list[Label], reading: Reading
) -> TargetSpec:
    """What the pixels of masks in SegmentationClass mean: indices into the label map, or its colours.

    Args:
        labels: in the order of the masks' indices. classes: of them, those that are taken.

    Raises:
        DataError: a mask cannot be read.
    """
    step = max(1, len(masks) // LOOKED_INTO)
    looked = [mask_values(tree.read(name)) for name in masks[::step][:LOOKED_INTO]]
    meant = keys_of(labels, looked, BORDER)
    by_colour = any(isinstance(key, str) for key in meant)
    left = {key for key, name in meant.items() if name not in {"background", *classes} and name not in UNKNOWN}
    if left:
        reading.notes[f"classes of masks that are left out, whose pixels do not count: {len(left)}"] += 1
    ignored = left | {key for key, name in meant.items() if name in UNKNOWN}
    ignored |= {BORDER} if by_colour and BORDER not in meant else set()
    values = [key for key in meant if key not in ignored]
    plain = values == [*range(len(values))]
    return TargetSpec(
        kind="mask",
        classes=tuple(meant[value] for value in values),
        values=() if plain else tuple(values),
        ignored=tuple(sorted(ignored - {IGNORE}, key=str)),
    )


def mask_labels(classes: tuple[str, ...], chosen: bool, declared: Declared | None, listed: set[str]) -> list[Label]:
    """What masks' indices mean, and in which colours tools draw them: by the label map; else VOC's own classes or the section's.

    Raises:
        DataError: nothing says the order.
    """
    if declared is not None:
        return [label._replace(colour=label.colour or palette_colour(label.value or 0)) for label in declared.labels]
    own = set(classes) <= {*VOC} and (not chosen or listed >= {*VOC})
    if not chosen and not own and len(classes) > 1:
        raise DataError(
            "nothing says of which class a mask's value is",
            found=f"classes {', '.join(classes[:8])}, no labelmap.txt",
            fix="give `classes` in the order of the masks' values, from 1; or add a labelmap.txt",
        )
    names = ("background", *(VOC if own else classes))
    return [Label(name, number, palette_colour(number)) for number, name in enumerate(names)]


def palette_colour(index: int) -> str:
    """Of VOC's palette: the bits of an index, three by three, are the highest ones of red, green and blue."""
    red = green = blue = 0
    for place in range(8):
        red |= (index >> 0 & 1) << 7 - place
        green |= (index >> 1 & 1) << 7 - place
        blue |= (index >> 2 & 1) << 7 - place
        index >>= 3
    return colour(red, green, blue)
