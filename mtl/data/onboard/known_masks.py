"""Public sets whose masks' values are known, though no file of theirs says what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mtl.data.formats.label_files import UNKNOWN, Label

Value = int | str

STREETS: dict[Value, str] = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light", 20: "traffic sign",
    21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train",
    32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""Cityscapes' label ids → classes, of the 19 that its benchmark evaluates (cityscapesScripts, labels.py)."""
STREET_COLOURS: dict[Value, str] = {
    7: "#804080", 8: "#f423e8", 11: "#464646", 12: "#66669c", 13: "#be9999", 17: "#999999", 19: "#faaa1e", 20: "#dcdc00",
    21: "#6b8e23", 22: "#98fb98", 23: "#4682b4", 24: "#dc143c", 25: "#ff0000", 26: "#00008e", 27: "#000046", 28: "#003c64",
    31: "#005064", 32: "#0000e6", 33: "#770b20",
}  # fmt: skip
TRAIN_IDS: dict[Value, str] = dict(enumerate(STREETS.values()))
"""The same classes by their number among those that are evaluated."""
NOT_EVALUATED = tuple(value for value in range(34) if value not in STREETS)
NOT_EVALUATED_COLOURS = (
    *("#000000", "#6f4a00", "#510051", "#faaaa0", "#e6968c", "#b4a5b4", "#966464", "#96785a", "#00005a", "#00006e"),
)
CAMVID: dict[Value, str] = dict(
    enumerate(
        (
            *("sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian"),
            "bicyclist",
        )
    )
)
"""The classes of CamVid in SegNet's tutorial; 11 is void."""


@dataclass(frozen=True)
class Known:
    """One set. path: a pattern that all masks' paths have in them, in small letters. ignored: values that nobody knows. colours: how
    its classes are painted, where it has a picture of each mask.
    """

    name: str
    path: str
    classes: Mapping[Value, str]
    ignored: tuple[Value, ...] = ()
    colours: Mapping[Value, str] = field(default_factory=dict[Value, str])

    def fits(self, names: Iterable[str], values: Iterable[Value], painted: Mapping[int, str]) -> bool:
        """Whether masks of these names, values and colours may be the set's."""
        pattern = re.compile(self.path)
        of_path = all(pattern.search(name.lower()) for name in names)
        own = {*self.classes, *self.ignored, 255}
        seen = all(painted[v] == shade for v, shade in self.colours.items() if isinstance(v, int) and v in painted)
        return of_path and seen and own >= {*values}


KNOWN = (
    Known("Cityscapes, train ids", r"_labeltrainids\.png$", TRAIN_IDS),
    Known("Cityscapes", r"_labelids\.png$", STREETS, NOT_EVALUATED, STREET_COLOURS),
    Known(
        "Cityscapes, in its colours",
        r"gt(fine|coarse)_color\.png$",
        {shade: STREETS[value] for value, shade in STREET_COLOURS.items()},
        NOT_EVALUATED_COLOURS,
    ),
    Known("BDD100K, which has the train ids of Cityscapes", r"(^|/)sem_seg/masks/", TRAIN_IDS),
    Known("CamVid as SegNet has it", r"annot/(0001tp|0006r0|0016e5|seq05vd)_\w+\.png$", CAMVID, (11,)),
    Known(
        "KITTI, which has the label ids of Cityscapes",
        r"(^|/)semantic/\d{6}_\d\d\.png$",
        STREETS,
        NOT_EVALUATED,
        STREET_COLOURS,
    ),
    Known(
        "LoveDA",
        r"(^|/)(urban|rural)/masks_png/",
        {**dict(enumerate(("background", "building", "road", "water", "barren", "forest", "agriculture"), 1))},
        (0,),
    ),
    Known("Oxford pets", r"(^|/)trimaps/", {1: "pet", 2: "background"}, (3,)),
    Known("trimaps", r"trimap", {0: "background", 255: "object"}, (128,)),
    Known(
        "ISPRS' Potsdam and Vaihingen",
        r"potsdam|vaihingen|top_mosaic",
        {
            "#ffffff": "impervious surface",
            "#0000ff": "building",
            "#00ffff": "low vegetation",
            "#00ff00": "tree",
            "#ffff00": "car",
            "#ff0000": "clutter",
        },
        ("#000000",),
    ),
)
"""The most particular first. Public sets that have a file of their classes are not here."""

SHIFTED = re.compile(r"(^|/)stuffthingmaps/")
"""Paths of COCO-Stuff, whose masks have each label's number less one, and 255 for what has none."""


def known_set(names: Sequence[str], values: Iterable[Value], painted: Mapping[int, str]) -> Known | None:
    """The set that masks are of; None if they are of none that is known.

    Args:
        painted: value → its colour in pictures of the masks, where there are some.
    """
    found = {*values}
    return next((one for one in KNOWN if one.fits(names, found, painted)), None)


def as_drawn(labels: list[Label], names: Sequence[str]) -> list[Label]:
    """A set's labels with the values that its masks have for them."""
    shifted = any(label.value == 0 and label.name.lower() in UNKNOWN for label in labels)
    if not shifted or not all(SHIFTED.search(name.lower()) for name in names):
        return labels
    return [label._replace(value=label.value - 1) for label in labels if label.value]
