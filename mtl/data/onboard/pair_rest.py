"""What lies beside pairs and is not read: it is named, and declared as not meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pathspec import GitIgnoreSpec

from mtl.data.formats.pairs import Side
from mtl.data.onboard.look import Finding, Look, Section, ignored
from mtl.data.onboard.pair_choice import Choice, files_of
from mtl.data.onboard.pair_layouts import Pairs

OTHERS = ("*_polygons.json", "**/polygons/*.json")
"""Further files of each image, whose masks say the same: Cityscapes', Mapillary's."""
SHOWN = 5
"""Folders that are named."""


def with_the_rest(
    look: Look, findings: Sequence[Finding], choice: Choice, names: Sequence[str], facts: Sequence[str]
) -> Iterator[Finding]:
    """The findings; the first claims what lies beside and is not read, and says so.

    Args:
        names: all pictures that nobody has claimed.
    """
    read = [one for groups in (choice.masks, choice.depths) for some_pairs in groups.values() for one in some_pairs]
    used = files_of(read).union(*(pairs.image_files for pairs in read))
    patterns: list[str] = []
    more = [*facts]
    evidence = frozenset[str]()
    for pairs, why in choice.others:
        pattern = _pattern(pairs)
        if not any(GitIgnoreSpec.from_lines([pattern]).match_files(used)):
            patterns.append(pattern)
        evidence |= pairs.map_files
        more.append(f"{pattern}: {why}; not read")
    for pattern in OTHERS:
        beside = [*GitIgnoreSpec.from_lines([pattern]).match_files(look.unclaimed(".json"))]
        patterns += [pattern] if beside else []
        more += [f"{pattern}: not read"] if beside else []
        evidence |= frozenset(beside)
    known = used | evidence
    evidence |= _left_over(read, [name for name in names if name not in known], more)
    first, *rest = findings
    sets = {name: _ignoring(section, patterns) for name, section in first.sets.items()}
    yield replace(first, sets=sets, evidence=first.evidence | evidence, facts=(*first.facts, *more))
    yield from rest


def _ignoring(section: Mapping[str, object], patterns: Sequence[str]) -> Section:
    every = [*dict.fromkeys([*ignored(section), *patterns])]
    return {**section, "ignore": every} if every else {**section}


def _pattern(pairs: Pairs) -> str:
    """All maps of a kind, as .gitignore has it."""
    escaped = re.sub(r"([\\*?\[\]!# ])", r"\\\1", pairs.map_name.replace("{}", "\0")).replace("\0", "*")
    if pairs.maps and pairs.map_name == "{}":
        return f"{pairs.maps}/" if "/" not in pairs.maps else f"**/{pairs.maps}/"
    return f"{escaped}.*"


def _left_over(read: Sequence[Pairs], names: Sequence[str], facts: list[str]) -> frozenset[str]:
    """Pictures that no set reads, by their folder or by their name; of the same picture as an image, further ones of it."""
    images = [Side(pairs.images, pairs.image_name) for pairs in read]
    maps = [Side(pairs.maps, pairs.map_name) for pairs in read]
    folders: dict[str, list[str]] = {}
    for name in names:
        if all(side.key(name) is None for side in (*images, *maps)):
            folders.setdefault(name.rpartition("/")[0], []).append(name)
    for folder, files in [*folders.items()][:SHOWN]:
        facts.append(f"{folder or '.'} has {len(files)} pictures that have no maps: not read")
    return frozenset(name for files in folders.values() for name in files)


def is_inside(name: str, folder: str) -> bool:
    """Whether a file lies in a folder of this path, wherever that is."""
    return f"/{folder}/" in f"/{name}"
