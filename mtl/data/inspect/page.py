"""`mtl data report`: one self-contained HTML page of a data set."""

from __future__ import annotations

import base64
import tempfile
from collections import Counter
from pathlib import Path

import cv2
from jinja2 import Environment, select_autoescape

from mtl.data.inspect.gallery import Wanted, plot_balance, plot_sizes, sheets
from mtl.data.inspect.report import DataReport
from mtl.data.kinds import KINDS
from mtl.data.shards.manifest import Manifest
from mtl.data.spec import SPLITS
from mtl.errors import gist
from mtl.reports.document import with_policy

MAX_CLASSES = 20
"""Classes of a target that get a sheet per split."""


def write_data_page(path: Path, report: DataReport, folder: Path, manifest: Manifest) -> None:
    """Write the page of a report of `mtl.data.inspect.checks.check`, with samples of the prepared folder."""
    template = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=select_autoescape(default=True, default_for_string=True))
    reasons = Counter(gist(q.reason) for q in report.quarantined).most_common()
    html = environment.from_string(with_policy(template)).render(
        report=report, reasons=reasons, spec=manifest.spec, plots=_plots(report), sheets=_sheets(folder, manifest)
    )
    path.write_text(html, encoding="utf-8")


def _plots(report: DataReport) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        plot_sizes(Path(scratch, "0.png"), report.sizes)
        for number, (name, balance) in enumerate(report.balance.items()):
            plot_balance(Path(scratch, f"{number + 1}.png"), balance, name)
        return [_embedded(path.read_bytes()) for path in sorted(Path(scratch).iterdir())]


def _sheets(folder: Path, manifest: Manifest) -> list[dict[str, str]]:
    """Title and picture of samples of every class and split."""
    found: list[dict[str, str]] = []
    chosen: list[Wanted] = []
    for name, target in manifest.spec.targets.items():
        first = KINDS[target.kind].first_class
        chosen += [(name, label) for label in range(first, min(len(target.classes), MAX_CLASSES))]
    chosen = chosen or [("", None)]
    drawn = {s: sheets(folder, manifest, s, chosen, rows=2 if s == "train" else 1) for s in SPLITS}
    for name, label in chosen:
        for split in SPLITS:
            picture = drawn[split].get((name, label))
            if picture is not None:
                what = f"{name}: {manifest.spec.targets[name].classes[label]}" if label is not None else "samples"
                encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
                found.append({"title": f"{what}, {split}", "data": _embedded(encoded)})
    return found


def _embedded(png: bytes) -> str:
    return base64.b64encode(png).decode()
