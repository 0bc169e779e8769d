"""What is to be known of a COCO file before it is read: what its annotations are, of which images and classes."""

from __future__ import annotations

from dataclasses import dataclass

from mtl.data.formats.classes import is_background
from mtl.data.formats.coco import category_names
from mtl.data.formats.coco_lists import file_name
from mtl.data.formats.documents import identity, items, numbers, text

INSTANCES, PANOPTIC = "objects", "panoptic segments"
IMAGES, CAPTIONS, LABELS = "images without annotations", "captions", "labels without boxes"
PREDICTIONS, FEDERATED = "predictions, which are no labels", "LVIS"

LOOKED = 5000
"""Annotations of a file whose outlines are looked at."""


@dataclass(frozen=True)
class Summary:
    """One file. classes: names by their ids. annotations: their number. outlined, boxed: the shares of them that have an outline,
    and one that is their box. keypoints: whether it has them.
    """

    kind: str
    images: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    annotations: int = 0
    outlined: float = 0.0
    boxed: float = 0.0
    keypoints: bool = False


def is_coco(document: object) -> bool:
    """Whether a JSON document is of COCO: a file of annotations, or a list of predictions."""
    if isinstance(document, list):
        return bool(document) and all(_is_prediction(item) for item in document[:8])
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        return False
    lists = [key for key in ("annotations", "categories") if isinstance(document.get(key), list)]
    images = items(document, "images")[:8]
    return bool(lists) and (not document["images"] or any(file_name(image) or "id" in image for image in images))


def _is_prediction(item: object) -> bool:
    wanted = {"image_id", "category_id"}
    return isinstance(item, dict) and wanted <= item.keys() and bool({"bbox", "segmentation", "score"} & item.keys())


def summary(document: object) -> Summary:
    """What a COCO file holds."""
    if isinstance(document, list):
        return Summary(PREDICTIONS)
    annotations, images = items(document, "annotations"), items(document, "images")
    categories = [
        {**c, "id": known, "name": text(c.get("name"))}
        for c in items(document, "categories")
        if (known := identity(c.get("id"))) is not None and text(c.get("name"))
    ]
    names = category_names(categories, {identity(a.get("category_id")) for a in annotations})
    looked = annotations[:: max(1, len(annotations) // LOOKED)]
    return Summary(
        _kind(images, annotations),
        tuple(file_name(image) for image in images),
        tuple(name for name in names if not is_background(name)),
        len(annotations),
        sum(bool(a.get("segmentation")) for a in looked) / max(len(looked), 1),
        sum(_is_boxed(a) for a in looked) / max(len(looked), 1),
        any("keypoints" in a for a in looked),
    )


def _kind(images: list[dict[str, object]], annotations: list[dict[str, object]]) -> str:
    if any("neg_category_ids" in image or "not_exhaustive_category_ids" in image for image in images):
        return FEDERATED
    if any("segments_info" in a for a in annotations):
        return PANOPTIC
    if annotations and all("caption" in a for a in annotations):
        return CAPTIONS
    if any("bbox" in a or "segmentation" in a for a in annotations):
        return INSTANCES
    return LABELS if annotations else IMAGES


def _is_boxed(annotation: dict[str, object]) -> bool:
    """Whether an outline is the four corners of its box."""
    outline, box = annotation.get("segmentation"), numbers(annotation.get("bbox"), 4)
    if not isinstance(outline, list) or len(outline) != 1 or box is None:
        return False
    points = numbers(outline[0])
    if points is None or len(points) not in (8, 10):
        return False
    across, down = {*points[::2]}, {*points[1::2]}
    sides = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    near = [
        min(abs(v - side) for side in pair) < 1.0
        for vs, pair in ((across, sides[::2]), (down, sides[1::2]))
        for v in vs
    ]
    return all(near)
