"""A proposal is read as the stages will read it: a split that fills all three parts is looked for, and a few samples are made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mtl.config.files import FilesSource
from mtl.data.formats import Entry, Reading
from mtl.data.kinds import KINDS
from mtl.data.onboard.look import Section, some
from mtl.data.onboard.proposal import grouped
from mtl.data.raw.rows import FileRef, RawSample
from mtl.data.sources.account import num_annotations
from mtl.data.sources.files import Sets, accounts, read_sets
from mtl.data.sources.placed import Placed, place
from mtl.data.spec import SPLITS, TargetSpec

LARGE = 20_000
"""Images above which nothing is tried: so many fill any split, and reading them all is what `mtl data check` is for."""
SMALL, FEW = 200, 2_000
"""Images below which a tenth is too few to choose an epoch by, and to show by that a version is better than the one before it."""
TOLERATED = 0.01
"""The share of images or annotations that may be bad, if no more is."""
MOST = 0.1
"""The share above which something else is wrong than single images."""
SALTS = 50
"""Random splits that are tried, until one fills all parts."""


@dataclass(frozen=True)
class Trial:
    """The split that is proposed, what was seen, the share that cannot be used, and why the proposal could not be run, if it
    could not.

    Attributes:
        images: to train on; of all splits, if so many are there that they were not divided.
    """

    split: Section
    images: int = 0
    facts: list[str] = field(default_factory=list[str])
    bad_fraction: float = TOLERATED
    fault: str = ""


def tried(sections: Mapping[str, Section], specs: Mapping[str, TargetSpec], readings: Sequence[Reading]) -> Trial:
    """Choose a split, and read the sets with it."""
    entries = [entry for reading in readings for entry in reading.entries]
    splits = _splits(entries)
    if len(entries) > LARGE:
        return Trial(splits[0], len(entries), [f"{len(entries)} images were not all read: mtl data check does"])
    with TemporaryDirectory() as scratch:
        sets = read_sets(_source(sections, splits[0]), Path(scratch, "digests.sqlite"))
    divisions: list[Division] = []
    for split in splits:
        source = _source(sections, split)
        mine = replace(sets, problems=[*sets.problems])
        placed = place(mine.joined, mine.problems, source, mine.marks)
        samples: dict[str, list[RawSample]] = {name: [] for name in SPLITS}
        for name, sample in placed.samples():
            samples[name].append(sample)
        divisions.append(Division(split, mine, placed, samples))
        if not _unfilled(divisions[-1].needed, specs) and divisions[-1].mostly_train:
            return _seen(divisions[-1])
    for one in divisions:
        if not _unfilled(one.needed, specs):
            return _seen(one)
    return Trial(splits[0], fault=_too_few(divisions[-1], specs))


@dataclass(frozen=True)
class Division:
    """What a split makes of the sets: where images go, and the samples by split."""

    split: Section
    sets: Sets
    placed: Placed
    samples: dict[str, list[RawSample]]

    @property
    def needed(self) -> dict[str, list[RawSample]]:
        """The splits that a training needs."""
        on_val = self.split.get("judged_on") == "val"
        return {name: found for name, found in self.samples.items() if name != "test" or not on_val}

    @property
    def mostly_train(self) -> bool:
        """Whether most images are trained on: chance may leave them few, of small sets."""
        return 2 * len(self.samples["train"]) >= sum(len(found) for found in self.samples.values())


def _source(sections: Mapping[str, Section], split: Section) -> FilesSource:
    return FilesSource.model_validate({"type": "files", "sets": sections, "split": split}, strict=False)


def _too_few(division: Division, specs: Mapping[str, TargetSpec]) -> str:
    """Why no split fills all parts."""
    sizes = ", ".join(f"{len(found)} {name}" for name, found in division.samples.items())
    copies = division.placed.copies
    lost = [f"{len(copies)} × the same bytes as another image"] if copies else []
    why = grouped(problem for problem in division.sets.problems if problem.loses == "image")
    unfilled = _unfilled(division.needed, specs)
    return "; ".join([f"too few images for three splits: {sizes}", unfilled, *lost, *why])


def _splits(entries: Sequence[Entry]) -> list[Section]:
    """What may be proposed, the best first: what the sets say, completed where they name two splits of three."""
    said = _said(entries)
    given = {said.get(_image(entry)) for entry in entries if entry.targets}
    val, test = (0.1 if len(entries) >= enough else 0.2 for enough in (SMALL, FEW))
    salts = [{}, *({"salt": str(number)} for number in range(1, SALTS))]
    if given == set(SPLITS):
        return [{"type": "given"}]
    if given == {"train", "val"}:
        return [{"type": "given", "judged_on": "val"}]
    if given == {"train", "test"}:
        return [{"type": "given", "val": val, **salt} for salt in salts]
    return [{"type": "random", "val": val, "test": test, **salt} for salt in salts]


def _image(entry: Entry) -> str:
    return entry.image.name if isinstance(entry.image, FileRef) else entry.id


def _said(entries: Sequence[Entry]) -> dict[str, str]:
    """The split of every image of which any set says one: not always the one that says what it shows."""
    return {_image(entry): entry.split for entry in entries if entry.split}


def _unfilled(samples: Mapping[str, list[RawSample]], specs: Mapping[str, TargetSpec]) -> str:
    """A target that a split lacks, or a class that the training split lacks and another has; nothing if there is none."""
    have = {split: Counter(t for sample in found for t in sample.targets) for split, found in samples.items()}
    targets = {target for counts in have.values() for target in counts}
    for split, counts in have.items():
        if lacking := sorted(targets - counts.keys()) or ([] if targets else ["any target"]):
            return f"{split} has no image with {lacking[0]}"
    for name, spec in specs.items():
        kind = KINDS[spec.kind]
        if kind.exclusive:
            used = {
                split: {label for s in found if name in s.targets for label in kind.classes_of(s.targets[name])}
                for split, found in samples.items()
            }
            if others := sorted(set.union(*used.values()) - used["train"]):
                shown = ", ".join(spec.classes[number] for number in others[:3])
                return f"train lacks classes of {name} that other splits have: {shown}"
    return ""


def _seen(division: Division) -> Trial:
    """What was seen of a split that fills all parts."""
    split, images = division.split, len(division.samples["train"])
    samples = [sample for found in division.samples.values() for sample in found]
    account = accounts(division.sets, division.placed, num_annotations(sample.targets for sample in samples))
    facts = ["splits: " + ", ".join(f"{len(found)} {name}" for name, found in division.samples.items())]
    if split.get("judged_on") == "val":
        facts.append(
            "no labelled test images: versions are judged on the validation split, which also chooses the epoch"
        )
    for files in account.files:
        if files.unaccounted:
            shown = ", ".join(some(files.unaccounted)[:5])
            facts.append(f"{len(files.unaccounted)} files would be used by no set: {shown}")
    problems = [problem for problem in division.sets.problems if problem.loses == "image"]
    bad = max(
        len(problems) / (len(problems) + len(samples)), len(account.annotations) / max(account.num_annotations, 1)
    )
    if bad <= TOLERATED:
        return Trial(split, images, facts)
    why = "; ".join(grouped([*problems, *account.annotations]))
    if bad > MOST:
        return Trial(split, images, facts, fault=f"{bad:.0%} of its images or annotations cannot be used: {why}")
    share = math.ceil(100 * bad) / 100
    return Trial(split, images, [*facts, f"{bad:.1%} cannot be used, so max_bad_fraction is {share:g}: {why}"], share)
