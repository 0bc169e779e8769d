"""COCO: JSON files with lists of images and annotations, several of which may be one data set's splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from mtl.data.onboard.look import Finding, Look, identifier

Document = dict[str, Any]


def detect(look: Look) -> Iterator[Finding]:
    """One finding of all files with objects; one each of what COCO has besides."""
    instances: dict[str, Document] = {}
    for name in look.unclaimed(".json"):
        document = look.json(name)
        if not _is_coco(document):
            continue
        kind = _kind(document)
        if kind == "instances":
            instances[name] = document
        else:
            yield Finding("coco", evidence=frozenset([name]), facts=(f"{name} has {kind}: not read",))
    keypoints = {n: d for n, d in instances.items() if any("keypoints" in a for a in _items(d, "annotations"))}
    if len(keypoints) < len(instances):  # the same people and more stand in the others
        for name in keypoints:
            del instances[name]
            yield Finding("coco", evidence=frozenset([name]), facts=(f"{name} has keypoints: not read",))
    if instances:
        yield _instances(look, instances)


def _is_coco(document: Any) -> bool:
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        return False
    lists = [key for key in ("annotations", "categories") if isinstance(document.get(key), list)]
    return bool(lists) and any("file_name" in image or "id" in image for image in _items(document, "images")[:8])


def _items(document: Document, name: str) -> list[Document]:
    found = document.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _kind(document: Document) -> str:
    """What the annotations are; `instances` if they are objects, or if there are none of any kind."""
    annotations = _items(document, "annotations")
    if any("segments_info" in a for a in annotations):
        return "panoptic segments"
    if annotations and all("caption" in a for a in annotations):
        return "captions"
    if annotations and not any("bbox" in a or "segmentation" in a for a in annotations):
        return "annotations without boxes or outlines"
    return "instances" if annotations or _items(document, "categories") else "images without annotations"


def _instances(look: Look, documents: dict[str, Document]) -> Finding:
    names = _set_names(list(documents))
    classes = list(dict.fromkeys(c for document in documents.values() for c in _classes(document)))
    masks = all(_all_outlined(document) for document in documents.values())
    sets: dict[str, dict[str, Any]] = {}
    for file, document in documents.items():
        settings: dict[str, Any] = {"path": look.place.path, "format": "coco", "annotations": file}
        folder = _images_folder(look, file, _items(document, "images"))
        settings |= {"images": folder} if folder else {}
        settings |= {"boxes": "objects"} | ({"masks": "regions"} if masks else {})
        if len(documents) > 1:
            settings |= {"classes": classes, "id_prefix": f"{names[file]}/"}
        sets[names[file]] = settings
    return Finding("coco", sets, frozenset(documents))


def _set_names(files: list[str]) -> dict[str, str]:
    """A name of a set for each file: its stem; of files of one stem, their folder."""
    stems = [identifier(PurePosixPath(file).stem) for file in files]
    if len(set(stems)) < len(files):
        stems = [identifier(PurePosixPath(file).parent.as_posix()) for file in files]
    if len(set(stems)) < len(files):
        stems = [f"{stem}_{number}" for number, stem in enumerate(stems)]
    return dict(zip(files, stems, strict=True)) if len(files) > 1 else dict.fromkeys(files, "images")


def _classes(document: Document) -> list[str]:
    """Names as the reader takes them: without the super-category of all that Roboflow puts first and nothing is of."""
    used = {str(a.get("category_id")) for a in _items(document, "annotations")}
    categories = _items(document, "categories")
    parents = {str(c.get("supercategory")) for c in categories if c.get("name") != c.get("supercategory")}
    return [
        str(c.get("name")).strip() for c in categories if str(c.get("id")) in used or str(c.get("name")) not in parents
    ]


def _all_outlined(document: Document) -> bool:
    annotations = _items(document, "annotations")
    return bool(annotations) and all(a.get("segmentation") for a in annotations)


def _images_folder(look: Look, file: str, images: list[Document]) -> str:
    """The folder that the file names are relative to, where names alone do not tell the file: train2017 and val2017 may both
    have a 1.jpg, and the annotations' name says which is meant."""
    mentions = [str(image.get("file_name")) for image in images[:1]]
    if not mentions:
        return ""
    name = mentions[0].replace("\\", "/").lstrip("./")
    folders = [n[: len(n) - len(name)].strip("/") for n in look.images if n == name or n.endswith(f"/{name}")]
    near, stem = PurePosixPath(file).parent.as_posix(), PurePosixPath(file).stem
    ranked = sorted(folders, key=lambda f: (f == near.strip("."), bool(f) and f.split("/")[-1] in stem, -len(f)))
    return ranked[-1] if ranked else ""
