"""Supervisely: projects, each with a meta.json and JSON files of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mtl.data.formats.base import split_of
from mtl.data.formats.documents import items, number, text
from mtl.data.formats.supervisely import is_annotation, is_meta
from mtl.data.formats.supervisely_shapes import NO_AREA
from mtl.data.onboard.documents import Kind, drawn
from mtl.data.onboard.look import Finding, Look, Section, identifier


@dataclass
class Summary:
    """Of a picture's file: objects with an area, those with an outline, tags with a value and whether it is a number; whether it
    has tags without. Of a project's: its classes.
    """

    objects: int = 0
    outlined: int = 0
    valued: dict[str, bool] = field(default_factory=dict[str, bool])
    bare: bool = False
    classes: tuple[str, ...] | None = None


def _summary(document: object) -> Summary:
    if is_meta(document):
        return Summary(classes=tuple(text(one.get("title")) for one in items(document, "classes")))
    kinds = [text(one.get("geometryType")) for one in items(document, "objects")]
    areas = [kind for kind in kinds if kind not in NO_AREA]
    tags = [(text(tag.get("name")), tag.get("value")) for tag in items(document, "tags")]
    valued = {name: number(value) is not None for name, value in tags if value is not None}
    bare = any(value is None and split_of(name) is None for name, value in tags)
    return Summary(len(areas), sum(kind != "rectangle" for kind in areas), valued, bare)


def _findings(look: Look, documents: Mapping[str, Summary | None]) -> Iterator[Finding]:
    """One finding, with a set a project."""
    metas = {
        PurePosixPath(n).parent.as_posix(): s for n, s in documents.items() if s is not None and s.classes is not None
    }
    projects = {name: _project(name, [*metas]) for name in documents}
    folders = sorted({projects[n] for n, s in documents.items() if s is None or s.classes is None})
    classes = list(dict.fromkeys(c for folder in folders if folder in metas for c in metas[folder].classes or ()))
    sets: dict[str, Section] = {}
    for folder in folders:
        seen = [s for n, s in documents.items() if projects[n] == folder and s is not None]
        path = look.tree.path if folder == "." else f"{look.tree.path.rstrip('/')}/{folder}"
        settings = _section(path, seen)
        name = identifier(folder) if len(folders) > 1 else "images"
        if len(folders) > 1:
            settings |= {"classes": classes, "id_prefix": f"{name}/"}
        sets[name] = settings
    if sets:
        yield Finding("supervisely", sets, frozenset(documents))


def _project(name: str, folders: list[str]) -> str:
    """The folder of the project that a file is of: the innermost above it that has a meta.json."""
    above = [folder.as_posix() for folder in PurePosixPath(name).parents]
    return next((folder for folder in above if folder in folders), ".")


def _section(path: str, seen: list[Summary]) -> Section:
    settings = drawn(path, "supervisely", sum(s.outlined for s in seen), sum(s.objects for s in seen))
    valued: dict[str, Counter[bool]] = {}
    for summary in seen:
        for name, is_number in summary.valued.items():
            valued.setdefault(name, Counter())[is_number] += 1
    targets = {
        identifier(name): {"column": name, "kind": "value" if set(kinds) == {True} else "label"}
        for name, kinds in valued.items()
    }
    settings |= {"targets": targets} if targets else {}
    return settings | ({"tags": "tags"} if any(s.bare for s in seen) else {})


SUPERVISELY = Kind("supervisely", lambda document: is_meta(document) or is_annotation(document), _summary, _findings)
