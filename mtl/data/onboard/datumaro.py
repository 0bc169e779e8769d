"""Datumaro's own JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mtl.data.formats.datumaro import is_datumaro
from mtl.data.formats.documents import items, text
from mtl.data.onboard.documents import Kind, drawn
from mtl.data.onboard.look import Finding, Look

OUTLINED = ("polygon", "mask", "rotated_bbox")


class Summary(NamedTuple):
    """Annotations by their kinds, and how many labels a picture has at most."""

    kinds: Counter[str]
    labels: int


def _summary(document: object) -> Summary:
    kinds: Counter[str] = Counter()
    most = 0
    for item in items(document, "items"):
        found = Counter(text(annotation.get("type")) for annotation in items(item, "annotations"))
        kinds += found
        most = max(most, found["label"])
    return Summary(kinds, most)


def _findings(look: Look, documents: Mapping[str, Summary]) -> Iterator[Finding]:
    kinds = sum((summary.kinds for summary in documents.values()), Counter[str]())
    outlined = max((kinds[kind] for kind in OUTLINED), default=0)
    settings = drawn(look.tree.path, "datumaro", outlined, max(outlined, kinds["bbox"]))
    settings |= {"annotations": next(iter(documents))} if len(documents) == 1 else {}
    most = max(summary.labels for summary in documents.values())
    settings |= {"label": "label"} if most == 1 else {"labels": "labels"} if most else {}
    yield Finding("datumaro", {"images": settings}, frozenset(documents))


DATUMARO = Kind("datumaro", is_datumaro, _summary, _findings)
