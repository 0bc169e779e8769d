"""Where a Pascal VOC set keeps what: which XML file and which mask are of which image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mtl.data.formats.base import Problem, Reading, image_ids
from mtl.data.formats.mentions import normal
from mtl.data.formats.partners import Partners, folders, id_folder
from mtl.data.formats.voc_objects import Annotation, read_annotation
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

NOT_READ = {
    "segmentationobject": "masks of single objects, which are not read",
    "visualization": "a picture for people to look at",
    "visualisation": "a picture for people to look at",
}
"""What a folder's name has in it → why its pictures and arrays are left out."""


@dataclass
class Layout:
    """Images of a set with their ids; XML files and masks by image; images whose XML cannot be used, and why."""

    images: list[str]
    ids: Mapping[str, str]
    annotations: dict[str, tuple[str, Annotation]] = field(default_factory=dict[str, tuple[str, Annotation]])
    masks: dict[str, str] = field(default_factory=dict[str, str])
    lost: dict[str, DataError] = field(default_factory=dict[str, DataError])


def arranged(tree: FileTree, reading: Reading, boxes: bool, masks: bool) -> Layout:
    """Find out, and say in `reading` what became of files that belong to no image."""
    for name in tree.names():
        last = "/".join(sorted(folders(name)))
        reason = next((why for word, why in NOT_READ.items() if word in last), None)
        if reason is None and "segmentationclass" in last and name.lower().endswith(".npy"):
            reason = "a mask that is there as a picture too"
        if reason is None and name.lower().endswith(".pbtxt"):
            reason = "a label map for TensorFlow: XML files name classes themselves"
        if reason:
            reading.left_out[name] = reason
    pictures = [name for name in tree.images() if name not in reading.left_out]
    files = tree.names("", (".xml",))
    partners = Partners(pictures, files)
    layout = Layout(partners.images, image_ids(partners.images, id_folder(partners.images)))
    _add_masks(layout, partners, [name for name in pictures if _in_class_folder(name)], reading, masks)
    if not boxes:
        reading.left_out |= dict.fromkeys(files, "boxes, for which the section names no target")
        return layout
    for file, data in tree.contents(files):
        _add_annotation(layout, partners, file, data, reading)
    return layout


def _in_class_folder(name: str) -> bool:
    return any(part.startswith("segmentationclass") for part in folders(name))


def _add_masks(layout: Layout, partners: Partners, masks: list[str], reading: Reading, wanted: bool) -> None:
    """The mask of SegmentationClass before others, as SegmentationClassAug, that are of the same image."""
    for name in sorted(masks, key=lambda name: ("segmentationclass" not in folders(name), name)):
        if not wanted:
            reading.left_out[name] = "a mask, for which the section names no target"
            continue
        try:
            image = partners.of(name)
        except DataError as error:
            reading.problems.append(Problem.of(name, error, file=name))
            continue
        if image in layout.masks:
            reading.left_out[name] = "another mask of an image that has one"
        else:
            layout.masks[image] = name


def _add_annotation(layout: Layout, partners: Partners, file: str, data: bytes | DataError, reading: Reading) -> None:
    """An XML file is of the image of its own name; else of the one that it names."""
    own, elsewhere = _image(partners, file, "")
    try:
        if isinstance(data, DataError):
            raise data
        found = read_annotation(data)
    except DataError as error:
        if own is not None:  # else it may be no annotation at all, which the account of files says
            layout.lost[own] = error
            reading.problems.append(Problem.of(file, error, file=file))
        return
    if found.filename:
        same = _stem(found.filename) == _stem(file)
        named, missing = _image(partners, file, found.filename)
        if own is None or (same and named is not None):
            own, elsewhere = named, missing
        elif named is not None and named != own:
            reading.notes["XML files that name another image than that of their own name, which is believed"] += 1
    if own is None:
        assert elsewhere is not None
        reading.problems.append(Problem.of(file, elsewhere, file=file))
        return
    before = layout.annotations.get(own)
    if before is not None and before[1][1:3] != found[1:3]:
        layout.lost[own] = DataError("two XML files say different things of it", found=f"{before[0]}, {file}")
    reading.documents.add(file)
    layout.annotations.setdefault(own, (file, found))


def _stem(name: str) -> str:
    return PurePosixPath(normal(name)).stem


def _image(partners: Partners, file: str, name: str) -> tuple[str | None, DataError | None]:
    """The image, or why there is none."""
    try:
        return partners.of(file, name), None
    except DataError as error:
        return None, error
