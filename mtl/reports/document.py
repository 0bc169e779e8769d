"""What self-contained pages have in common: the HTML around them, and figures as PNG."""

from __future__ import annotations

import io
from html import escape
from typing import Any

TABLES = "table{border-collapse:collapse}td,th{padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}"


def document(title: str, body: str, style: str = "", width: int = 1100) -> str:
    """An HTML document around a body. `style` is more CSS, `width` in pixels."""
    font = f"body{{font:15px/1.5 system-ui,sans-serif;max-width:{width}px;margin:2em auto;padding:0 1em}}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{font}{style}</style></head><body>{body}</body></html>\n"
    )


def as_png(figure: Any) -> bytes:
    """A matplotlib figure, closed then; the same figure gives the same bytes."""
    from matplotlib import pyplot as plt

    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
