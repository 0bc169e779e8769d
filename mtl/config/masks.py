"""What the pixels of a mask have for each class: types that settings and `mtl.data.spec` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

IGNORE = 255
"""The class index of a mask's pixel that no loss and no metric counts."""

TRANSPARENT = "transparent"
"""The value of a pixel that cannot be seen, in a mask of colours."""

MaskValue = Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=rf"^(#[0-9a-fA-F]{{6}}|{TRANSPARENT})$")]
"""A grey value or an index into the palette; a colour '#rrggbb'; or 'transparent'."""

ClassValue = MaskValue | Annotated[tuple[MaskValue, ...], Field(min_length=1)]
"""What pixels of one class have: a value, or one of several."""


def each(value: ClassValue) -> tuple[int | str, ...]:
    """The values of one class."""
    return value if isinstance(value, tuple) else (value,)


def check_values(values: Sequence[ClassValue], ignored: Sequence[int | str], num_classes: int) -> None:
    """Refuse what contradicts itself.

    Raises:
        ValueError: numbers beside colours, a value twice, or another number of values than of classes.
    """
    both = [*(one for value in values for one in each(value)), *ignored]
    if len({type(value) for value in both}) > 1:
        raise ValueError(f"values and ignored are all numbers, or all colours, found {both}")
    keys = [value.lower() if isinstance(value, str) else value for value in both]
    twice = [value for place, value in enumerate(both) if keys[place] in keys[:place]]
    if twice:
        raise ValueError(f"each value has one meaning, found {twice[0]!r} twice")
    if values and len(values) != num_classes:
        raise ValueError(f"values needs one for each of the {num_classes} classes, found {len(values)}")
