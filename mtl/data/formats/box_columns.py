"""Which columns of a table have boxes: by the names that tools give them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

IMAGES = (
    "image",
    "imagepath",
    "imgpath",
    "imagename",
    "imgname",
    "filename",
    "filepath",
    "file",
    "path",
    "imageid",
    "img",
    "imgid",
    "imagefilename",
    "imagefile",
    "imagefilepath",
    "imageindex",
    "idcode",
    "isicid",
    "fname",
    "photo",
    "picture",
    "frame",
    "name",
    "id",
)
LABELS = (
    "classname",
    "labelname",
    "findinglabel",
    "categoryname",
    "class",
    "label",
    "labels",
    "category",
    "species",
    "object",
    "objectname",
    "type",
    "classid",
    "categoryid",
    "labelid",
    "classlabel",
    "target",
    "name",
)
CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("minx", "miny", "maxx", "maxy"),
    ("left", "top", "right", "bottom"),
    ("xtl", "ytl", "xbr", "ybr"),
    ("x0", "y0", "x1", "y1"),
    ("xstart", "ystart", "xend", "yend"),
)
SIDES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("xmin", "ymin", "width", "height"),
    ("xmin", "ymin", "w", "h"),
    ("x1", "y1", "width", "height"),
    ("x1", "y1", "w", "h"),
)
CENTRES = (
    ("cx", "cy", "w", "h"),
    ("cx", "cy", "width", "height"),
    ("xc", "yc", "w", "h"),
    ("xcenter", "ycenter", "width", "height"),
    ("xcenter", "ycenter", "w", "h"),
    ("centerx", "centery", "width", "height"),
    ("centerx", "centery", "w", "h"),
    ("xcentre", "ycentre", "width", "height"),
)
LISTS = ("bbox", "bboxes", "box", "boxes", "boundingbox", "boundingboxes", "boxesstring", "bndbox", "annotations")
WIDTHS, HEIGHTS = ("width", "imagewidth", "imgwidth", "w"), ("height", "imageheight", "imgheight", "h")
CROWDS = ("isgroupof", "iscrowd")


@dataclass(frozen=True)
class BoxColumns:
    """Names of columns; empty where there is none. form: what the names of `box` say that it is."""

    box: tuple[str, ...]
    form: str | None
    image: str = ""
    label: str = ""
    crowd: str = ""
    size: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A column's name without case, marks, and words that say that it is of a box: Roi.X1, bbox_x1 and X1 are one."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    found = re.fullmatch(r"(?:bbox|box|roi|bb|rect)_?(x.*|y.*|w|h|width|height|left|top|right|bottom)", word)
    return found.group(1) if found else word


def box_columns(columns: Sequence[str], box: Sequence[str] = ()) -> BoxColumns:
    """The columns of boxes and what is said of them; those that no name tells are empty.

    Args:
        box: columns of the four numbers, where they are declared.
    """
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(plain(column), column)
    found, form = _four(by_name)
    if box and tuple(box) != found:
        found, form = tuple(box), None

    def first(names: Sequence[str], taken: Sequence[str]) -> str:
        return next((by_name[n] for n in names if n in by_name and by_name[n] not in taken), "")

    image = first(IMAGES, found)
    size = (first(WIDTHS, found), first(HEIGHTS, found))
    label = first(LABELS, (*found, image))
    return BoxColumns(found, form, image, label, first(CROWDS, found), size if all(size) else ())


def _four(by_name: dict[str, str]) -> tuple[tuple[str, ...], str | None]:
    for form, choices in (("xyxy", CORNERS), ("cxcywh", CENTRES), ("xywh", SIDES)):
        for names in choices:
            if all(name in by_name for name in names):
                return tuple(by_name[name] for name in names), form
    lists = [by_name[name] for name in LISTS if name in by_name]
    return tuple(lists[:1]), None
