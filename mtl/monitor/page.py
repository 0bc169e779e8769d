"""A look at production images as one self-contained page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from mtl.monitor.profile import Profile, in_words
from mtl.reports.charts import bars, histogram
from mtl.reports.document import render
from mtl.reports.monitoring import MonitorReport

NUM_PLOTS = 9
PLOTTED = ("ks", "chi2")
"""Tests of what has a distribution to draw."""
BEFORE, NOW = "what the model was made with", "production"
BINS = 20


def write_page(
    path: Path,
    result: MonitorReport,
    reference: Profile,
    batch: Profile | None,
    unlike: Sequence[tuple[str, float, bytes]] = (),
) -> None:
    """The findings as a table, the surest of them as histograms (reference and batch, if any image was compared), and images.

    Args:
        unlike: [name, distance, PNG] of the images least like the reference (`mtl.monitor.unlike`).
    """
    html = render(
        Path(__file__).with_name("page.html.j2"),
        f"Production beside version {result.version}",
        result=result,
        reasons=[*result.reasons, *result.late_reasons],
        plots=[] if batch is None else _plots(result, reference, batch),
        unlike=[(name, apart, base64.b64encode(png).decode()) for name, apart, png in unlike],
        in_words=in_words,
    )
    path.write_text(html, encoding="utf-8")


def _plots(result: MonitorReport, reference: Profile, batch: Profile) -> list[Markup]:
    names = [one.name for one in result.findings if one.test in PLOTTED][:NUM_PLOTS]
    return [_values(n, reference, batch) if n in reference.values else _labels(n, reference, batch) for n in names]


def _values(name: str, reference: Profile, batch: Profile) -> Markup:
    """Of a number: both distributions over the same bins."""
    both = [side.values[name][np.isfinite(side.values[name])].astype(np.float64) for side in (reference, batch)]
    edges = np.histogram_bin_edges(np.concatenate(both), BINS)
    counts = [np.histogram(values, edges)[0] / max(len(values), 1) for values in both]
    return histogram(in_words(name), edges.tolist(), {BEFORE: counts[0].tolist(), NOW: counts[1].tolist()})


def _labels(name: str, reference: Profile, batch: Profile) -> Markup:
    """Of a class: its share on both sides."""
    classes = reference.classes[name]
    rows: dict[str, dict[str, float]] = {label: {} for label in classes}
    for title, side in ((BEFORE, reference), (NOW, batch)):
        labels = side.labels[name]  # -1 where an image has none
        counts = np.bincount(labels[labels >= 0], minlength=len(classes))
        for label, share in zip(classes, counts / max(counts.sum(), 1), strict=True):
            rows[label][title] = round(float(share), 4)
    return bars(in_words(name), rows, "share", stacked=False)
