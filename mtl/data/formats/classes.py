"""Which classes objects have: those that files declare, and of them those that settings select."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from mtl.data.formats.object_targets import object_targets
from mtl.data.formats.shapes import Targets
from mtl.data.spec import TargetSpec
from mtl.errors import DataError

BACKGROUND = frozenset(["background", "__background__", "_background_"])
"""Names of what is there where no object is."""
PASSED_OVER = "annotations that are of none of the classes, passed over"


class Chosen(NamedTuple):
    """Names in the order of their indices; and the index of every name as files have it that is one of them."""

    classes: tuple[str, ...]
    by_name: dict[str, int]

    def specs(self, boxes: str | None, masks: str | None) -> dict[str, TargetSpec]:
        """The targets that objects of these classes become."""
        return object_targets(Targets(boxes, masks), self.classes)


def chosen(
    declared: Sequence[str], found: Sequence[str], what: str, notes: Counter[str], *, masks: bool = False
) -> Chosen:
    """The classes of a set.

    Args:
        declared: in its settings; all that its files have if none are.
        found: as its files have them, in their order.
        what: the file or folder, for messages.
        masks: whether masks are made, in which the background has an index of its own.

    Raises:
        DataError: the files have none of the declared classes.
    """
    names = tuple(dict.fromkeys(found))
    if not declared:
        classes = tuple(name for name in names if not is_background(name))
        return Chosen(classes, {name: number for number, name in enumerate(classes)})
    classes = tuple(name for name in declared if not (masks and is_background(name)))
    index = {name: classes.index(name) for name in names if name in classes}
    loose = {_plain(name): number for number, name in enumerate(classes) if name not in index}
    for name in names:
        if name not in index and _plain(name) in loose:
            index[name] = loose[_plain(name)]
            notes[f"classes that `classes` writes differently, taken for the same: {name!r}"] += 1
    if names and not index:
        raise DataError(
            f"{what} has none of the declared classes", found=f"it has {list(names)[:12]}", fix=f"not {list(classes)}"
        )
    return Chosen(classes, index)


def is_background(name: str) -> bool:
    """Whether a class's name says that it is none."""
    return name.strip().lower() in BACKGROUND


def _plain(name: str) -> str:
    """Without what people write now one way, now the other."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
