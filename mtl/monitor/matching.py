"""Which image a label means: by its path or id, never by a bare name that several images have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

NAMED = 3
"""Images or lines that a message names."""


def match(
    labels: Mapping[str, Mapping[str, str]], names: Iterable[str], problems: list[str]
) -> dict[str, dict[str, str]]:
    """Labels by the names of images, of those that mean one image; the others are told of.

    A label's path is the image's, or ends with it (a folder or bucket before it), or is its end where no other image ends
    so; with the extension or without.
    """
    known = dict.fromkeys(names)
    ends = _ends(known, {label for label, given in labels.items() if given})
    claims: dict[str, list[str]] = {}
    unknown: list[str] = []
    ambiguous: list[str] = []
    for label in (one for one, given in labels.items() if given):
        found = _meant(label, known, ends)
        if len(found) == 1:
            claims.setdefault(found[0], []).append(label)
        else:
            (ambiguous if found else unknown).append(label)
    matched: dict[str, dict[str, str]] = {}
    for name, claiming in claims.items():
        exact = [label for label in claiming if label == name]
        chosen = exact or claiming
        if len(chosen) == 1:
            matched[name] = dict(labels[chosen[0]])
        ambiguous += [label for label in claiming if len(chosen) > 1 or label != chosen[0]]
    if unknown:
        problems.append(f"{len(unknown)} labels are of images that no look has seen: {listed(unknown)}")
    if ambiguous:
        problems.append(f"{len(ambiguous)} labels may mean several images: {listed(ambiguous)}")
    return matched


def _meant(label: str, known: Mapping[str, None], ends: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """The images that a label may mean: the one whose path it is or ends with, or those that end with it."""
    for tail in _tails(label):
        if tail in known:
            return [tail]
    found = ends.get(label, ())
    return [name for name in found if _id(name) == label] or found


def _ends(names: Iterable[str], labels: set[str]) -> dict[str, list[str]]:
    """Label → images whose path or id ends with it."""
    found: dict[str, list[str]] = {}
    for name in names:
        for form in dict.fromkeys([*_tails(name), *_tails(_id(name))]):
            if form in labels:
                found.setdefault(form, []).append(name)
    return found


def _id(name: str) -> str:
    return name.removesuffix(PurePosixPath(name).suffix)


def _tails(path: str) -> Iterator[str]:
    """A path, and what is left of it without its first folders."""
    parts = path.split("/")
    return ("/".join(parts[i:]) for i in range(len(parts)))


def listed(texts: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join(texts[:NAMED]) + (" …" if len(texts) > NAMED else "")
