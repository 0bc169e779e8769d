"""What checks need of every shard, found shard by shard, wherever that is done."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mtl.data.inspect.samples import Samples
from mtl.data.kinds import KINDS
from mtl.data.prepare.cores import Each
from mtl.data.prepare.cores import each as each_on_cores
from mtl.data.shards import shards
from mtl.data.shards.manifest import NAME, Manifest
from mtl.data.spec import SPLITS, TargetSpec
from mtl.storage.shared import marked

Balance = dict[str, dict[str, dict[str, int]]]
"""Target → class → split → number of samples (of boxes: of boxes; of masks: of images that have it)."""


class ShardFacts(NamedTuple):
    """Of one shard: its number; its samples' perceptual hashes and the first 64 bits of their digests, uint64 [samples]; and of each
    target with classes how many have which.
    """

    number: int
    hashes: np.ndarray
    digests: np.ndarray
    counts: dict[str, Counter[int]]


@dataclass(frozen=True)
class ShardLook:
    """Looks at a shard, which is given by its number and file, of the folder in which `mark` lies."""

    mark: Path
    targets: dict[str, TargetSpec]

    def __call__(self, order: tuple[int, str]) -> ShardFacts | tuple[int, str]:
        """Its facts; where the folder is not seen, the order."""
        if not self.mark.exists():
            return order
        number, file = order
        shard = shards.Shard(self.mark.with_name(file))
        counts = {name: KINDS[target.kind].count(shard.arrays, name, target) for name, target in self.targets.items()}
        return ShardFacts(number, np.array(shard.arrays[shards.HASH]), _digests(shard), counts)

    def here(self, looked: ShardFacts | tuple[int, str]) -> ShardFacts:
        """The facts that somebody found, or this process finds, who has the folder."""
        facts = looked if isinstance(looked, ShardFacts) else self(looked)
        assert isinstance(facts, ShardFacts)
        return facts


def _digests(shard: shards.Shard) -> np.ndarray:
    """Of each sample: its id, its encoded image and its targets, before any operation."""
    told = (f"{found}\0{key}".encode() for found, key in zip(shard.ids, shard.keys, strict=True))
    return np.fromiter((int.from_bytes(hashlib.sha256(one).digest()[:8], "big") for one in told), np.uint64)


@dataclass
class Facts:
    """Of all samples. hashes: uint64 [samples]; arrived: bool [samples], whether each was not there before."""

    hashes: np.ndarray
    arrived: np.ndarray
    balance: Balance = field(default_factory=Balance)


def facts_of(samples: Samples, known: np.ndarray, each: Each) -> Facts:
    """Look at every shard once.

    Args:
        known: digests of samples that were there before, in order.
    """
    told = {name: target for name, target in samples.spec.targets.items() if target.classes}
    found = Facts(samples.kept(np.uint64), samples.kept(np.bool_))
    found.balance = {name: {c: dict.fromkeys(SPLITS, 0) for c in target.classes} for name, target in told.items()}
    orders = ((number, record.file) for number, record in enumerate(samples.records))
    with marked(samples.folder) as mark:
        looked = each(look := ShardLook(mark, told), orders)
        for facts in (look.here(one) for one in looked):
            _add(found, facts, samples, known)
    return found


def _add(found: Facts, facts: ShardFacts, samples: Samples, known: np.ndarray) -> None:
    record = samples.records[facts.number]
    mine = slice(*samples.starts[facts.number : facts.number + 2])
    found.hashes[mine] = facts.hashes
    found.arrived[mine] = ~_among(facts.digests, known)
    for name, counts in facts.counts.items():
        for label, number in counts.items():
            found.balance[name][samples.spec.targets[name].classes[label]][record.split] += number


def _among(digests: np.ndarray, known: np.ndarray) -> np.ndarray:
    if not len(known):
        return np.zeros(len(digests), bool)
    return known[np.minimum(np.searchsorted(known, digests), len(known) - 1)] == digests


def known_digests(folder: Path, manifest: Manifest) -> np.ndarray:
    """Of all samples of a prepared folder, in order: uint64 [samples]."""
    look = ShardLook(folder.absolute() / NAME, {})
    orders = enumerate(record.file for split in SPLITS for record in manifest.of(split))
    found = [look.here(facts).digests for facts in each_on_cores(look, orders)]
    return np.sort(np.concatenate([np.zeros(0, np.uint64), *found]))
