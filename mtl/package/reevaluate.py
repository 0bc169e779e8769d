"""A packaged model on the split that versions are judged on at present: the champion, when the data has moved since it was judged."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from mtl.config.params import Config
from mtl.data.loading.loader import Split
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import RawSplit, read_spec, write_rows
from mtl.data.shards import manifest as manifests
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from mtl.evaluate.evaluation import evaluate_model
from mtl.package.bundle import EVALUATION, Bundle, read_bundle
from mtl.reports import EvalReport, OwnSamples, TaskReport
from mtl.tasks import Task


def reevaluate(
    bundle_folder: Path, config: Config, outputs: Path, challenger: Path | None = None, home: Path | None = None
) -> EvalReport:
    """Evaluate a bundle on `outputs/prepared`'s test samples, with its own preprocessing and its own statistics.

    A task whose target is no longer in the data, or has other classes, cannot be evaluated; the report says so.

    Args:
        challenger: the bundle of a version made of these data; both are then evaluated on the champion's own samples too.
        home: as in `evaluate_model`.

    Raises:
        DataError: the bundle cannot be built by this code.
    """
    model, tasks, bundle = read_bundle(bundle_folder)
    with tempfile.TemporaryDirectory() as scratch:
        split = split_of(bundle, config, outputs, Path(scratch))
        reasons = without_target(tasks, split)
        if split.folder != outputs / "prepared" and (not config.cluster.storage or config.cluster.shards == "local"):
            home = None  # other nodes do not see what is prepared here
        judged = tuple(name for name in tasks if name not in reasons)
        report = evaluate_model(model, tasks, split, _of(config, bundle), judged=judged, home=home).report
        if challenger is not None:
            had, (new, its_tasks, its) = _samples_of(bundle_folder), read_bundle(challenger)
            present = Split(outputs / "prepared", "test")
            new_entry = Entry(new, its_tasks, _of(config, its), tuple(its_tasks), present)
            own = _on_own(had, Entry(model, tasks, _of(config, bundle), judged, split), new_entry, home)
            report = report.model_copy(update={"own": own})
    kept = {name for name in reasons if not tasks[name].config.auxiliary}
    return report.model_copy(update={"not_judged": {name: reasons[name] for name in sorted(kept)}})


def _samples_of(bundle: Path) -> frozenset[str]:
    """The samples on which a bundle was judged when it was made; none if it does not say."""
    try:
        return frozenset(EvalReport.model_validate_json((bundle / EVALUATION).read_bytes()).samples)
    except (OSError, ValueError):
        return frozenset()  # one of an earlier version of this program


@dataclass(frozen=True)
class Entry:
    """A version on the present samples; config: of this run, with the version's own model."""

    model: nn.Module
    tasks: dict[str, Task]
    config: Config
    judged: tuple[str, ...]
    split: Split

    def on(self, chosen: np.ndarray, home: Path | None) -> dict[str, TaskReport]:
        """Its tasks on some of them; without corruptions."""
        evaluate = self.config.evaluate.model_copy(update={"corruptions": ()})
        plain = self.config.model_copy(update={"evaluate": evaluate})
        some = self.split.only(chosen)
        return evaluate_model(self.model, self.tasks, some, plain, judged=self.judged, home=home).report.tasks


def _of(config: Config, bundle: Bundle) -> Config:
    """This run's settings with a bundle's model and tasks."""
    return config.model_copy(update={"model": bundle.model, "tasks": bundle.tasks})


def _on_own(had: frozenset[str], champion: Entry, challenger: Entry, home: Path | None) -> OwnSamples:
    """Both on the test samples that the champion had. Neither needs it where all are, or none."""
    if not had:
        return OwnSamples(num_samples=None)
    chosen = np.array([digest in had for digest in challenger.split.digests()])
    counts = OwnSamples(num_samples=int(chosen.sum()), num_gone=len(had) - int(chosen.sum()))
    if chosen.all() or not chosen.any():
        return counts
    old, new = (entry.on(chosen, home) for entry in (champion, challenger))
    return counts.model_copy(update={"champion": old, "challenger": new})


def split_of(bundle: Bundle, config: Config, outputs: Path, scratch: Path, only: frozenset[str] | None = None) -> Split:
    """The present test samples, as the bundle's own operations make them, to be standardized by its own statistics.

    Args:
        only: their ids; None: all of them.

    Raises:
        DataError: its operations cannot read all of them.
    """
    present = Split(outputs / "prepared", "test")
    if only is not None:
        present = present.only(np.array([found in only for found in present.ids]))
    split = present
    if present.manifest.operations != bundle.operations:
        split = Split(_prepared_as(bundle, config, outputs, scratch, only), "test")
    wanted, found = set(present.ids), set(split.ids)
    if wanted != found:
        other = sorted(wanted ^ found)
        shown = ", ".join(other[:8]) + (f" and {len(other) - 8} more" if len(other) > 8 else "")
        raise DataError(
            "the champion's preprocessing can read other test images than this one: they cannot be compared",
            found=f"{len(found)} and {len(wanted)} images; in one of the two alone: {shown}",
            fix="mend or remove these images; `mtl data check` says what is wrong with them",
        )
    image = bundle.image
    statistics = manifests.Statistics(mean=image.mean, std=image.std)
    digests = present.manifest.split_sha256
    split.manifest = split.manifest.model_copy(update={"statistics": statistics, "split_sha256": digests})
    return split


def _prepared_as(bundle: Bundle, config: Config, outputs: Path, scratch: Path, only: frozenset[str] | None) -> Path:
    """The folder of the test samples (or some) by the bundle's operations."""
    raw, prepared = scratch / "raw", scratch / "prepared"
    raw.mkdir()
    shutil.copyfile(outputs / "raw" / "spec.json", raw / "spec.json")
    spec = read_spec(raw)
    judged = outputs / "raw" / f"{spec.judged_on}.parquet"
    if only is not None:
        rows = RawSplit(outputs / "raw", spec.judged_on, spec)
        places = [place for place, (found, _) in enumerate(rows.identities()) if found in only]
        judged = scratch / "some.parquet"
        write_rows(judged, spec, (sample for place in places for sample in rows.samples(place, place + 1)))
    for name in SPLITS:  # only these samples matter: they stand in for the others
        (raw / f"{name}.parquet").symlink_to(judged.resolve())
    prepare(config.data.model_copy(update={"operations": bundle.operations}), raw, prepared)
    return prepared


def without_target(tasks: dict[str, Task], split: Split) -> dict[str, str]:
    """Tasks whose target is no longer in the data, or has other classes → which."""
    return {
        name: f"it learned {list(task.target.classes) or task.target.kind}, the data has {_described(split, task.target_name)}"
        for name, task in tasks.items()
        if task.kind and split.spec.targets.get(task.target_name) != task.target
    }


def _described(split: Split, target: str) -> str:
    found = split.spec.targets.get(target)
    return "no such target" if found is None else str(list(found.classes) or found.kind)
