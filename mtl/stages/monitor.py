"""Not in dvc.yaml: production images beside what a packaged model was made with. The job is a JSON file:

{"bundle": FOLDER, "version": 3, "images": [[place, name, version], …], "out": FOLDER}

`out/late.json`, if it is there, has the labels that have come, {"labels": {name: {task: text}}, "again": [name, …], "earlier":
[look, …], "said": [line, …]}: `again` are images of earlier looks that are predicted for their labels alone, `earlier` the folders
beside `out` whose answers are judged too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from mtl.config import MonitorConfig, load
from mtl.monitor import profile as profiles
from mtl.monitor.drift import Finding, compare
from mtl.monitor.kept_answers import NAME, judge_kept
from mtl.monitor.late_labels import LATE_SHARE
from mtl.monitor.page import write_page
from mtl.package.predictor import Predictor
from mtl.reports import EvalReport, read_report
from mtl.serving.looked import Answers, Looked, look
from mtl.stages import run_stage
from mtl.store import Store
from mtl.tasks.answers import answer_of


def main() -> None:
    """Compare, and write answers.json, page.html and report.json."""
    job, settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), load()
    config = settings.monitor
    torch.set_num_threads(settings.train.threads_per_worker)
    bundle, out = Path(job["bundle"]), Path(job["out"])
    predictor, reference = Predictor(bundle), profiles.read(bundle / profiles.NAME)
    path = out / "late.json"
    late = json.loads(path.read_bytes()) if path.exists() else {"labels": {}, "again": [], "earlier": [], "said": []}
    again = set(late["again"])
    asked = [image for image in job["images"] if image[1] not in again]
    found = look(predictor, asked, answered=bool(config.labels))
    more = look(predictor, [image for image in job["images"] if image[1] in again], answered=True)
    known = registered(predictor, read_report(EvalReport, bundle / "evaluation.json"))
    kept = {
        "version": job["version"],
        "registered": known,
        "images": _of_tasks({**more.answers, **found.answers}, known),
    }
    Store(str(out)).put(NAME, json.dumps(kept).encode())
    findings, unjudged = _findings(reference, found, predictor, config)
    rows, told = judge_kept(kept, late, out.parent, config.alpha * LATE_SHARE)
    result = {
        "version": job["version"],
        "images": len(asked),
        "unreadable": found.unreadable,
        "copies": found.copies,
        "findings": [one.as_json() for one in findings],
        "late": rows,
        "judged": sum(not one.reason for one in findings) + len(rows),
        "reasons": _reasons(findings, found, len(asked), config.max_unreadable),
        "late_reasons": _late_reasons(rows, job["version"]),
        "unjudged": unjudged + _gone(more) + told,
    }
    write_page(out / "page.html", result, reference, found.profile)
    Store(str(out)).put("report.json", (json.dumps(result, indent=1) + "\n").encode())


def _late_reasons(rows: list[dict[str, Any]], version: int) -> list[str]:
    """Tasks of the champion that do worse than registered; an earlier version's are reported, and no reason."""
    return [
        f"{one['task']} {one['metric']} {one['value']:.3f}, registered {one['registered']:.3f}"
        for one in rows
        if one["worse"] and one["version"] == version
    ]


def _gone(more: Looked) -> list[str]:
    number = len(more.unreadable)
    return [f"{number} labelled images of earlier looks cannot be read any more"] if number else []


def _of_tasks(answers: Answers, known: dict[str, Any]) -> Answers:
    """Without the answers that no label is compared with."""
    return {
        name: one | {"answers": {task: one["answers"][task] for task in known}} for name, one in sorted(answers.items())
    }


def _findings(
    reference: profiles.Profile, found: Looked, predictor: Predictor, config: MonitorConfig
) -> tuple[list[Finding], list[str]]:
    """All comparisons, and what was not compared."""
    unjudged: list[str] = []
    if found.unreadable:
        unjudged.append(f"{len(found.unreadable)} images cannot be read")
    if found.copies:
        unjudged.append(f"{len(found.copies)} images have the bytes of another one: each counts once")
    if found.profile is None:
        return [], unjudged
    alpha = config.alpha * (1 - LATE_SHARE) if config.labels else config.alpha
    findings = compare(reference, found.profile, alpha=alpha, min_psi=config.min_psi)
    unjudged += [f"{one.name}: {one.reason}" for one in findings if one.reason]
    names = {name.partition("/")[0] for name in found.profile.values} | found.profile.labels.keys()
    silent = [name for name, task in predictor.tasks.items() if name not in names and not task.config.auxiliary]
    unjudged += [f"{name}: nothing of its answers is compared" for name in silent]
    if reference.embedding is None and found.profile.embedding is None:
        unjudged.append("embedding: the model has none")
    return findings, unjudged


def _reasons(findings: list[Finding], found: Looked, asked: int, max_unreadable: float) -> list[str]:
    reasons = [
        f"{one.name} shifted (p {one.p:.1g}, index {one.index:.2f}, usual up to {one.usual:.2f})"
        for one in findings
        if one.shifted
    ]
    share = len(found.unreadable) / max(asked, 1)
    return reasons + ([f"{share:.1%} of the images cannot be read"] if share > max_unreadable else [])


def registered(predictor: Predictor, report: EvalReport) -> dict[str, dict[str, Any]]:
    """Task → what it had when its version was registered, of tasks whose late labels can be judged."""
    found: dict[str, dict[str, Any]] = {}
    for name, task in predictor.tasks.items():
        answer = answer_of(task)
        metric = answer.late_metric
        known = report.tasks[name].metrics.get(metric) if metric and name in report.tasks else None
        if known is not None and known.value is not None and not task.config.auxiliary:
            low = known.value if known.low is None else known.low
            high = known.value if known.high is None else known.high
            found[name] = {"serves": answer.name, "value": known.value, "low": low, "high": high}
            found[name] |= {"classes": list(task.target.classes)} if answer.has_classes else {}
    return found


if __name__ == "__main__":
    run_stage(main)
