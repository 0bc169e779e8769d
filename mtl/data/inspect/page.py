"""`mtl data report`: one self-contained HTML page of a data set."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import Any

from mtl.data.inspect.gallery import Sample, Wanted, plot_balance, plot_sizes, samples_of
from mtl.data.inspect.report import DataReport
from mtl.data.kinds import KINDS
from mtl.data.shards.manifest import Manifest
from mtl.data.spec import SPLITS
from mtl.errors import gist
from mtl.reports.document import render

MAX_CLASSES = 20
"""Classes of a target that get a sheet per split."""
SHOWN = {"train": 6}
"""Samples of a class and a split; FEW of others."""
FEW = 3


def write_data_page(path: Path, report: DataReport, folder: Path, manifest: Manifest) -> None:
    """Write the page of a report of `mtl.data.inspect.checks.check`, with samples of the prepared folder."""
    sizes = [plot_sizes(report.sizes)] if len(report.sizes) > 1 else []
    plots = [*sizes, *(plot_balance(found, name) for name, found in report.balance.items())]
    html = render(
        Path(__file__).with_name("page.html.j2"),
        "Data report",
        report=report,
        reasons=Counter(gist(q.reason) for q in report.quarantined).most_common(),
        spec=manifest.spec,
        plots=plots,
        sheets=_sheets(folder, manifest),
    )
    path.write_text(html, encoding="utf-8")


def _sheets(folder: Path, manifest: Manifest) -> list[dict[str, Any]]:
    """Title and samples of every class and split; the first of each target lies open."""
    opened = set[str]()
    found: list[dict[str, Any]] = []
    chosen: list[Wanted] = []
    for name, target in manifest.spec.targets.items():
        first = KINDS[target.kind].first_class
        chosen += [(name, label) for label in range(first, min(len(target.classes), MAX_CLASSES))]
    chosen = chosen or [("", None)]
    drawn = {s: samples_of(folder, manifest, s, chosen, SHOWN.get(s, FEW)) for s in SPLITS}
    for name, label in chosen:
        splits = {split: [_picture(one) for one in drawn[split].get((name, label), [])] for split in SPLITS}
        if any(splits.values()):
            title = f"{name}: {manifest.spec.targets[name].classes[label]}" if label is not None else "samples"
            shown = {split: some for split, some in splits.items() if some}
            found.append({"title": title, "open": name not in opened, "splits": shown})
            opened.add(name)
    return found


def _picture(sample: Sample) -> dict[str, Any]:
    return {"id": sample.id, "lines": sample.lines, "data": base64.b64encode(sample.webp()).decode()}
