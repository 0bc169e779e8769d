"""The report that a person reads: one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

from mtl.reports.document import with_policy
from mtl.reports.evaluation import EvalReport
from mtl.reports.notes import notes
from mtl.reports.types import Decision, TrainReport

PICTURES = (
    ("good", "Test images that went well", "left: predictions; right: reconstruction"),
    ("bad", "Test images that went worst", "the 'is' in brackets is the truth"),
    ("confusion", "Confusion", "share of each actual class"),
    ("precision_recall", "Precision and recall", "all classes pooled, IoU 0.5"),
    ("reliability", "Reliability", "on the diagonal, confidence is honest"),
    ("history", "Training", "loss of each task by epoch"),
)


def write_page(
    path: Path,
    evaluation: EvalReport,
    training: TrainReport,
    decision: Decision,
    facts: Mapping[str, object],
    pictures: Path,
    forest: bytes | None = None,
) -> None:
    """Write the page with its pictures inside it; `forest` is the decision's."""
    from jinja2 import Environment, select_autoescape

    template = (Path(__file__).parent / "page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=select_autoescape(default=True, default_for_string=True))
    embedded = [
        {"title": title, "note": note, "data": base64.b64encode((pictures / f"{name}.png").read_bytes()).decode()}
        for name, title, note in PICTURES
        if (pictures / f"{name}.png").exists()
    ]
    html = environment.from_string(with_policy(template)).render(
        evaluation=evaluation,
        notes=notes(evaluation),
        training=training,
        decision=decision,
        facts=facts,
        pictures=embedded,
        forest=base64.b64encode(forest).decode() if forest else "",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")
