"""LabelMe: JSON files of pictures; and XML files of the LabelMe of the web."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mtl.data.formats.documents import items, section, text
from mtl.data.formats.labelme import is_labelme
from mtl.data.formats.labelme_shapes import NO_AREA
from mtl.data.formats.labelme_web import is_web
from mtl.data.onboard.documents import Kind, drawn
from mtl.data.onboard.look import Finding, Look, some


class Summary(NamedTuple):
    """Shapes with an area, those of them with an outline; and whether a flag is set."""

    shapes: int
    outlined: int
    flags: bool


def _summary(document: object) -> Summary:
    kinds = [text(shape.get("shape_type")) or "polygon" for shape in items(document, "shapes")]
    areas = [kind for kind in kinds if kind not in NO_AREA]
    flags = any(said is True for said in section(document, "flags").values())
    return Summary(len(areas), sum(kind != "rectangle" for kind in areas), flags)


def _findings(look: Look, documents: Mapping[str, Summary | None]) -> Iterator[Finding]:
    seen = [summary for summary in documents.values() if summary is not None]
    shapes, outlined = sum(s.shapes for s in seen), sum(s.outlined for s in seen)
    settings = drawn(look.tree.path, "labelme", outlined, shapes)
    settings |= {"flags": "flags"} if any(s.flags for s in seen) else {}
    yield Finding("labelme", {"images": settings}, frozenset(documents))


LABELME = Kind("labelme", is_labelme, _summary, _findings)


def detect_web(look: Look) -> Iterator[Finding]:
    """XML files of the LabelMe of the web."""
    names = look.unclaimed(".xml")
    looked = [name for name in some(names) if is_web(look.tree, name)]
    if not looked:
        return
    web = names if len(looked) == len(some(names)) else [name for name in names if is_web(look.tree, name)]
    text_of = "".join(look.text(name) or "" for name in looked)
    outlined = text_of.count("<polygon>") + text_of.count("<segm>") - text_of.count("bounding_box")
    settings = drawn(look.tree.path, "labelme", outlined, text_of.count("<object>"))
    masks = [name for name in look.images if name.split("/")[0] == "Masks"]
    yield Finding("labelme", {"images": settings}, frozenset([*web, *masks]))
