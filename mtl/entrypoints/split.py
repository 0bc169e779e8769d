"""`mtl data split`: place what the table of a stratified split does not have yet."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from mtl.config.files import FilesSource, StratifiedSplit
from mtl.config.params import load
from mtl.data.kinds import KINDS
from mtl.data.raw.groups import Image
from mtl.data.raw.placements import Placements, Row
from mtl.data.raw.rows import RawSample, read_problems, read_spec, read_split
from mtl.data.raw.splits import read_rows, read_table, write_table
from mtl.data.raw.stratify import stratify
from mtl.data.sources.budget import within_budget
from mtl.data.sources.files import fetch_files
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import ConfigError
from mtl.output.terminal import one_line
from mtl.stages import home, run_stage

_LOG = logging.getLogger(__name__)


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
    with TemporaryDirectory() as scratch:
        within_budget(fetch_files, source, config.seed, Path(scratch, "raw"), home() / "downloads")
        spec = read_spec(Path(scratch, "raw"))
        samples = [s for name in SPLITS for s in read_split(Path(scratch, "raw"), name, spec)]
        _say_left_out(read_problems(Path(scratch, "raw")))
    before = read_table(Path(source.split.table))
    units, placed = extend_table(samples, source.split, spec)
    _show(units, placed, len({s.id for s in samples} - before.keys()), "--json" in sys.argv)


def extend_table(
    samples: list[RawSample], split: StratifiedSplit, spec: DatasetSpec
) -> tuple[dict[str, Counter[str]], dict[str, str]]:
    """Write the table with all samples in it; their units (groups, or images alone) with their labels, and each unit's split."""
    path = Path(split.table)
    rows = read_rows(path)
    units: dict[str, Counter[str]] = {}
    for sample in sorted(samples, key=lambda s: s.key):  # an order that says nothing about names
        units.setdefault(_unit(sample), Counter()).update(labels(sample, split.over, spec))
    placed = stratify(list(units.items()), _known(samples, rows, split), split.val, split.test)
    table = {row.id: row.split for row in rows} | {s.id: placed[_unit(s)] for s in samples}
    write_table(path, table, {row.id: row.group for row in rows} | {s.id: s.group for s in samples})
    return units, placed


def _known(samples: list[RawSample], rows: list[Row], split: StratifiedSplit) -> dict[str, str]:
    """Units that the table has placed already, as the fetch stage reads it."""
    images = [(sample, Image(sample.id, sample.key, group=sample.group or None)) for sample in samples]
    table = Placements(split, rows, [image for _, image in images])
    return {_unit(sample): found for sample, image in images if (found := table.split(image))}


def _unit(sample: RawSample) -> str:
    return sample.group or sample.id


def _say_left_out(problems: list[tuple[str, str]]) -> None:
    if problems:
        _LOG.warning(f"{len(problems)} images are left out, and not placed: mtl data check names them")


def labels(sample: RawSample, over: tuple[str, ...], spec: DatasetSpec) -> Counter[str]:
    """How often a sample has each class of the targets that count.

    Raises:
        ConfigError: a target has no classes, or is not there.
    """
    found: Counter[str] = Counter()
    for target in over:
        fitting = [one.name for one in KINDS.values() if one.balanced]
        kind = KINDS[spec.targets[target].kind] if target in spec.targets else None
        if kind is None or not kind.balanced:
            raise ConfigError(
                f"data.source.split.over: {target} cannot be balanced",
                found=kind.name if kind else "missing",
                fix=f"{', '.join(fitting[:-1])} or {fitting[-1]}",
            )
        value = sample.targets.get(target)
        if value is not None:
            found.update(f"{target}={spec.targets[target].classes[label]}" for label in kind.classes_of(value))
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
        print(f"  {one_line(label):<30} " + ", ".join(f"{number} {split}" for split, number in numbers.items()))


if __name__ == "__main__":
    run_stage(main)
