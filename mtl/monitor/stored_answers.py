"""Answers that looks have kept, judged by the labels that have come since."""

from __future__ import annotations

from pathlib import Path

from mtl.monitor.late_labels import late_performance, unscored_columns
from mtl.monitor.matching import listed
from mtl.reports.monitoring import LateLabels, LateResult, StoredAnswers
from mtl.reports.types import read_report

NAME = "answers.json"
"""Lies in a look's folder."""
FIX = "remove the file: its images are predicted once more when labels come"


def score_stored(
    kept: StoredAnswers, late: LateLabels, folder: Path, alpha: float
) -> tuple[list[LateResult], list[str]]:
    """How tasks do by the labels that have come, a version each, and what of the labels is not judged.

    An answer counts for the version that gave it: a later one may have learnt from the image and its label.

    Args:
        kept: of this look: version, what its tasks were registered with, and images with their content and answers.
        late: labels by image, the looks (folders in `folder`) whose answers are kept, and what is said of labels already.
        alpha: of each version's tasks together.
    """
    told: list[str] = list(late.said)
    paths = [folder / look / NAME for look in late.earlier]
    looks = [read_report(StoredAnswers, path, fix=FIX) for path in paths if path.exists()] + [kept]
    last = {name: number for number, one in enumerate(looks) for name in one.images}
    rows: list[LateResult] = []
    for version in sorted({one.version for one in looks}):
        own = {n: look for n, look in enumerate(looks) if look.version == version}
        answers = {name: one for n, look in own.items() for name, one in look.images.items() if last[name] == n}
        contents = {one.content: name for name, one in sorted(answers.items(), reverse=True) if name in late.labels}
        labels = {name: late.labels[name] for name in sorted(contents.values())}
        if not labels:
            continue
        if len(labels) < sum(name in late.labels for name in answers):
            told.append("labels of images with the bytes of another one count once")
        known = next(reversed(own.values())).registered
        problems: list[str] = []
        found = late_performance(
            labels, {name: answers[name].answers for name in labels}, known, alpha=alpha, problems=problems
        )
        rows += [row.model_copy(update={"version": version}) for row in found]
        told += [f"version {version}: {line}" for line in problems]
    if others := unscored_columns(late.labels.values(), kept.registered):
        told.append(
            f"labels of {listed(others)}: no task that answers a class or a number and was registered with its metric"
        )
    return rows, told
