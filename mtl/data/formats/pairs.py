"""Images and maps of the same name in two folders."""

from __future__ import annotations

from mtl.config import DataError
from mtl.config.files import DepthPairsSet, MaskPairsSet
from mtl.data.formats.base import Entry, Problem, Reading, folder_split, image_id
from mtl.data.place import Place
from mtl.data.raw import FileRef
from mtl.data.spec import TargetSpec


def read_mask_pairs(settings: MaskPairsSet, place: Place) -> Reading:
    """Images with a mask of class indices each; an image without one is kept without the target."""
    spec = TargetSpec(kind="mask", classes=settings.classes)
    return _read_pairs(place, settings.images, settings.masks, settings.target, spec)


def read_depth_pairs(settings: DepthPairsSet, place: Place) -> Reading:
    """Images with a 16-bit PNG of depth each; an image without one is kept without the target."""
    spec = TargetSpec(kind="depth", unit=settings.unit, scale=settings.scale)
    return _read_pairs(place, settings.images, settings.depths, settings.target, spec)


def _read_pairs(place: Place, images: str, maps: str, target: str, spec: TargetSpec) -> Reading:
    partners = {image_id(name, maps): name for name in place.images(maps)}
    names = {image_id(name, images): name for name in place.images(images)}
    both = partners.keys() & names.keys()
    if not both:
        raise DataError(
            f"{place.path}: no image has a partner of its name",
            found=f"{len(names)} in {images}/, {len(partners)} in {maps}/",
            fix="the files of a pair have one name, up to the extension",
        )
    entries = [
        Entry(
            name,
            FileRef(file),
            {target: FileRef(partners[name])} if name in both else {},
            split=folder_split(file),
        )
        for name, file in names.items()
    ]
    problems = [
        Problem(name, f"{file} has no image in {images}/") for name, file in partners.items() if name not in both
    ]
    return Reading({target: spec}, entries, problems)
