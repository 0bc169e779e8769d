"""Figures as PNG, drawn without a screen. Apart from pages: a stage that draws does not depend on their style."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.text import Text


def as_png(figure: Any) -> bytes:
    """A matplotlib figure, closed then; the same figure gives the same bytes. A dollar sign in a name is a dollar sign."""
    with matplotlib.rc_context({"text.parse_math": False}):
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        figure.tight_layout()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure and close it; the same figure gives the same bytes."""
    path.write_bytes(as_png(figure))
