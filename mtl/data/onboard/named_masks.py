"""Masks whose classes a file beside them names."""

from __future__ import annotations

from collections.abc import Mapping

from mtl.config.masks import IGNORE
from mtl.data.formats.label_files import Label, unknown_names
from mtl.data.formats.mask_meaning import BACKGROUND, keys_of
from mtl.data.onboard.look import Section
from mtl.data.onboard.looked_masks import Classes, Looked
from mtl.errors import DataError

MANY = 8
"""Names above which two values are too few to be theirs."""
RARE = 0.001
"""The share of pixels of a value that no class has, below which it is a slip of the pen."""


def named(labels: list[Label], file: str, looked: Looked, painted: Mapping[int, str]) -> Classes:
    """A colour's or value's class by the file that names it; classes that are called unknown are ignored.

    Args:
        painted: value → colour, by pictures of the masks.

    Raises:
        DataError: masks have what the file does not name, or nothing tells which of its classes they have.
    """
    facts: list[str] = []
    labels = _with_background(_by_paint(labels, painted), looked, facts, file)
    meant = keys_of(labels, looked.masks)
    by_colour = any(isinstance(key, str) for key in meant)
    if looked.palettes_differ and not by_colour:
        fix = "save the masks with one palette, or as grey values"
        raise DataError(f"masks' palettes differ, and {file} says no colours", found=str(looked), fix=fix)
    if not by_colour:
        _refuse_others(labels, file, looked)
    pixels = looked.shades if by_colour else looked.numbers
    strange = {value: n for value, n in pixels.items() if value not in meant and value != IGNORE}
    total = max(pixels.total(), 1)
    if sum(strange.values()) > RARE * total:
        shown = ", ".join(f"{value} in {n / total:.1%} of the pixels" for value, n in [*strange.items()][:4])
        fix = f"add them to {file}, or describe the masks in data.source.sets, with `ignored`"
        raise DataError(f"masks have values that {file} does not name", found=shown, fix=fix)
    unknown = unknown_names(meant.values())
    values = [value for value, name in meant.items() if name not in unknown]
    if len(values) > IGNORE:
        raise DataError(f"{file} names more classes than masks can have", found=str(len(values)), fix="at most 255")
    section: Section = {"classes": [meant[value] for value in values]}
    section |= {"values": values} if values != [*range(len(values))] else {}
    ignored = [*(value for value, name in meant.items() if name in unknown), *strange]
    section |= {"ignored": ignored} if ignored else {}
    if strange:
        few = ", ".join(map(str, strange))[:80]
        facts.append(f"values that {file} does not name, in few pixels, are not known: {few}")
    if not by_colour and not any(label.value is not None for label in labels):
        facts.append(f"the order in {file} is taken for the masks' values: nothing else says it")
    return Classes(section, [f"masks' classes are those of {file}", *facts])


def _refuse_others(labels: list[Label], file: str, looked: Looked) -> None:
    """Many names that are in a row, and two values: it is a list of what images show, more likely.

    Raises:
        DataError: so it is.
    """
    numbers = {*looked.numbers}
    is_list = all(label.value == place and not label.colour for place, label in enumerate(labels))
    if is_list and ((numbers == {0, IGNORE} and len(labels) > 2) or (numbers == {0, 1} and len(labels) > MANY)):
        found = f"0 and {IGNORE if IGNORE in numbers else 1}, and {len(labels)} names"
        fix = f"if they are classes of the masks, describe them in data.source.sets; else put {file} elsewhere"
        raise DataError(f"masks have two values, and {file} names more classes", found=found, fix=fix)


def _by_paint(labels: list[Label], painted: Mapping[int, str]) -> list[Label]:
    """Labels without values, with those that pictures of the masks show in their colours."""
    if any(label.value is not None for label in labels) or not painted:
        return labels
    values = {shade: value for value, shade in painted.items()}
    shown = [label._replace(value=values.get(label.colour or "")) for label in labels]
    if all(value == place for place, label in enumerate(shown) if (value := label.value) is not None):
        return [label._replace(value=place) for place, label in enumerate(labels)]
    return [label for label in shown if label.value is not None]


def _with_background(labels: list[Label], looked: Looked, facts: list[str], file: str) -> list[Label]:
    """Names without one for 0, where the masks have one value more: what they begin with is the background."""
    numbers = {value for value in looked.numbers if isinstance(value, int) and value != IGNORE}
    plain = all(label.value == place and not label.colour for place, label in enumerate(labels))
    if not plain or any(label.name.lower() in BACKGROUND for label in labels):
        return labels
    white = len(labels) == 1 and len(looked.pixels) == 2
    if white or (numbers and max(numbers) == len(labels)):
        facts.append(f"{file} does not name the background, which is taken to be 0")
        first = Label("background", 0, None)
        return [first, *(label._replace(value=place) for place, label in enumerate(labels, 1))]
    if 0 in numbers and not unknown_names(label.name for label in labels):
        first = labels[0].name
        facts.append(f"0 is taken for {first}, the first in {file}: if it is the background, put that before {first}")
    return labels
