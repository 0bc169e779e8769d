"""From the raw data set to shards: only what is new or changed is processed; statistics from the training split."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from mtl.config.data import DataConfig
from mtl.data.prepare.build import Builder, with_added
from mtl.data.prepare.cores import each
from mtl.data.prepare.operations import image_size, num_channels
from mtl.data.prepare.plan import Planned, plan, recipe
from mtl.data.raw.account import read_account
from mtl.data.raw.rows import RawSplit, read_problems, read_spec
from mtl.data.shards import manifest as manifests
from mtl.data.shards import shards
from mtl.data.shards.manifest import Manifest, Quarantined, ShardRecord, Statistics
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError

_LOG = logging.getLogger(__name__)

Old = dict[str, tuple[str, int]]
Order = tuple[Planned, Old]
Runner = Callable[[Builder, Iterable[Order]], Iterator[ShardRecord]]


def on_cores(builder: Builder, orders: Iterable[Order]) -> Iterator[ShardRecord]:
    """Build on this machine's cores."""
    return each(builder.build, orders)


def prepare(
    config: DataConfig,
    raw: Path,
    folder: Path,
    runner: Runner = on_cores,
    *,
    refuse: bool = True,
) -> Manifest:
    """Bring the shards and the manifest in `folder` up to date with the raw data set.

    Shards whose content key is there are kept; of others, samples that are prepared already are copied. What is
    finished is written down as it is: a run that was killed goes on. The result is, byte for byte, that of a rebuild.

    Args:
        runner: where shards are built; on this machine's cores if not said.
        refuse: whether too much that cannot be used, or an empty split, is an error; not for a look at all that there is.

    Raises:
        DataError: more than `max_bad_fraction` of the images or annotations cannot be used, or a split is empty; the first ones
            are named.
    """
    given = read_spec(raw)
    spec = with_added(given, config)
    folder.mkdir(parents=True, exist_ok=True)
    journal = manifests.Journal(folder)
    wanted: list[Planned] = []
    digests: dict[str, str] = {}
    sizes: dict[str, int] = {}
    how = recipe(spec, config)
    for split in SPLITS:
        rows = RawSplit(raw, split, given)
        sizes[split] = len(rows)
        digest = hashlib.sha256()
        wanted += plan(split, _digested(rows.identities(), digest), config.shard_size, how)
        digests[split] = digest.hexdigest()
    known = journal.known(how)
    missing = [planned for planned in wanted if planned.file not in known]
    if missing:
        kept = {planned.file for planned in wanted}
        old = _old_samples(folder, [record for file, record in known.items() if file not in kept])
        builder = Builder(config, raw, given, spec, folder)
        for record in runner(builder, _orders(missing, old, raw, given)):
            known[record.file] = record
            journal.add(how, record)
    records = [known[planned.file] for planned in wanted]
    problems = [Quarantined(id=found, split="", reason=reason) for found, reason in read_problems(raw)]
    bad = [*problems, *(q for record in records for q in record.quarantined)]
    if refuse:
        needed = {split: size for split, size in sizes.items() if split in ("train", "val", spec.judged_on)}
        _refuse_too_many(bad, sizes, raw, config.max_bad_fraction)
        _refuse_empty(bad, needed, raw)
    height, width = image_size(config.operations)
    manifest = Manifest(
        spec=spec,
        recipe=how,
        operations=config.operations,
        height=height,
        width=width,
        channels=num_channels(config.operations),
        statistics=_statistics(records, config),
        shards=tuple(records),
        problems=tuple(problems),
        split_sha256=digests,
    )
    journal.finish(manifest)
    processed = sum(known[p.file].num_samples for p in missing)
    _LOG.info(
        f"prepare: {sum(sizes.values())} images in {len(records)} shards; {len(missing)} shards with {processed} written"
    )
    return manifest


def _digested(keys: Iterable[tuple[str, str]], digest: Any) -> Iterator[tuple[str, str]]:
    for found, key in keys:
        digest.update(f"{found}\0{key}\0".encode())
        yield found, key


def _old_samples(folder: Path, leftover: list[ShardRecord]) -> Old:
    """Where samples lie in shards that are no longer wanted."""
    found: Old = {}
    for record in leftover:
        if record.num_samples:
            for index, key in enumerate(shards.Shard(folder / record.file).keys):
                found[key] = (record.file, index)
    return found


def _orders(missing: list[Planned], old: Old, raw: Path, given: DatasetSpec) -> Iterator[Order]:
    """Each shard to be built with where its samples are prepared already."""
    if not old:
        yield from ((planned, {}) for planned in missing)
        return
    for split, shards_of in groupby(missing, lambda planned: planned.split):
        keys, at = (key for _, key in RawSplit(raw, split, given).identities()), 0
        for planned in shards_of:
            mine = islice(keys, planned.start - at, planned.stop - at)
            yield planned, {key: old[key] for key in mine if key in old}
            at = planned.stop


def _statistics(records: list[ShardRecord], config: DataConfig) -> Statistics:
    """Mean and deviation per channel of the training split."""
    if not any(o.type == "standardize" for o in config.operations):
        channels = num_channels(config.operations)
        return Statistics(mean=(0.0,) * channels, std=(1.0,) * channels)
    moments = [record.moments for record in records if record.moments]
    count = sum(m.count for m in moments)
    if not count:  # nothing to train on, which is refused where it matters
        return Statistics(mean=(0.0,) * num_channels(config.operations), std=(1.0,) * num_channels(config.operations))
    mean = np.array([m.sum for m in moments], np.int64).sum(0) / count
    squares = np.array([m.squares for m in moments], np.int64).sum(0) / count
    std = np.sqrt(np.maximum(squares - mean**2, 1.0))
    return Statistics(mean=tuple((mean / 255).tolist()), std=tuple((std / 255).tolist()))


def _refuse_too_many(bad: list[Quarantined], sizes: Mapping[str, int], raw: Path, allowed: float) -> None:
    account = read_account(raw)
    total = sum(sizes.values()) + sum(not b.split for b in bad)
    _refuse_share("images", [(b.id, b.reason) for b in bad], total, raw, allowed)
    _refuse_share("annotations", account.annotations, account.num_annotations, raw, allowed)


def _refuse_empty(bad: list[Quarantined], sizes: Mapping[str, int], raw: Path) -> None:
    for split, size in sizes.items():
        if size == sum(b.split == split for b in bad):
            raise DataError(
                f"the {split} split of {raw} is empty",
                found=", ".join(f"{number} {name}" for name, number in sizes.items()),
                fix="give it at least one image: see data.source.split",
            )


def _refuse_share(what: str, bad: Sequence[tuple[str, str]], total: int, raw: Path, allowed: float) -> None:
    if len(bad) > allowed * total:
        raise DataError(
            f"{len(bad)} of {total} {what} of {raw} cannot be used (data.max_bad_fraction allows {allowed:g})",
            found="\n         ".join(f"{found}: {reason}" for found, reason in bad[:5]),
            fix="mend or remove them (dvc repro -f fetch restores the zoo), or raise data.max_bad_fraction; "
            "`mtl data check` lists all",
        )
