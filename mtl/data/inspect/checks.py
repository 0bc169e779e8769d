"""What there is to know of a data set before anybody trains on it."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mtl.codecs.header import SUFFIXES, read_header
from mtl.data.inspect.near_duplicates import Name, near_duplicates
from mtl.data.inspect.report import Crowd, DataReport, LeftOut, WrongExtension
from mtl.data.inspect.suspects import suspects
from mtl.data.kinds import KINDS
from mtl.data.raw.account import read_account
from mtl.data.raw.rows import FileRef, RawSplit
from mtl.data.shards.manifest import Manifest
from mtl.data.shards.shards import Shard
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from mtl.storage.members import Member

FEW = 10
"""Samples of a class in the training split below which it is named."""
NAMED = 12
"""Classes that a line names."""


def check(
    raw: Path, prepared: Path, manifest: Manifest, given: DatasetSpec, known: frozenset[str] = frozenset()
) -> DataReport:
    """A report: what became of every file and annotation, samples by split, what was quarantined and why, copies, leaks, wrong
    extensions, sizes, balance of classes.

    Args:
        prepared: shards made with every sample allowed to be bad.
        given: what the raw folder's spec.json says.
        known: digests of samples that were there before (`mtl.data.inspect.suspects`).
    """
    copies = near_duplicates(prepared, manifest)
    balance = _balance(prepared, manifest)
    files = _look_at_files(raw, given)
    account = read_account(raw)
    divided = _divided_groups(raw, given)
    return DataReport(
        files=account.files,
        annotations=account.annotations,
        num_annotations=account.num_annotations,
        notes=account.notes,
        samples={split: manifest.num_samples(split) for split in SPLITS},
        empty=tuple(split for split in _needed(manifest) if not manifest.num_samples(split)),
        quarantined=tuple(LeftOut(id=q.id, split=q.split, reason=q.reason) for q in manifest.quarantined),
        copies_dropped=manifest.spec.notes.get("copies_dropped", 0),
        near_duplicates=tuple((a[1], b[1]) for a, b in copies.pairs),
        num_near_duplicates=copies.num_pairs,
        leaks=tuple(copies.leaks),
        num_leaks=copies.num_leaks,
        crowds=tuple(_crowd(crowd) for crowd in copies.crowds),
        suspects=suspects(prepared, manifest, copies, known),
        plain=tuple(copies.plain),
        divided_groups=divided,
        wrong_extensions=tuple(files.wrong),
        first_of_many=tuple(files.first_of_many),
        sizes=tuple((*size, number) for size, number in sorted(files.sizes.items())),
        balance=balance,
        warnings=tuple(_warnings(balance, manifest) + _warnings_of_groups(divided, given)),
    )


def _crowd(names: list[Name]) -> Crowd:
    """Images that look alike, by split; the first of them by name."""
    splits = Counter(split for split, _ in names)
    return Crowd(number=len(names), splits=dict(splits), first=tuple(found for _, found in names[:FEW]))


def _divided_groups(raw: Path, given: DatasetSpec) -> dict[str, dict[str, int]]:
    """Group → split → images, of groups in several splits: what is learnt of one is asked of it again."""
    found: dict[str, Counter[str]] = {}
    for split in SPLITS:
        for group in RawSplit(raw, split, given).groups():
            found.setdefault(group, Counter())[split] += 1
    return {group: dict(splits) for group, splits in sorted(found.items()) if len(splits) > 1}


@dataclass
class Files:
    """What there is to say of the encoded images: those that are another format than their name says; those with further pages
    or frames, which nobody reads; how many have which width and height.
    """

    wrong: list[WrongExtension] = field(default_factory=list[WrongExtension])
    first_of_many: list[str] = field(default_factory=list[str])
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter[tuple[int, int]])


def _look_at_files(raw: Path, given: DatasetSpec) -> Files:
    places: dict[str, FileTree] = {}
    files = Files()
    for split in SPLITS:
        rows = RawSplit(raw, split, given)
        for sample in rows.samples(0, len(rows)):
            data = sample.image
            if isinstance(data, FileRef):
                if data.owner not in places:
                    places[data.owner] = FileTree(given.roots[data.owner])
                data = places[data.owner].read_or_none(data.name) or b""
            with contextlib.suppress(DataError):  # quarantined
                header = read_header(data)
                files.sizes[header.width, header.height] += 1
                files.first_of_many += [sample.id] if header.has_more else []
                suffix = _suffix(sample.image)
                if suffix and suffix not in SUFFIXES.get(header.format, (suffix,)):
                    wrong = {"id": sample.id, "file": str(sample.image), "is": header.format}
                    files.wrong.append(WrongExtension.model_validate(wrong))
    return files


def _suffix(image: bytes | FileRef) -> str:
    """What its name says that it is; nothing if it has none."""
    if not isinstance(image, FileRef):
        return ""
    member = Member.parse(image.name)
    return PurePosixPath(member.name if member else image.name).suffix.lower()


def _balance(prepared: Path, manifest: Manifest) -> dict[str, dict[str, dict[str, int]]]:
    """target → class → split → number of samples (of boxes: of boxes; of masks: of images that have it)."""
    told = {name: target for name, target in manifest.spec.targets.items() if target.classes}
    found: dict[str, dict[str, dict[str, int]]] = {
        name: {c: dict.fromkeys(SPLITS, 0) for c in target.classes} for name, target in told.items()
    }
    for split in SPLITS:
        for record in manifest.of(split):
            shard = Shard(prepared / record.file)
            for name, target in told.items():
                for label, number in KINDS[target.kind].count(shard.arrays, name, target).items():
                    found[name][target.classes[label]][split] += number
    return found


def _warnings(balance: dict[str, dict[str, dict[str, int]]], manifest: Manifest) -> list[str]:
    lines: list[str] = []
    for name, classes in balance.items():
        if not any(number for numbers in classes.values() for number in numbers.values()):
            lines.append(f"{name}: no sample has this target")
            continue
        few = [f"{label} ({numbers['train']})" for label, numbers in classes.items() if numbers["train"] < FEW]
        if few:
            lines.append(f"{name}: fewer than {FEW} samples to train on: {_first(few)}")
        for split in _needed(manifest):
            lacking = [label for label, numbers in classes.items() if not numbers[split] and numbers["train"]]
            if lacking:
                lines.append(f"{name}: not in {split}: {_first(lacking)}")
    return lines


def _first(labels: list[str]) -> str:
    """Some of many."""
    return ", ".join(labels[:NAMED]) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")


def _needed(manifest: Manifest) -> list[str]:
    return [split for split in SPLITS if split != "test" or manifest.spec.judged_on == "test"]


def _warnings_of_groups(divided: dict[str, dict[str, int]], given: DatasetSpec) -> list[str]:
    alone = given.notes.get("images_without_group", 0)
    lines = [f"{alone} images are in no group, others are: each of them is placed alone"] if alone else []
    return lines + ([f"{len(divided)} groups lie in several splits"] if divided else [])
