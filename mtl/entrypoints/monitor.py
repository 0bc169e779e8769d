"""Not in dvc.yaml: production images beside what a packaged model was made with. The argument is a file with a MonitorRequest;
`out/late.json`, if it is there, has the LateLabels that have come.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from mtl.config.monitor import MonitorConfig
from mtl.config.params import load
from mtl.monitor import profile as profiles
from mtl.monitor.drift import Finding, compare
from mtl.monitor.late_labels import LATE_SHARE
from mtl.monitor.page import write_page
from mtl.monitor.stored_answers import NAME, score_stored
from mtl.monitor.unlike import distances
from mtl.package.predictor import Predictor
from mtl.reports import EvalReport, read_report
from mtl.reports.monitoring import LateLabels, LateResult, MonitorReport, Registered, StoredAnswer, StoredAnswers
from mtl.reports.requests import MonitorRequest
from mtl.serving.looked import Answered, Looked, drawn, look
from mtl.stages import run_stage
from mtl.storage.store import Store
from mtl.tasks.answers import answer_of

NUM_SHOWN = 12
"""Images on the page."""


def main() -> None:
    """Compare, and write answers.json, page.html and report.json."""
    asked, settings = read_report(MonitorRequest, Path(sys.argv[1])), load()
    config = settings.monitor
    torch.set_num_threads(settings.train.threads_per_worker)
    bundle, out = Path(asked.bundle), Path(asked.out)
    predictor, reference = Predictor(bundle), profiles.read(bundle / profiles.NAME)
    path = out / "late.json"
    late = read_report(LateLabels, path) if path.exists() else LateLabels()
    again = set(late.again)
    new = [image for image in asked.images if image[1] not in again]
    found = look(predictor, new, answered=bool(config.labels))
    more = look(predictor, [image for image in asked.images if image[1] in again], answered=True)
    known = registered(predictor, read_report(EvalReport, bundle / "evaluation.json"))
    images = _of_tasks({**more.answers, **found.answers}, known)
    kept = StoredAnswers(version=asked.version, registered=known, images=images)
    Store(str(out)).put(NAME, json.dumps(kept.model_dump(mode="json", exclude_unset=True)).encode())
    findings, unjudged = _findings(reference, found, predictor, config)
    rows, told = score_stored(kept, late, out.parent, config.alpha * LATE_SHARE)
    result = MonitorReport(
        version=asked.version,
        images=len(new),
        unreadable=tuple(found.unreadable),
        copies=tuple(found.copies),
        findings=tuple(one.reported() for one in findings),
        late=tuple(rows),
        judged=sum(not one.reason for one in findings) + len(rows),
        reasons=tuple(_reasons(findings, found, len(new), config.max_unreadable)),
        late_reasons=tuple(_late_reasons(rows, asked.version)),
        unjudged=(*unjudged, *_gone(more), *told),
    )
    write_page(out / "page.html", result, reference, found.profile, _unlike(predictor, reference, found))
    Store(str(out)).put("report.json", (json.dumps(result.model_dump(mode="json"), indent=1) + "\n").encode())


def _unlike(predictor: Predictor, reference: profiles.Profile, found: Looked) -> list[tuple[str, float, bytes]]:
    """[name, distance, PNG] of the images least like what the model was made with, the furthest first."""
    if found.profile is None:
        return []
    apart = distances(reference, found.profile)
    furthest = np.argsort(-apart, kind="stable")[:NUM_SHOWN].tolist()
    far = {found.profiled[i][1]: float(apart[i]) for i in furthest}
    return [(name, far[name], png) for name, png in drawn(predictor, [found.profiled[i] for i in furthest])]


def _late_reasons(rows: list[LateResult], version: int) -> list[str]:
    """Tasks of the champion that do worse than registered; an earlier version's are reported, and no reason."""
    return [
        f"{one.task} {one.metric} {one.value:.3f}, registered {one.registered:.3f}"
        for one in rows
        if one.worse and one.version == version
    ]


def _gone(more: Looked) -> list[str]:
    number = len(more.unreadable)
    return [f"{number} labelled images of earlier looks cannot be read any more"] if number else []


def _of_tasks(answers: dict[str, Answered], known: dict[str, Registered]) -> dict[str, StoredAnswer]:
    """Without the answers that no label is compared with."""
    return {
        name: StoredAnswer(content=one.content, answers={task: one.row[task] for task in known})
        for name, one in sorted(answers.items())
    }


def _findings(
    reference: profiles.Profile, found: Looked, predictor: Predictor, config: MonitorConfig
) -> tuple[list[Finding], list[str]]:
    """All comparisons, and what was not compared."""
    unjudged: list[str] = []
    if number := len(found.unreadable):
        unjudged.append(f"{number} image{'s' if number > 1 else ''} cannot be read")
    if found.copies:
        unjudged.append(f"{len(found.copies)} images have the bytes of another one: each counts once")
    if found.profile is None:
        return [], unjudged
    alpha = config.alpha * (1 - LATE_SHARE) if config.labels else config.alpha
    findings = compare(reference, found.profile, alpha=alpha, min_psi=config.min_psi)
    unjudged += [f"{profiles.in_words(one.name)}: {one.reason}" for one in findings if one.reason]
    names = {name.partition("/")[0] for name in found.profile.values} | found.profile.labels.keys()
    silent = [name for name, task in predictor.tasks.items() if name not in names and not task.config.auxiliary]
    unjudged += [f"{name}: nothing of its answers is compared" for name in silent]
    if reference.embedding is None and found.profile.embedding is None:
        unjudged.append("embedding: the model has none")
    return findings, unjudged


def _reasons(findings: list[Finding], found: Looked, asked: int, max_unreadable: float) -> list[str]:
    reasons = [
        f"{profiles.in_words(one.name)} shifted (p {one.p:.1g}, index {one.index:.2f}, usual up to {one.usual:.2f})"
        for one in findings
        if one.shifted
    ]
    share = len(found.unreadable) / max(asked, 1)
    return reasons + ([f"{share:.1%} of the images cannot be read"] if share > max_unreadable else [])


def registered(predictor: Predictor, report: EvalReport) -> dict[str, Registered]:
    """Task → what it had when its version was registered, of tasks whose late labels can be judged."""
    found: dict[str, Registered] = {}
    for name, task in predictor.tasks.items():
        answer = answer_of(task)
        metric = answer.late_metric
        known = report.tasks[name].metrics.get(metric) if metric and name in report.tasks else None
        if known is not None and known.value is not None and not task.config.auxiliary:
            low = known.value if known.low is None else known.low
            high = known.value if known.high is None else known.high
            classes = tuple(task.target.classes) if answer.has_classes else None
            found[name] = Registered(
                serves=answer.name, metric=metric, value=known.value, low=low, high=high, classes=classes
            )
    return found


if __name__ == "__main__":
    run_stage(main)
