"""A packaged model on the split that versions are judged on at present: the champion, when the data has moved since it was judged."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from mtl.config import Config, DataError
from mtl.data import manifest as manifests
from mtl.data.loader import Split
from mtl.data.prepare import prepare
from mtl.data.spec import SPLITS
from mtl.evaluate.judge import judge_model
from mtl.package.bundle import Bundle, read_bundle
from mtl.reports import EvalReport


def rejudge(bundle_folder: Path, config: Config, outputs: Path) -> EvalReport:
    """Judge a bundle on `outputs/prepared`'s test samples, with its own preprocessing and its own statistics.

    A task whose target is no longer in the data, or has other classes, cannot be judged; the report says so.

    Raises:
        DataError: the bundle cannot be built by this code.
    """
    model, tasks, bundle = read_bundle(bundle_folder)
    with tempfile.TemporaryDirectory() as scratch:
        split = _test_split(bundle, config, outputs, Path(scratch))
        reasons = {
            name: f"it learned {list(task.target.classes) or task.target.kind}, the data has {_described(split, task.target_name)}"
            for name, task in tasks.items()
            if task.kind and split.spec.targets.get(task.target_name) != task.target
        }
        known = {name: task for name, task in tasks.items() if name not in reasons}
        report = judge_model(model, known, split, config).report
    kept = {name for name in reasons if not tasks[name].config.auxiliary}
    return report.model_copy(update={"not_judged": {name: reasons[name] for name in sorted(kept)}})


def _test_split(bundle: Bundle, config: Config, outputs: Path, scratch: Path) -> Split:
    """The present test samples, as the bundle's own operations make them, to be standardized by its own statistics."""
    prepared = outputs / "prepared"
    present = manifests.read(prepared)
    if present.operations != bundle.operations:
        raw = scratch / "raw"
        raw.mkdir()
        shutil.copyfile(outputs / "raw" / "spec.json", raw / "spec.json")
        judged = outputs / "raw" / f"{present.spec.judged_on}.parquet"
        for name in SPLITS:  # only these samples matter: they stand in for the others
            (raw / f"{name}.parquet").symlink_to(judged.resolve())
        prepared = scratch / "prepared"
        data = config.data.model_copy(update={"operations": bundle.operations})
        prepare(data, raw, prepared, say=_silent)
    split = Split(prepared, "test")
    wanted, found = set(Split(outputs / "prepared", "test").ids), set(split.ids)
    if wanted != found:
        only = sorted(wanted ^ found)
        shown = ", ".join(only[:8]) + (f" and {len(only) - 8} more" if len(only) > 8 else "")
        raise DataError(
            "the champion's preprocessing can read other test images than this one: they cannot be compared",
            found=f"{len(found)} and {len(wanted)} images; in one of the two alone: {shown}",
            fix="mend or remove these images; `mtl data check` says what is wrong with them",
        )
    image = bundle.image
    statistics = manifests.Statistics(mean=image.mean, std=image.std)
    digests = present.split_sha256
    split.manifest = split.manifest.model_copy(update={"statistics": statistics, "split_sha256": digests})
    return split


def _silent(line: str) -> None:
    """The champion's preparation is no news."""


def _described(split: Split, target: str) -> str:
    found = split.spec.targets.get(target)
    return "no such target" if found is None else str(list(found.classes) or found.kind)
