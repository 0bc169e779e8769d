"""JSON documents: each is read once, and taken for what it is by the first format that it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mtl.data.formats.documents import read_json
from mtl.data.onboard.look import SAMPLED, Finding, Look, Section, some
from mtl.errors import DataError

DAMAGED = "damaged"
WORDS = (b'"annotations"', b'"shapes"', b'"regions"', b'"bbox"', b'"segmentation"', b'"classTitle"', b'"coordinates"')
"""What only annotations say: a file that has one of them and cannot be read was meant."""


@dataclass(frozen=True)
class Kind:
    """A format whose annotations are JSON.

    fits: whether a document is of it. summary: what `findings` needs to know of one, small, for documents may be large.
    findings: from all documents of the format, by file; None stands for one of many like others, which was not looked into.
    """

    name: str
    fits: Callable[[object], bool]
    summary: Callable[[Any], Any]
    findings: Callable[[Look, Mapping[str, Any]], Iterable[Finding]]


def detect_documents(look: Look, kinds: Iterable[Kind]) -> Iterator[Finding]:
    """The findings of every kind that is there, in their order."""
    chosen = [*kinds]
    found: dict[str, dict[str, object]] = {kind.name: {} for kind in chosen}
    found[DAMAGED] = {}
    for names in _folders(look).values():
        looked = {name: _told(look, name, chosen) for name in some(names)}
        fits = {told[0] for told in looked.values()}
        if len(names) > SAMPLED and len(fits) > 1:
            looked |= {name: _told(look, name, chosen) for name in names if name not in looked}
        for name in names:
            kind, summary = looked.get(name, (next(iter(fits)), None))
            if kind:
                found[kind][name] = summary
    for kind in chosen:
        if found[kind.name]:
            yield from kind.findings(look, found[kind.name])
    if found[DAMAGED] and not any(found[kind.name] for kind in chosen):
        name, fault = next(iter(found[DAMAGED].items()))
        yield Finding("annotations in JSON", evidence=frozenset(found[DAMAGED]), fault=f"{name}: {fault}")


def _folders(look: Look) -> dict[str, list[str]]:
    folders: dict[str, list[str]] = {}
    for name in look.unclaimed(".json"):
        folders.setdefault(PurePosixPath(name).parent.as_posix(), []).append(name)
    return folders


def _told(look: Look, name: str, kinds: Iterable[Kind]) -> tuple[str, Any]:
    """The kind of a document, nothing if it is of none; and its summary."""
    try:
        document = read_json(look.tree, name)
    except DataError as error:
        data = look.tree.read_or_none(name) or b""
        return (DAMAGED, error.line) if any(word in data for word in WORDS) else ("", None)
    kind = next((kind for kind in kinds if kind.fits(document)), None)
    return (kind.name, kind.summary(document)) if kind else ("", None)


def overlapping(pictures: Mapping[str, frozenset[str]]) -> list[tuple[str, str]]:
    """Pairs of documents most of whose pictures, of the one that has fewer, are the other's too."""
    files = sorted(pictures)
    return [
        (one, other)
        for place, one in enumerate(files)
        for other in files[place + 1 :]
        if 2 * len(pictures[one] & pictures[other]) > min(len(pictures[one]), len(pictures[other]))
    ]


def drawn(path: str, form: str, outlined: int, total: int) -> Section:
    """A section of a tool's format: masks too where most objects have outlines."""
    masks = {"masks": "regions"} if 2 * outlined > total else {}
    return {"path": path, "format": form, "boxes": "objects" if total else None, **masks}
