"""What there is to know of a data set before anybody trains on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from mtl.data.inspect.encoded_files import look_at_files
from mtl.data.inspect.near_duplicates import near_duplicates
from mtl.data.inspect.report import DataReport, LeftOut
from mtl.data.inspect.samples import Samples
from mtl.data.inspect.shard_facts import Balance, facts_of
from mtl.data.inspect.suspects import suspects
from mtl.data.prepare.cores import Each
from mtl.data.prepare.cores import each as each_on_cores
from mtl.data.raw.account import read_account
from mtl.data.raw.rows import RawSplit
from mtl.data.shards.manifest import Manifest
from mtl.data.spec import SPLITS, DatasetSpec

FEW = 10
"""Samples of a class in the training split below which it is named."""
NAMED = 12
"""Classes that a line names."""


NOBODY = np.zeros(0, np.uint64)


def check(
    raw: Path,
    prepared: Path,
    manifest: Manifest,
    given: DatasetSpec,
    known: np.ndarray = NOBODY,
    each: Each = each_on_cores,
) -> DataReport:
    """A report: what became of every file and annotation, samples by split, what was quarantined and why, copies, leaks, wrong
    extensions, sizes, balance of classes. Shards and images are gone through some at a time; what is found is in memory.

    Args:
        prepared: shards made with every sample allowed to be bad.
        given: what the raw folder's spec.json says.
        known: digests of samples that were there before, in order (`mtl.data.inspect.shard_facts.known_digests`).
        each: where shards and images are looked at; on this machine's cores if not said.
    """
    samples = Samples(prepared, manifest)
    facts = facts_of(samples, known, each)
    copies = near_duplicates(facts.hashes, samples.ends, samples.names, prepared)
    files = look_at_files(raw, given, each)
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
        crowds=tuple(copies.crowds),
        suspects=suspects(samples, facts.arrived, copies),
        plain=tuple(copies.plain),
        divided_groups=divided,
        wrong_extensions=tuple(files.wrong),
        first_of_many=tuple(files.first_of_many),
        sizes=tuple((*size, number) for size, number in sorted(files.sizes.items())),
        balance=facts.balance,
        warnings=tuple(_warnings(facts.balance, manifest) + _warnings_of_groups(divided, given)),
    )


def _divided_groups(raw: Path, given: DatasetSpec) -> dict[str, dict[str, int]]:
    """Group → split → images, of groups in several splits: what is learnt of one is asked of it again. Of the others it has no more
    than a number for a moment.
    """
    splits = {split: RawSplit(raw, split, given) for split in SPLITS}
    marks = [np.unique(np.fromiter(map(hash, rows.groups()), np.int64)) for rows in splits.values()]
    values, counts = np.unique(np.concatenate(marks), return_counts=True)
    several = frozenset(values[counts > 1].tolist())
    found: dict[str, Counter[str]] = {}
    for split, rows in splits.items() if several else ():
        for group in rows.groups():
            if hash(group) in several:
                found.setdefault(group, Counter())[split] += 1
    return {group: dict(splits) for group, splits in sorted(found.items()) if len(splits) > 1}


def _warnings(balance: Balance, manifest: Manifest) -> list[str]:
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
