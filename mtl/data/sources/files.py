"""`files`: data sets of one's own, read by their formats and joined by image id into one multi-task set."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from pathlib import Path

from mtl.config.files import AnyFileSet, FilesSource, GivenSplit
from mtl.data.formats import FORMATS, Problem, Reading
from mtl.data.formats.base import Entry
from mtl.data.raw.rows import FileRef, RawSample, write_problems, write_spec, write_splits
from mtl.data.sources.account import Accounts, Seen, container, num_annotations
from mtl.data.sources.joined import Joined, join, joined_shelf
from mtl.data.sources.placed import Placed, lost, place
from mtl.data.spec import DatasetSpec, SourceRecord, TargetSpec
from mtl.errors import DataError
from mtl.storage.digest import DigestCache, bytes_sha256
from mtl.storage.file_tree import FileTree
from mtl.storage.shelf import Shelf, batched

SOME = 4096
"""Entries whose files are looked up together."""


@dataclass
class Sets:
    """What all sets hold, joined; and what they said on the way."""

    joined: Shelf[Joined] = field(default_factory=joined_shelf)
    targets: dict[str, TargetSpec] = field(default_factory=dict[str, TargetSpec])
    slices: dict[str, None] = field(default_factory=dict[str, None])
    problems: list[Problem] = field(default_factory=list[Problem])
    records: list[SourceRecord] = field(default_factory=list[SourceRecord])
    seen: dict[str, Seen] = field(default_factory=dict[str, Seen])
    notes: Counter[str] = field(default_factory=Counter[str])
    marks: array[int] = field(default_factory=lambda: array("q"))
    """A number of each joined image's content, the same for copies."""


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
    sets = read_sets(settings, cache)
    placed = place(sets.joined, sets.problems, settings, sets.marks)
    spec = DatasetSpec(
        name="files",
        targets=sets.targets,
        slices=tuple(sets.slices),
        sources=tuple(sets.records),
        roots={name: chosen.path for name, chosen in settings.sets.items()},
        judged_on=settings.split.judged_on if isinstance(settings.split, GivenSplit) else "test",
    )
    counted = Counted()
    write_splits(folder, spec, counted.through(placed.samples()))
    write_problems(folder, [(p.id, p.reason) for p in sets.problems if p.loses == "image"])
    accounts(sets, placed, counted.annotations).write(folder)
    notes = {"copies_dropped": len(placed.copies)} if placed.copies else {}
    notes |= {"images_without_group": counted.alone} if counted.grouped and counted.alone else {}
    spec = spec.model_copy(update={"notes": notes})
    write_spec(folder, spec)
    return spec


@dataclass
class Counted:
    """How many annotations the samples have that went through, how many of them are in a group, and how many in none."""

    annotations: int = 0
    grouped: int = 0
    alone: int = 0

    def through(self, placed: Iterable[tuple[str, RawSample]]) -> Iterator[tuple[str, RawSample]]:
        """The same samples."""
        for split, sample in placed:
            self.annotations += num_annotations([sample.targets])
            self.grouped += bool(sample.group)
            self.alone += not sample.group
            yield split, sample


def accounts(sets: Sets, placed: Placed, annotations: int) -> Accounts:
    """Of all files and annotations, what became of them.

    Args:
        annotations: that samples have.
    """
    bad = [problem for problem in sets.problems if problem.loses == "annotation"]
    images = lost(sets.problems)
    return Accounts(
        files=[seen.account(placed.stand_for, images) for seen in sets.seen.values()],
        annotations=bad,
        num_annotations=annotations + len(bad),
        notes=sets.notes,
    )


def read_sets(settings: FilesSource, cache: Path) -> Sets:
    """All sets, joined by image id.

    Raises:
        DataError: one cannot be read, or two contradict each other in a target's classes.
    """
    digests = DigestCache(cache)
    sets = Sets()
    ids = Shelf[str].of_texts()
    try:
        for name, chosen in settings.sets.items():
            _read_set(sets, name, chosen, ids, digests, settings.threads)
    finally:
        digests.close()
    return sets


def _read_set(
    sets: Sets,
    name: str,
    chosen: AnyFileSet,
    ids: Shelf[str],
    cache: DigestCache,
    threads: int,
) -> None:
    """Add one set.

    Args:
        ids: of images of sets before, by path and file: a file is one image, whatever a set calls it.
    """
    tree = FileTree(chosen.path, cache)
    reading = FORMATS[chosen.format](chosen, tree.without(chosen.ignore))
    _unite(sets.targets, reading.targets, name)
    sets.slices |= dict.fromkeys(reading.slices)
    sets.notes += reading.notes
    seen = _see(sets, chosen, tree, reading)
    for p in reading.problems:
        sets.problems.append(Problem(chosen.id_prefix + p.id, f"{name}: {p.reason}", p.loses))
    contents, numbers = Shelf[None](), itertools.count()
    here = Shelf[str].of_texts()
    number = len(reading.entries)
    for entries in _taken(reading):
        known = _digests(tree, entries, cache, threads)
        for file, content in known.items():
            contents[f"{file}\0{content}\0"] = None
        for entry in entries:
            _own(entry, name, chosen.id_prefix)
        ids.ready(f"{chosen.path}\0{entry.image.name}" for entry in entries if isinstance(entry.image, FileRef))
        here.ready(entry.id for entry in entries)
        sets.joined.ready(entry.id for entry in entries)
        for entry in entries:
            found = _found(entry, known)
            if isinstance(found, Problem):
                sets.problems.append(Problem(entry.id, f"{name}: {found.reason}"))
                _name_files(seen, entry)
                continue
            if isinstance(entry.image, FileRef):
                entry.id = ids.setdefault(f"{chosen.path}\0{entry.image.name}", entry.id)
            if here.setdefault(entry.id, found["image"]) != found["image"]:
                _number(entry, here, found["image"])
                sets.notes["images whose id another image of their set has, which got a number"] += 1
            _name_files(seen, entry)
            for value in entry.digests.keys() if isinstance(entry.image, FileRef) else found.keys():
                contents[f"{entry.id}.{value}\0{found[value]}\0{next(numbers)}"] = None
            if join(sets.joined, entry, found, sets.problems):
                sets.marks.append(hash(found["image"]))
    sets.records.append(
        SourceRecord(
            name=name,
            package=chosen.path,
            version=chosen.format,
            licence=chosen.licence,
            sha256=_digest(contents),
            num_items=number,
        )
    )


def _taken(reading: Reading) -> Iterator[list[Entry]]:
    """The entries in their order, some at a time; those that were taken need not stay in memory."""
    entries, reading.entries = reading.entries, ()
    rest = _emptied(entries) if isinstance(entries, list) else iter(entries)
    del entries
    yield from batched(rest, SOME)


def _emptied(entries: list[Entry]) -> Iterator[Entry]:
    entries.reverse()
    while entries:
        yield entries.pop()


def _digest(contents: Shelf[None]) -> str:
    """SHA-256 of names and digests as a list in JSON, in order."""
    digest, comma = hashlib.sha256(b"["), ""
    for line in contents:
        name, found = map(encode_basestring_ascii, line.split("\0")[:2])
        digest.update(f"{comma}[{name}, {found}]".encode())
        comma = ", "
    digest.update(b"]")
    return digest.hexdigest()


def _see(sets: Sets, chosen: AnyFileSet, tree: FileTree, reading: Reading) -> Seen:
    """What the set says of the files below its path."""
    seen = sets.seen.setdefault(chosen.path, Seen(chosen.path, tree.names()))
    seen.ignore += chosen.ignore
    seen.documents |= reading.documents
    seen.left_out |= reading.left_out
    seen.problems |= {p.file: p.reason for p in reading.problems if p.file}
    return seen


def _name_files(seen: Seen, entry: Entry) -> None:
    for value in (entry.image, *entry.targets.values()):
        if isinstance(value, FileRef):
            file = container(value.name)
            if file != value.name:
                seen.documents.add(file)
            else:
                seen.named[file] = entry.id


def _number(entry: Entry, here: Shelf[str], content: str) -> None:
    """Another id for an image whose own is taken: nothing is lost because two files are called alike."""
    number = 2
    while here.get(f"{entry.id}~{number}", content) != content:
        number += 1
    entry.id = f"{entry.id}~{number}"
    here[entry.id] = content


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


def _digests(tree: FileTree, entries: list[Entry], cache: DigestCache, threads: int) -> dict[str, str]:
    """Of every file that the entries name. A bucket's ETag stands for the content, which need not be fetched for it."""
    names = {ref.name for entry in entries for ref in _refs(entry)}
    versions = {name: tree.versions[name] for name in sorted(names) if name in tree.versions}
    if tree.has_etags:
        return {name: bytes_sha256(version.encode()) for name, version in versions.items()}
    # A web server that fails for a moment fails the stage; a file of this machine that cannot be read is left out.
    read = tree.read if "://" in tree.path else tree.read_or_none
    return cache.digests(tree.identity, versions, read, threads)


def _found(entry: Entry, known: Mapping[str, str]) -> dict[str, str] | Problem:
    """Digests of the image and of targets that are files; or which one is not there."""
    values = {"image": entry.image, **{n: v for n, v in entry.targets.items() if isinstance(v, FileRef)}}
    digests = dict(entry.digests)
    for name, value in values.items():
        if name in digests:
            continue
        if isinstance(value, FileRef):
            if value.name not in known:
                return Problem(entry.id, f"{value.name} is not there or cannot be read")
            digests[name] = known[value.name]
        elif isinstance(value, bytes):
            digests[name] = bytes_sha256(value)
    return digests
