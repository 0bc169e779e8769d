"""The classes of masks, by a file that names them or by what their pixels have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mtl.config import DataError
from mtl.data.formats.label_files import Label, is_label_file, read_labels
from mtl.data.maps import MaskValues, mask_values
from mtl.data.onboard.look import Look, some

MOST = 64
"""Values above which it is no mask of classes that nobody has named."""

CITYSCAPES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light", 20: "traffic sign",
    21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train",
    32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""Label id → class, of the 19 that the benchmark evaluates (cityscapesScripts, labels.py); all other ids are ignored there."""
CITYSCAPES_IGNORED = [*range(7), 9, 10, 14, 15, 16, 18, 29, 30]


@dataclass
class Classes:
    """`classes`, `values` and `ignored` of a section, and what a person may want to know."""

    section: dict[str, Any]
    facts: list[str] = field(default_factory=list[str])


def classes_of_masks(look: Look, names: list[str]) -> Classes:
    """What the masks' pixels mean.

    Raises:
        DataError: they are no masks, or nothing tells what their values are.
    """
    if any(name.endswith("_labelTrainIds.png") for name in names):
        return Classes(
            {"classes": [*CITYSCAPES.values()]}, ["the 19 classes that Cityscapes evaluates, by their train ids"]
        )
    if any(name.endswith("_labelIds.png") for name in names):
        section = {"classes": [*CITYSCAPES.values()], "values": [*CITYSCAPES], "ignored": CITYSCAPES_IGNORED}
        return Classes(section, ["the 19 classes that Cityscapes evaluates; its other ids are ignored"])
    return classes_of_values(look, {name: mask_values(look.place.read(name)) for name in some(names)})


def classes_of_values(look: Look, by_name: Mapping[str, MaskValues]) -> Classes:
    """The same of masks whose values were read, wherever they lie.

    Raises:
        DataError: they are no masks, or nothing tells what their values are.
    """
    lossy = next((name for name, one in by_name.items() if not one.lossless), None)
    if lossy is not None:
        raise DataError("masks are saved with a compression that changes values", found=lossy, fix="export them as PNG")
    looked = [*by_name.values()]
    coloured = any(one.kind == "colour" for one in looked)
    seen: Counter[int | str] = Counter()
    for one in looked:
        seen.update(_shown(one) if coloured else one.values)
    labels = _declared(look)
    if labels:
        return _named(labels, seen, coloured)
    if len(seen) > MOST or any(one.num_values > MOST for one in looked):
        raise DataError(
            "masks have too many values to be classes that nobody names",
            found=f"{len(seen)} in {len(looked)} files",
            fix="name the classes with their `values`, or add a labelmap.txt",
        )
    return _by_colour(seen, len(looked)) if coloured else _by_value(seen, len(looked), _palette(looked))


def _shown(one: MaskValues) -> dict[int | str, int]:
    """Colours, also of grey masks and palettes among coloured ones."""
    if one.kind == "colour":
        return dict(one.values)
    found: Counter[int | str] = Counter()
    for value, number in one.values.items():
        known = (
            one.colours.get(int(value))
            if one.kind == "palette"
            else f"#{int(value):02x}{int(value):02x}{int(value):02x}"
        )
        found[known or str(value)] += number
    return dict(found)


def _declared(look: Look) -> list[Label]:
    """What a file says that names classes; the one nearest to the root."""
    for name in sorted(filter(is_label_file, look.names), key=lambda n: (n.count("/"), n)):
        text = look.text(name)
        if text is not None:
            try:
                return read_labels(PurePosixPath(name).name, text)
            except DataError:
                continue
    return []


def _named(labels: list[Label], seen: Counter[int | str], coloured: bool) -> Classes:
    """A colour's or value's class by the file that names it; classes that are called unknown are ignored."""
    by_value = {label.value if label.value is not None else n: label.name for n, label in enumerate(labels)}
    by_colour = {label.colour: label.name for label in labels if label.colour}
    meant: dict[Any, str] = by_colour if coloured else by_value
    void = [value for value, name in meant.items() if name.lower() in ("void", "unlabelled", "unlabeled", "ignore")]
    strange = [value for value in seen if value not in meant and value != 255]
    if strange and len(strange) == len([v for v in seen if v != 255]):
        raise DataError(
            "the file that names the classes and the masks have nothing in common", found=f"{strange[:4]} in masks"
        )
    void = void if len(meant) - len(void) > 1 else []
    values = [value for value in meant if value not in void]
    section: dict[str, Any] = {"classes": [meant[value] for value in values]}
    if coloured or values != [*range(len(values))]:
        section["values"] = values
    if void:
        section["ignored"] = void
    facts = [f"masks have values that no class has: {', '.join(map(str, strange[:4]))}"] if strange else []
    return Classes(section, facts)


def _by_colour(seen: Counter[int | str], number: int) -> Classes:
    """Nobody names the colours: black, or else the most frequent, is the background."""
    colours = [str(value) for value, _ in seen.most_common()]
    first = "#000000" if "#000000" in colours else colours[0]
    values = [first, *sorted(c for c in colours if c != first)]
    names = ["background", *(f"colour_{value.strip('#')}" for value in values[1:])]
    fact = f"classes are the {len(values)} colours of {number} masks: give them names in `classes`, in the same order"
    return Classes({"classes": names, "values": values}, [fact])


def _palette(looked: list[MaskValues]) -> bool:
    return all(one.kind == "palette" for one in looked)


def _by_value(seen: Counter[int | str], number: int, palette: bool) -> Classes:
    """Nobody names the values. Whole numbers from 0 are indices; far between, they are what a tool drew with."""
    values = sorted(int(value) for value in seen)
    inner = [value for value in values if value != 255]
    if not inner or values == [0]:
        raise DataError("masks have one value only", found=str(values), fix="there is nothing to tell apart")
    largest = inner[-1]
    dense = largest < 2 * len(inner) + 1
    if dense and largest > 0:
        names = ["background", *(f"class_{value}" for value in range(1, largest + 1))]
        return Classes({"classes": names}, ["255 is ignored"] if 255 in values else [])
    ignored = palette and 255 in values and len(inner) > 1
    used = inner if ignored else values
    first = 0 if 0 in used else used[0]
    ordered = [first, *(value for value in used if value != first)]
    names = ["background", *(["object"] if len(ordered) == 2 else [f"value_{value}" for value in ordered[1:]])]
    fact = f"classes are the values {', '.join(map(str, ordered))} of {number} masks: give them names in `classes`, in the same order"
    return Classes({"classes": names, "values": ordered}, [fact])
