"""The page on which a person drops an image and sees what the model says of it."""

from __future__ import annotations

from pathlib import Path

from mtl.reports.document import document

CONNECTS = "'self' data:"
"""What the page asks: its own endpoint."""


def page() -> str:
    """HTML; nothing of it is anybody else's."""
    body, script = (Path(__file__).with_name(f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "js"))
    return document("What the model sees", body, script=script, connects=CONNECTS)
