"""CVAT for images: XML files with all images of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from mtl.data.formats.cvat import document, labels_of
from mtl.data.onboard.look import Finding, Look, Section, identifier, some
from mtl.errors import DataError

BEGINNING = 1000
"""Bytes in which an XML file's root is."""
OUTLINED = ("polygon", "mask", "ellipse")
SHAPES = (*OUTLINED, "box", "cuboid")


def detect(look: Look) -> Iterator[Finding]:
    """One of all files for images; one each of what cannot be read."""
    documents: dict[str, Element] = {}
    for name in _candidates(look):
        try:
            root = document(name, look.tree.read(name))
            if root.find("meta") is None and root.find("image") is None:  # another's
                continue
            labels_of(root)
            documents[name] = root
        except DataError as error:
            yield Finding("cvat", evidence=frozenset([name]), fault=error.line)
    if documents:
        yield _images(look, documents)


def _candidates(look: Look) -> list[str]:
    """XML files that begin as CVAT's do. Those that are called as images are, are of one image each."""
    files = look.unclaimed(".xml")
    stems = {PurePosixPath(name).stem for name in look.images} if files else set[str]()
    files = [name for name in files if PurePosixPath(name).stem not in stems]
    if not any(_begins(look, name) for name in some(files)):
        return []
    return [name for name in files if _begins(look, name)]


def _begins(look: Look, name: str) -> bool:
    return b"<annotations" in look.tree.read(name)[:BEGINNING].replace(b"\0", b"")


def _images(look: Look, documents: dict[str, Element]) -> Finding:
    """A set per file, which is a task or a split."""
    labels = list(dict.fromkeys(label for root in documents.values() for label in labels_of(root)))
    tags = {item.tag for root in documents.values() for image in root.iterfind("image") for item in image}
    masks = bool(tags & {*OUTLINED}) and not tags & {"box", "cuboid"}
    if not tags & {*SHAPES}:
        fault = f"it has {', '.join(sorted(tags)) or 'no annotation'}: only boxes, polygons, masks, ellipses and cuboids are read"
        return Finding("cvat", evidence=frozenset(documents), fault=fault)
    sets: dict[str, Section] = {}
    for name in documents:
        section: Section = {"path": look.tree.path, "format": "cvat", "annotations": name, "boxes": "objects"}
        section |= {"masks": "regions"} if masks else {}
        own = "images"
        if len(documents) > 1:
            own = identifier(PurePosixPath(name).with_suffix("").as_posix())
            section |= {"classes": labels, "id_prefix": f"{own}/"}
        sets[own] = section
    return Finding("cvat", sets, frozenset(documents))
