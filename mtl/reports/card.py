"""The model card (Mitchell et al. 2019), made from what the run measured: Markdown, and the same as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from mtl.config.params import Config
from mtl.reports.document import document
from mtl.reports.evaluation import EvalReport, TaskReport
from mtl.reports.lineage import Source
from mtl.reports.markdown import as_code, as_paragraphs, as_text
from mtl.reports.notes import notes
from mtl.reports.types import Decision, TrainReport

NUM_WORST = 3
"""Slices of a task that the card names."""


def write_card(
    folder: Path,
    config: Config,
    evaluation: EvalReport,
    training: TrainReport,
    decision: Decision,
    facts: Mapping[str, object],
    sources: Sequence[Source],
) -> list[Path]:
    """Write card.md and card.html."""
    from jinja2 import Environment
    from markdown_it import MarkdownIt

    template = (Path(__file__).parent / "card.md.j2").read_text(encoding="utf-8")
    environment = Environment(trim_blocks=True, lstrip_blocks=True, finalize=_as_text)
    text = environment.from_string(template).render(
        model=config.registry.model,
        registry=config.registry,
        config=config,
        evaluation=evaluation,
        notes=notes(evaluation),
        training=training,
        decision=decision,
        facts=facts,
        sources=sources,
        worst={name: _worst(task) for name, task in evaluation.tasks.items()},
        cell=_cell,
        code=_code,
        paragraphs=_paragraphs,
    )
    folder.mkdir(parents=True, exist_ok=True)
    markdown, html = folder / "card.md", folder / "card.html"
    markdown.write_text(text, encoding="utf-8")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    title = f"{config.registry.model}, version {facts['version']}"
    html.write_text(document(title, body), encoding="utf-8")
    return [markdown, html]


def _worst(task: TaskReport) -> list[tuple[str, float, int]]:
    """The slices on which a task does worst: attribute and value, the metric, samples."""
    found = [
        (f"{attribute} {value}", one.value, one.num_samples)
        for attribute, values in task.slices.items()
        for value, one in values.items()
        if one.value is not None and one.replicates  # else too few samples to say so
    ]
    upwards = task.metrics[task.primary].direction == "max"
    return sorted(found, key=lambda one: one[1] if upwards else -one[1])[:NUM_WORST]


def _as_text(value: object) -> object:
    """Of everything that the template puts into the card: text, unless it is markup of our own."""
    return value if hasattr(value, "__html__") else as_text(value)


def _code(value: object) -> Markup:
    return Markup(as_code(value))


def _paragraphs(text: str) -> Markup:
    return Markup(as_paragraphs(text))


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
