"""Masks whose classes nobody names: they are called by what their pixels have."""

from __future__ import annotations

from collections.abc import Sequence

from mtl.config.masks import IGNORE
from mtl.data.onboard.looked_masks import BLACK, WHITE, Classes, Looked, Value
from mtl.errors import DataError

SAY = "give them names in `classes`, in the same order"


def unnamed(looked: Looked) -> Classes:
    """Classes of two values or colours at least.

    Raises:
        DataError: values contradict each other.
    """
    return _by_colour(looked) if looked.coloured else _by_value(looked)


def _by_colour(looked: Looked) -> Classes:
    """Black, or else the most frequent colour, is the background."""
    colours = [str(value) for value, _ in looked.pixels.most_common()]
    if {*colours} == {BLACK, WHITE}:
        return _two([BLACK, WHITE], looked)
    first = BLACK if BLACK in colours else colours[0]
    values = [first, *sorted(c for c in colours if c != first)]
    names = ["background", *(f"colour_{value.strip('#')}" for value in values[1:])]
    return Classes({"classes": names, "values": values}, [f"classes are the {len(values)} colours of {looked}: {SAY}"])


def _by_value(looked: Looked) -> Classes:
    """Whole numbers from 0 or 1 are indices; far between, they are what a tool drew with."""
    values = sorted(int(value) for value in looked.pixels)
    inner = [value for value in values if value != IGNORE]
    if len(inner) == 1 and IGNORE in values:
        return _two([inner[0], IGNORE], looked)
    if inner[-1] < 2 * len(inner) + 1:
        return _in_a_row(inner, looked, has_white=IGNORE in values)
    is_border = all(one.kind == "palette" for one in looked.masks) and IGNORE in values and len(inner) > 1
    used = inner if is_border else values
    if len(used) == 2:
        return _two(used, looked)
    first = 0 if 0 in used else used[0]
    ordered = [first, *(value for value in used if value != first)]
    names = ["background", *(f"value_{value}" for value in ordered[1:])]
    fact = f"classes are the values {', '.join(map(str, ordered))} of {looked}: {SAY}"
    return Classes({"classes": names, "values": ordered}, [fact, *(_white(looked) if is_border else [])])


def _in_a_row(values: Sequence[int], looked: Looked, *, has_white: bool) -> Classes:
    """All numbers from the least to the largest, found or not; 0 is the background, and nothing if no pixel has it.

    Raises:
        DataError: 255 may be the same as 1.
    """
    if has_white and values[-1] == 1 and any({*one.values} == {0, IGNORE} for one in looked.masks):
        fix = "save all of them with the same values"
        raise DataError("masks have 1 for the object in some, 255 in others", found=str(looked), fix=fix)
    white = _white(looked) if has_white else []
    largest = values[-1]
    if values[0] == 0:
        names = ["background", *(f"class_{value}" for value in range(1, largest + 1))]
        return Classes({"classes": names}, [f"classes are the values 0 to {largest} of the masks: {SAY}", *white])
    numbers = [*range(values[0], largest + 1)]
    section = {"classes": [f"class_{value}" for value in numbers], "values": numbers, "ignored": [0]}
    fact = f"classes are the values {values[0]} to {largest} of the masks: {SAY}; 0, which was not found, is not known"
    return Classes(section, [fact, *white])


def _white(looked: Looked) -> list[str]:
    return [f"255 is taken for not known, in {looked}"]


def _two(values: Sequence[Value], looked: Looked) -> Classes:
    """Black and white, or any two."""
    fact = f"classes are the two values {values[0]} and {values[1]} of {looked}: give them names in `classes`"
    return Classes({"classes": ["background", "object"], "values": [*values]}, [fact])
