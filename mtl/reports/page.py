"""The report that a person reads: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mtl.reports.beside import PicturesBeside, metric_rows, robustness_rows, slice_rows
from mtl.reports.curves import confusions, decision_chart, evaluation_curves, training_curves
from mtl.reports.document import render
from mtl.reports.evaluation import EvalReport
from mtl.reports.notes import notes
from mtl.reports.pictures import NAME, Picture, Pictures
from mtl.reports.types import Decision, TrainReport, read_report

TITLES = {"bad": "Test images that went worst", "good": "Test images that went well"}


def write_page(
    path: Path,
    evaluation: EvalReport,
    training: TrainReport,
    decision: Decision,
    facts: Mapping[str, object],
    folder: Path,
    champion: EvalReport | None = None,
    beside: PicturesBeside | None = None,
) -> None:
    """Write the page with its pictures inside it.

    Args:
        folder: of the stage `evaluate`: its tables and pictures.
        champion: on the same samples; None: there is none, or it cannot be judged on them.
        beside: the champion's pictures of the same images, or why there are none.
    """
    html = render(
        Path(__file__).with_name("page.html.j2"),
        f"Version {facts['version']}",
        evaluation=evaluation,
        rows=metric_rows(evaluation, champion),
        robustness=robustness_rows(evaluation, champion),
        slices=list(slice_rows(evaluation, champion)),
        compared=champion is not None,
        notes=notes(evaluation),
        training=training,
        decision=decision,
        forest=decision_chart(decision),
        facts=facts,
        training_curves=training_curves(training.history),
        evaluation_curves=evaluation_curves(folder),
        confusions=confusions(folder),
        pictures=_pictures(folder),
        others={one.id: one for one in beside.pictures} if beside else {},
        remark=beside.remark if beside else "",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")


def _pictures(folder: Path) -> dict[str, list[Picture]]:
    """By title."""
    if not (folder / NAME).exists():
        return {}
    found = read_report(Pictures, folder / NAME).pictures
    sheets = {title: [one for one in found if one.kind == kind] for kind, title in TITLES.items()}
    return {title: some for title, some in sheets.items() if some}
