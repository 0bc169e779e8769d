"""`mtl data split`: place what the table of a stratified split does not have yet."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from mtl.config import ConfigError, load
from mtl.config.files import FilesSource, RandomSplit, StratifiedSplit
from mtl.data.raw import RawSample, read_spec, read_split
from mtl.data.sources.files import fetch_files
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.data.splits import read_table, stratify, write_table
from mtl.stages import home, run_stage


def main() -> None:
    """Read the sets, extend the table, and print how the classes are spread."""
    config = load()
    source = config.data.source
    if not isinstance(source, FilesSource) or not isinstance(source.split, StratifiedSplit):
        raise ConfigError(
            "there is no table of splits to write",
            found=f"data.source.split.type is {source.split.type if isinstance(source, FilesSource) else 'not there'}",
            fix="set data.source.split to {type: stratified, over: [targets]}",
        )
    split = source.split
    everything = source.model_copy(update={"split": RandomSplit(type="random", val=0.0, test=0.0)})
    with TemporaryDirectory() as scratch:
        fetch_files(everything, config.seed, Path(scratch, "raw"), home() / "downloads")
        spec = read_spec(Path(scratch, "raw"))
        samples = [s for name in SPLITS for s in read_split(Path(scratch, "raw"), name, spec)]
    table = read_table(Path(split.table))
    groups = {s.id: _group(s, split) for s in samples}
    units: dict[str, Counter[str]] = {}
    for sample in sorted(samples, key=lambda s: s.key):  # an order that says nothing about names
        units.setdefault(groups[sample.id], Counter()).update(labels(sample, split.over, spec))
    known = {groups[found]: chosen for found, chosen in table.items() if found in groups}
    placed = stratify(list(units.items()), known, split.val, split.test)
    write_table(Path(split.table), table | {found: placed[group] for found, group in groups.items()})
    _show(units, placed, len(groups.keys() - table.keys()), "--json" in sys.argv)


def _group(sample: RawSample, split: StratifiedSplit) -> str:
    found = re.search(split.group, sample.id) if split.group else None
    return found.group(1) if found else sample.id


def labels(sample: RawSample, over: tuple[str, ...], spec: DatasetSpec) -> Counter[str]:
    """How often a sample has each class of the targets that count.

    Raises:
        ConfigError: a target has no classes, or is not there.
    """
    found: Counter[str] = Counter()
    for target in over:
        kind = spec.targets[target].kind if target in spec.targets else "missing"
        value = sample.targets.get(target)
        if kind == "label":
            found.update([] if value is None else [f"{target}={spec.targets[target].classes[value]}"])
        elif kind == "labels":
            found.update(f"{target}={spec.targets[target].classes[v]}" for v in value or [])
        elif kind == "boxes":
            found.update(
                f"{target}={spec.targets[target].classes[int(box[4])]}" for box in value or [] if not any(box[5:])
            )
        else:
            raise ConfigError(
                f"data.source.split.over: {target} cannot be balanced", found=kind, fix="label, labels or boxes"
            )
    return found


def _show(units: dict[str, Counter[str]], placed: dict[str, str], new: int, as_json: bool) -> None:
    rows: dict[str, dict[str, int]] = {}
    for unit, counts in units.items():
        for label, number in counts.items():
            rows.setdefault(label, dict.fromkeys(SPLITS, 0))[placed[unit]] += number
    if as_json:
        print(json.dumps({"new": new, "labels": rows}, indent=1))
        return
    print(f"{new} images placed")
    for label, numbers in sorted(rows.items()):
        print(f"  {label:<30} " + ", ".join(f"{number} {split}" for split, number in numbers.items()))


if __name__ == "__main__":
    run_stage(main)
