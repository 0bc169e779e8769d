"""A comparison as one self-contained page."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from mtl.compare.results import ComparisonTable, MethodRow
from mtl.compare.table import shown
from mtl.reports.charts import Point, Range, forest, lines
from mtl.reports.document import render


def write_page(path: Path, table: ComparisonTable) -> None:
    """Write the table with each task alone beside the methods, gains with their intervals, weights, and gradients' cosines."""
    rows = [row for row in table.rows if isinstance(row, MethodRow)]
    html = render(
        Path(__file__).with_name("page.html.j2"),
        "Comparison of methods",
        table=table,
        gains=_gains(rows),
        weights=[chart for row in rows if _moves(row) and (chart := _weights(row))],
        cell=shown,
        shade=_shade,
    )
    path.write_text(html, encoding="utf-8")


def _shade(cosine: float) -> str:
    """Class of the style sheet."""
    return f"h{min(6, round(6 * abs(cosine)))}"


def _gains(rows: list[MethodRow]) -> Markup:
    """Of methods whose interval is known."""
    found = [
        Range(row.method, 100 * mean, 100 * (mean - half), 100 * (mean + half), None, good=mean > 0)
        for row in rows
        if (mean := row.delta_m.mean) is not None and (half := row.delta_m.half) is not None
    ]
    return forest("Mean gain over each task alone, with 95 % intervals over seeds", found, "Δm, %", 200.0)


def _moves(row: MethodRow) -> bool:
    return any(row.weights[0] != later for later in row.weights[1:])


def _weights(row: MethodRow) -> Markup:
    """Of each task's gradient by epoch; not a number where no step had the task."""
    series = {task: [Point(i + 1, w[task]) for i, w in enumerate(row.weights)] for task in row.weights[0]}
    return lines(f"{row.method}: weights", series, "epoch", "weight of the task's gradient", counted=True)
