"""`files`: data sets of one's own, read by their formats and joined by image id into one multi-task set."""

from __future__ import annotations

import contextlib
import gc
import json
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtl.config.files import AnyFileSet, FilesSource, GivenSplit, StratifiedSplit
from mtl.data.formats import FORMATS, Problem, Reading
from mtl.data.formats.base import Entry
from mtl.data.raw.assignment import assign, copies_apart
from mtl.data.raw.groups import Image
from mtl.data.raw.rows import FileRef, RawSample, write_problems, write_spec, write_split
from mtl.data.raw.splits import read_table, splitter
from mtl.data.sources.account import Accounts, Seen, container, num_annotations
from mtl.data.sources.joined import Joined, join, without_copies
from mtl.data.spec import SPLITS, DatasetSpec, SourceRecord, TargetSpec
from mtl.errors import DataError
from mtl.storage.digest import DigestCache, bytes_sha256
from mtl.storage.file_tree import FileTree


@dataclass
class Sets:
    """What all sets hold, joined; and what they said on the way."""

    joined: dict[str, Joined] = field(default_factory=dict[str, Joined])
    targets: dict[str, TargetSpec] = field(default_factory=dict[str, TargetSpec])
    slices: dict[str, None] = field(default_factory=dict[str, None])
    problems: list[Problem] = field(default_factory=list[Problem])
    records: list[SourceRecord] = field(default_factory=list[SourceRecord])
    seen: dict[str, Seen] = field(default_factory=dict[str, Seen])
    notes: Counter[str] = field(default_factory=Counter[str])

    def lost(self) -> dict[str, str]:
        """Id of an image that cannot be used → why."""
        return {p.id: p.reason for p in reversed(self.problems) if p.loses == "image"}


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
    by_split, copies = samples_by_split(sets, settings)
    samples = [sample for found in by_split.values() for sample in found]
    notes = {"copies_dropped": len(copies)} if copies else {}
    if any(sample.group for sample in samples):
        alone = sum(not sample.group for sample in samples)
        notes |= {"images_without_group": alone} if alone else {}
    spec = DatasetSpec(
        name="files",
        targets=sets.targets,
        slices=tuple(sets.slices),
        sources=tuple(sets.records),
        roots={name: chosen.path for name, chosen in settings.sets.items()},
        judged_on=settings.split.judged_on if isinstance(settings.split, GivenSplit) else "test",
        notes=notes,
    )
    for split, found in by_split.items():
        write_split(folder, split, spec, found)
    write_problems(folder, [(p.id, p.reason) for p in sets.problems if p.loses == "image"])
    accounts(sets, samples, copies).write(folder)
    write_spec(folder, spec)
    return spec


def samples_by_split(sets: Sets, settings: FilesSource) -> tuple[dict[str, list[RawSample]], dict[str, str]]:
    """The samples of each split; and of each copy that is dropped, the image that stands for it.

    What can be in no split is added to the sets' problems.

    Raises:
        DataError: the table of splits cannot be read, or contradicts itself.
    """
    images = {found: _image(found, one) for found, one in sets.joined.items()}
    choose = splitter(settings.split, images.values())
    sets.problems += [Problem.of(i, error) for i, error in copies_apart(images.values(), settings.split, choose)]
    lost, copies = sets.lost(), dict[str, str]()
    kept = {found: one for found, one in sets.joined.items() if found not in lost}
    if settings.duplicates == "drop":
        placed = read_table(Path(settings.split.table)) if isinstance(settings.split, StratifiedSplit) else {}
        kept, copies = without_copies(kept, placed, sets.problems)
    assigned, unplaced = assign([_image(found, kept[found]) for found in sorted(kept)], settings.split, choose)
    sets.problems += [Problem.of(found, error) for found, error in unplaced]
    by_split: dict[str, list[RawSample]] = {split: [] for split in SPLITS}
    for found, where in assigned.items():
        entry = kept[found].entry
        assert entry.image is not None
        sample = RawSample(found, entry.image, entry.targets, entry.slices, kept[found].key(), where.group)
        by_split[where.split].append(sample)
    return by_split, copies


def _image(found: str, one: Joined) -> Image:
    """What a split may depend on."""
    return Image(found, one.digests["image"], one.entry.split, one.entry.group, one.entry.time)


def accounts(sets: Sets, samples: Iterable[RawSample], copies: Mapping[str, str]) -> Accounts:
    """Of all files and annotations, what became of them."""
    lost = sets.lost()
    targets = {sample.id: sample.targets for sample in samples}
    kept = {found: found for found in targets} | {c: of for c, of in copies.items() if of in targets}
    bad = [problem for problem in sets.problems if problem.loses == "annotation"]
    return Accounts(
        files=[seen.account(kept, lost) for seen in sets.seen.values()],
        annotations=bad,
        num_annotations=num_annotations(targets.values()) + len(bad),
        notes=sets.notes,
    )


def read_sets(settings: FilesSource, cache: Path) -> Sets:
    """All sets, joined by image id.

    Raises:
        DataError: one cannot be read, or two contradict each other in a target's classes.
    """
    digests = DigestCache(cache)
    sets = Sets()
    ids: dict[tuple[str, str], str] = {}
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
    ids: dict[tuple[str, str], str],
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
    known = _digests(tree, reading, cache, threads)
    inside: list[tuple[str, str]] = []
    here: dict[str, str] = {}
    for entry in reading.entries:
        found = _found(entry, known)
        _own(entry, name, chosen.id_prefix)
        if isinstance(found, Problem):
            sets.problems.append(Problem(entry.id, f"{name}: {found.reason}"))
            _name_files(seen, entry)
            continue
        if isinstance(entry.image, FileRef):
            entry.id = ids.setdefault((chosen.path, entry.image.name), entry.id)
        if here.setdefault(entry.id, found["image"]) != found["image"]:
            _number(entry, here, found["image"])
            sets.notes["images whose id another image of their set has, which got a number"] += 1
        _name_files(seen, entry)
        of_entry = entry.digests.keys() if isinstance(entry.image, FileRef) else found.keys()
        inside += [(f"{entry.id}.{value}", found[value]) for value in of_entry]
        join(sets.joined, entry, found, sets.problems)
    content = bytes_sha256(json.dumps(sorted([*known.items(), *inside])).encode())
    sets.records.append(
        SourceRecord(
            name=name,
            package=chosen.path,
            version=chosen.format,
            licence=chosen.licence,
            sha256=content,
            num_items=len(reading.entries),
        )
    )


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


def _number(entry: Entry, here: dict[str, str], content: str) -> None:
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


def _digests(tree: FileTree, reading: Reading, cache: DigestCache, threads: int) -> dict[str, str]:
    """Of every file that the entries name. A bucket's ETag stands for the content, which need not be fetched for it."""
    names = {ref.name for entry in reading.entries for ref in _refs(entry)}
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
