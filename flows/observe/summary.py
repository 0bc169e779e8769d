"""What a person reads at the end of a run: on the terminal, and as a Prefect artifact."""

from __future__ import annotations

from mtl.output.terminal import plain
from mtl.registry.registry import Version
from mtl.reports import Decision, EvalReport
from mtl.reports.markdown import as_text

UNSAID = ("same test samples", "task kept")
"""Rules that need no word where they are kept."""


def metrics_table(report: EvalReport) -> list[tuple[str, str, str, str]]:
    """Rows of task, metric, value, interval."""
    rows: list[tuple[str, str, str, str]] = []
    for name, task in report.tasks.items():
        metric = report.primary(name)
        value = "–" if metric.value is None else f"{metric.value:.4f}{' ' + metric.unit if metric.unit else ''}"
        interval = "–" if metric.low is None or metric.high is None else f"{metric.low:.4f} – {metric.high:.4f}"
        label = f"{task.primary} {'↑' if metric.direction == 'max' else '↓'}"
        rows.append((name + (" (auxiliary)" if task.auxiliary else ""), label, value, interval))
    return rows


def markdown(report: EvalReport, decision: Decision, version: Version) -> str:
    """The report as Markdown."""
    head = f"| task | metric | value | {report.confidence:.0%} interval |"
    lines = [f"# Version {version.number}", "", as_text(decision.summary), "", head]
    rows = metrics_table(report)
    lines += ["| --- | --- | --- | --- |", *(f"| {' | '.join(map(as_text, row))} |" for row in rows), ""]
    lines += ["| rule | task | required | found | |", "| --- | --- | --- | --- | --- |"]
    for rule in decision.rules:
        cells = [as_text(text) for text in (rule.name, rule.task or "", rule.required, rule.found)]
        lines.append(f"| {' | '.join(cells)} | {'✓' if rule.passed else '✗'} |")
    return "\n".join(lines)


def decision_lines(decision: Decision) -> list[str]:
    """The decision for a person: what it is, and a line for each task with all that was asked of it."""
    lines = [decision.summary if decision.promote else decision.summary.split(": ")[0]]
    rules = [rule for rule in decision.rules if not (rule.passed and rule.name in UNSAID)]
    tasks = dict.fromkeys(rule.task for rule in rules)
    for task in sorted(tasks, key=lambda name: name is None):
        asked = [
            f"{'✓' if rule.passed else '✗'} {rule.name}: {rule.found}"
            + ("" if rule.passed else f" (required: {rule.required})")
            for rule in rules
            if rule.task == task
        ]
        lines.append(f"{task or 'all tasks':<12} " + " · ".join(asked))
    return lines


def show(report: EvalReport, decision: Decision, version: Version, page: str, seconds: float) -> None:
    """Print the end of a run."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, kind = Console(), "validation" if report.split == "val" else "test"
    table = Table(title=f"version {version.number} on {report.num_samples} {kind} images")
    for column in ("task", "metric", "value", f"{report.confidence:.0%} interval"):
        table.add_column(column)
    for row in metrics_table(report):
        table.add_row(*(Text(plain(cell)) for cell in row))
    console.print(table)
    first, *more = decision_lines(decision)
    console.print(f"decision  {plain(first)}", highlight=False, soft_wrap=True, markup=False)
    for line in map(plain, more):
        console.print(f"          {line}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"weights   sha256 {version.tags.get('mtl.weights_sha256')}", highlight=False, soft_wrap=True)
    console.print(f"report    {page}", highlight=False, soft_wrap=True)
    console.print(f"took      {seconds:.0f} s", highlight=False)
    console.print("next      mtl ui · mtl status · mtl retrain --set train.epochs=1", highlight=False)
