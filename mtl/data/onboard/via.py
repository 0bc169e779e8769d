"""VGG Image Annotator's JSON and CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mtl.data.formats.base import Reading
from mtl.data.formats.documents import section, text
from mtl.data.formats.via import class_attribute, files_of, is_via, names_of, regions_of
from mtl.data.formats.via_shapes import NO_AREA
from mtl.data.formats.via_table import is_via_table, table_of
from mtl.data.onboard.documents import Kind, drawn, overlapping
from mtl.data.onboard.look import Finding, Look, identifier
from mtl.errors import DataError


@dataclass
class Summary:
    """Pictures; regions with an area, those with an outline; their attributes, and which of them is the class; attributes of
    files, and how many values a file has at most.
    """

    pictures: frozenset[str]
    regions: int
    outlined: int
    attributes: Counter[str]
    chosen: str
    of_files: dict[str, int] = field(default_factory=dict[str, int])


def _summary(document: Any) -> Summary:
    return _of_files(files_of(document))


def _of_files(files: list[dict[str, object]]) -> Summary:
    regions = [region for item in files for region in regions_of(item)]
    kinds = [text(section(region, "shape_attributes").get("name")) for region in regions]
    areas = [kind for kind in kinds if kind not in NO_AREA]
    attributes = Counter(key for region in regions for key in section(region, "region_attributes"))
    of_files: dict[str, int] = {}
    for item in files:
        for name, value in section(item, "file_attributes").items():
            if names_of(value):
                of_files[name] = max(of_files.get(name, 0), len(names_of(value)))
    named = frozenset(text(item.get("filename")) for item in files)
    outlined = sum(kind != "rect" for kind in areas)
    return Summary(named, len(areas), outlined, attributes, class_attribute(files), of_files)


def _findings(look: Look, documents: Mapping[str, Summary]) -> Iterator[Finding]:
    """A project, and annotations of it, say the same: of those that share pictures, the first that says most."""
    twice = overlapping({name: summary.pictures for name, summary in documents.items()})
    kept = [n for n in documents if not any(n in pair and _better(documents, pair) != n for pair in twice)]
    facts = [f"{name} says again what another file of VIA says: not read" for name in documents if name not in kept]
    seen = [documents[name] for name in kept]
    settings = drawn(look.tree.path, "via", sum(s.outlined for s in seen), sum(s.regions for s in seen))
    settings |= {"annotations": kept[0]} if len(kept) == 1 else {}
    chosen = {summary.chosen for summary in seen if summary.chosen}
    others = sorted({name for summary in seen for name in summary.attributes} - chosen)
    fault = ""
    if len(chosen) > 1:
        fault = f"the regions' class is {' or '.join(sorted(chosen))}: set `attribute`"
    elif chosen:
        settings["attribute"] = chosen.pop()
        facts += [f"the class of a region is its {settings['attribute']!r}"]
        facts += [f"other attributes, not read: {', '.join(others)}"] if others else []
    elif any(summary.regions for summary in seen):
        facts.append("regions have no attribute: all are of one class, object")
    most = {name: many for summary in seen for name, many in summary.of_files.items()}
    targets = {identifier(n): {"column": n, "kind": "label" if many == 1 else "labels"} for n, many in most.items()}
    settings |= {"targets": targets} if targets else {}
    sets = {} if fault else {"images": settings}
    yield Finding("via", sets, frozenset(documents), tuple(facts), fault)


def _better(documents: Mapping[str, Summary], pair: tuple[str, str]) -> str:
    return max(pair, key=lambda name: (documents[name].regions, len(documents[name].pictures), name == pair[0]))


VIA = Kind("via", is_via, _summary, _findings)


def detect_table(look: Look) -> Iterator[Finding]:
    """VIA's annotations in CSV."""
    names = [name for name in look.unclaimed(".csv") if is_via_table(look.tree.read_or_none(name) or b"")]
    try:
        tables = {name: _of_files(table_of(look.tree.read(name), name, Reading({}, []))) for name in names}
    except DataError as error:
        yield Finding("via", evidence=frozenset(names), fault=error.line)
        return
    if tables:
        yield from _findings(look, tables)
