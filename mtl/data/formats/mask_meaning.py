"""What the values of masks mean by a file that names classes: their numbers, or their colours, whichever agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mtl.codecs.maps import MaskValues
from mtl.config.masks import IGNORE
from mtl.data.formats.label_files import Label, colour
from mtl.errors import DataError

Value = int | str
BACKGROUND = frozenset(("background", "_background_", "__background__", "bg", "other", "others", "none"))
"""What the class of all the rest is called, in small letters."""


def keys_of(labels: Sequence[Label], looked: Sequence[MaskValues], border: str = "") -> dict[Value, str]:
    """Value or colour → class, in the labels' order; of labels without a value their place is it.

    Args:
        labels: of two, the second may be drawn in white, whatever its value.
        border: a further colour that masks may have.

    Raises:
        DataError: two classes have one value or colour, which occurs; or nothing says which is which.
    """
    numbered = [label if label.value is not None else label._replace(value=n) for n, label in enumerate(labels)]
    by_colour = any(one.kind == "colour" for one in looked) or _agree_in_colour(numbered, looked, border)
    white = None if by_colour else _only_white(numbered, looked)
    if white and numbered[1].name.lower() in BACKGROUND:
        found = f"{numbered[0].name}, then {numbered[1].name}, in masks of {white} and another value"
        raise DataError("nothing says which of two classes is white", found=found, fix="`values` says it")
    if white:
        numbered = [numbered[0], numbered[1]._replace(value=white)]
    keyed = [(label.colour if by_colour else label.value, label.name) for label in numbered]
    named = [(key, name) for key, name in keyed if key is not None and (isinstance(key, str) or key >= 0)]
    twice = {key for key, number in Counter(key for key, _ in named).items() if number > 1}
    seen = (
        {shade for one in looked for shade in shades(one)} if by_colour else {v for one in looked for v in one.values}
    )
    if twice & seen:
        key = min(twice & seen, key=str)
        names = ", ".join(name for one, name in named if one == key)
        raise DataError("two classes have one value, which masks have", found=f"{key}: {names}", fix="name it once")
    return {key: name for key, name in named if key not in twice}


def _agree_in_colour(labels: Sequence[Label], looked: Sequence[MaskValues], border: str) -> bool:
    """Whether palettes, or shades of grey, are colours of the labels, and their indices are not their values."""
    known = {label.colour for label in labels} | {border}
    index = {label.value: label.colour for label in labels} | ({} if "#ffffff" in known else {IGNORE: None})
    numbers = {value for one in looked for value in one.values}
    painted = [(value, shade) for one in looked for value, shade in one.colours.items() if value in index]
    if any(len({*one.colours.values()}) < len(one.colours) for one in looked):
        return False  # what two values have is told apart by the values alone
    if numbers <= index.keys() and all(shade == index[value] or value == IGNORE for value, shade in painted):
        return False
    return {shade for one in looked for shade in shades(one)} <= known


def _only_white(labels: Sequence[Label], looked: Sequence[MaskValues]) -> int | None:
    """The value of the second of two classes, if it is another than 1, as tools draw masks of black and white."""
    numbers = {value for one in looked for value in one.values if one.kind == "grey"}
    others = [value for value in numbers if isinstance(value, int) and value]
    return others[0] if len(labels) == 2 and len(numbers) == 2 and len(others) == 1 and others != [1] else None


def shades(one: MaskValues) -> list[str]:
    """The colours of a mask, also of a grey one or of a palette."""
    if one.kind == "palette":
        return [*one.colours.values()]
    return [
        value if isinstance(value, str) else colour(value, value, value) for value in one.values if _is_shade(value)
    ]


def _is_shade(value: Value) -> bool:
    return isinstance(value, str) or value <= IGNORE
