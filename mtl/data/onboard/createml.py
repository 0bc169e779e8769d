"""CreateML's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mtl.data.formats.createml import is_createml, list_of
from mtl.data.formats.documents import section
from mtl.data.onboard.documents import Kind
from mtl.data.onboard.look import Finding, Look


class Summary(NamedTuple):
    """Boxes, and labels without one."""

    boxes: int
    labels: int


def _summary(document: Any) -> Summary:
    given = [one for item in document if isinstance(item, dict) for one in list_of(item) or ()]
    boxes = sum(bool(section(one, "coordinates")) for one in given)
    return Summary(boxes, len(given) - boxes)


def _findings(look: Look, documents: Mapping[str, Summary]) -> Iterator[Finding]:
    seen = [*documents.values()]
    settings: dict[str, Any] = {"path": look.tree.path, "format": "createml"}
    settings |= {"annotations": next(iter(documents))} if len(documents) == 1 else {}
    settings |= {"boxes": "objects"} if any(s.boxes for s in seen) else {"boxes": None}
    settings |= {"label": "label"} if any(s.labels for s in seen) else {}
    yield Finding("createml", {"images": settings}, frozenset(documents))


CREATEML = Kind("createml", is_createml, _summary, _findings)
