"""`files`: data sets of one's own, read by their formats and joined by image id into one multi-task set."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from mtl.config import DataError
from mtl.config.files import FilesSource, StratifiedSplit
from mtl.data.assignment import assign, copies_apart
from mtl.data.formats import FORMATS, Problem, Reading
from mtl.data.formats.base import Entry
from mtl.data.groups import Image
from mtl.data.place import Place
from mtl.data.raw import FileRef, RawSample, write_problems, write_spec, write_split
from mtl.data.spec import SPLITS, DatasetSpec, SourceRecord, TargetSpec
from mtl.data.splits import read_table, splitter
from mtl.digest import DigestCache, bytes_sha256


@dataclass
class Joined:
    """One image with what all sets say of it. `digests`: of the image and of targets that are files."""

    entry: Entry
    digests: dict[str, str] = field(default_factory=dict[str, str])

    def key(self) -> str:
        """SHA-256 of all that the sample is."""
        targets = {
            name: self.digests.get(name) or (bytes_sha256(value) if isinstance(value, bytes) else value)
            for name, value in sorted(self.entry.targets.items())
        }
        return bytes_sha256(orjson.dumps([self.digests["image"], targets]))


def fetch_files(settings: FilesSource, seed: int, folder: Path, cache: Path) -> DatasetSpec:
    """Write an index of all sets into `folder`: images stay where they are.

    Raises:
        DataError: a set cannot be read, or two sets contradict each other in a target's classes.
    """
    with _without_collector():
        return _fetch(settings, folder, cache.parent / "digests.sqlite")


@contextlib.contextmanager
def _without_collector() -> Generator[None]:
    """Python's search for cycles goes through all entries again and again, a quarter of the time; they have none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _fetch(settings: FilesSource, folder: Path, cache: Path) -> DatasetSpec:
    digests = DigestCache(cache)
    try:
        joined, targets, slices, problems, records = _read_sets(settings, digests)
    finally:
        digests.close()
    images = {found: _image(found, one) for found, one in joined.items()}
    choose = splitter(settings.split, images.values())
    apart = copies_apart(images.values(), settings.split, choose)
    for found, error in apart:
        problems.append(Problem.of(found, error))
        del joined[found]
    kept, notes = _without_copies(joined, settings, problems)
    assigned, unplaced = assign([_image(found, kept[found]) for found in sorted(kept)], settings.split, choose)
    problems += [Problem.of(found, error) for found, error in unplaced]
    by_split: dict[str, list[RawSample]] = {split: [] for split in SPLITS}
    for found, place in assigned.items():
        entry = kept[found].entry
        assert entry.image is not None
        sample = RawSample(found, entry.image, entry.targets, entry.slices, kept[found].key(), place.group)
        by_split[place.split].append(sample)
    if alone := sum(not place.group for place in assigned.values()):
        notes |= {"images_without_group": alone} if alone < len(assigned) else {}
    roots = {name: chosen.path for name, chosen in settings.sets.items()}
    spec = DatasetSpec(name="files", targets=targets, slices=slices, sources=tuple(records), roots=roots, notes=notes)
    for split, samples in by_split.items():
        write_split(folder, split, spec, samples)
    write_problems(folder, [(problem.id, problem.reason) for problem in problems])
    write_spec(folder, spec)
    return spec


def _read_sets(
    settings: FilesSource, cache: DigestCache
) -> tuple[dict[str, Joined], dict[str, TargetSpec], tuple[str, ...], list[Problem], list[SourceRecord]]:
    joined: dict[str, Joined] = {}
    targets: dict[str, TargetSpec] = {}
    slices: dict[str, None] = {}
    problems: list[Problem] = []
    records: list[SourceRecord] = []
    for name, chosen in settings.sets.items():
        place = Place(chosen.path)
        reading = FORMATS[chosen.format](chosen, place)
        _unite(targets, reading.targets, name)
        slices |= dict.fromkeys(reading.slices)
        problems += [Problem(chosen.id_prefix + p.id, f"{name}: {p.reason}") for p in reading.problems]
        known = _digests(place, reading, cache, settings.threads)
        seen: set[str] = set()
        inside: list[tuple[str, str]] = []
        for entry in reading.entries:
            _own(entry, name, chosen.id_prefix)
            if entry.id in seen:
                problems.append(Problem(entry.id, f"{name}: two images have this id"))
                continue
            seen.add(entry.id)
            found = _found(entry, known)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                seen_here = entry.digests.keys() if isinstance(entry.image, FileRef) else found.keys()
                inside += [(f"{entry.id}.{value}", found[value]) for value in seen_here]
                _join(joined, entry, found, problems)
        content = bytes_sha256(json.dumps(sorted([*known.items(), *inside])).encode())
        records.append(
            SourceRecord(
                name=name,
                package=chosen.path,
                version=chosen.format,
                licence=chosen.licence,
                sha256=content,
                num_items=len(reading.entries),
            )
        )
    bad = {problem.id for problem in problems}
    return {i: j for i, j in joined.items() if i not in bad}, targets, tuple(slices), problems, records


def _unite(targets: dict[str, TargetSpec], more: Mapping[str, TargetSpec], name: str) -> None:
    for target, spec in more.items():
        if targets.setdefault(target, spec) != spec:
            raise DataError(
                f"the set {name} and one before it mean different things by the target {target!r}",
                found=f"{spec.kind} of {list(spec.classes)[:8]}, {targets[target].kind} of {list(targets[target].classes)[:8]}",
                fix="declare the same `classes` in both, or name one target differently",
            )


def _own(entry: Entry, name: str, prefix: str) -> None:
    """Put the set's name on every file of an entry, and its prefix on the id."""
    entry.id = prefix + entry.id
    if isinstance(entry.image, FileRef):
        entry.image = FileRef(entry.image.name, name)
    for target, value in entry.targets.items():
        if isinstance(value, FileRef):
            entry.targets[target] = FileRef(value.name, name)


def _refs(entry: Entry) -> Iterable[FileRef]:
    """Files whose content is not known."""
    values = {"image": entry.image, **entry.targets}
    return (v for name, v in values.items() if isinstance(v, FileRef) and name not in entry.digests)


def _digests(place: Place, reading: Reading, cache: DigestCache, threads: int) -> dict[str, str]:
    """Of every file that the entries name. A bucket's ETag stands for the content, which need not be fetched for it."""
    names = {ref.name for entry in reading.entries for ref in _refs(entry)}
    versions = {name: place.versions[name] for name in sorted(names) if name in place.versions}
    if place.has_etags:
        return {name: bytes_sha256(version.encode()) for name, version in versions.items()}
    # A web server that fails for a moment fails the stage; a file of this machine that cannot be read is left out.
    read = place.read if "://" in place.path else place.read_or_none
    return cache.digests(place.identity, versions, read, threads)


def _found(entry: Entry, known: Mapping[str, str]) -> dict[str, str] | Problem:
    """Digests of the image and of targets that are files; or which one is not there."""
    values = {"image": entry.image, **{n: v for n, v in entry.targets.items() if isinstance(v, FileRef)}}
    digests = dict(entry.digests)
    for name, value in values.items():
        if name in digests:
            continue
        if isinstance(value, FileRef):
            if value.name not in known:
                return Problem(entry.id, f"{value} is not there or cannot be read")
            digests[name] = known[value.name]
        elif isinstance(value, bytes):
            digests[name] = bytes_sha256(value)
    return digests


def _join(joined: dict[str, Joined], entry: Entry, digests: dict[str, str], problems: list[Problem]) -> None:
    """Add what a set says of an image to what others said."""
    before = joined.get(entry.id)
    if before is None:
        joined[entry.id] = Joined(entry, digests)
        return
    if before.digests.get("image") != digests.get("image"):
        problems.append(Problem(entry.id, "two sets have different images of this id; set id_prefix"))
        return
    joined[entry.id] = _merged(before, Joined(entry, digests), problems)


def _merged(one: Joined, other: Joined, problems: list[Problem]) -> Joined:
    """The targets of both; a problem if they say different things of one target."""
    for name in one.entry.targets.keys() & other.entry.targets.keys():
        mine, theirs = (j.digests.get(name) or j.entry.targets[name] for j in (one, other))
        if mine != theirs:
            reason = f"it has the same bytes as {one.entry.id}, but another {name!r}"
            if one.entry.id == other.entry.id:
                reason = f"two sets say different things of its {name!r}"
            problems.append(Problem(other.entry.id, reason))
            if one.entry.id != other.entry.id:
                problems.append(
                    Problem(one.entry.id, f"it has the same bytes as {other.entry.id}, but another {name!r}")
                )
    first, second = one.entry, other.entry
    if first.id == second.id:
        for name in ("split", "group", "time"):
            mine, theirs = getattr(first, name), getattr(second, name)
            if mine and theirs and mine != theirs:
                reason = f"two sets say different things of its {name}: {mine!r}, {theirs!r}"
                problems.append(Problem(first.id, reason))
    entry = replace(
        first,
        targets={**second.targets, **first.targets},
        split=first.split or second.split,
        group=first.group or second.group,
        time=first.time or second.time,
        slices={**second.slices, **first.slices},
    )
    return Joined(entry, {**other.digests, **one.digests})


def _image(found: str, one: Joined) -> Image:
    """What a split may depend on."""
    return Image(found, one.digests["image"], one.entry.split, one.entry.group, one.entry.time)


def _without_copies(
    joined: Mapping[str, Joined], settings: FilesSource, problems: list[Problem]
) -> tuple[dict[str, Joined], dict[str, int]]:
    """Images with the same bytes become one, with the targets of all: the one that a table has placed, or the first.
    Contradictions are problems."""
    if settings.duplicates == "keep":
        return dict(joined), {}
    placed = read_table(Path(settings.split.table)) if isinstance(settings.split, StratifiedSplit) else {}
    first: dict[str, str] = {}
    kept: dict[str, Joined] = {}
    for found in sorted(joined, key=lambda one: (one not in placed, one)):
        content = joined[found].digests["image"]
        if content in first:
            kept[first[content]] = _merged(kept[first[content]], joined[found], problems)
        else:
            first[content] = found
            kept[found] = joined[found]
    bad = {problem.id for problem in problems}
    notes = {"copies_dropped": len(joined) - len(kept)} if len(joined) > len(kept) else {}
    return {found: image for found, image in kept.items() if found not in bad}, notes
