"""Not in dvc.yaml: production images beside what a packaged model was made with. The job is a JSON file:

{"bundle": FOLDER, "version": 3, "images": [[place, name, version], …], "labels": CSV or "", "out": FOLDER}
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl.config import DataError, load
from mtl.data.picture import Picture
from mtl.monitor import profile as profiles
from mtl.monitor.drift import compare
from mtl.monitor.late_labels import late_performance, read_labels
from mtl.monitor.page import write_page
from mtl.package.predictor import BATCH, Predictor
from mtl.package.profiling import profile
from mtl.reports import EvalReport, read_report
from mtl.serving.sources import Reader
from mtl.stages import run_stage


def main() -> None:
    """Compare, and write report.json and page.html."""
    job, settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), load()
    config = settings.monitor
    torch.set_num_threads(settings.train.threads_per_worker)
    bundle, out = Path(job["bundle"]), Path(job["out"])
    predictor, reference = Predictor(bundle), profiles.read(bundle / profiles.NAME)
    batch, answers, unreadable = look(predictor, job["images"], answered=bool(job["labels"]))
    findings = compare(reference, batch, alpha=config.alpha, min_psi=config.min_psi) if batch else []
    late: list[dict[str, Any]] = []
    if job["labels"]:
        known = registered(predictor, read_report(EvalReport, bundle / "evaluation.json"))
        late = late_performance(read_labels(Path(job["labels"]), list(known)), answers, known)
    reasons = [
        f"{one.name} shifted (p {one.p:.1g}, index {one.index:.2f}, usual up to {one.usual:.2f})"
        for one in findings
        if one.shifted
    ]
    reasons += [
        f"{one['task']} {one['metric']} {one['value']:.3f}, registered {one['registered']:.3f}"
        for one in late
        if one["worse"]
    ]
    share = len(unreadable) / len(job["images"])
    if share > config.max_unreadable:
        reasons.append(f"{share:.1%} of the images cannot be read")
    result = {
        "version": job["version"],
        "images": len(job["images"]),
        "unreadable": unreadable,
        "findings": [one.as_json() for one in findings],
        "late": late,
        "reasons": reasons,
    }
    out.mkdir(parents=True, exist_ok=True)
    if batch:
        write_page(out / "page.html", result, reference, batch)
    (out / "report.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def look(
    predictor: Predictor, images: list[list[str]], *, answered: bool
) -> tuple[profiles.Profile | None, dict[str, dict[str, Any]], list[list[str]]]:
    """The profile of what can be read, the answers by file name if they are wanted, and what cannot be read with its reason."""
    reader = Reader()
    parts: list[profiles.Profile] = []
    answers: dict[str, dict[str, Any]] = {}
    unreadable: list[list[str]] = []
    for start in range(0, len(images), BATCH):
        pictures: list[Picture] = []
        encoded: dict[str, bytes] = {}
        for place, name, _ in images[start : start + BATCH]:
            try:
                data = reader.read(place, name)
                picture = predictor.prepare(data)
                if isinstance(picture, DataError):
                    raise picture
                pictures.append(picture)
                encoded[name.rpartition("/")[2]] = data
            except DataError as error:
                unreadable.append([name, error.what])
        if pictures:
            pixels = np.stack([picture.image for picture in pictures])
            parts.append(profile(predictor.model, predictor.tasks, predictor.statistics, pixels))
            if answered:
                answers |= dict(zip(encoded, predictor.predict(list(encoded.values())), strict=True))
    return (profiles.join(parts) if parts else None), answers, unreadable


def registered(predictor: Predictor, report: EvalReport) -> dict[str, dict[str, Any]]:
    """Task → what it had when its version was registered, of tasks whose late labels can be judged."""
    found: dict[str, dict[str, Any]] = {}
    for name, task in predictor.tasks.items():
        metric = {"label": "accuracy", "value": "mae"}.get(task.serves)
        known = report.tasks[name].metrics.get(metric) if metric and name in report.tasks else None
        if known is not None and known.value is not None and not task.config.auxiliary:
            low = known.value if known.low is None else known.low
            high = known.value if known.high is None else known.high
            found[name] = {"serves": task.serves, "value": known.value, "low": low, "high": high}
    return found


if __name__ == "__main__":
    run_stage(main)
