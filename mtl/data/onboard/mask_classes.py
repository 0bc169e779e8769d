"""The classes of masks, by a file that names them, by a public set's description, or by what their pixels have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.codecs.maps import MAX_VALUES
from mtl.config.masks import IGNORE
from mtl.data.formats.label_files import Label
from mtl.data.onboard.counted_objects import counts_objects
from mtl.data.onboard.known_masks import Known, as_drawn, known_set
from mtl.data.onboard.looked_masks import Classes, Looked, look_into
from mtl.data.onboard.named_masks import named
from mtl.data.onboard.unnamed_masks import unnamed
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

MOST = 64
"""Values above which it is no mask of classes that nobody has named."""
SMOOTH = 0.95
"""The share of pixels that two values have, where the others are what smoothing left between them."""


def mask_section(tree: FileTree, masks: Sequence[FileRef | bytes], facts: list[str], what: str) -> dict[str, object]:
    """What a column of masks has to say of its classes; nothing, and a fact, if nobody can tell.

    Args:
        what: how to call it.
    """
    try:
        found = classes_of_masks(look_into(tree, masks))
    except DataError as error:
        facts.append(f"{what}: no masks of classes ({error.line}); if it has some, describe them yourself")
        return {}
    facts += [f"{what}: {fact}" for fact in found.facts]
    return {**found.section}


def classes_of_masks(
    looked: Looked, labels: list[Label] | None = None, file: str = "", painted: Mapping[int, str] | None = None
) -> Classes:
    """What the masks' pixels mean.

    Args:
        labels: of a file beside them that names classes. painted: value → colour, by pictures of the masks.

    Raises:
        DataError: they are no masks, or nothing tells what their values are.
    """
    if labels:
        return named(as_drawn(labels, looked.names), file, looked, painted or {})
    known = known_set(looked.names, looked.pixels, painted or {}) if all(looked.names) else None
    if known is not None:
        return _known(known)
    _refuse_many(looked)
    if len(looked.pixels) < 2:
        found = f"{[*looked.pixels]} in {looked}"
        raise DataError("masks have one value only", found=found, fix="nothing to tell apart")
    return unnamed(looked)


def _known(known: Known) -> Classes:
    values = [*known.classes]
    section: dict[str, object] = {"classes": [*known.classes.values()]}
    section |= {"values": values} if values != [*range(len(values))] else {}
    section |= {"ignored": [*known.ignored]} if known.ignored else {}
    ignored = f"; {len(known.ignored)} other values are not known" if known.ignored else ""
    return Classes(section, [f"masks are taken for those of {known.name}: {len(values)} classes{ignored}"])


def _refuse_many(looked: Looked) -> None:
    """Values that are not drawn one by one.

    Raises:
        DataError: the masks have such.
    """
    pixels = looked.pixels
    few = sum(number for _, number in pixels.most_common(2)) if not looked.coloured else 0
    largest = max(one.num_values for one in looked.masks)
    if len(pixels) > 3 and IGNORE in pixels and 0 in pixels and few > SMOOTH * pixels.total():
        share = (pixels.total() - few) / pixels.total()
        found = f"{len(pixels) - 2} values between the two that most pixels have, in {share:.1%} of them"
        fix = "take what is above the middle for the one, the rest for the other, and save that"
        raise DataError("masks have smooth edges, as scaling leaves them", found=found, fix=fix)
    if len(pixels) > MOST or largest > MAX_VALUES:
        what = "masks have too many values to be classes that nobody names"
        found = f"{len(pixels)} in {looked}" if largest <= MAX_VALUES else f"{largest} in one"
        raise DataError(what, found=found, fix="name the classes with their `values`, or add a labelmap.txt")
    if not looked.coloured and counts_objects(looked.masks, looked.data):
        found = "each begins at 1 and counts on, and no number has two pieces"
        fix = "export masks of classes; or, if these are classes, describe them in data.source.sets"
        raise DataError("masks count objects, it seems, and do not tell classes", found=found, fix=fix)
