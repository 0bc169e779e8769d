"""A look into some of many masks: what their pixels have, whatever it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mtl.codecs.maps import MaskValues, mask_values
from mtl.data.onboard.look import some
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

Value = int | str
BLACK, WHITE = "#000000", "#ffffff"


@dataclass
class Classes:
    """`classes`, `values` and `ignored` of a section, and what a person may want to know."""

    section: Mapping[str, object]
    facts: list[str] = field(default_factory=list[str])


@dataclass
class Looked:
    """Some of many masks, and what their pixels have."""

    names: list[str]
    masks: list[MaskValues]
    data: list[bytes]

    @cached_property
    def palettes_differ(self) -> bool:
        """Whether an index has one colour in a mask and another one in the next, as GIFs have them: it means nothing."""
        found: dict[int, str] = {}
        return any(found.setdefault(i, shade) != shade for one in self.masks for i, shade in one.colours.items())

    @cached_property
    def coloured(self) -> bool:
        """Whether colours tell more than numbers: some masks have colours, or palettes that differ, or are of black and white."""
        shades = {shade for one in self.masks for shade in one.colours.values()}
        return any(one.kind == "colour" for one in self.masks) or self.palettes_differ or shades == {BLACK, WHITE}

    @property
    def pixels(self) -> Counter[Value]:
        """Value → pixels in all of them; colours, also of grey ones and of palettes, if colours tell more."""
        return self.shades if self.coloured else self.numbers

    @cached_property
    def numbers(self) -> Counter[Value]:
        """Grey value, index or colour → pixels in all of them."""
        found: Counter[Value] = Counter()
        for one in self.masks:
            found.update(one.values)
        return found

    @cached_property
    def shades(self) -> Counter[Value]:
        """Colour → pixels in all of them."""
        found: Counter[Value] = Counter()
        for one in self.masks:
            for value, number in one.values.items():
                found[_shade(one, value)] += number
        return found

    def __str__(self) -> str:
        return f"{len(self.masks)} of them that were looked into"


def _shade(one: MaskValues, value: Value) -> Value:
    """The colour of a value of any mask; of a grey one above 255 there is none."""
    if isinstance(value, str):
        return value
    if one.kind == "palette":
        return one.colours[value]
    return "#" + f"{value:02x}" * 3 if value <= 255 else value


def look_into(tree: FileTree, masks: Sequence[FileRef | bytes]) -> Looked:
    """A few masks, evenly chosen. Single ones that cannot be read are left to those who read all.

    Raises:
        DataError: none can be read, or their values are not those that were drawn.
    """
    looked, errors = Looked([], [], []), list[DataError]()
    for mask in some(masks):
        name = mask.name if isinstance(mask, FileRef) else ""
        try:
            data = tree.read(mask.name) if isinstance(mask, FileRef) else mask
            looked.masks.append(mask_values(data))
        except DataError as error:
            errors.append(error)
            continue
        looked.names.append(name)
        looked.data.append(data)
    if not looked.masks:
        raise errors[0] if errors else DataError("there are no masks")
    lossy = next((n for n, one in zip(looked.names, looked.masks, strict=True) if not one.lossless), None)
    if lossy is not None:
        what = "masks are saved with a compression that changes values"
        raise DataError(what, found=lossy, fix="export them as PNG")
    return looked
