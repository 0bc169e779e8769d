"""A proposal is read as the stages will read it: a split that fills all three parts is looked for, and a few samples are made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mtl.config.files import FilesSource
from mtl.data.formats import Entry, Reading
from mtl.data.onboard.look import some
from mtl.data.raw import RawSample, read_account, read_problems, read_split
from mtl.data.sources.files import fetch_files
from mtl.data.spec import SPLITS, TargetSpec

LARGE = 20_000
"""Images above which nothing is tried: so many fill any split, and reading them all is what `mtl data check` is for."""
SMALL = 200
"""Images below which a tenth is too few to judge by."""
TOLERATED = 0.01
"""The share of images or annotations that may be bad, if no more is."""
MOST = 0.1
"""The share above which something else is wrong than single images."""
SALTS = 50
"""Random splits that are tried, until one fills all parts."""


@dataclass(frozen=True)
class Trial:
    """The split that is proposed, what was seen, the share that cannot be used, and why the proposal could not be run, if it
    could not."""

    split: dict[str, Any]
    facts: list[str] = field(default_factory=list[str])
    bad_fraction: float = TOLERATED
    fault: str = ""


def tried(sets: Mapping[str, dict[str, Any]], specs: Mapping[str, TargetSpec], readings: Sequence[Reading]) -> Trial:
    """Choose a split, and read the sets with it."""
    entries = [entry for reading in readings for entry in reading.entries]
    splits = _splits(entries)
    if len(entries) > LARGE:
        return Trial(splits[0], [f"{len(entries)} images were not all read: mtl data check does"])
    with TemporaryDirectory() as scratch:
        for number, split in enumerate(splits):
            source = FilesSource.model_validate({"type": "files", "sets": sets, "split": split}, strict=False)
            raw = Path(scratch, f"raw{number}")
            spec = fetch_files(source, 0, raw, Path(scratch, "downloads"))
            samples = {name: list(read_split(raw, name, spec)) for name in SPLITS}
            if _fills({n: s for n, s in samples.items() if n != "test" or spec.judged_on == "test"}, specs):
                return _seen(split, raw, samples, spec.judged_on)
        copies = sum(account["copies"] for account in read_account(raw)["files"])
        reasons = Counter(reason.split(";")[0] for _, reason in read_problems(raw)).most_common(3)
    sizes = ", ".join(f"{len(found)} {name}" for name, found in samples.items())
    lost = [f"{copies} × the same bytes as another image"] if copies else []
    why = "; ".join([*lost, *(f"{number} × {reason}" for reason, number in reasons)])
    return Trial(splits[0], fault=f"too few images for three splits: {sizes}" + (f"; {why}" if why else ""))


def _splits(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """What may be proposed, the best first: what the sets say, completed where they name two splits of three."""
    given = {entry.split for entry in entries if entry.targets}
    share = 0.1 if len(entries) >= SMALL else 0.2
    salts = [{}, *({"salt": str(number)} for number in range(1, SALTS))]
    if given == set(SPLITS):
        return [{"type": "given"}]
    if given == {"train", "val"}:
        return [{"type": "given", "judged_on": "val"}]
    if given == {"train", "test"}:
        return [{"type": "given", "val": share, **salt} for salt in salts]
    return [{"type": "random", "val": share, "test": share, **salt} for salt in salts]


def _fills(samples: Mapping[str, list[RawSample]], specs: Mapping[str, TargetSpec]) -> bool:
    """Whether every split has every target, and the training split every label."""
    have = {split: Counter(t for sample in found for t in sample.targets) for split, found in samples.items()}
    targets = {target for counts in have.values() for target in counts}
    if not targets or any(target not in counts for counts in have.values() for target in targets):
        return False
    for name, spec in specs.items():
        if spec.kind == "label":
            used = {split: {s.targets[name] for s in found if name in s.targets} for split, found in samples.items()}
            if not set.union(*used.values()) <= used["train"]:
                return False
    return True


def _seen(split: dict[str, Any], raw: Path, samples: Mapping[str, list[RawSample]], judged_on: str) -> Trial:
    """What was seen of a split that fills all parts."""
    account, problems = read_account(raw), read_problems(raw)
    facts = ["splits: " + ", ".join(f"{len(found)} {name}" for name, found in samples.items())]
    if judged_on == "val":
        facts.append(
            "no labelled test images: versions are judged on the validation split, which also chooses the epoch"
        )
    for files in account["files"]:
        left = files["unaccounted"]
        if left["number"]:
            facts.append(f"{left['number']} files would be used by no set: {', '.join(some(left['files'])[:5])}")
    images = len(problems) + sum(map(len, samples.values()))
    bad = max(len(problems) / images, len(account["annotations"]) / max(account["num_annotations"], 1))
    if bad <= TOLERATED:
        return Trial(split, facts)
    reasons = Counter(reason.split(";")[0] for _, reason in [*problems, *account["annotations"]]).most_common(3)
    why = "; ".join(f"{number} × {reason}" for reason, number in reasons)
    if bad > MOST:
        return Trial(split, facts, fault=f"{bad:.0%} of its images or annotations cannot be used: {why}")
    share = math.ceil(100 * bad) / 100
    return Trial(split, [*facts, f"{bad:.1%} cannot be used, so max_bad_fraction is {share:g}: {why}"], share)
