"""KITTI's objects: text files whose lines begin with a type and have 15 words."""

from __future__ import annotations

from collections.abc import Iterator

from mtl.data.formats.kitti import read_row
from mtl.data.formats.partners import Partners, folders
from mtl.data.formats.text import lines
from mtl.data.onboard.look import Finding, Look, some
from mtl.errors import DataError

TRACKING = 17
"""Words of a line of KITTI's tracking, which begins with the frame and the track."""


def detect(look: Look) -> Iterator[Finding]:
    """At most one, of all images."""
    texts = [name for name in look.unclaimed(".txt") if "calib" not in folders(name)]
    looked = {name: lines(text) for name in some(texts) if (text := look.text(name))}
    filled = {name: found for name, found in looked.items() if found}
    good = [name for name, found in filled.items() if _is_kitti([line for _, line in found])]
    tracks = [name for name, found in filled.items() if all(_is_track(line) for _, line in found)]
    if tracks and 2 * len(tracks) >= len(filled):
        fault = "KITTI's tracking has one file of labels per sequence: only objects, one file per image, are read"
        yield Finding("kitti", evidence=frozenset(texts), fault=fault)
        return
    if not good or 2 * len(good) < len(filled):
        return
    partners = Partners(look.images, texts)
    evidence = frozenset(name for name in texts if _has_image(partners, name) or "imagesets" in folders(name))
    section = {"path": look.tree.path, "format": "kitti", "boxes": "objects"}
    yield Finding("kitti", {"images": section}, evidence)


def _is_kitti(found: list[str]) -> bool:
    good = 0
    for number, line in enumerate(found, 1):
        try:
            read_row(number, line)
            good += 1
        except DataError:
            continue
    return 2 * good > len(found)


def _is_track(line: str) -> bool:
    words = line.split()
    return len(words) in (TRACKING, TRACKING + 1) and words[0].isdecimal() and words[2].replace("_", "").isalpha()


def _has_image(partners: Partners, name: str) -> bool:
    try:
        partners.of(name)
    except DataError:
        return False
    return True
