"""The classes of masks, by a file that names them, by a public set's description, or by what their pixels have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl.config import DataError
from mtl.data.formats.label_files import Label, unknown_names
from mtl.data.formats.mask_meaning import keys_of
from mtl.data.maps import MAX_VALUES, MaskValues, mask_values
from mtl.data.onboard.counted_objects import counts_objects
from mtl.data.onboard.known_masks import Known, as_drawn, known_set
from mtl.data.onboard.look import some
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import IGNORE

MOST = 64
"""Values above which it is no mask of classes that nobody has named."""
SMOOTH = 0.95
"""The share of pixels that few values have, where the others are what smoothing left between them."""
RARE = 0.001
"""The share of pixels of a value that no class has, below which it is a slip of the pen."""

Value = int | str


@dataclass
class Classes:
    """`classes`, `values` and `ignored` of a section, and what a person may want to know."""

    section: dict[str, Any]
    facts: list[str] = field(default_factory=list[str])


@dataclass
class Looked:
    """Some of many masks, and what their pixels have."""

    names: list[str]
    masks: list[MaskValues]
    data: list[bytes]

    @property
    def coloured(self) -> bool:
        """Whether any has colours."""
        return any(one.kind == "colour" for one in self.masks)

    def pixels(self) -> Counter[Value]:
        """Value → pixels in all of them; colours, also of grey ones and of palettes, if any has colours."""
        found: Counter[Value] = Counter()
        for one in self.masks:
            found.update(_shown(one) if self.coloured else one.values)
        return found


def look_into(place: Place, masks: Sequence[FileRef | bytes]) -> Looked:
    """A few masks, evenly chosen. Single ones that cannot be read are left to those who read all.

    Raises:
        DataError: none can be read, or their values are not those that were drawn.
    """
    looked, errors = Looked([], [], []), list[DataError]()
    for mask in some(masks):
        name = mask.name if isinstance(mask, FileRef) else ""
        try:
            data = place.read(mask.name) if isinstance(mask, FileRef) else mask
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


def mask_section(place: Place, masks: Sequence[FileRef | bytes], facts: list[str], what: str) -> dict[str, Any]:
    """What a column of masks has to say of its classes; nothing, and a fact, if nobody can tell.

    Args:
        what: how to call it.
    """
    try:
        found = classes_of_masks(look_into(place, masks))
    except DataError as error:
        facts.append(f"{what}: no masks of classes ({error.line}); if it has some, describe them yourself")
        return {}
    facts += [f"{what}: {fact}" for fact in found.facts]
    return found.section


def classes_of_masks(
    looked: Looked, labels: list[Label] | None = None, file: str = "", painted: Mapping[int, str] | None = None
) -> Classes:
    """What the masks' pixels mean.

    Args:
        labels: of a file beside them that names classes. painted: value → colour, by pictures of the masks.

    Raises:
        DataError: they are no masks, or nothing tells what their values are.
    """
    pixels = looked.pixels()
    if labels:
        return _named(as_drawn(labels, looked.names), file, looked, painted or {})
    known = known_set(looked.names, pixels, painted or {}) if all(looked.names) else None
    if known is not None:
        return _known(known)
    _refuse_many(looked, pixels)
    if len(pixels) < 2:
        raise DataError(
            "masks have one value only", found=f"{[*pixels]} in {_files(looked)}", fix="nothing to tell apart"
        )
    return _by_colour(pixels, looked) if looked.coloured else _by_value(pixels, looked)


def _files(looked: Looked) -> str:
    return f"{len(looked.masks)} of them that were looked into"


def _shown(one: MaskValues) -> dict[Value, int]:
    """Colours of any mask."""
    if one.kind == "colour":
        return dict(one.values)
    found: Counter[Value] = Counter()
    for value, number in one.values.items():
        known = one.colours.get(int(value)) if one.kind == "palette" else "#" + f"{int(value):02x}" * 3
        found[known or str(value)] += number
    return dict(found)


def _known(known: Known) -> Classes:
    values = [*known.classes]
    section: dict[str, Any] = {"classes": [*known.classes.values()]}
    section |= {"values": values} if values != [*range(len(values))] else {}
    section |= {"ignored": [*known.ignored]} if known.ignored else {}
    ignored = f"; {len(known.ignored)} other values are not known" if known.ignored else ""
    return Classes(section, [f"masks are taken for those of {known.name}: {len(values)} classes{ignored}"])


def _refuse_many(looked: Looked, pixels: Counter[Value]) -> None:
    """Values that are not drawn one by one.

    Raises:
        DataError: the masks have such.
    """
    numbers = sorted(value for value in pixels if isinstance(value, int))
    few = sum(number for _, number in pixels.most_common(2)) if not looked.coloured else 0
    largest = max(one.num_values for one in looked.masks)
    if len(numbers) > 3 and IGNORE in numbers and 0 in numbers and few > SMOOTH * pixels.total():
        share = (pixels.total() - few) / pixels.total()
        found = f"{len(pixels) - 2} values between the two that most pixels have, in {share:.1%} of them"
        fix = "take what is above the middle for the one, the rest for the other, and save that"
        raise DataError("masks have smooth edges, as scaling leaves them", found=found, fix=fix)
    if len(pixels) > MOST or largest > MAX_VALUES:
        what = "masks have too many values to be classes that nobody names"
        found = f"{len(pixels)} in {_files(looked)}" if largest <= MAX_VALUES else f"{largest} in one"
        raise DataError(what, found=found, fix="name the classes with their `values`, or add a labelmap.txt")
    if not looked.coloured and counts_objects(looked.masks, looked.data):
        found = "each begins at 1 and counts on, and no number has two pieces"
        fix = "export masks of classes; or, if these are classes, describe them in data.source.sets"
        raise DataError("masks count objects, it seems, and do not tell classes", found=found, fix=fix)


def _named(labels: list[Label], file: str, looked: Looked, painted: Mapping[int, str]) -> Classes:
    """A colour's or value's class by the file that names it; classes that are called unknown are ignored."""
    pixels, facts = looked.pixels(), list[str]()
    labels = _with_background(_by_paint(labels, painted), pixels, facts, file)
    meant = keys_of(labels, looked.masks)
    if any(isinstance(key, str) for key in meant) and not looked.coloured:
        pixels = Counter({shade: n for one in looked.masks for shade, n in _shown(one).items()})
    strange = {value: n for value, n in pixels.items() if value not in meant and value != IGNORE}
    total = max(pixels.total(), 1)
    if sum(strange.values()) > RARE * total:
        shown = ", ".join(f"{value} in {n / total:.1%} of the pixels" for value, n in [*strange.items()][:4])
        fix = f"add them to {file}, or describe the masks in data.source.sets, with `ignored`"
        raise DataError(f"masks have values that {file} does not name", found=shown, fix=fix)
    unknown = unknown_names(meant.values())
    values = [value for value, name in meant.items() if name not in unknown]
    section: dict[str, Any] = {"classes": [meant[value] for value in values]}
    if values != [*range(len(values))]:
        section["values"] = values
    ignored = [*(value for value, name in meant.items() if name in unknown), *strange]
    section |= {"ignored": ignored} if ignored else {}
    if strange:
        facts.append(
            f"values that {file} does not name, in few pixels, are not known: {', '.join(map(str, strange))[:80]}"
        )
    if not any(label.value is not None for label in labels) and not any(isinstance(value, str) for value in values):
        facts.append(f"the order in {file} is taken for the masks' values: nothing else says it")
    return Classes(section, [f"masks' classes are those of {file}", *facts])


def _by_paint(labels: list[Label], painted: Mapping[int, str]) -> list[Label]:
    """Labels without values, with those that pictures of the masks show in their colours."""
    if any(label.value is not None for label in labels) or not painted:
        return labels
    values = {shade: value for value, shade in painted.items()}
    shown = [label._replace(value=values.get(label.colour or "")) for label in labels]
    if all(value == place for place, label in enumerate(shown) if (value := label.value) is not None):
        return [label._replace(value=place) for place, label in enumerate(labels)]
    return [label for label in shown if label.value is not None]


def _with_background(labels: list[Label], pixels: Mapping[Value, int], facts: list[str], file: str) -> list[Label]:
    """Names without one for 0, where the masks have one value more: what they begin with is the background."""
    numbers = {value for value in pixels if isinstance(value, int) and value != IGNORE}
    plain = all(label.value == place and not label.colour for place, label in enumerate(labels))
    called = {label.name.lower().strip("_") for label in labels}
    white = len(labels) == 1 and len(pixels) == 2
    if plain and not called & {"background", "bg", "other"} and (white or (numbers and max(numbers) == len(labels))):
        facts.append(f"{file} does not name the background, which is taken to be 0")
        first = Label("background", 0, None)
        return [first, *(label._replace(value=place) for place, label in enumerate(labels, 1))]
    return labels


def _by_colour(pixels: Counter[Value], looked: Looked) -> Classes:
    """Nobody names the colours: black, or else the most frequent, is the background."""
    colours = [str(value) for value, _ in pixels.most_common()]
    first = "#000000" if "#000000" in colours else colours[0]
    values = [first, *sorted(c for c in colours if c != first)]
    names = ["background", *(f"colour_{value.strip('#')}" for value in values[1:])]
    fact = f"classes are the {len(values)} colours of {_files(looked)}: give them names in `classes`, in the same order"
    return Classes({"classes": names, "values": values}, [fact])


def _by_value(pixels: Iterable[Value], looked: Looked) -> Classes:
    """Nobody names the values. Whole numbers from 0 or 1 are indices; far between, they are what a tool drew with."""
    values = sorted(int(value) for value in pixels)
    inner = [value for value in values if value != IGNORE]
    if inner == [0] or (len(inner) == 1 and IGNORE in values):
        return _two([inner[0], IGNORE], looked)
    largest, say = inner[-1], "give them names in `classes`, in the same order"
    white = [f"255 is taken for not known, in {_files(looked)}"] if IGNORE in values else []
    if largest < 2 * len(inner) + 1:
        if 0 in inner:
            names = ["background", *(f"class_{value}" for value in range(1, largest + 1))]
            return Classes({"classes": names}, [f"classes are the values 0 to {largest} of the masks: {say}", *white])
        numbers = [*range(inner[0], largest + 1)]
        section = {"classes": [f"class_{value}" for value in numbers], "values": numbers, "ignored": [0]}
        fact = (
            f"classes are the values {inner[0]} to {largest} of the masks: {say}; 0, which was not found, is not known"
        )
        return Classes(section, [fact, *white])
    ignored = all(one.kind == "palette" for one in looked.masks) and IGNORE in values and len(inner) > 1
    used = inner if ignored else values
    if len(used) == 2:
        return _two(used, looked)
    first = 0 if 0 in used else used[0]
    ordered = [first, *(value for value in used if value != first)]
    names = ["background", *(f"value_{value}" for value in ordered[1:])]
    fact = f"classes are the values {', '.join(map(str, ordered))} of {_files(looked)}: {say}"
    return Classes({"classes": names, "values": ordered}, [fact, *(white if ignored else [])])


def _two(values: list[int], looked: Looked) -> Classes:
    """Black and white, or any two."""
    fact = f"classes are the two values {values[0]} and {values[1]} of {_files(looked)}: give them names in `classes`"
    return Classes({"classes": ["background", "object"], "values": values}, [fact])
