"""What names of folders and files say of the pictures in them: that they are images, masks, depths, or maps that are not read."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

MapKind = Literal["mask", "picture", "depth", "second", "edge", "instance", "disparity", "normals", "view", "valid"]

MASK = frozenset(
    (
        *("mask", "masks", "label", "labels", "labeled", "labelled", "lbl", "seg", "segs", "segm", "segmentation"),
        *("segmentations", "segmented", "segmentationclass", "semantic", "semantics", "annotation", "annotations"),
        *(
            "annot",
            "annots",
            "anno",
            "annos",
            "gt",
            "gts",
            "gtfine",
            "gtcoarse",
            "truth",
            "groundtruth",
            "groundtruths",
        ),
        *("trimap", "trimaps", "matte", "mattes", "alpha", "target", "targets", "manual", "ho", "parsing", "pixelmaps"),
        *("stuffthingmaps", "silhouette", "silhouettes", "labelmap", "labelmaps", "classmap", "classmaps"),
    )
)
"""Of a class per pixel."""
PICTURE = frozenset(
    (
        *(
            "color",
            "colour",
            "colors",
            "colours",
            "colored",
            "coloured",
            "rgb",
            "vis",
            "viz",
            "visual",
            "visualization",
            "colormap",
            "colormaps",
        ),
        *("visualisation", "visualizations", "visualisations", "overlay", "overlays", "blend", "blended", "human"),
    )
)
"""Beside a word for masks: the same ones, painted for people."""
SECOND = frozenset(
    ("nd", "vk", "second", "reversed", "weak", "coarse", "gtcoarse", "pseudo", "predicted", "prediction", "predictions")
)
"""Beside a word for masks: others' opinions (2ndHO; vk, the second observer of STARE), or what is less exact."""
EDGE = frozenset(("edge", "edges", "boundary", "boundaries", "contour", "contours", "border", "borders", "skeleton"))
VIEW = frozenset(("fov", "fovs"))
INSTANCE = frozenset(("instance", "instances", "inst", "panoptic", "segmentationobject"))
DEPTH = frozenset(("depth", "depths"))
VALID = frozenset(("mask", "masks", "valid", "validity"))
"""Beside a word for depths: where they are known. gt and truth say of a depth that it is one."""
DISPARITY = frozenset(("disparity", "disparities", "disp"))
NORMALS = frozenset(("normals", "normalmap", "normalmaps"))
IMAGE = frozenset(
    (
        *(
            "image",
            "images",
            "img",
            "imgs",
            "jpeg",
            "jpegimages",
            "pngimages",
            "photo",
            "photos",
            "picture",
            "pictures",
        ),
        *("rgb", "input", "inputs", "orig", "original", "originals", "raw", "frame", "frames", "sat", "left", "source"),
    )
)
"""Of what is an image."""
MAP_PARTS = (
    *(
        "mask",
        "label",
        "lbl",
        "seg",
        "anno",
        "gt",
        "truth",
        "trimap",
        "matte",
        "manual",
        "stho",
        "ndho",
        "depth",
        "disp",
        "normal",
    ),
    *("instance", "panoptic", "alpha", "target", "parsing", "edge", "contour", "boundary", "silhouette", "semantic"),
)
"""Parts of names one of which each map's name has."""
NOT_READ: dict[MapKind, str] = {
    "picture": "masks painted for people to look at",
    "second": "another opinion, or coarser masks",
    "edge": "edges or borders",
    "instance": "masks of instances, which have no classes",
    "disparity": "disparities, which are depths only with the cameras' distance and focal length",
    "normals": "directions of surfaces, for which there is no format yet: only the zoo has them",
    "depth": "depths",
    "mask": "masks",
    "view": "the camera's field of view",
    "valid": "where depths are known, which these say themselves",
}
"""Why maps are left out where others are read."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_JOINED = re.compile(r"(?:train|val|valid|test|image|img|seg)?(mask|annot|label|segmentation)s?(?:png|class)?")
_SURFACES = frozenset(("map", "maps", "surface", "camera", "world"))


@lru_cache(1 << 14)
def words(name: str) -> frozenset[str]:
    """Words of a name, in lower case: gtFine_labelIds has gt, fine, label and ids; trainannot has annot."""
    found = {word.lower() for word in _WORD.findall(name)}
    for word in [*found]:
        if (joined := _JOINED.fullmatch(word)) is not None:
            found.add(joined.group(1))
    return frozenset(found)


@lru_cache(1 << 14)
def map_kind(name: str) -> MapKind | None:
    """What kind of map a folder or a name says; None if it says none."""
    said = words(name)
    if said & DEPTH:
        return "valid" if said & VALID else "depth"
    if said & VIEW or {"field", "view"} <= said:
        return "view"
    if said & DISPARITY:
        return "disparity"
    if said & NORMALS or ("normal" in said and said & _SURFACES):
        return "normals"
    if said & INSTANCE or {"segmentation", "object"} <= said:
        return "instance"
    if not said & MASK:
        return "edge" if said & EDGE else None
    if said & SECOND:
        return "second"
    return "edge" if said & EDGE else "picture" if said & PICTURE else "mask"


def is_image_name(name: str) -> bool:
    """Whether a folder or a name says that images are meant."""
    return bool(words(name) & IMAGE)
