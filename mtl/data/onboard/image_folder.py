"""Classes that are folders: what is left when nothing else says what the images show."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from mtl.config.files import ImageFolderSet
from mtl.data.formats.base import split_of
from mtl.data.formats.image_folder import class_folders, levels, read_image_folder
from mtl.data.formats.label_files import is_label_file
from mtl.data.onboard.look import Finding, Look
from mtl.data.sources.account import is_document

STRUCTURE = frozenset(
    [
        "images",
        "imgs",
        "jpegimages",
        "jpegs",
        "data",
        "dataset",
        "raw",
        "frames",
        "masks",
        "labels",
        "labels_mask",
        "annotations",
        "annots",
        "anns",
        "gt",
        "ground_truth",
        "groundtruth",
        "segmentation",
        "segmentationclass",
        "segmentationobject",
        "segmentations",
        "depths",
        "disparity",
        "imagesets",
        "trainannot",
        "valannot",
        "testannot",
        "leftimg8bit",
        "gtfine",
        "gtcoarse",
        "stuffthingmaps",
        "obj_train_data",
        "obj_valid_data",
        "obj_test_data",
        "trimaps",
        "bboxes",
        "boxes",
        "xmls",
        "jsons",
        "csv",
        "txt",
        "unlabelled",
        "unlabeled",
        "train_images",
        "test_images",
        "val_images",
        "valid_images",
        "train_masks",
        "test_masks",
        "val_masks",
    ]
)
"""Names of folders that say what lies in them, never what an image shows."""
PERHAPS = frozenset(
    [
        "image",
        "img",
        "jpg",
        "jpeg",
        "png",
        "picture",
        "pictures",
        "photo",
        "photos",
        "frame",
        "rgb",
        "mask",
        "label",
        "annotation",
        "annot",
        "ann",
        "seg",
        "semantic",
        "instance",
        "instances",
        "depth",
        "normals",
        "panoptic",
        "xml",
        "json",
        "unknown",
        "input",
        "inputs",
        "target",
        "targets",
        "output",
        "outputs",
        "crops",
        "left",
        "right",
    ]
)
"""Names that may be classes' (mask and no_mask, left and right), unless all folders are called so."""


def structural_names(classes: list[str]) -> list[str]:
    """Those of folders' names that are no class's."""
    plain = {name: name.lower().replace("-", "_").replace(" ", "_") for name in classes}
    plain = {name: word if word in STRUCTURE | PERHAPS else word.rstrip("0123456789_") for name, word in plain.items()}
    sure = [name for name, word in plain.items() if word in STRUCTURE or split_of(name) is not None]
    either = [name for name, word in plain.items() if name in sure or word in PERHAPS]
    return either if len(either) == len(classes) else sure


def perhaps_classes(look: Look) -> tuple[str, ...]:
    """What is to be said of folders that may be classes, where something else is proposed."""
    classes = class_folders(look.images)
    if len(classes) < 2 or structural_names(classes):
        return ()
    shown = ", ".join(classes[:4]) + (" …" if len(classes) > 4 else "")
    return (
        f"images lie in folders that may be classes, which are not proposed: {shown} (format: image_folder reads them)",
    )


def _below(images: list[str]) -> tuple[str, ...]:
    """What is to be said of folders in classes' folders: they are no classes of their own."""
    depth, parts = levels(images).label, [name.split("/") for name in images]
    inner = sorted({p[depth + 1] for p in parts if len(p) > depth + 2 and split_of(p[depth + 1]) is None})
    if not inner:
        return ()
    shown = ", ".join(inner[:4]) + (" …" if len(inner) > 4 else "")
    return (f"folders within classes' folders are no classes of their own: {shown}",)


def _others(look: Look, read: Collection[str] = ()) -> str:
    """Files that may say it, and that nothing reads."""
    pictures = {*look.images, *read}
    left = [name for name in look.unclaimed() if name not in pictures and not is_document(name)]
    shown = ", ".join(left[:3]) + (f" and {len(left) - 3} others" if len(left) > 3 else "")
    return f"; nothing reads {shown}" if left else ""


def detect(look: Look) -> Iterator[Finding]:
    """At most one, and none if it has a name that is no class's."""
    classes = class_folders(look.images)
    if not classes:
        return
    base = {"path": look.tree.path, "format": "image_folder", "target": "label"}
    structural = structural_names(classes)
    read = read_image_folder(ImageFolderSet.model_validate(base, strict=False), look.tree).documents
    top = look.images[0].split("/")[0]
    said = {*read, *(name for name in look.names if is_label_file(name))}
    if top not in classes and split_of(top) is None and _others(look, said):
        structural = structural or [top]  # what lies beside it may say what its folders are
    if structural:
        fault = f"images lie in {', '.join(structural[:4])}, which is the name of no class, and no file that says what they show is known{_others(look)}"
        yield Finding("image_folder", fault=fault)
    elif len(classes) == 1:
        yield Finding(
            "image_folder", fault=f"all images lie in one folder, {classes[0]}: there is nothing to tell apart"
        )
    else:
        yield Finding("image_folder", {"images": base}, frozenset(read), facts=_below(look.images))
