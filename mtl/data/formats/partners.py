"""Annotation files that are called as their images are: labels/train/a.txt and images/train/a.jpg."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from mtl.data.formats.base import Problem, Reading, folder_split, split_of
from mtl.data.formats.mentions import Files, normal
from mtl.errors import DataError

IMAGE_FOLDERS = frozenset(
    ("images", "jpegimages", "imgs", "image", "img", "jpegs", "image_2", "photos", "pictures", "frames", "rgb")
)
"""Names of folders that say that images lie in them, in lower case."""
MAP_FOLDERS = frozenset(
    (
        *("masks", "mask", "trimaps", "segmentations", "semantic", "semantic_rgb", "instance", "instances", "panoptic"),
        *("depth", "depths", "disparity", "image_3"),
    )
)
"""Names of folders whose pictures are a picture's targets, or another camera's; unless annotations lie beside them."""
ANNOTATION_FOLDERS = frozenset(("labels", "annotations"))
"""Names of folders whose pictures are targets, annotations beside them or not."""

FIX = "add the image, give both one name, or remove the file"


class Partners:
    """Which image an annotation file is of.

    Args:
        images: those that may be meant; of masks and the like nobody speaks.
        files: all annotation files.
    """

    def __init__(self, images: Iterable[str], files: Iterable[str]) -> None:
        every, beside = list(images), {_folder(file) for file in files}
        self.images = [name for name in every if not is_map(name, _folder(name) in beside)] or every
        self._files = Files(self.images)
        self._folders = {_folder(name) for name in self.images}
        self._beside: dict[str, list[str]] = {}
        self._across: dict[str, list[str]] = {}
        for name in self.images:
            path = _stem_path(name)
            self._beside.setdefault(path, []).append(name)
            for other in _with_a_gap(path):
                self._across.setdefault(other, []).append(name)

    def of(self, file: str, name: str = "") -> str:
        """The image that an annotation file is of: beside it, or where one folder's name alone is another, or elsewhere.

        Args:
            name: of the image without its folder, if it is known; else that of the file.

        Raises:
            DataError: there is none, or there are several and nothing tells which.
        """
        exact = normal(name).rsplit("/", 1)[-1]
        path = _stem_path(f"{_folder(file)}/{exact}" if exact else file)
        ways = [self._beside.get(path, [])]
        if _folder(file) not in self._folders:
            ways += [self._across.get(gap, []) for gap in _with_a_gap(path)]
        for found in ways:
            near = [image for image in found if same_split(file, image)]
            near = [image for image in near if image.rsplit("/", 1)[-1] == exact] or near
            near = [image for image in near if folders(image) & IMAGE_FOLDERS] or near
            if len(near) == 1:
                return near[0]
            if near:
                raise DataError(f"{file} may be of several images", found=", ".join(sorted(near)[:3]))
        folder, missing = _folder(file), f"the image of {file} is not there"
        try:
            image = self._files.find(f"{folder}/{exact or path.rsplit('/', 1)[-1]}", folder)
        except DataError as error:
            raise DataError(missing, found=error.found or "none of its name", fix=FIX) from error
        if not _is_plausible(file, image) or (not exact and folder in self._folders):
            raise DataError(missing, found=f"one of its name, elsewhere: {image}", fix=FIX)
        return image

    def join(self, files: Iterable[str], found: dict[str, str], meant: Callable[[str], bool], reading: Reading) -> None:
        """Add to `found`, image → its annotation file; of each file that has none, or is one too many, a problem.

        Args:
            meant: whether a file without an image is an annotation at all.
        """
        for name in files:
            try:
                image = self.of(name)
                if image in found:
                    raise DataError(f"its image has labels already: {image}", found=found[image])
                found[image] = name
            except DataError as error:
                if meant(name):
                    reading.problems.append(Problem.of(name, error, file=name))


def is_map(name: str, annotated: bool) -> bool:
    """Whether a picture is a mask, a depth or another camera's, by its folders' names.

    Args:
        annotated: whether its folder has annotations.
    """
    inside = folders(name)
    return bool(inside & ANNOTATION_FOLDERS) or (
        not annotated
        and any(part in MAP_FOLDERS or part.startswith(("segmentationclass", "segmentationobject")) for part in inside)
    )


def folders(name: str) -> set[str]:
    """Names of the folders that a file lies in, in lower case."""
    return set(name.lower().split("/")[:-1])


def id_folder(images: Collection[str]) -> str:
    """The folder below which all images' names are unique and short: of images, if all lie in one; else none."""
    shared: list[str] = []
    for level in zip(*(name.split("/")[:-1] for name in images), strict=False):
        if len(set(level)) > 1 or split_of(level[0]):
            return ""
        shared.append(level[0])
        if level[0].lower() in IMAGE_FOLDERS:
            return "/".join(shared)
    return ""


def _folder(file: str) -> str:
    return file.rpartition("/")[0]


def _stem_path(file: str) -> str:
    """A path without its extension, as paths are compared."""
    folder, _, name = file.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return normal(f"{folder}/{stem if dot and stem else name}")


def _with_a_gap(path: str) -> list[str]:
    """A path without the name of one of its folders, the innermost first."""
    parts = path.split("/")
    return ["/".join([*parts[:i], "*", *parts[i + 1 :]]) for i in reversed(range(len(parts) - 1))]


def same_split(file: str, image: str) -> bool:
    """Whether folders do not say that two files are of different splits."""
    mine, theirs = folder_split(file), folder_split(image)
    return mine is None or theirs is None or mine == theirs


def _is_plausible(file: str, image: str) -> bool:
    """Whether paths differ as those of an annotation and its image may: in one folder's name, and in folders that one of them
    has besides. labels/north/a.txt is not of images/south/a.jpg.
    """
    mine, theirs = ({split_of(part) or part for part in folders(name)} for name in (file, image))
    return same_split(file, image) and min(len(mine - theirs), len(theirs - mine)) <= 1
