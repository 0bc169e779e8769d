"""A look at production images as one self-contained page."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

import numpy as np

from mtl.monitor.profile import Profile
from mtl.reports.document import TABLES, document
from mtl.reports.monitoring import MonitorReport, Shift

NUM_PLOTS = 9
PLOTTED = ("ks", "chi2")
"""Tests of what has a distribution to draw."""


def write_page(path: Path, result: MonitorReport, reference: Profile, batch: Profile | None) -> None:
    """The findings as a table, and the surest of them as histograms: reference and batch, if any image was compared."""
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(one.test)}</td><td>{_number(one.p)}</td><td>{_number(one.index)}</td>"
        f"<td>{one.usual or 0.0:.3f}</td><td>{_number(one.reference)}</td><td>{_number(one.batch)}</td><td>{_verdict(one)}</td></tr>"
        for one in result.findings
    )
    late = "".join(
        f"<tr><td>{escape(one.task)}</td><td>{one.version}</td><td>{one.images}</td><td>{escape(one.metric)}</td><td>{one.value:.4f} [{one.low:.4f}, {one.high:.4f}]"
        f"</td><td>{one.registered:.4f}</td><td>{'worse' if one.worse else ''}</td></tr>"
        for one in result.late
    )
    style = TABLES + "td:last-child{color:#b00020}img{max-width:100%}"
    reasons = [*result.reasons, *result.late_reasons]
    verdict = "; ".join(reasons) or ("nothing has shifted" if result.judged else "nothing could be judged")
    body = f"<h1>{result.images} production images beside version {escape(str(result.version))}</h1>"
    body += f"<p><b>{escape(verdict)}</b></p><p>{len(result.unreadable)} could not be read.</p>"
    if result.unjudged:
        lines = "".join(f"<li>{escape(line)}</li>" for line in result.unjudged)
        body += f"<p>Not judged, so not known to be as before:</p><ul>{lines}</ul>"
    if batch is not None and any(one.test in PLOTTED for one in result.findings):
        body += f'<img alt="distributions" src="data:image/png;base64,{_plots(result, reference, batch)}">'
    if result.findings:
        body += "<table><tr><th>what</th><th>test</th><th>p</th><th>index</th><th>usual</th><th>reference</th><th>now</th><th></th></tr>"
        body += f"{rows}</table>"
    if late:
        body += "<h2>With the labels that have come</h2><table><tr><th>task</th><th>version</th><th>images</th><th>metric</th>"
        body += f"<th>now</th><th>registered</th><th></th></tr>{late}</table>"
    path.write_text(document("Monitor", body, style), encoding="utf-8")


def _verdict(one: Shift) -> str:
    return escape(f"not compared: {one.reason}") if one.reason else "shifted" if one.shifted else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _plots(result: MonitorReport, reference: Profile, batch: Profile) -> str:
    from matplotlib import pyplot as plt

    from mtl.reports.figure import as_png

    names = [one.name for one in result.findings if one.test in PLOTTED][:NUM_PLOTS]
    columns = 3
    figure, axes = plt.subplots(
        -(-len(names) // columns), columns, figsize=(10, 2.3 * -(-len(names) // columns)), squeeze=False
    )
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        if name in reference.values:
            both = [side.values[name][np.isfinite(side.values[name])].astype(np.float64) for side in (reference, batch)]
            edges = np.histogram_bin_edges(np.concatenate(both), 20)
            for values, colour in zip(both, ("#888888", "#b00020"), strict=True):
                axis.hist(values, edges, density=True, alpha=0.5, color=colour)
        else:
            width = len(reference.classes[name])
            for side, shift, colour in ((reference, -0.2, "#888888"), (batch, 0.2, "#b00020")):
                labels = side.labels[name]  # -1 where an image has none
                counts = np.bincount(labels[labels >= 0], minlength=width)
                axis.bar(np.arange(width) + shift, counts / max(counts.sum(), 1), 0.4, color=colour)
            axis.set_xticks(range(width), reference.classes[name], rotation=60, fontsize=6)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
    figure.suptitle("grey: what the model was made with; red: production", fontsize=9)
    return base64.b64encode(as_png(figure)).decode()
